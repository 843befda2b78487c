//! Which threads users want to hear of (MSC4306), by thread and by when that last changed.
//!
//! Exists so that one thread is looked up at once and a client is told what changed since it asked
//! last. A subscription that was taken back leaves its row: it tells later, automatic ones that they
//! come too late. Knows nothing of what threads are, nor of who may see them.

use belfry_event::EventHash;
use belfry_kv::{
    Commit, Direction, Range, ReadError, Seen, Shape, Snapshot, Stamp, Table, Temperature,
};
use ruma_common::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    account::logged_before,
    codec::postcard_row,
    column::{RoomKey, UserKey},
    rows::GlobalRow,
    tables::{GLOBAL_LOG, HashKey, ground},
};

/// What a user last said of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreadState {
    /// Subscribed by a client because of an event.
    Automatic,
    /// Subscribed by the user.
    Manual,
    /// Not subscribed any more.
    Unsubscribed,
}

/// A user's subscription of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRow {
    /// What it is now.
    pub state: ThreadState,
    /// How often it changed, from 1 on: `bump_stamp` of MSC4308.
    pub bump: u64,
}
postcard_row!(SubscriptionRow);

/// The last change of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionEntry {
    /// The thread's room.
    pub room: OwnedRoomId,
    /// The event that the thread begins with.
    pub root: OwnedEventId,
    /// What the subscription is now.
    pub state: ThreadState,
    /// As in [`SubscriptionRow`].
    pub bump: u64,
}
postcard_row!(SubscriptionEntry);

/// A run of a user's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionPage {
    /// When, and what, in the direction asked.
    pub entries: Vec<(Stamp, SubscriptionEntry)>,
    /// Whether there may be more.
    pub more: bool,
}

/// User, room, the hash of the event that the thread begins with.
pub(crate) static THREAD_SUBSCRIPTION: Table<
    (UserKey, RoomKey, HashKey),
    (Stamp, SubscriptionRow),
> = Table::new(ground(
    25,
    "thread_subscription",
    Shape::Scan,
    Temperature::Cold,
));

/// User, and by its last change each subscription. Its place is the one right before its row's.
pub(crate) static SUBSCRIPTION_LOG: Table<(UserKey, Stamp), SubscriptionEntry> = Table::new(
    ground(26, "subscription_log", Shape::Log, Temperature::Cold),
);

/// What the user last said of the thread that begins with this event, and when; for a commit that
/// checks it.
pub async fn subscription_seen(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
    thread: EventHash,
) -> Result<Seen<(Stamp, SubscriptionRow)>, ReadError> {
    THREAD_SUBSCRIPTION
        .get_seen(snapshot, &key(user, room, thread))
        .await
}

/// The same, to be read only.
pub async fn subscription(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
    thread: EventHash,
) -> Result<Option<(Stamp, SubscriptionRow)>, ReadError> {
    THREAD_SUBSCRIPTION
        .get(snapshot, &key(user, room, thread))
        .await
}

/// A user's threads by their last change, each once: those behind `after` and not behind `until`, at
/// most `limit`.
pub async fn subscription_changes(
    snapshot: &dyn Snapshot,
    user: &UserId,
    (after, until): (Stamp, Stamp),
    direction: Direction,
    limit: usize,
) -> Result<SubscriptionPage, ReadError> {
    let at = |stamp: Stamp| {
        SUBSCRIPTION_LOG
            .key(&(UserKey::from(user), stamp))
            .successor()
    };
    let range = Range {
        from: at(after),
        to: at(until),
    };
    let page = SUBSCRIPTION_LOG
        .scan(snapshot, range, direction, limit)
        .await?;
    let entries = page.rows.into_iter();
    Ok(SubscriptionPage {
        entries: entries.map(|((_, stamp), entry)| (stamp, entry)).collect(),
        more: page.rest.is_some(),
    })
}

