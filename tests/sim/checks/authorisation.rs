//! Authorisation: every event is what its hash and signatures say, and allowed.
//!
//! Each event is read again from its JSON as another server would receive it, and judged by the
//! room's rules against its auth events and against the state before it, which is worked out anew
//! from the log. One event that other servers refuse splits the room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_event::{EventHash, Inbound, Judgement, KeyRing, Pdu, Verified, auth_types, judge};
use ruma_common::RoomId;
use serde_json::value::RawValue;

use super::{Evidence, Voice};
use crate::view::{Logged, RoomView, View};

/// The events of a state, by type and state key.
type State = BTreeMap<(String, String), Arc<Pdu>>;

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let known = known(evidence.checked);
    for (id, room) in &evidence.view.rooms {
        walk(id, room, &known, evidence.keys, voice);
    }
}

/// What was judged before. That it has not changed since is for durability to say.
fn known(checked: &View) -> BTreeSet<EventHash> {
    checked
        .events()
        .map(|(_, event)| event.pdu.hash())
        .collect()
}

fn walk(
    id: &RoomId,
    room: &RoomView,
    known: &BTreeSet<EventHash>,
    keys: &KeyRing,
    voice: &mut Voice<'_>,
) {
    let mut state = State::new();
    let mut events: BTreeMap<EventHash, Arc<Pdu>> = BTreeMap::new();
    for event in &room.log {
        if !known.contains(&event.pdu.hash()) {
            genuine(id, room, event, keys, voice);
            cites(id, &event.pdu, &state, voice);
            allowed(id, &event.pdu, &events, &state, voice);
        }
        events.insert(event.pdu.hash(), Arc::clone(&event.pdu));
        if let Some(key) = event.pdu.state_key() {
            let kind = event.pdu.event_type().to_string();
            state.insert((kind, key.to_owned()), Arc::clone(&event.pdu));
        }
    }
}

/// That the text is of this room, hashes to the event's ID and is signed by its sender's server.
fn genuine(id: &RoomId, room: &RoomView, event: &Logged, keys: &KeyRing, voice: &mut Voice<'_>) {
    let hash = event.pdu.hash();
    let inbound = match Inbound::parse(room.rules, event.stored.row.json.as_bytes()) {
        Ok(inbound) => inbound,
        Err(error) => return voice.complain(format!("{id}: {hash:?}: {error}")),
    };
    voice.expect(inbound.event_id() == event.pdu.event_id(), || {
        format!("{id}: {hash:?} is stored for {}", inbound.event_id())
    });
    voice.expect(inbound.room_id() == id, || {
        format!("{id}: {hash:?} is of {}", inbound.room_id())
    });
    match inbound.verify(keys) {
        Ok(Verified::Intact(_)) => {}
        Ok(Verified::Redacted(_)) => {
            voice.complain(format!("{id}: {hash:?} has another content hash"));
        }
        Err(error) => voice.complain(format!("{id}: {hash:?}: {error}")),
    }
}

/// That the event cites what the spec has it cite, and nothing else.
fn cites(id: &RoomId, pdu: &Pdu, state: &State, voice: &mut Voice<'_>) {
    if pdu.is_create() {
        let none = pdu.auth_hashes().is_empty();
        return voice.expect(none, || format!("{id}: the create event cites others"));
    }
    let content = RawValue::from_string(pdu.content_json().to_owned()).expect("JSON");
    let types = auth_types(
        pdu.rules(),
        pdu.event_type(),
        pdu.sender(),
        pdu.state_key(),
        &content,
    );
    let types = types.unwrap_or_default().into_iter();
    let expected = types.filter_map(|(kind, key)| state.get(&(kind.to_string(), key)));
    let expected: BTreeSet<_> = expected.map(|event| event.hash()).collect();
    let cited: BTreeSet<_> = pdu.auth_hashes().iter().copied().collect();
    voice.expect(cited == expected, || {
        format!("{id}: {:?} cites other auth events", pdu.hash())
    });
}

/// That the rules allow it.
fn allowed(
    id: &RoomId,
    pdu: &Pdu,
    events: &BTreeMap<EventHash, Arc<Pdu>>,
    state: &State,
    voice: &mut Voice<'_>,
) {
    let lookup = |hash| events.get(&hash).cloned();
    let entry = |kind: &_, key: &str| {
        let kind: &ruma_events::StateEventType = kind;
        state.get(&(kind.to_string(), key.to_owned())).cloned()
    };
    let judged = judge(pdu, lookup, entry, entry);
    let accepted = matches!(judged, Ok(Judgement::Accepted));
    voice.expect(accepted, || format!("{id}: {:?}: {judged:?}", pdu.hash()));
}
