//! What a resolution has gathered so far, and the questions it asks of it.
//!
//! It exists so that every stage reads events and entries in one place and says in one way what
//! is still missing. It knows nothing of the order of stages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruma_events::{StateEventType, TimelineEventType};

use crate::auth::{self, StateMapKey};
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve::{ResolveError, Wanted};
use crate::resolve_conflict::Conflict;
use crate::resolve_walk::AuthEdges;
use crate::rules::RoomRules;

/// What was gathered.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) rules: &'static RoomRules,
    pub(crate) conflict: Conflict,
    events: BTreeMap<EventHash, Arc<Pdu>>,
    /// Auth depth and key of events.
    edges: BTreeMap<EventHash, (u64, StateMapKey)>,
    entries: BTreeMap<StateMapKey, Option<EventHash>>,
}

/// What must be gathered to answer.
#[derive(Debug)]
pub(crate) enum Lack {
    /// The edges of the event asked about.
    Edges,
    /// An entry of the unconflicted state.
    Entry(StateMapKey),
}

/// Where an event has its place in a state; `None` for an event that is not state.
pub(crate) fn key_of(event: &Pdu) -> Option<StateMapKey> {
    let event_type = StateEventType::from(event.event_type().to_string());
    Some((event_type, event.state_key()?.to_owned()))
}

/// Whether the event is of `event_type` under the empty state key.
fn is_sole(event: &Pdu, event_type: &TimelineEventType) -> bool {
    event.event_type() == event_type && event.state_key() == Some("")
}

impl Gathered {
    pub(crate) fn new(rules: &'static RoomRules, conflict: Conflict) -> Self {
        Self {
            rules,
            conflict,
            events: BTreeMap::new(),
            edges: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    /// How many whole events were loaded.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn put_event(&mut self, event: Arc<Pdu>) -> Result<(), ResolveError> {
        let hash = event.hash();
        let elsewhere = |known: &Arc<Pdu>| known.room_id() != event.room_id();
        if event.rules() != self.rules || self.events.values().next().is_some_and(elsewhere) {
            return Err(ResolveError::OtherRoom(hash));
        }
        self.events.insert(hash, event);
        Ok(())
    }

    pub(crate) fn put_edges(&mut self, hash: EventHash, edges: &AuthEdges) {
        self.edges
            .insert(hash, (edges.auth_depth, edges.key.clone()));
    }

    pub(crate) fn put_entry(&mut self, key: StateMapKey, value: Option<EventHash>) {
        self.entries.insert(key, value);
    }

    pub(crate) fn event(&self, hash: EventHash) -> Result<&Arc<Pdu>, ResolveError> {
        self.events.get(&hash).ok_or(ResolveError::Missing(hash))
    }

    pub(crate) fn has_event(&self, hash: EventHash) -> bool {
        self.events.contains_key(&hash)
    }

    /// The auth depth of an event whose edges were loaded.
    pub(crate) fn depth(&self, hash: EventHash) -> Option<u64> {
        self.edges.get(&hash).map(|(depth, _)| *depth)
    }

    /// Where an event whose edges were loaded has its place.
    pub(crate) fn key(&self, hash: EventHash) -> Option<&StateMapKey> {
        self.edges.get(&hash).map(|(_, key)| key)
    }

    /// Whether an event is an entry of the unconflicted state map.
    pub(crate) fn holds(&self, hash: EventHash) -> Result<bool, Lack> {
        let key = self.key(hash).ok_or(Lack::Edges)?;
        Ok(self.entry(key)? == Some(hash))
    }

    /// The unconflicted entry at `key`, if there is one.
    pub(crate) fn entry(&self, key: &StateMapKey) -> Result<Option<EventHash>, Lack> {
        if self.conflict.keys().contains(key) {
            return Ok(None);
        }
        let entry = self.entries.get(key).copied();
        entry.ok_or_else(|| Lack::Entry(key.clone()))
    }

    /// What is missing for replaying `full`: the events, what they cite, and what the
    /// unconflicted state has under the keys that replaying reads and writes.
    pub(crate) fn missing_for(&self, full: &BTreeSet<EventHash>) -> Result<Wanted, ResolveError> {
        let absent = |hash: &EventHash| !self.has_event(*hash);
        let events: Vec<_> = full.iter().copied().filter(absent).collect();
        if !events.is_empty() {
            return Ok(Wanted {
                events,
                ..Wanted::default()
            });
        }
        let mut wanted = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for hash in full {
            let event = self.event(*hash)?;
            wanted.extend(auth::auth_events_needed(event).into_iter().filter(absent));
            keys.insert(key_of(event).ok_or(ResolveError::NotState(*hash))?);
            if !self.starts_empty() {
                // A content that says nothing sensible is refused when it is replayed.
                keys.extend(auth::state_needed(event).unwrap_or_default());
            }
        }
        let values = keys
            .iter()
            .filter_map(|key| self.entry(key).ok()?)
            .filter(absent);
        wanted.extend(values);
        let entries = keys
            .iter()
            .filter(|key| self.entry(key).is_err())
            .cloned()
            .collect();
        Ok(Wanted {
            events: wanted.into_iter().collect(),
            entries,
            ..Wanted::default()
        })
    }

    /// Whether replaying starts from nothing (version 2.1) and not from the unconflicted state.
    pub(crate) fn starts_empty(&self) -> bool {
        self.rules
            .state_resolution()
            .begin_iterative_auth_checks_with_empty_state_map
    }

    /// The event among the auth events of `event` that is of `event_type` under the empty key.
    pub(crate) fn cited(
        &self,
        event: &Pdu,
        event_type: &TimelineEventType,
    ) -> Result<Option<&Arc<Pdu>>, ResolveError> {
        for hash in event.auth_hashes() {
            let auth_event = self.event(*hash)?;
            if is_sole(auth_event, event_type) {
                return Ok(Some(auth_event));
            }
        }
        Ok(None)
    }
}
