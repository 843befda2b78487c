//! What users have asked of the server and what it owes others: delayed events, subscriptions of
//! threads, rooms of notices, that their rows agree; of the rest, that every row decodes.

use belfry_event::EventHash;
use belfry_kv::{Direction, Engine, Key, ReadError, Snapshot};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, Row, decode_all, present},
};
use crate::{
    account::{
        logged_before,
        tables::{ACCOUNT_DATA_COUNT_ROWS, USER},
    },
    column::{RoomKey, UserKey},
    copy::{COPY, COPY_ORDER},
    delayed::{
        DELAYED, DELAYED_COUNT_ROWS, DELAYED_DUE, DELAYED_OF_USER, DELAYED_TXN, DelayedRow, FINAL,
        PENDING,
    },
    federation::{DESTINATION, EDU_OUTBOX, KEY_DOCUMENT, SERVER_KEY},
    flow::FLOW,
    forgotten::FORGOTTEN,
    lag::LAGGING_ROOM,
    litter::LITTER,
    notice::NOTICE_ROOM,
    openid::OPENID_TOKEN,
    origin::EVENT_ORIGIN,
    preview::PREVIEW,
    remote::{INVITE, REDACTION_DUE, STUCK_ROOM},
    report::REPORT,
    subscription::{SUBSCRIPTION_LOG, THREAD_SUBSCRIPTION},
    tables::ROOM_HEAD,
};

/// Delayed events of one user counted at once.
const COUNT_PAGE: usize = 1_000;

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    check_delayed(engine, report).await?;
    check_due(engine, report).await?;
    check_places(engine, report).await?;
    check_counts(engine, report).await?;
    check_subscriptions(engine, report).await?;
    check_subscription_log(engine, report).await?;
    check_notices(engine, report).await?;
    // A request is remembered for as long as it may come again, its event perhaps not.
    decode_all(engine, &DELAYED_TXN, report).await?;
    decode_all(engine, &ACCOUNT_DATA_COUNT_ROWS, report).await?;
    decode_all(engine, &EVENT_ORIGIN, report).await?;
    decode_all(engine, &FORGOTTEN, report).await?;
    decode_all(engine, &FLOW, report).await?;
    decode_all(engine, &REPORT, report).await?;
    decode_all(engine, &OPENID_TOKEN, report).await?;
    check_owed(engine, report).await
}

/// What is kept of other servers, and for them.
async fn check_owed(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    decode_all(engine, &LITTER, report).await?;
    decode_all(engine, &REDACTION_DUE, report).await?;
    decode_all(engine, &INVITE, report).await?;
    decode_all(engine, &STUCK_ROOM, report).await?;
    decode_all(engine, &SERVER_KEY, report).await?;
    decode_all(engine, &KEY_DOCUMENT, report).await?;
    decode_all(engine, &DESTINATION, report).await?;
    decode_all(engine, &EDU_OUTBOX, report).await?;
    decode_all(engine, &LAGGING_ROOM, report).await?;
    decode_all(engine, &COPY, report).await?;
    decode_all(engine, &COPY_ORDER, report).await?;
    decode_all(engine, &PREVIEW, report).await
}

/// Where a delayed event is listed.
fn places(row: &Row<(String,), DelayedRow>) -> Vec<Key> {
    let (user, id) = (UserKey::from(&*row.row.user), row.key.0.clone());
    match row.row.stage.finalised_ts() {
        Some(ts) => vec![DELAYED_OF_USER.key(&(user, FINAL, ts, id))],
        None => vec![
            DELAYED_DUE.key(&(row.row.due_age_ms, id.clone())),
            DELAYED_OF_USER.key(&(user, PENDING, row.row.due_age_ms, id)),
        ],
    }
}

async fn check_delayed(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DELAYED);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let there = present(&*snapshot, &places(row)).await?;
            let listed = there.into_iter().all(|there| there);
            let at = (DELAYED.space(), &row.raw);
            let what = "it is not listed where it should be";
            report.expect(listed, FindingKind::Dangling, at, what);
        }
    }
    Ok(())
}

async fn check_due(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DELAYED_DUE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (age_ms, id) = &row.key;
            let found = delayed(&*snapshot, id).await;
            let right = found
                .is_some_and(|it| it.due_age_ms == *age_ms && it.stage.finalised_ts().is_none());
            let at = (DELAYED_DUE.space(), &row.raw);
            let what = "no delayed event is due then";
            report.expect(right, FindingKind::Orphan, at, what);
        }
    }
    Ok(())
}

