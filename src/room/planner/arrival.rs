//! Judging events of other servers: the checks on receipt of a PDU from the fourth on.
//!
//! It exists so that an event is judged against what its auth events, the state before it and the
//! current state say (Server-Server API, "Checks performed on receipt of a PDU"), in the order in
//! which events come to the room's worker. Form, signatures and hashes were checked before. It
//! knows nothing of networks: an event that lacks another waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{
    Acceptance, Changes, Place, PlannedEvent, ResolutionFault, RoomReader, Root, StateError,
    StateTuple, state_tuple,
};
use belfry_event::{
    Budget, EventHash, Judgement, Pdu, StateMapKey, auth_depth, auth_events_needed, judge,
    state_needed,
};

use super::{EVENT_ROWS_BYTES, Planner, Received, STATE_ROWS_BYTES};
use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::batch::Done;
use crate::desk::{Desk, Planned, Shelved};
use crate::error::RoomError;
use crate::residence::local_joined;

/// An event with what storage knows of it, or will.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    pub(super) pdu: Arc<Pdu>,
    pub(super) auth_depth: u64,
    pub(super) acceptance: Acceptance,
    /// `None` for an outlier.
    pub(super) state_before: Option<Root>,
}

pub(super) type File = BTreeMap<EventHash, Filed>;

/// Why an event is not judged now.
pub(super) enum Pause {
    /// The worker cannot go on.
    Broken(RoomError),
    /// The event takes more than it may.
    Stuck(String),
}

impl<E: Into<RoomError>> From<E> for Pause {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// What is too much for the budget of an event stays; what cannot be read now is tried again.
pub(super) fn unresolved(fault: ResolutionFault) -> Pause {
    match fault {
        ResolutionFault::State(StateError::Read(error)) => Pause::Broken(error.into()),
        ResolutionFault::Unreadable(error) => Pause::Broken(RoomError::Fault(error.to_string())),
        ResolutionFault::State(error) => Pause::Stuck(error.to_string()),
        ResolutionFault::Resolve(error) => Pause::Stuck(error.to_string()),
    }
}

impl Planner<'_> {
    pub(super) async fn receive(
        &mut self,
        desk: &mut Option<Desk>,
        reader: &RoomReader<'_>,
        delivery: &Delivery,
    ) -> Result<Done, RoomError> {
        let joins = |arrival: &Arrival| matches!(arrival.ground, Ground::Joined(_));
        if desk.is_none() {
            if !delivery.arrivals.iter().any(joins) {
                return Ok(Done::Refused(RoomError::UnknownRoom));
            }
            *desk = Some(Desk::blank(self.room_id.to_owned(), delivery.rules));
        }
        let Some(open) = desk else {
            return Err(RoomError::Fault("a desk was set up and is gone".into()));
        };
        let fates = self.receive_all(open, reader, delivery).await?;
        if open.head.extremities.is_empty() {
            // Nothing came of the join: the room is as unknown as before.
            *desk = None;
            self.planned.clear();
            self.received = Received::default();
        }
        Ok(Done::Judged(fates))
    }

    async fn receive_all(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        delivery: &Delivery,
    ) -> Result<Vec<Fate>, RoomError> {
        let mut fates = Vec::with_capacity(delivery.arrivals.len());
        for arrival in &delivery.arrivals {
            let fate = match self.receive_one(desk, reader, arrival).await {
                Ok(fate) => fate,
                Err(Pause::Stuck(reason)) => Fate::Stuck(reason),
                Err(Pause::Broken(error)) => return Err(error),
            };
            if matches!(fate, Fate::Judged(..) | Fate::Known(_)) {
                self.received.unstaged.extend(arrival.staged.clone());
            }
            fates.push(fate);
        }
        self.received.unstaged.extend(delivery.dropped.clone());
        self.merge_extremities(desk, reader).await?;
        Ok(fates)
    }

