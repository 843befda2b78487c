//! Rows of flows, of what was forgotten, reported and vouched for, for the golden file.

use ruma_common::{event_id, room_id, user_id};

use crate::{
    FlowAct, FlowRow, ForgottenRow, OpenIdRow, ReportRow, ReportTarget, STAMP_FIRST, STAMP_LAST,
    column::{RoomKey, UserKey},
    fixture::hash,
    flow::FLOW,
    forgotten::FORGOTTEN,
    golden_tests::{Sample, sample},
    openid::OPENID_TOKEN,
    report::REPORT,
};

fn acts() -> [FlowAct; 5] {
    let (user, by) = (user_id!("@alice:a.org"), user_id!("@bob:a.org"));
    let (old, new) = (room_id!("!old:a.org"), room_id!("!new"));
    [
        FlowAct::LeaveRooms { user: user.into() },
        FlowAct::ShowProfile { user: user.into() },
        FlowAct::ReplaceRoom {
            old: old.into(),
            new: new.into(),
            by: by.into(),
        },
        FlowAct::InheritSettings {
            user: user.into(),
            old: old.into(),
            new: new.into(),
        },
        FlowAct::RedactSent {
            room: old.into(),
            user: user.into(),
            by: event_id!("$e").into(),
        },
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let (alice, room) = (user_id!("@alice:a.org"), room_id!("!r:a.org"));
    let mut samples = vec![
        sample(
            &FORGOTTEN,
            &(UserKey::from(alice), RoomKey::from(room)),
            &ForgottenRow { event: hash(1) },
        ),
        sample(
            &OPENID_TOKEN,
            &([5; 32],),
            &OpenIdRow {
                user: alice.to_owned(),
                expires_age_ms: 300,
            },
        ),
    ];
    let targets = [
        ReportTarget::Room(room.to_owned()),
        ReportTarget::Event(room.to_owned(), event_id!("$e").to_owned()),
        ReportTarget::User(alice.to_owned()),
    ];
    samples.extend(targets.into_iter().map(|target| {
        let row = ReportRow {
            target,
            reason: "spam".into(),
            ts: 300,
        };
        sample(
            &REPORT,
            &(UserKey::from(alice), [4; 16]),
            &(STAMP_LAST, row),
        )
    }));
    samples.extend(acts().into_iter().map(|act| {
        let name = act.name();
        let row = FlowRow {
            act,
            stage: 1,
            cursor: "!r:a.org".to_owned(),
        };
        sample(&FLOW, &(name,), &(STAMP_FIRST, row))
    }));
    samples
}
