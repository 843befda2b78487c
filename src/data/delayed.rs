//! Delayed events (MSC4140): what users want to be sent later, and what became of it.
//!
//! Exists so that such an event survives a restart, is found when it is due, and is counted against
//! its user's limit. When it is due goes by the installation's age, which no clock moves. Knows
//! nothing of rooms and of who may send what.

use belfry_kv::{Commit, Counter, Direction, ReadError, Seen, Shape, Snapshot, Table, Temperature};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{DIGEST_BYTES, UserKey, digest},
    tables::{count, ground},
    txn::expire_at,
};

/// Finalised delayed events of one user that are kept.
pub const FINALISED_MAX: usize = 1_000;
/// Most delayed events that [`delayed_due`] and [`delayed_of`] give at once.
pub const DELAYED_PAGE_MAX: usize = 1_000;

/// A delayed event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedRow {
    /// Who sends it.
    pub user: OwnedUserId,
    /// From which device.
    pub device: Box<str>,
    /// Where to.
    pub room: OwnedRoomId,
    /// The event's type.
    pub kind: Box<str>,
    /// Its state key, if it is state.
    pub state_key: Option<Box<str>>,
    /// Its content, a JSON object.
    pub content: Box<str>,
    /// How long after it was scheduled, in milliseconds.
    pub delay_ms: u64,
    /// When it was scheduled or restarted, in milliseconds since the Unix epoch.
    pub scheduled_ts: u64,
    /// The installation's age at which it is due.
    pub due_age_ms: u64,
    /// What became of it.
    pub stage: DelayedStage,
}
postcard_row!(DelayedRow);

/// What became of a delayed event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayedStage {
    /// It waits.
    Scheduled,
    /// It is being sent, and cannot be called back.
    Sending,
    /// It was sent.
    Sent {
        /// As this event.
        event: OwnedEventId,
        /// When, in milliseconds since the Unix epoch.
        ts: u64,
    },
    /// Its user called it back.
    Cancelled {
        /// When, in milliseconds since the Unix epoch.
        ts: u64,
    },
    /// It could not be sent.
    Failed {
        /// Why, as a standard error response in JSON.
        error: Box<str>,
        /// When, in milliseconds since the Unix epoch.
        ts: u64,
    },
}

impl DelayedStage {
    /// When nothing more became of it; `None` if something may.
    pub const fn finalised_ts(&self) -> Option<u64> {
        match self {
            Self::Scheduled | Self::Sending => None,
            Self::Sent { ts, .. } | Self::Cancelled { ts } | Self::Failed { ts, .. } => Some(*ts),
        }
    }
}

/// What a request to delay an event led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedTxnRow {
    /// The delayed event.
    pub delay_id: Box<str>,
}
postcard_row!(DelayedTxnRow);

/// Every delayed event by its `delay_id`.
pub(crate) static DELAYED: Table<(String,), DelayedRow> =
    Table::new(ground(27, "delayed", Shape::Point, Temperature::Cold));

/// The age at which it is due, and each event that is neither sent nor called back.
pub(crate) static DELAYED_DUE: Table<(u64, String), ()> =
    Table::new(ground(28, "delayed_due", Shape::Queue, Temperature::Hot));

/// User; [`PENDING`] with the age at which it is due, or [`FINAL`] with when it was finalised.
pub(crate) static DELAYED_OF_USER: Table<(UserKey, u8, u64, String), ()> = Table::new(ground(
    29,
    "delayed_of_user",
    Shape::Scan,
    Temperature::Cold,
));

/// How many of each user wait.
pub(crate) static DELAYED_COUNT: Counter<(UserKey,)> = Counter::new(count(30, "delayed_count"));

/// The same, row by row.
pub(crate) static DELAYED_COUNT_ROWS: Table<(UserKey,), i64> = Table::new(*DELAYED_COUNT.space());

/// User, device, digest of scope and transaction ID.
pub(crate) static DELAYED_TXN: Table<(UserKey, String, [u8; DIGEST_BYTES]), DelayedTxnRow> =
    Table::new(ground(31, "delayed_txn", Shape::Point, Temperature::Cold));

/// In [`DELAYED_OF_USER`]: something may become of it.
pub(crate) const PENDING: u8 = 0;
/// In [`DELAYED_OF_USER`]: nothing more does.
pub(crate) const FINAL: u8 = 1;

/// A client's transaction that delays an event.
#[derive(Debug, Clone)]
pub struct DelayedTxn {
    key: (UserKey, String, [u8; DIGEST_BYTES]),
}

