//! Rows of what passes and of what was read; see `golden_tests`.

use belfry_kv::Stamp;
use ruma_common::{room_id, user_id};

use crate::{
    STAMP_FIRST, STAMP_LAST,
    column::{RoomKey, UserKey},
    connection::{CONNECTION, ConnectionRow, HeadRow, ToldRow},
    fixture::hash,
    golden_tests::{Sample, sample},
    note::{BriefRow, NOTE, NOTE_ORDER, NoteRef, NoteRow, ROOM_BRIEF},
    presence::{PRESENCE, PresenceRow, PresenceState},
    pusher::{PUSH_PLACE, PUSHER, PushPlaceRow, PusherRow},
    receipt::{RECEIPT, RECEIPT_LOG, ReceiptKind, ReceiptRef, ReceiptRow},
    stir::{STIR_LOG, StirRow},
    typing::{ROOM_TYPING, TypingRow},
};

fn room() -> RoomKey {
    RoomKey::from(room_id!("!r:a.org"))
}

fn alice() -> UserKey {
    UserKey::from(user_id!("@alice:a.org"))
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = passing();
    samples.extend(receipts());
    samples.extend(notes());
    samples.extend(clients());
    samples
}

fn passing() -> Vec<Sample> {
    let (room_id, user): (Box<str>, Box<str>) = ("!r:a.org".into(), "@alice:a.org".into());
    let typing = TypingRow {
        users: vec![(user.clone(), 300)],
    };
    let stirred = |row: StirRow| sample(&STIR_LOG, &(STAMP_FIRST,), &row);
    let present = |state| {
        let row = PresenceRow {
            state,
            status: Some("here".into()),
            active_ts: 300,
        };
        sample(&PRESENCE, &(alice(),), &(STAMP_LAST, row))
    };
    vec![
        sample(&ROOM_TYPING, &(room(),), &(STAMP_LAST, typing)),
        stirred(StirRow::Typing {
            room: room_id.clone(),
        }),
        stirred(StirRow::Receipt {
            room: room_id,
            user: user.clone(),
            private: true,
        }),
        stirred(StirRow::Presence { user }),
        present(PresenceState::Online),
        present(PresenceState::Unavailable),
        present(PresenceState::Offline),
    ]
}

fn receipts() -> Vec<Sample> {
    let at = Stamp {
        ordinal: 7,
        ..STAMP_FIRST
    };
    let kinds = [ReceiptKind::Read, ReceiptKind::Private, ReceiptKind::Sent];
    let log = kinds.map(|kind| {
        let row = ReceiptRef {
            user: "@alice:a.org".into(),
            kind,
            thread: "main".into(),
        };
        sample(&RECEIPT_LOG, &(room(), STAMP_LAST), &row)
    });
    let key = (room(), alice(), "m.read".to_owned(), String::new());
    let row = (STAMP_LAST, ReceiptRow::new("$a", 300, at));
    log.into_iter()
        .chain([sample(&RECEIPT, &key, &row)])
        .collect()
}

fn notes() -> Vec<Sample> {
    let note = NoteRow {
        event: hash(1),
        highlight: true,
        thread: "main".into(),
        actions: "[\"notify\"]".into(),
        ts: 300,
    };
    let order = NoteRef {
        room: "!r:a.org".into(),
        highlight: false,
    };
    let brief = BriefRow {
        bump_ms: 300,
        room_type: Some("m.space".into()),
        encrypted: true,
    };
    vec![
        sample(&NOTE, &(alice(), room(), STAMP_LAST), &note),
        sample(&NOTE_ORDER, &(alice(), STAMP_LAST), &order),
        sample(&ROOM_BRIEF, &(room(),), &brief),
    ]
}

fn clients() -> Vec<Sample> {
    let pusher = PusherRow {
        json: "{}".into(),
        device: "PHONE".into(),
        set_ts: 300,
    };
    let pusher_key = (
        0,
        "@alice:a.org".to_owned(),
        "app".to_owned(),
        "k".to_owned(),
    );
    let (_, user, app, key) = pusher_key.clone();
    let place_key = (user, app, key);
    let place = PushPlaceRow::new(STAMP_LAST, 300);
    let connection = |room: &str| (alice(), "PHONE".to_owned(), "c".to_owned(), room.to_owned());
    let head = HeadRow::new(300, STAMP_LAST, STAMP_FIRST, 7, 300);
    let told = ConnectionRow::Room {
        before: None,
        now: ToldRow::new(STAMP_LAST, 20, 7),
        answer: 2,
    };
    vec![
        sample(&PUSHER, &pusher_key, &pusher),
        sample(
            &PUSH_PLACE,
            &place_key,
            &(STAMP_FIRST, PushPlaceRow::default()),
        ),
        sample(&PUSH_PLACE, &place_key, &(STAMP_FIRST, place)),
        sample(&CONNECTION, &connection(""), &ConnectionRow::Head(head)),
        sample(&CONNECTION, &connection("!r:a.org"), &told),
    ]
}
