//! Durability: what was acknowledged, or was ever seen, is there for ever, once, and unchanged.
//!
//! A client that was told an event ID deletes the message from its outbox; a reader that saw an
//! event has acted on it. Neither can be taken back by a crash.

use belfry_event::{EventHash, Pdu};

use super::{Evidence, Voice};
use crate::act::Act;
use crate::door::{Answer, Told};
use crate::history::Op;
use crate::view::{Logged, View};

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    for earlier in [evidence.checked, evidence.seen] {
        kept(earlier, evidence.view, voice);
    }
    let by_id = evidence.view.by_id();
    for op in &evidence.history.ops {
        if let Some(room) = op.created() {
            let there = evidence.view.rooms.contains_key(room);
            voice.expect(there, || {
                format!("{}: the room {room} is not there", op.mark)
            });
        }
        let done = Answer::Done(Told::Nothing);
        if op.answers().any(|(_, answer)| *answer == done) {
            voice.expect(came_true(op, evidence.view), || {
                format!("{}: acknowledged, and never so", op.mark)
            });
        }
        for (_, event) in op.events() {
            match by_id.get(event).map(Vec::as_slice) {
                Some([(_, logged)]) => acknowledged(op, logged, voice),
                Some(several) => voice.complain(format!(
                    "{}: {event} is in logs {} times",
                    op.mark,
                    several.len()
                )),
                None => voice.complain(format!("{}: {event} is in no log", op.mark)),
            }
        }
    }
}

/// That what was there is there still, in its place, and nothing has come before it.
fn kept(earlier: &View, view: &View, voice: &mut Voice<'_>) {
    for (alias, room) in &earlier.aliases {
        let is = view.aliases.get(alias);
        voice.expect(is == Some(room), || {
            format!("{alias} stood for {room}, now {is:?}")
        });
    }
    for (id, was) in &earlier.rooms {
        let Some(is) = view.rooms.get(id) else {
            voice.complain(format!("the room {id} is gone"));
            continue;
        };
        let gone = was.log.len().saturating_sub(is.log.len());
        voice.expect(gone == 0, || format!("{id}: the last {gone} are gone"));
        for (was, is) in was.log.iter().zip(&is.log) {
            let same = (was.stamp, was.pdu.hash()) == (is.stamp, is.pdu.hash())
                && was.stored.row.json == is.stored.row.json;
            let redacted = |event: &Logged| event.stored.row.redacted_by.is_some();
            let same = same && (!redacted(was) || redacted(is));
            voice.expect(same, || {
                format!(
                    "{id}: {:?} was there, now {:?}",
                    was.pdu.hash(),
                    is.pdu.hash()
                )
            });
        }
    }
}

/// That the event is the one that was asked for.
fn acknowledged(op: &Op, logged: &Logged, voice: &mut Voice<'_>) {
    let pdu = &*logged.pdu;
    let marked = logged.mark.as_deref() == Some(&*op.mark) && *pdu.sender() == *op.user;
    let right = match &op.act {
        Act::Create(_) => false,
        Act::Send { kind, content, .. } => {
            marked && pdu.event_type().to_string() == **kind && says(pdu, content)
        }
        Act::State {
            kind, key, content, ..
        } => {
            let place = (pdu.event_type().to_string(), pdu.state_key());
            marked && place == ((*kind).to_owned(), Some(key.as_str())) && says(pdu, content)
        }
        Act::Redact { event, .. } => marked && pdu.redacts() == Some(event),
        // The answer is an earlier event if there was nothing to change.
        Act::Member { act, target, .. } => {
            pdu.state_key() == Some(target.as_str()) && membership(pdu) == Some(act.membership())
        }
    };
    let hash: EventHash = pdu.hash();
    voice.expect(right, || {
        format!("{}: {hash:?} is not what was asked for", op.mark)
    });
}

/// Whether the membership was ever what a client was told that it is, without the event.
fn came_true(op: &Op, view: &View) -> bool {
    let Act::Member { room, act, target } = &op.act else {
        return false;
    };
    let log = view.rooms.get(room).map_or(&[][..], |room| &room.log);
    log.iter().any(|event| {
        event.pdu.state_key() == Some(target.as_str())
            && membership(&event.pdu) == Some(act.membership())
    })
}

fn says(pdu: &Pdu, content: &serde_json::Value) -> bool {
    let said: serde_json::Value = serde_json::from_str(pdu.content_json()).unwrap_or_default();
    said == *content
}

fn membership(pdu: &Pdu) -> Option<&'static str> {
    let membership = belfry_data::Membership::from_content(pdu.content_json());
    membership.map(belfry_data::Membership::name)
}
