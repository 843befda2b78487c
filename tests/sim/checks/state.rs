//! State: the state before each event, the current state and everything derived from it are what
//! the log folds up to.
//!
//! The fold is made here with trees of its own, so that neither the worker's trees nor the stored
//! nodes are believed. With one server the log has no forks and nothing is to be resolved.

use std::collections::BTreeMap;

use belfry_data::{
    Acceptance, CurrentState, MemberCounts, Membership, Root, StateTuple, WorkingSet,
};
use belfry_event::EventHash;
use ruma_common::{OwnedUserId, RoomId};

use super::{Evidence, Voice};
use crate::view::{RoomView, View};

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    for (id, room) in &evidence.view.rooms {
        let sum = fold(id, room, voice);
        current(id, room, &sum, voice);
        members(id, room, &sum, evidence.view, voice);
        redactions(id, room, voice);
    }
}

/// What the log comes to.
#[derive(Default)]
struct Fold {
    entries: BTreeMap<StateTuple, EventHash>,
    members: BTreeMap<OwnedUserId, (Membership, EventHash)>,
}

fn fold(id: &RoomId, room: &RoomView, voice: &mut Voice<'_>) -> Fold {
    let (mut fold, mut trees, mut state) = (Fold::default(), WorkingSet::new(), Root::EMPTY);
    for event in &room.log {
        let (hash, row) = (event.pdu.hash(), &event.stored.row);
        voice.expect(row.state_before == Some(state), || {
            format!("{id}: {hash:?} is stored with another state before it")
        });
        voice.expect(row.acceptance == Acceptance::Accepted, || {
            format!("{id}: {hash:?} is in the log and {:?}", row.acceptance)
        });
        let Some(key) = event.pdu.state_key() else {
            continue;
        };
        let kind = event.pdu.event_type().to_string();
        let tuple = StateTuple::new(kind, key).expect("short names");
        state = trees
            .set(state, tuple.clone(), hash)
            .expect("all nodes are here");
        let membership = Membership::from_content(event.pdu.content_json());
        if let (true, Some(membership)) = (tuple.event_type() == "m.room.member", membership) {
            let user = key.try_into().expect("a user ID");
            fold.members.insert(user, (membership, hash));
        }
        fold.entries.insert(tuple, hash);
    }
    voice.expect(room.head.state == state, || {
        format!("{id}: the head has another state")
    });
    fold
}

/// That the current state, wherever it is read from, is the fold.
fn current(id: &RoomId, room: &RoomView, fold: &Fold, voice: &mut Voice<'_>) {
    voice.expect(room.current == fold.entries, || {
        format!("{id}: the current state is not what the log comes to")
    });
    let count = |membership| {
        let of_it = fold.members.values().filter(|(is, _)| *is == membership);
        u32::try_from(of_it.count()).expect("few members")
    };
    let expected = MemberCounts {
        joined: count(Membership::Join),
        invited: count(Membership::Invite),
    };
    if let CurrentState::Rows { members, .. } = room.head.current {
        voice.expect(members == expected, || {
            format!("{id}: the head counts {members:?}, not {expected:?}")
        });
    }
}

/// That the rows by user and by server say the same.
fn members(id: &RoomId, room: &RoomView, fold: &Fold, view: &View, voice: &mut Voice<'_>) {
    let expected: BTreeMap<_, _> = fold
        .members
        .iter()
        .map(|(user, (membership, _))| (user.clone(), *membership))
        .collect();
    voice.expect(room.members == expected, || {
        format!("{id}: the local members are {:?}", room.members)
    });
    let mut servers: BTreeMap<String, i64> = BTreeMap::new();
    for user in fold.members.keys() {
        if fold.members[user].0 == Membership::Join {
            *servers.entry(user.server_name().to_string()).or_default() += 1;
        }
    }
    voice.expect(room.servers == servers, || {
        format!("{id}: the joined servers are {:?}", room.servers)
    });
    for (user, rooms) in &view.users {
        let row = rooms.iter().find(|row| row.room_id == *id);
        let row = row.map(|row| (row.row.membership, row.row.event));
        voice.expect(row == fold.members.get(user).copied(), || {
            format!("{id}: the row of {user} says {row:?}")
        });
    }
}

/// That events are marked as redacted by the redactions in the log, and by nothing else.
fn redactions(id: &RoomId, room: &RoomView, voice: &mut Voice<'_>) {
    let mut redacted: BTreeMap<_, Vec<EventHash>> = BTreeMap::new();
    for event in &room.log {
        if let Some(target) = event.pdu.redacts() {
            redacted.entry(target).or_default().push(event.pdu.hash());
        }
    }
    for event in &room.log {
        let by = redacted.get(event.pdu.event_id());
        let row = event.stored.row.redacted_by;
        let right = match (by, row) {
            (None, None) => true,
            (Some(by), Some(row)) => by.contains(&row),
            _ => false,
        };
        voice.expect(right, || {
            format!(
                "{id}: {:?} is redacted by {row:?}, not {by:?}",
                event.pdu.hash()
            )
        });
    }
}
