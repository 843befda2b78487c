//! Fetching what an event of another server refers to and this server does not have.
//!
//! It exists so that a room's worker never waits for a network. Every fetch has limits in calls,
//! in events and in time, whatever the other server answers; what comes is checked like any event
//! from outside. It knows nothing of staging and of when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Acceptance, RoomReader, Root, StateTuple};
use belfry_event::{EventHash, Pdu, RoomRules, auth_events_needed};
use ruma_common::{OwnedEventId, RoomId, ServerName};
use serde_json::value::RawValue;

use crate::beginning::beginning;
use crate::error::RoomError;
use crate::outliers::{Outliers, store_outliers, store_state, stored};
use crate::peers::{MISSING_EVENTS_MAX, MissingEvents, PeerAnswer, PeerError, StateEvents};
use crate::rest::Cause;
use crate::rooms::Shared;
use crate::verification::{Verified, verify_all};

/// How long one call may take.
const CALL_WITHIN: Duration = Duration::from_mins(1);
/// Events taken from one answer that may be large: a state with its auth chain.
const STATE_EVENTS_MAX: usize = 200_000;
/// Events taken from the auth chain of one event.
const AUTH_CHAIN_MAX: usize = 20_000;
/// Missing events of a state that are fetched one by one; with more of them, the whole state is.
const SINGLE_EVENTS_MAX: usize = 20;
/// Auth events fetched one by one.
const SINGLE_AUTH_MAX: usize = 10;
/// Events looked up at once.
const LOOKED_UP_AT_ONCE: usize = 500;
/// Events sent as the earliest that are known.
const EARLIEST_MAX: usize = 20;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Lacking(&'static str),
    #[error("what leads to it waits, or who has it cannot be asked now")]
    Hindered,
    #[error("{0} events of the state before it cannot be checked now")]
    Unvouched(usize),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl FetchError {
    /// What it says of the event that goes without.
    pub(crate) const fn cause(&self) -> Cause {
        match self {
            Self::Peer(PeerError::Unreachable(_)) | Self::Hindered | Self::Unvouched(_) => {
                Cause::Hindered
            }
            Self::Peer(_) | Self::Lacking(_) | Self::Room(_) => Cause::Lacking,
        }
    }
}

/// Fetches for one room from one server.
pub(crate) struct Fetch<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) room_id: &'a RoomId,
    pub(crate) rules: &'static RoomRules,
    pub(crate) server: &'a ServerName,
}

