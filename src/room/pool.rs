//! Events of one room on their way to its worker, and handing them over.
//!
//! It exists so that completing events and judging them are told apart. It knows nothing of how
//! events are come by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{Root, StagedEvent};
use belfry_event::{EventHash, Pdu, RoomRules, auth_events_needed};
use ruma_common::{OwnedServerName, RoomId};
use tokio::sync::oneshot;

use crate::arrival::{Delivery, Fate};
use crate::completion::Lack;
use crate::error::RoomError;
use crate::job::Job;
use crate::outliers::order_by;
use crate::rooms::Shared;

/// An event on its way to the worker.
pub(crate) struct Waiting {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) staged: Option<StagedEvent>,
    /// Who is asked for what it lacks.
    pub(crate) origin: OwnedServerName,
    /// The state before it, if that was told.
    pub(crate) told: Option<Root>,
    /// How often something was asked for its sake.
    pub(crate) asked: usize,
}

/// What one round knows.
pub(crate) struct Pool {
    pub(crate) rules: &'static RoomRules,
    pub(crate) extremities: Vec<EventHash>,
    pub(crate) events: BTreeMap<EventHash, Waiting>,
    pub(crate) dropped: Vec<StagedEvent>,
    /// Events taken off because who would have what they need could not be asked, or because they
    /// were fetched and follow one that waits; and those that follow them: what leads to these is
    /// there to be had, but not now.
    pub(crate) hindered: BTreeSet<EventHash>,
    pub(crate) fetches: usize,
    pub(crate) answers: usize,
    pub(crate) singles: usize,
}

impl Pool {
    pub(crate) fn add(
        &mut self,
        pdu: Arc<Pdu>,
        staged: Option<StagedEvent>,
        origin: OwnedServerName,
    ) {
        let waiting = Waiting {
            pdu,
            staged,
            origin,
            told: None,
            asked: 0,
        };
        self.events.entry(waiting.pdu.hash()).or_insert(waiting);
    }

    /// Takes off an event that follows one which waits. If it was fetched, nothing remembers it: who
    /// follows it waits as well, or the state would be asked for as if it were not to be had.
    pub(crate) fn put_off(&mut self, hash: EventHash) {
        let put_off = self.events.remove(&hash);
        if put_off.is_none_or(|waiting| waiting.staged.is_none()) {
            self.hindered.insert(hash);
        }
    }

    /// Those that lack nothing, and follow none that does; each after those that it refers to.
    pub(crate) fn ready(&self, missing: &BTreeMap<EventHash, Lack>) -> Vec<EventHash> {
        let mut unready: BTreeSet<EventHash> = missing.keys().copied().collect();
        let mut ready = Vec::new();
        for hash in self.order() {
            let Some(waiting) = self.events.get(&hash) else {
                continue;
            };
            let prevs = waiting.pdu.prev_hashes().iter();
            let cited = auth_events_needed(&waiting.pdu);
            let follows = prevs.chain(&cited).any(|other| unready.contains(other));
            if follows || unready.contains(&hash) {
                unready.insert(hash);
            } else {
                ready.push(hash);
            }
        }
        ready
    }

    /// The events, each after those that it refers to.
    pub(crate) fn order(&self) -> Vec<EventHash> {
        let pdus = self.events.iter();
        let pdus = pdus.map(|(hash, waiting)| (*hash, Arc::clone(&waiting.pdu)));
        order_by(&pdus.collect(), |pdu| {
            let mut references = auth_events_needed(pdu);
            references.extend_from_slice(pdu.prev_hashes());
            references
        })
    }
}

/// Hands a delivery to the room's worker and waits for its end.
pub(crate) async fn deliver(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    delivery: Delivery,
) -> Result<Vec<Fate>, RoomError> {
    let (reply, answer) = oneshot::channel();
    let delivery = Box::new(delivery);
    shared.post(room_id, Job::Receive { delivery, reply })?;
    answer.await.unwrap_or(Err(RoomError::Unsure))
}