impl DelayedTxn {
    /// `scope` is what the ID is unique within, beside the device.
    pub fn new(user: &UserId, device: &str, scope: &[&str], txn_id: &str) -> Self {
        let mut parts = scope.to_vec();
        parts.push(txn_id);
        let device = device.to_owned();
        Self {
            key: (UserKey::from(user), device, digest(&parts)),
        }
    }

    /// What it led to before.
    pub async fn get(&self, snapshot: &dyn Snapshot) -> Result<Option<DelayedTxnRow>, ReadError> {
        DELAYED_TXN.get(snapshot, &self.key).await
    }
}

/// The delayed event of this ID, for a commit that checks it.
pub async fn delayed_seen(
    snapshot: &dyn Snapshot,
    delay_id: &str,
) -> Result<Seen<DelayedRow>, ReadError> {
    DELAYED.get_seen(snapshot, &(delay_id.to_owned(),)).await
}

/// Those due first: the age, and the `delay_id`.
pub async fn delayed_due(
    snapshot: &dyn Snapshot,
    limit: usize,
) -> Result<Vec<(u64, String)>, ReadError> {
    let limit = limit.min(DELAYED_PAGE_MAX);
    let page = DELAYED_DUE
        .scan(snapshot, DELAYED_DUE.whole(), Direction::Forward, limit)
        .await?;
    Ok(page.rows.into_iter().map(|(key, ())| key).collect())
}

/// A user's that wait, those due first: the age, and the `delay_id`.
pub async fn delayed_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
    limit: usize,
) -> Result<Vec<(u64, String)>, ReadError> {
    of_user(snapshot, user, PENDING, limit.min(DELAYED_PAGE_MAX)).await
}

async fn of_user(
    snapshot: &dyn Snapshot,
    user: &UserId,
    which: u8,
    limit: usize,
) -> Result<Vec<(u64, String)>, ReadError> {
    let range = DELAYED_OF_USER.prefix(&(UserKey::from(user), which));
    let page = DELAYED_OF_USER
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows.map(|((_, _, at, id), ())| (at, id)).collect())
}

/// Schedules an event, if the user has fewer than `max` that wait and the transaction is new. It is
/// remembered until the installation's age is `expires_age_ms`.
pub fn schedule_delayed(
    commit: &mut Commit,
    delay_id: &str,
    row: &DelayedRow,
    (txn, expires_age_ms): (&DelayedTxn, u64),
    max: u32,
) {
    let key = (delay_id.to_owned(),);
    DELAYED.check_absent(commit, &key);
    DELAYED_TXN.check_absent(commit, &txn.key);
    let counted = (UserKey::from(&*row.user),);
    DELAYED_COUNT.check_within(commit, &counted, 0, i64::from(max) - 1);
    DELAYED_COUNT.add(commit, &counted, 1);
    DELAYED.put(commit, &key, row);
    put_places(commit, delay_id, row);
    let led_to = DelayedTxnRow {
        delay_id: delay_id.into(),
    };
    DELAYED_TXN.put(commit, &txn.key, &led_to);
    expire_at(commit, expires_age_ms, &DELAYED_TXN.key(&txn.key));
}

/// Moves a delayed event on, if it is as it was seen. What is finalised goes when the installation's
/// age is `expires_age_ms`, and the oldest of too many at once.
pub async fn move_delayed(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    (delay_id, seen): (&str, &Seen<DelayedRow>),
    next: &DelayedRow,
    expires_age_ms: u64,
) -> Result<(), ReadError> {
    let key = (delay_id.to_owned(),);
    DELAYED.check_unchanged(commit, &key, seen);
    if let Some(before) = &seen.row {
        take_places(commit, delay_id, before);
    }
    DELAYED.put(commit, &key, next);
    put_places(commit, delay_id, next);
    let Some(ts) = next.stage.finalised_ts() else {
        return Ok(());
    };
    let user = UserKey::from(&*next.user);
    DELAYED_COUNT.add(commit, &(user.clone(),), -1);
    expire_at(commit, expires_age_ms, &DELAYED.key(&key));
    let place = (user.clone(), FINAL, ts, delay_id.to_owned());
    expire_at(commit, expires_age_ms, &DELAYED_OF_USER.key(&place));
    // Those are kept that were finalised last: one comes, and one goes.
    let kept = of_user(snapshot, &next.user, FINAL, FINALISED_MAX).await?;
    if kept.len() == FINALISED_MAX
        && let Some((ts, oldest)) = kept.into_iter().next()
    {
        DELAYED.delete(commit, &(oldest.clone(),));
        DELAYED_OF_USER.delete(commit, &(user, FINAL, ts, oldest));
    }
    Ok(())
}

