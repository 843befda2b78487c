//! The first checks on receipt of a PDU: form, room, signatures, hashes.
//!
//! It exists so that an event from outside becomes one of the room in one way only, whoever sent
//! it in answer to what. It knows nothing of authorisation, which the room's worker asks about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_event::{EventHash, Inbound, KeyRing, Pdu, RoomRules, SignatureError};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedServerName, RoomId, ServerName};

use crate::peers::{KeyWanted, Keys};

/// Events that are checked before other tasks have their turn.
const CHECKED_AT_ONCE: usize = 32;
/// Servers whose keys are asked for at once, for all events of an answer together.
const SERVERS_AT_ONCE: usize = 200;

/// What came of events from outside.
#[derive(Default)]
pub(crate) struct Verified {
    /// Those that are right; redacted where the content hash was wrong.
    pub(crate) right: BTreeMap<EventHash, Arc<Pdu>>,
    /// Those that no key vouched for, which may change.
    pub(crate) unvouched: BTreeSet<EventHash>,
    /// How many were none of this room, or were signed wrongly, and never will be right.
    pub(crate) wrong: usize,
}

/// Reads an event of this room.
///
/// # Errors
/// Why it is none, in words.
pub(crate) fn parse(
    rules: &'static RoomRules,
    room_id: &RoomId,
    json: &str,
) -> Result<Inbound, String> {
    let inbound = Inbound::parse(rules, json.as_bytes()).map_err(|error| error.to_string())?;
    if inbound.room_id() != room_id {
        return Err("the event is of another room".to_owned());
    }
    let pdu = inbound.unverified();
    if pdu.prev_hashes().is_empty() && !pdu.is_create() {
        return Err("the event has no prev_events and does not begin a room".to_owned());
    }
    Ok(inbound)
}

/// The keys that an event needs.
pub(crate) fn keys_wanted(inbound: &Inbound) -> Vec<KeyWanted> {
    let valid_at = inbound.keys_valid_at();
    let wanted = inbound.signers().map(|(server, key_ids)| KeyWanted {
        server: server.to_owned(),
        key_ids: key_ids.map(str::to_owned).collect(),
        valid_at,
    });
    wanted.collect()
}

/// Checks events that came together; keys that are not to be had otherwise, by way of the witness.
pub(crate) async fn verify_all(
    (keys, witness): (&dyn Keys, Option<&ServerName>),
    rules: &'static RoomRules,
    room_id: &RoomId,
    events: Vec<String>,
) -> Verified {
    let mut verified = Verified::default();
    let mut pending = Vec::with_capacity(events.len());
    for chunk in events.chunks(CHECKED_AT_ONCE) {
        for json in chunk {
            match parse(rules, room_id, json) {
                Ok(inbound) => pending.push(inbound),
                Err(reason) => {
                    tracing::debug!(%room_id, reason, "an event is dropped");
                    verified.wrong += 1;
                }
            }
        }
        tokio::task::yield_now().await;
    }
    // What needs nobody's key: invites that a third party vouches for.
    pending = verified.check(&KeyRing::default(), pending).await;
    let wanted = together(&pending);
    for some in wanted.chunks(SERVERS_AT_ONCE) {
        let held = keys.held(some).await;
        pending = verified.check(&held, pending).await;
    }
    let wanted = together(&pending);
    for some in wanted.chunks(SERVERS_AT_ONCE) {
        let fetched = match witness {
            Some(witness) => keys.fetch_by(some, witness).await,
            None => keys.fetch(some).await,
        };
        pending = verified.check(&fetched, pending).await;
    }
    let hashes = pending.iter().map(|inbound| inbound.unverified().hash());
    verified.unvouched.extend(hashes);
    verified
}

impl Verified {
    /// Takes in what these keys decide; gives back what needs others.
    async fn check(&mut self, ring: &KeyRing, pending: Vec<Inbound>) -> Vec<Inbound> {
        let mut undecided = Vec::new();
        for (number, inbound) in pending.into_iter().enumerate() {
            match inbound.verify(ring) {
                Ok(event) => {
                    let pdu = event.into_pdu();
                    self.right.insert(pdu.hash(), pdu);
                }
                Err(SignatureError::NoUsableKey { .. }) => undecided.push(inbound),
                Err(error) => {
                    let event_id = inbound.event_id();
                    tracing::debug!(%event_id, %error, "an event is dropped");
                    self.wrong += 1;
                }
            }
            if number % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        undecided
    }
}

/// What all of these events need, each server once.
fn together(pending: &[Inbound]) -> Vec<KeyWanted> {
    type Of = (BTreeSet<String>, Option<MilliSecondsSinceUnixEpoch>);
    let mut servers: BTreeMap<OwnedServerName, Of> = BTreeMap::new();
    for wanted in pending.iter().flat_map(keys_wanted) {
        let (key_ids, valid_at) = servers.entry(wanted.server).or_default();
        key_ids.extend(wanted.key_ids);
        *valid_at = (*valid_at).max(wanted.valid_at);
    }
    let wanted = servers.into_iter();
    let wanted = wanted.map(|(server, (key_ids, valid_at))| KeyWanted {
        server,
        key_ids: key_ids.into_iter().collect(),
        valid_at,
    });
    wanted.collect()
}
