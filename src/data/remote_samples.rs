//! Rows of what other servers told, for the golden file.

use ruma_common::{room_id, user_id};

use crate::{
    GlobalRow, InviteRow, STAMP_LAST, StuckRow,
    column::{RoomKey, UserKey},
    fixture::hash,
    golden_tests::{Sample, sample},
    litter::LITTER,
    remote::{INVITE, REDACTION_DUE, STUCK_ROOM},
    tables::GLOBAL_LOG,
};

pub(crate) fn samples() -> Vec<Sample> {
    let (alice, room) = (user_id!("@alice:a.org"), room_id!("!r:a.org"));
    let room = RoomKey::from(room);
    let invite = InviteRow {
        room_version: "12".into(),
        event: "{}".into(),
        state: vec!["{}".into()],
    };
    let stuck = StuckRow {
        reason: "too much".into(),
        since_ts: 300,
    };
    let relay = GlobalRow::Relay {
        room: "!r:a.org".into(),
        event: hash(1),
    };
    let stay = GlobalRow::Stay {
        room: "!r:a.org".into(),
        user: "@alice:a.org".into(),
    };
    vec![
        sample(&GLOBAL_LOG, &(STAMP_LAST,), &relay),
        sample(&GLOBAL_LOG, &(STAMP_LAST,), &stay),
        sample(&LITTER, &(room.clone(),), &()),
        sample(&REDACTION_DUE, &(room.clone(), [1; 32], [2; 32]), &()),
        sample(&INVITE, &(UserKey::from(alice), room.clone()), &invite),
        sample(&STUCK_ROOM, &(room,), &stuck),
    ]
}