fn put_places(commit: &mut Commit, delay_id: &str, row: &DelayedRow) {
    let (user, id) = (UserKey::from(&*row.user), delay_id.to_owned());
    if let Some(ts) = row.stage.finalised_ts() {
        DELAYED_OF_USER.put(commit, &(user, FINAL, ts, id), &());
    } else {
        DELAYED_DUE.put(commit, &(row.due_age_ms, id.clone()), &());
        DELAYED_OF_USER.put(commit, &(user, PENDING, row.due_age_ms, id), &());
    }
}

fn take_places(commit: &mut Commit, delay_id: &str, row: &DelayedRow) {
    let (user, id) = (UserKey::from(&*row.user), delay_id.to_owned());
    DELAYED_DUE.delete(commit, &(row.due_age_ms, id.clone()));
    DELAYED_OF_USER.delete(commit, &(user, PENDING, row.due_age_ms, id));
}

#[cfg(test)]
mod tests {
    use belfry_kv::{CommitError, Engine as _, Memory};
    use ruma_common::{owned_event_id, owned_room_id, owned_user_id, user_id};

    use super::*;

    fn row(due_age_ms: u64) -> DelayedRow {
        DelayedRow {
            user: owned_user_id!("@alice:a.org"),
            device: "PHONE".into(),
            room: owned_room_id!("!r:a.org"),
            kind: "m.room.message".into(),
            state_key: None,
            content: "{}".into(),
            delay_ms: 5,
            scheduled_ts: 1,
            due_age_ms,
            stage: DelayedStage::Scheduled,
        }
    }

    async fn schedule(engine: &Memory, id: &str, due_age_ms: u64) -> Result<(), CommitError> {
        let mut commit = Commit::synced();
        let txn = DelayedTxn::new(user_id!("@alice:a.org"), "PHONE", &["s"], id);
        schedule_delayed(&mut commit, id, &row(due_age_ms), (&txn, 1_000), 2);
        engine.commit(commit).await.map(drop)
    }

    async fn move_to(engine: &Memory, id: &str, due_age_ms: u64, stage: DelayedStage) {
        let snapshot = engine.snapshot().await.unwrap();
        let seen = delayed_seen(&*snapshot, id).await.unwrap();
        let next = DelayedRow {
            stage,
            ..row(due_age_ms)
        };
        let mut commit = Commit::synced();
        move_delayed(&*snapshot, &mut commit, (id, &seen), &next, 2_000)
            .await
            .unwrap();
        engine.commit(commit).await.unwrap();
    }

    async fn due(engine: &Memory) -> Vec<String> {
        let snapshot = engine.snapshot().await.unwrap();
        let due = delayed_due(&*snapshot, 10).await.unwrap();
        due.into_iter().map(|(_, id)| id).collect()
    }

    #[tokio::test]
    async fn those_that_wait_are_counted_and_stand_in_the_order_in_which_they_are_due() {
        let engine = Memory::default();
        schedule(&engine, "late", 30).await.unwrap();
        schedule(&engine, "soon", 10).await.unwrap();
        assert_eq!(due(&engine).await, ["soon", "late"]);
        assert_eq!(
            schedule(&engine, "more", 20).await,
            Err(CommitError::Conflict)
        );
        move_to(&engine, "soon", 40, DelayedStage::Scheduled).await;
        assert_eq!(due(&engine).await, ["late", "soon"]);
        let event = owned_event_id!("$e");
        move_to(&engine, "late", 30, DelayedStage::Sent { event, ts: 5 }).await;
        assert_eq!(due(&engine).await, ["soon"]);
        schedule(&engine, "more", 20).await.unwrap();
        let again = schedule(&engine, "soon", 20).await;
        assert_eq!(again, Err(CommitError::Conflict));
    }

    #[tokio::test]
    async fn of_those_that_are_over_the_oldest_goes_first() {
        let engine = Memory::default();
        for number in 0..=FINALISED_MAX {
            let id = format!("d{number}");
            schedule(&engine, &id, 10).await.unwrap();
            let ts = number.try_into().unwrap();
            move_to(&engine, &id, 10, DelayedStage::Cancelled { ts }).await;
        }
        let snapshot = engine.snapshot().await.unwrap();
        let gone = delayed_seen(&*snapshot, "d0").await.unwrap();
        let kept = delayed_seen(&*snapshot, "d1").await.unwrap();
        assert!(gone.row.is_none() && kept.row.is_some());
        let waits = delayed_of(&*snapshot, user_id!("@alice:a.org"), 10).await;
        assert!(waits.unwrap().is_empty());
    }
}