async fn check_places(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DELAYED_OF_USER);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (user, which, when, id) = &row.key;
            let found = delayed(&*snapshot, id).await;
            let right = found.is_some_and(|it| {
                let place = match it.stage.finalised_ts() {
                    Some(ts) => (FINAL, ts),
                    None => (PENDING, it.due_age_ms),
                };
                UserKey::from(&*it.user) == *user && place == (*which, *when)
            });
            let at = (DELAYED_OF_USER.space(), &row.raw);
            let what = "the user has no such delayed event";
            report.expect(right, FindingKind::Orphan, at, what);
        }
    }
    Ok(())
}

/// `None` also if the row does not decode, which is a finding of its own.
async fn delayed(snapshot: &dyn Snapshot, id: &str) -> Option<DelayedRow> {
    let found = DELAYED.get(snapshot, &(id.to_owned(),)).await;
    found.unwrap_or_default()
}

async fn check_counts(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DELAYED_COUNT_ROWS);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let mut rest = Some(DELAYED_OF_USER.prefix(&(row.key.0.clone(), PENDING)));
            let mut counted = 0;
            while let Some(range) = rest {
                let page = snapshot.scan(range, Direction::Forward, COUNT_PAGE).await?;
                counted += page.rows.len();
                rest = page.rest;
            }
            let right = usize::try_from(row.row).is_ok_and(|count| count == counted);
            let at = (DELAYED_COUNT_ROWS.space(), &row.raw);
            let what = "not as many delayed events wait";
            report.expect(right, FindingKind::WrongCount, at, what);
        }
    }
    Ok(())
}

async fn check_subscriptions(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&THREAD_SUBSCRIPTION);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (stamp, subscription) = &row.row;
            let place = (row.key.0.clone(), logged_before(*stamp));
            let found = SUBSCRIPTION_LOG.get(&*snapshot, &place).await;
            let right = found.unwrap_or_default().is_some_and(|entry| {
                RoomKey::from(&*entry.room) == row.key.1
                    && entry.state == subscription.state
                    && entry.bump == subscription.bump
            });
            let at = (THREAD_SUBSCRIPTION.space(), &row.raw);
            let what = "its last change is not in the log";
            report.expect(right, FindingKind::Dangling, at, what);
        }
    }
    Ok(())
}

async fn check_subscription_log(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&SUBSCRIPTION_LOG);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (user, stamp) = &row.key;
            let found = match EventHash::from_any_event_id(&row.row.root) {
                Ok(thread) => {
                    let room = RoomKey::from(&*row.row.room);
                    let key = (user.clone(), room, *thread.as_bytes());
                    THREAD_SUBSCRIPTION.get(&*snapshot, &key).await
                }
                Err(_) => Ok(None),
            };
            let found = found.unwrap_or_default();
            let right = found.is_some_and(|(found, _)| logged_before(found) == *stamp);
            let at = (SUBSCRIPTION_LOG.space(), &row.raw);
            let what = "the entry is not the last one of its thread";
            report.expect(right, FindingKind::WrongOrder, at, what);
        }
    }
    Ok(())
}

