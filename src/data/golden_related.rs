//! Samples of the rows of relations and directories; see `golden_tests`.

use ruma_common::{room_id, user_id};

use crate::{
    ListedRoomRow, ListedUserRow, ListingRow, RelationRow, STAMP_LAST,
    column::{RoomKey, UserKey},
    fixture::hash,
    golden_tests::{Sample, sample},
    listing::{LISTED_ROOM, LISTING, USER_WORD},
    relation::{EDIT, RELATION, RELATION_COUNT_ROWS, THREAD_LOG, THREAD_TAIL, ThreadRow},
    room_time::ROOM_TIME,
    rows::LogRow,
    stale::STALE,
};

fn room() -> RoomKey {
    RoomKey::from(room_id!("!r:a.org"))
}

fn alice() -> UserKey {
    UserKey::from(user_id!("@alice:a.org"))
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = relations();
    samples.extend(directories());
    samples
}

fn relations() -> Vec<Sample> {
    let parent = *hash(1).as_bytes();
    let row = RelationRow {
        event: hash(2),
        rel_type: "m.thread".into(),
        event_type: "m.room.message".into(),
    };
    let log = LogRow { event: hash(2) };
    let thread = ThreadRow { latest: hash(2) };
    let kind = || "m.thread".to_owned();
    let edit = (
        room(),
        parent,
        alice(),
        "m.room.message".to_owned(),
        u64::MAX - 5,
        [7; 43],
    );
    vec![
        sample(&RELATION, &(room(), parent, kind(), 3, STAMP_LAST), &row),
        sample(&EDIT, &edit, &log),
        sample(
            &RELATION_COUNT_ROWS,
            &(room(), parent, kind(), String::new()),
            &2,
        ),
        sample(&THREAD_LOG, &(room(), STAMP_LAST), &log),
        sample(&THREAD_TAIL, &(room(), parent), &(STAMP_LAST, thread)),
        sample(&ROOM_TIME, &(room(), 1_700_000_000_000, STAMP_LAST), &log),
    ]
}

fn directories() -> Vec<Sample> {
    let listing = ListingRow {
        json: "{}".into(),
        room_type: Some("m.space".into()),
        text: "council".into(),
    };
    let user = ListedUserRow {
        name: Some("Alice".into()),
        avatar_url: Some("mxc://a.org/a".into()),
        words: vec!["alice".into()],
    };
    let shown = ListedRoomRow {
        shown_with: Some(3),
        open: true,
    };
    vec![
        sample(&STALE, &("!r:a.org".to_owned(),), &(STAMP_LAST, ())),
        sample(&USER_WORD, &("alice".to_owned(), alice()), &user),
        sample(&LISTED_ROOM, &(room(),), &shown),
        sample(&LISTING, &(u32::MAX - 3, room()), &listing),
    ]
}
