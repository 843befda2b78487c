//! Atomicity: a room is there with all that it was created with, in one commit, or not at all.
//!
//! A room without its power levels or join rules is one that nobody can use or repair; clients
//! create another one when the answer does not come.

use ruma_common::RoomId;

use super::{Evidence, Voice};
use crate::act::{Act, Creation};
use crate::history::Op;
use crate::view::{Logged, RoomView, View};

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    for (id, room) in &evidence.view.rooms {
        let Some(first) = room.log.first() else {
            voice.complain(format!("{id} has a head and no event"));
            continue;
        };
        let same = |event: &&Logged| event.stamp.position == first.stamp.position;
        let founding: Vec<_> = room.log.iter().take_while(same).collect();
        let named = founding.iter().find_map(|event| {
            let mark = event.mark.as_ref()?;
            evidence.history.ops.iter().find(|op| op.mark == *mark)
        });
        match named {
            Some(op) => {
                whole(id.as_str(), op, room, &founding, voice);
                found_by_alias(id, op, evidence.view, voice);
            }
            None => voice.complain(format!("{id} was created without its name")),
        }
    }
}

fn whole(id: &str, op: &Op, room: &RoomView, founding: &[&Logged], voice: &mut Voice<'_>) {
    let Act::Create(creation) = &op.act else {
        voice.complain(format!("{id} begins with {}", op.mark));
        return;
    };
    let kinds: Vec<_> = founding
        .iter()
        .map(|event| event.pdu.event_type().to_string())
        .collect();
    voice.expect(kinds == expected(creation), || {
        format!("{id} was created with {kinds:?}")
    });
    let version = room.rules.version();
    voice.expect(*version == creation.version, || {
        format!("{id} is of version {version}")
    });
    let senders = founding.iter().all(|event| *event.pdu.sender() == *op.user);
    voice.expect(senders, || {
        format!("{id} was created by more than {}", op.user)
    });
}

/// That the room has the alias that it was created with.
fn found_by_alias(id: &RoomId, op: &Op, view: &View, voice: &mut Voice<'_>) {
    if let Act::Create(Creation {
        alias: Some(alias), ..
    }) = &op.act
    {
        let stands_for = view.aliases.get(alias);
        voice.expect(stands_for.is_some_and(|room| room == id), || {
            format!("{id} was created as {alias}, which stands for {stands_for:?}")
        });
    }
}

/// The types of a new room's events, in the order that the Client-Server API gives.
fn expected(creation: &Creation) -> Vec<&'static str> {
    let mut kinds = vec![
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.name",
    ];
    if creation.alias.is_some() {
        kinds.insert(3, "m.room.canonical_alias");
    }
    kinds.extend(creation.topic.as_ref().map(|_| "m.room.topic"));
    kinds.extend(creation.invite.iter().map(|_| "m.room.member"));
    kinds
}