async fn check_notices(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&NOTICE_ROOM);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let room = ROOM_HEAD.key(&(RoomKey::from(&*row.row.room),));
            let there = present(&*snapshot, &[USER.key(&row.key), room]).await?;
            let whole = there.into_iter().all(|there| there);
            let at = (NOTICE_ROOM.space(), &row.raw);
            let what = "there is no such user or no such room";
            report.expect(whole, FindingKind::Dangling, at, what);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use belfry_kv::{Commit, Memory};
    use ruma_common::{event_id, owned_room_id, owned_user_id, room_id, user_id};

    use super::*;
    use crate::{
        DelayedStage, DelayedTxn, NoticeRoomRow, SubscriptionRow, ThreadState, put_notice_room,
        schedule_delayed, set_subscription, subscription_seen,
    };

    const THREAD: &str = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn row() -> DelayedRow {
        DelayedRow {
            user: owned_user_id!("@alice:a.org"),
            device: "PHONE".into(),
            room: owned_room_id!("!r:a.org"),
            kind: "m.room.message".into(),
            state_key: None,
            content: "{}".into(),
            delay_ms: 5,
            scheduled_ts: 1,
            due_age_ms: 9,
            stage: DelayedStage::Scheduled,
        }
    }

    fn alice() -> UserKey {
        UserKey::from(user_id!("@alice:a.org"))
    }

    fn thread() -> (UserKey, RoomKey, [u8; 32]) {
        (alice(), RoomKey::from(room_id!("!r:a.org")), [0; 32])
    }

    /// An event that waits, and a thread that was subscribed and left.
    async fn sound() -> Memory {
        let engine = Memory::default();
        let user = user_id!("@alice:a.org");
        let mut commit = Commit::synced();
        let txn = DelayedTxn::new(user, "PHONE", &["s"], "1");
        schedule_delayed(&mut commit, "d", &row(), (&txn, 1_000), 2);
        engine.commit(commit).await.unwrap();
        let (room, thread) = (
            room_id!("!r:a.org"),
            <&ruma_common::EventId>::try_from(THREAD),
        );
        let hash = EventHash::from_any_event_id(thread.unwrap()).unwrap();
        for state in [ThreadState::Manual, ThreadState::Unsubscribed] {
            let snapshot = engine.snapshot().await.unwrap();
            let seen = subscription_seen(&*snapshot, user, room, hash).await;
            let (seen, mut commit) = (seen.unwrap(), Commit::synced());
            let place = (
                room,
                event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            );
            set_subscription(&mut commit, user, place, hash, &seen, state);
            engine.commit(commit).await.unwrap();
        }
        engine
    }

    async fn found(engine: &Memory) -> Vec<(FindingKind, &'static str)> {
        let mut report = Report::new(100);
        check(engine, &mut report).await.unwrap();
        let findings = report.findings.into_iter();
        findings.map(|found| (found.kind, found.table)).collect()
    }

    async fn after(damage: impl FnOnce(&mut Commit)) -> Vec<(FindingKind, &'static str)> {
        let engine = sound().await;
        let mut commit = Commit::synced();
        damage(&mut commit);
        engine.commit(commit).await.unwrap();
        found(&engine).await
    }

    #[tokio::test]
    async fn what_belongs_together_has_no_findings() {
        assert_eq!(found(&sound().await).await, []);
    }

    #[tokio::test]
    async fn delayed_events_that_are_not_listed_or_not_there_are_found() {
        use FindingKind::{Dangling, Orphan, WrongCount};
        let lost_place = after(|commit| DELAYED_DUE.delete(commit, &(9, "d".to_owned()))).await;
        assert_eq!(lost_place, [(Dangling, "delayed")]);
        let lost = after(|commit| DELAYED.delete(commit, &("d".to_owned(),))).await;
        let places = [(Orphan, "delayed_due"), (Orphan, "delayed_of_user")];
        assert_eq!(lost, places);
        let early = DelayedRow {
            due_age_ms: 8,
            ..row()
        };
        let moved = after(|commit| DELAYED.put(commit, &("d".to_owned(),), &early)).await;
        assert_eq!(moved, [(Dangling, "delayed"), places[0], places[1]]);
        let counted = after(|commit| DELAYED_COUNT_ROWS.put(commit, &(alice(),), &2)).await;
        assert_eq!(counted, [(WrongCount, "delayed_count")]);
    }

    #[tokio::test]
    async fn subscriptions_and_their_log_are_held_against_each_other() {
        let lost = after(|commit| THREAD_SUBSCRIPTION.delete(commit, &thread())).await;
        assert_eq!(lost, [(FindingKind::WrongOrder, "subscription_log")]);
        let lost = after(|commit| SUBSCRIPTION_LOG.delete_prefix(commit, &(alice(),))).await;
        assert_eq!(lost, [(FindingKind::Dangling, "thread_subscription")]);
        let other = SubscriptionRow {
            state: ThreadState::Manual,
            bump: 9,
        };
        let moved = after(|commit| THREAD_SUBSCRIPTION.stamp(commit, &thread(), &other)).await;
        let both = [
            (FindingKind::Dangling, "thread_subscription"),
            (FindingKind::WrongOrder, "subscription_log"),
        ];
        assert_eq!(moved, both);
    }

    #[tokio::test]
    async fn a_room_of_notices_that_is_not_there_is_found() {
        let engine = sound().await;
        let snapshot = engine.snapshot().await.unwrap();
        let user = user_id!("@alice:a.org");
        let seen = crate::notice_room(&*snapshot, user).await.unwrap();
        let row = NoticeRoomRow {
            room: owned_room_id!("!none:a.org"),
            sender: owned_user_id!("@_notices:a.org"),
        };
        let mut commit = Commit::synced();
        put_notice_room(&mut commit, user, &seen, &row);
        engine.commit(commit).await.unwrap();
        let expected = [(FindingKind::Dangling, "notice_room")];
        assert_eq!(found(&engine).await, expected);
    }
}