    pub(super) async fn receive_one(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        arrival: &Arrival,
    ) -> Result<Fate, Pause> {
        let pdu = &arrival.pdu;
        let mut wanted: BTreeSet<_> = auth_events_needed(pdu).into_iter().collect();
        wanted.extend(pdu.prev_hashes().iter().chain([&pdu.hash()]));
        let file = self
            .file(desk, reader, wanted.into_iter().collect())
            .await?;
        let known = file.get(&pdu.hash());
        if let Some(known) = known.filter(|known| known.state_before.is_some()) {
            return Ok(Fate::Known(known.acceptance));
        }
        let was_rejected = known.is_some_and(|known| known.acceptance == Acceptance::Rejected);
        let is_outlier = known.is_some();
        let missing = missing(arrival, &file);
        if !missing.is_empty() {
            return Ok(Fate::Waits(missing));
        }
        let before = self.state_before(desk, reader, arrival, &file).await?;
        let judgement = if was_rejected {
            // Once rejected, always rejected: whoever sends it again changes nothing.
            (Acceptance::Rejected, Some("it was rejected before".into()))
        } else {
            self.verdict(desk, reader, arrival, before, &file).await?
        };
        let depths = pdu.auth_hashes().iter();
        let depths = depths.filter_map(|hash| file.get(hash).map(|event| event.auth_depth));
        let filed = Filed {
            pdu: Arc::new(
                (**pdu)
                    .clone()
                    .with_rejected(judgement.0 == Acceptance::Rejected),
            ),
            auth_depth: auth_depth(depths),
            acceptance: judgement.0,
            state_before: Some(before),
        };
        self.admit(desk, reader, arrival, filed, is_outlier).await?;
        Ok(Fate::Judged(judgement.0, judgement.1))
    }

    /// Gives a judged event its place.
    async fn admit(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        arrival: &Arrival,
        filed: Filed,
        known: bool,
    ) -> Result<(), Pause> {
        let (pdu, hash) = (&arrival.pdu, arrival.pdu.hash());
        let before = filed.state_before.unwrap_or(Root::EMPTY);
        let accepted = filed.acceptance == Acceptance::Accepted;
        let backfilled = matches!(arrival.ground, Ground::Backfilled(_));
        let sets = if accepted && !backfilled {
            let joined = matches!(arrival.ground, Ground::Joined(_));
            let anew = joined && local_joined(reader).await?.is_none();
            self.shift(desk, reader, &filed, anew).await?
        } else {
            Vec::new()
        };
        let redacted_by = if accepted {
            self.apply_redaction(desk, reader, &filed).await?;
            self.redaction_due(desk, reader, &filed).await?
        } else {
            None
        };
        self.note_gaps(desk, reader, pdu).await?;
        let state = sets.len().saturating_mul(STATE_ROWS_BYTES);
        self.bytes += pdu.json().len() + EVENT_ROWS_BYTES + state;
        if accepted && arrival.ground == Ground::Handshake {
            self.received.relayed.push(hash);
        }
        if accepted {
            desk.shelve(Shelved {
                pdu: Arc::clone(&filed.pdu),
                auth_depth: filed.auth_depth,
            });
        }
        self.planned.push(Planned {
            pdu: Arc::clone(&filed.pdu),
            auth_depth: filed.auth_depth,
            place: if backfilled {
                Place::Backfilled(before)
            } else {
                Place::New(before)
            },
            acceptance: filed.acceptance,
            known,
            received_ts: arrival.staged.as_ref().map(|staged| staged.row.received_ts),
            redacted_by,
            sets,
        });
        self.received.filed.insert(hash, filed);
        Ok(())
    }

    /// Which of its previous events are missing for good, and whether it was missing itself.
    async fn note_gaps(
        &mut self,
        desk: &Desk,
        reader: &RoomReader<'_>,
        pdu: &Pdu,
    ) -> Result<(), RoomError> {
        let hash = pdu.hash();
        self.received.gaps.remove(&hash);
        if reader.are_gaps(&[hash]).await?.contains(&true) {
            self.received.found.push(hash);
        }
        let prevs = pdu.prev_hashes().to_vec();
        let prevs = self.file(desk, reader, prevs).await?;
        let is_placed = |hash: &EventHash| {
            let prev = prevs.get(hash);
            prev.is_some_and(|prev| prev.state_before.is_some())
        };
        for missing in pdu.prev_hashes().iter().filter(|hash| !is_placed(hash)) {
            self.received.gaps.insert(*missing, pdu.depth());
        }
        Ok(())
    }