/// Changes a subscription, if it is as it was seen; the user's other clients are told.
pub fn set_subscription(
    commit: &mut Commit,
    user: &UserId,
    (room, thread): (&RoomId, &EventId),
    hash: EventHash,
    seen: &Seen<(Stamp, SubscriptionRow)>,
    state: ThreadState,
) {
    let key = key(user, room, hash);
    THREAD_SUBSCRIPTION.check_unchanged(commit, &key, seen);
    let mut bump = 1;
    if let Some((stamp, before)) = &seen.row {
        SUBSCRIPTION_LOG.delete(commit, &(UserKey::from(user), logged_before(*stamp)));
        bump = before.bump.saturating_add(1);
    }
    let entry = SubscriptionEntry {
        room: room.to_owned(),
        root: thread.to_owned(),
        state,
        bump,
    };
    // In this order: the log's place is right before the row's.
    SUBSCRIPTION_LOG.append(commit, &(UserKey::from(user),), &entry);
    THREAD_SUBSCRIPTION.stamp(commit, &key, &SubscriptionRow { state, bump });
    let user = user.as_str().into();
    GLOBAL_LOG.append(commit, &(), &GlobalRow::AccountData { user });
}

/// Forgets what a user said of threads.
pub(crate) fn delete_subscriptions(commit: &mut Commit, user: &UserId) {
    THREAD_SUBSCRIPTION.delete_prefix(commit, &(UserKey::from(user),));
    SUBSCRIPTION_LOG.delete_prefix(commit, &(UserKey::from(user),));
}

fn key(user: &UserId, room: &RoomId, thread: EventHash) -> (UserKey, RoomKey, HashKey) {
    (UserKey::from(user), RoomKey::from(room), *thread.as_bytes())
}

#[cfg(test)]
mod tests {
    use belfry_kv::{CommitError, Engine as _, Memory};
    use ruma_common::{event_id, room_id, user_id};

    use super::*;
    use crate::{STAMP_FIRST, STAMP_LAST, fixture::hash};

    async fn set(engine: &Memory, number: usize, state: ThreadState) {
        let (alice, room) = (user_id!("@alice:a.org"), room_id!("!r:a.org"));
        let snapshot = engine.snapshot().await.unwrap();
        let thread = hash(number);
        let seen = subscription_seen(&*snapshot, alice, room, thread)
            .await
            .unwrap();
        let mut commit = Commit::synced();
        let named = EventId::parse(format!("${number}")).unwrap();
        set_subscription(&mut commit, alice, (room, &named), thread, &seen, state);
        engine.commit(commit).await.unwrap();
    }

    async fn changes(engine: &Memory, direction: Direction, limit: usize) -> SubscriptionPage {
        let snapshot = engine.snapshot().await.unwrap();
        let all = (STAMP_FIRST, STAMP_LAST);
        subscription_changes(&*snapshot, user_id!("@alice:a.org"), all, direction, limit)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_thread_is_told_once_by_its_last_change() {
        let engine = Memory::default();
        set(&engine, 1, ThreadState::Automatic).await;
        set(&engine, 2, ThreadState::Manual).await;
        set(&engine, 1, ThreadState::Unsubscribed).await;
        let page = changes(&engine, Direction::Forward, 10).await;
        let told: Vec<_> = page
            .entries
            .iter()
            .map(|(_, it)| (&*it.root, it.bump))
            .collect();
        assert_eq!(told, [(event_id!("$2"), 1), (event_id!("$1"), 2)]);
        let last = changes(&engine, Direction::Backward, 1).await;
        assert_eq!(last.entries[0].1.state, ThreadState::Unsubscribed);
        assert!(last.more && !page.more);
    }

    #[tokio::test]
    async fn of_two_changes_at_once_one_is_refused() {
        let engine = Memory::default();
        let (alice, room) = (user_id!("@alice:a.org"), room_id!("!r:a.org"));
        let snapshot = engine.snapshot().await.unwrap();
        let seen = subscription_seen(&*snapshot, alice, room, hash(1)).await;
        let seen = seen.unwrap();
        set(&engine, 1, ThreadState::Manual).await;
        let mut late = Commit::synced();
        let thread = event_id!("$1");
        set_subscription(
            &mut late,
            alice,
            (room, thread),
            hash(1),
            &seen,
            ThreadState::Automatic,
        );
        assert_eq!(engine.commit(late).await, Err(CommitError::Conflict));
        let mut commit = Commit::synced();
        delete_subscriptions(&mut commit, alice);
        engine.commit(commit).await.unwrap();
        assert!(
            changes(&engine, Direction::Forward, 10)
                .await
                .entries
                .is_empty()
        );
    }
}