impl Fetch<'_> {
    pub(crate) async fn call<T>(&self, answer: PeerAnswer<'_, T>) -> Result<T, PeerError> {
        let late = |_| PeerError::Unreachable(format!("{} did not answer in time", self.server));
        let clock = &self.shared.env.clock;
        clock.within(CALL_WITHIN, answer).await.map_err(late)?
    }

    pub(crate) fn event_id(&self, hash: EventHash) -> OwnedEventId {
        hash.to_event_id(self.rules.alphabet())
    }

    /// Checks and gives those of these events that are of the room, at most `max`.
    pub(crate) async fn checked(
        &self,
        events: Vec<Box<RawValue>>,
        max: usize,
    ) -> BTreeMap<EventHash, Arc<Pdu>> {
        self.verified(events, max).await.right
    }

    async fn verified(&self, events: Vec<Box<RawValue>>, max: usize) -> Verified {
        let events = events.into_iter().take(max);
        let events = events.map(|event| event.get().to_owned()).collect();
        let keys = &*self.shared.keys;
        verify_all((keys, None), self.rules, self.room_id, events).await
    }

    /// Ancestors of an event, one answer of them.
    pub(crate) async fn ancestors(
        &self,
        event: EventHash,
        earliest: &[EventHash],
    ) -> Result<BTreeMap<EventHash, Arc<Pdu>>, FetchError> {
        let earliest = earliest.iter().take(EARLIEST_MAX);
        let ask = MissingEvents {
            earliest: earliest.map(|hash| self.event_id(*hash)).collect(),
            latest: vec![self.event_id(event)],
            limit: MISSING_EVENTS_MAX,
            min_depth: 0,
        };
        let answer = self
            .shared
            .peers
            .missing_events(self.server, self.room_id, &ask);
        let events = self.call(answer).await?;
        Ok(self.checked(events, MISSING_EVENTS_MAX).await)
    }

    /// Has the auth events of this event stored.
    pub(crate) async fn auth_events(&self, pdu: &Pdu) -> Result<(), FetchError> {
        if self.lacking(auth_events_needed(pdu)).await?.is_empty() {
            return Ok(());
        }
        let (peers, event_id) = (&self.shared.peers, self.event_id(pdu.hash()));
        let answer = peers.event_auth(self.server, self.room_id, &event_id);
        let chain = match self.call(answer).await {
            Ok(chain) => self.checked(chain, AUTH_CHAIN_MAX).await,
            Err(_) => BTreeMap::new(),
        };
        self.store(&chain).await?;
        let lacking = self.lacking(auth_events_needed(pdu)).await?;
        for hash in lacking.into_iter().take(SINGLE_AUTH_MAX) {
            let found = self.single(hash).await?;
            self.store(&found).await?;
        }
        if self.lacking(auth_events_needed(pdu)).await?.is_empty() {
            return Ok(());
        }
        Err(FetchError::Lacking(
            "some of its auth events are not to be had",
        ))
    }

    /// One event, if the server gives the very one.
    pub(crate) async fn single(
        &self,
        hash: EventHash,
    ) -> Result<BTreeMap<EventHash, Arc<Pdu>>, FetchError> {
        let mut found = self.single_verified(hash).await?.right;
        found.retain(|found, _| *found == hash);
        Ok(found)
    }

    async fn single_verified(&self, hash: EventHash) -> Result<Verified, FetchError> {
        let event_id = self.event_id(hash);
        let answer = self.shared.peers.event(self.server, &event_id);
        let event = self.call(answer).await?;
        Ok(self.verified(vec![event], 1).await)
    }

    async fn store(&self, events: &BTreeMap<EventHash, Arc<Pdu>>) -> Result<Outliers, RoomError> {
        let beginning = beginning(self.shared, self.room_id).await?;
        let room = (self.room_id, beginning);
        store_outliers(self.shared, room, self.rules, events).await
    }

    /// Which of these events are not stored.
    async fn lacking(&self, hashes: Vec<EventHash>) -> Result<Vec<EventHash>, RoomError> {
        let mut lacking = Vec::new();
        for chunk in hashes.chunks(LOOKED_UP_AT_ONCE) {
            let snapshot = self.shared.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, self.room_id);
            let found = reader.events(chunk).await?;
            let pairs = chunk.iter().zip(found);
            lacking.extend(
                pairs
                    .filter(|(_, found)| found.is_none())
                    .map(|(hash, _)| *hash),
            );
        }
        Ok(lacking)
    }

    /// Which of these events have no place in the room.
    pub(crate) async fn unplaced(&self, hashes: &[EventHash]) -> Result<Vec<EventHash>, RoomError> {
        let snapshot = self.shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, self.room_id);
        let found = reader.events(hashes).await?;
        let pairs = hashes.iter().zip(found);
        let unplaced = pairs.filter(|(_, found)| {
            let placed = found.as_ref().is_some_and(|found| !found.row.is_outlier());
            !placed
        });
        Ok(unplaced.map(|(hash, _)| *hash).collect())
    }

    /// The state before an event as the server tells it; its events are stored, and its tree. The
    /// room must be held.
    ///
    /// An event of that state which can never be right is left out. One that no key vouches for
    /// now would be missed for good, as nobody asks for it again: a `patient` caller is told
    /// [`FetchError::Unvouched`] instead.
    pub(crate) async fn state_before(
        &self,
        event: EventHash,
        patient: bool,
    ) -> Result<Root, FetchError> {
        let (state, lacking) = self.told_state(event).await?;
        let (found, wrong) = self.have(event, lacking).await?;
        self.store(&found).await?;
        if patient {
            let lacking = self.lacking(state.iter().copied().collect()).await?;
            if lacking.len() > wrong {
                return Err(FetchError::Unvouched(lacking.len() - wrong));
            }
        }
        let state = self.state_of(state).await?;
        Ok(store_state(self.shared, self.room_id, &state).await?)
    }

    /// The events of the state before an event, and which of them and of their auth chain are not
    /// stored.
    async fn told_state(
        &self,
        event: EventHash,
    ) -> Result<(BTreeSet<EventHash>, Vec<EventHash>), FetchError> {
        let event_id = self.event_id(event);
        let answer = self
            .shared
            .peers
            .state_ids(self.server, self.room_id, &event_id);
        let ids = self.call(answer).await?;
        if ids.pdu_ids.len().saturating_add(ids.auth_chain_ids.len()) > STATE_EVENTS_MAX {
            return Err(FetchError::Lacking(
                "the state told is larger than is taken",
            ));
        }
        let of = |ids: &[OwnedEventId]| -> BTreeSet<EventHash> {
            let alphabet = self.rules.alphabet();
            let hashes = ids.iter().map(|id| EventHash::from_event_id(id, alphabet));
            hashes.filter_map(Result::ok).collect()
        };
        let state = of(&ids.pdu_ids);
        let all = state.union(&of(&ids.auth_chain_ids)).copied().collect();
        let lacking = self.lacking(all).await?;
        Ok((state, lacking))
    }

    /// These events of the state before another: one by one, or with the whole of it if they are
    /// many. Those that are right, and how many are wrong for good.
    async fn have(
        &self,
        event: EventHash,
        lacking: Vec<EventHash>,
    ) -> Result<(BTreeMap<EventHash, Arc<Pdu>>, usize), FetchError> {
        if lacking.len() > SINGLE_EVENTS_MAX {
            let event_id = self.event_id(event);
            let answer = self
                .shared
                .peers
                .state(self.server, self.room_id, &event_id);
            let StateEvents { pdus, auth_chain } = self.call(answer).await?;
            let events = pdus.into_iter().chain(auth_chain).collect();
            let verified = self.verified(events, STATE_EVENTS_MAX).await;
            return Ok((verified.right, verified.wrong));
        }
        let (mut found, mut wrong) = (BTreeMap::new(), 0);
        for hash in lacking {
            let verified = self.single_verified(hash).await?;
            let right = verified.right.into_iter();
            found.extend(right.filter(|(found, _)| *found == hash));
            wrong += verified.wrong;
        }
        Ok((found, wrong))
    }

    /// The state that these events make up: those that are stored and were not rejected, the first
    /// of each key.
    pub(crate) async fn state_of(
        &self,
        hashes: BTreeSet<EventHash>,
    ) -> Result<BTreeMap<StateTuple, EventHash>, RoomError> {
        let hashes: Vec<_> = hashes.into_iter().collect();
        let mut state = BTreeMap::new();
        for chunk in hashes.chunks(LOOKED_UP_AT_ONCE) {
            let found = stored(self.shared, self.room_id, self.rules, chunk).await?;
            for (hash, event) in found {
                let key = event.pdu.state_key();
                let key = key.filter(|_| event.acceptance != Acceptance::Rejected);
                let Some(key) = key else { continue };
                if let Ok(tuple) = StateTuple::new(event.pdu.event_type().to_string(), key) {
                    state.entry(tuple).or_insert(hash);
                }
            }
        }
        Ok(state)
    }
}