    async fn state_before(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        arrival: &Arrival,
        file: &File,
    ) -> Result<Root, Pause> {
        match arrival.ground {
            Ground::Told(root) | Ground::Joined(root) | Ground::Backfilled(Some(root)) => Ok(root),
            Ground::PrevEvents | Ground::Handshake | Ground::Backfilled(None) => {
                let prevs = arrival.pdu.prev_hashes();
                let same = desk
                    .head
                    .extremities
                    .iter()
                    .all(|hash| prevs.contains(hash));
                if same && desk.head.extremities.len() == prevs.len() {
                    return Ok(desk.head.state);
                }
                let prevs = prevs.iter().filter_map(|hash| file.get(hash)).collect();
                self.merged_state(desk, reader, prevs).await
            }
        }
    }

    /// The state after all of these events.
    pub(super) async fn merged_state(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        events: Vec<&Filed>,
    ) -> Result<Root, Pause> {
        let mut roots: Vec<Root> = Vec::with_capacity(events.len());
        for event in &events {
            let after = state_after(desk, reader, event).await?;
            if !roots.contains(&after) {
                roots.push(after);
            }
        }
        if let [only] = roots[..] {
            return Ok(only);
        }
        // The event that is being judged is in none of the places where others are looked up.
        let planned = self.received.filed.values().chain(events);
        let planned = planned.map(|filed| {
            let event = PlannedEvent {
                pdu: Arc::clone(&filed.pdu),
                auth_depth: filed.auth_depth,
            };
            (filed.pdu.hash(), event)
        });
        let (rules, planned) = (desk.rules, planned.collect());
        let (set, budget) = (&mut desk.working, Budget::default());
        let resolved = reader.resolve(set, rules, &roots, &planned, budget).await;
        resolved.map_err(unresolved)
    }

    /// Checks 4 to 6.
    async fn verdict(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        arrival: &Arrival,
        before: Root,
        file: &File,
    ) -> Result<(Acceptance, Option<String>), Pause> {
        let pdu = &arrival.pdu;
        let needed = match state_needed(pdu) {
            Ok(needed) => needed,
            Err(rejection) => return Ok((Acceptance::Rejected, Some(rejection.to_string()))),
        };
        if self
            .begins_elsewhere(desk, reader, (pdu, before), file)
            .await?
        {
            let text = "the room that this server knows began with another event";
            return Ok((Acceptance::Rejected, Some(text.to_owned())));
        }
        let current = match arrival.ground {
            Ground::PrevEvents | Ground::Handshake | Ground::Told(_) if !arrival.past => {
                desk.head.state
            }
            _ => before,
        };
        let was = self.entries(desk, reader, before, &needed).await?;
        let is = self.entries(desk, reader, current, &needed).await?;
        let lookup = |hash| file.get(&hash).map(|event| Arc::clone(&event.pdu));
        let find = |entries: &BTreeMap<StateMapKey, Arc<Pdu>>, kind: &_, key: &str| {
            entries.get(&(Clone::clone(kind), key.to_owned())).cloned()
        };
        let judged = judge(
            pdu,
            lookup,
            |kind, key| find(&was, kind, key),
            |kind, key| find(&is, kind, key),
        )
        .map_err(|error| RoomError::Fault(error.to_string()))?;
        let present = !matches!(arrival.ground, Ground::Joined(_) | Ground::Backfilled(_));
        if judged == Judgement::Accepted
            && present
            && self.is_not_recommended(desk, reader, pdu).await?
        {
            let text = "the room's policy server does not recommend it";
            return Ok((Acceptance::SoftFailed, Some(text.to_owned())));
        }
        Ok(match judged {
            Judgement::Accepted => (Acceptance::Accepted, None),
            Judgement::SoftFailed(why) => (Acceptance::SoftFailed, Some(why.to_string())),
            Judgement::Rejected(why) => (Acceptance::Rejected, Some(why.to_string())),
        })
    }

