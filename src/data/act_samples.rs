//! Rows of what people do in rooms beside talking, for the golden file.

use ruma_common::{owned_event_id, owned_room_id, owned_user_id, room_id, user_id};

use crate::{
    DelayedRow, DelayedStage, DelayedTxnRow, NoticeRoomRow, OriginRow, STAMP_LAST,
    SubscriptionEntry, SubscriptionRow, ThreadState,
    account::tables::ACCOUNT_DATA_COUNT_ROWS,
    column::{RoomKey, UserKey},
    delayed::{DELAYED, DELAYED_COUNT_ROWS, DELAYED_DUE, DELAYED_OF_USER, DELAYED_TXN},
    golden_tests::{Sample, sample},
    notice::NOTICE_ROOM,
    origin::EVENT_ORIGIN,
    subscription::{SUBSCRIPTION_LOG, THREAD_SUBSCRIPTION},
};

fn room() -> RoomKey {
    RoomKey::from(room_id!("!r:a.org"))
}

fn alice() -> UserKey {
    UserKey::from(user_id!("@alice:a.org"))
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = subscriptions();
    samples.extend(delayed());
    let origin = OriginRow {
        device: "PHONE".into(),
        id: "t1".into(),
        delayed: false,
    };
    let notices = NoticeRoomRow {
        room: owned_room_id!("!n:a.org"),
        sender: owned_user_id!("@server:a.org"),
    };
    samples.push(sample(&ACCOUNT_DATA_COUNT_ROWS, &(alice(),), &2));
    samples.push(sample(&EVENT_ORIGIN, &(room(), [1; 32]), &origin));
    samples.push(sample(&NOTICE_ROOM, &(alice(),), &notices));
    samples
}

fn subscriptions() -> Vec<Sample> {
    let states = [
        ThreadState::Automatic,
        ThreadState::Manual,
        ThreadState::Unsubscribed,
    ];
    let mut samples: Vec<_> = states
        .map(|state| {
            let row = SubscriptionRow { state, bump: 300 };
            let key = (alice(), room(), [1; 32]);
            sample(&THREAD_SUBSCRIPTION, &key, &(STAMP_LAST, row))
        })
        .into();
    let entry = SubscriptionEntry {
        room: owned_room_id!("!r:a.org"),
        root: owned_event_id!("$e"),
        state: ThreadState::Manual,
        bump: 300,
    };
    samples.push(sample(&SUBSCRIPTION_LOG, &(alice(), STAMP_LAST), &entry));
    samples
}

fn delayed() -> Vec<Sample> {
    let stages = [
        DelayedStage::Scheduled,
        DelayedStage::Sending,
        DelayedStage::Sent {
            event: owned_event_id!("$e"),
            ts: 300,
        },
        DelayedStage::Cancelled { ts: 300 },
        DelayedStage::Failed {
            error: "{}".into(),
            ts: 300,
        },
    ];
    let row = |stage| DelayedRow {
        user: owned_user_id!("@alice:a.org"),
        device: "PHONE".into(),
        room: owned_room_id!("!r:a.org"),
        kind: "m.room.topic".into(),
        state_key: Some("".into()),
        content: "{}".into(),
        delay_ms: 300,
        scheduled_ts: 300,
        due_age_ms: 600,
        stage,
    };
    let mut samples: Vec<_> = stages
        .map(|stage| sample(&DELAYED, &("d1".to_owned(),), &row(stage)))
        .into();
    let led_to = DelayedTxnRow {
        delay_id: "d1".into(),
    };
    let id = || "d1".to_owned();
    samples.extend([
        sample(&DELAYED_DUE, &(600, id()), &()),
        sample(&DELAYED_OF_USER, &(alice(), 0, 600, id()), &()),
        sample(&DELAYED_COUNT_ROWS, &(alice(),), &2),
        sample(
            &DELAYED_TXN,
            &(alice(), "PHONE".to_owned(), [4; 16]),
            &led_to,
        ),
    ]);
    samples
}
