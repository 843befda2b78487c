//! Rows of what other servers told, for the golden file.

use ruma_common::{room_id, user_id};

use crate::{
    InviteRow, StuckRow,
    column::{RoomKey, UserKey},
    golden_tests::{Sample, sample},
    litter::LITTER,
    remote::{INVITE, REDACTION_DUE, STUCK_ROOM},
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
    vec![
        sample(&LITTER, &(room.clone(),), &()),
        sample(&REDACTION_DUE, &(room.clone(), [1; 32], [2; 32]), &()),
        sample(&INVITE, &(UserKey::from(alice), room.clone()), &invite),
        sample(&STUCK_ROOM, &(room,), &stuck),
    ]
}