    /// What a state has for these keys.
    pub(super) async fn entries(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        root: Root,
        keys: &[StateMapKey],
    ) -> Result<BTreeMap<StateMapKey, Arc<Pdu>>, RoomError> {
        let tuples = keys.iter().map(|key| (key, state_tuple(key)));
        let tuples: Vec<(&StateMapKey, StateTuple)> = tuples
            .filter_map(|(key, tuple)| Some((key, tuple?)))
            .collect();
        let asked: Vec<_> = tuples.iter().map(|(_, tuple)| tuple.clone()).collect();
        let states = reader.states();
        states.gather(&mut desk.working, &[root], &asked).await?;
        let mut named = Vec::with_capacity(tuples.len());
        for (key, tuple) in tuples {
            if let Some(hash) = desk.working.get(root, &tuple)? {
                named.push((key.clone(), hash));
            }
        }
        let hashes = named.iter().map(|(_, hash)| *hash).collect();
        let file = self.file(desk, reader, hashes).await?;
        let found = named.into_iter();
        Ok(found
            .filter_map(|(key, hash)| Some((key, Arc::clone(&file.get(&hash)?.pdu))))
            .collect())
    }

    /// These events, planned or stored; those that are neither are left out.
    pub(super) async fn file(
        &self,
        desk: &Desk,
        reader: &RoomReader<'_>,
        hashes: Vec<EventHash>,
    ) -> Result<File, RoomError> {
        let mut file = File::new();
        let mut asked = Vec::new();
        for hash in hashes {
            match self.received.filed.get(&hash) {
                Some(filed) => drop(file.insert(hash, filed.clone())),
                None => asked.push(hash),
            }
        }
        if asked.is_empty() {
            return Ok(file);
        }
        for stored in reader.events(&asked).await?.into_iter().flatten() {
            let pdu = stored
                .pdu(desk.rules)
                .map_err(|error| RoomError::Fault(error.to_string()))?;
            let filed = Filed {
                pdu: Arc::new(pdu),
                auth_depth: stored.row.auth_depth,
                acceptance: stored.row.acceptance,
                state_before: stored.row.state_before,
            };
            file.insert(stored.hash, filed);
        }
        Ok(file)
    }
}

/// The events without which it cannot be judged.
fn missing(arrival: &Arrival, file: &File) -> Vec<EventHash> {
    let pdu = &arrival.pdu;
    let cited = auth_events_needed(pdu).into_iter();
    let mut missing: Vec<_> = cited.filter(|hash| !file.contains_key(hash)).collect();
    if matches!(
        arrival.ground,
        Ground::PrevEvents | Ground::Handshake | Ground::Backfilled(None)
    ) {
        let unplaced = |hash: &&EventHash| {
            let prev = file.get(hash);
            prev.is_none_or(|prev| prev.state_before.is_none())
        };
        missing.extend(pdu.prev_hashes().iter().filter(unplaced));
    }
    missing
}

/// The state after an event, which has a place.
pub(super) async fn state_after(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    event: &Filed,
) -> Result<Root, RoomError> {
    let before = event.state_before.unwrap_or(Root::EMPTY);
    let Some(key) = event.pdu.state_key() else {
        return Ok(before);
    };
    if event.acceptance == Acceptance::Rejected {
        return Ok(before);
    }
    let tuple = StateTuple::new(event.pdu.event_type().to_string(), key)
        .map_err(|error| RoomError::Fault(error.to_string()))?;
    let changes = Changes::from([(tuple, Some(event.pdu.hash()))]);
    let states = reader.states();
    Ok(states.apply(&mut desk.working, before, &changes).await?)
}
