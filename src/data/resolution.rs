//! Gathering what resolving a room's state needs: the storage side of [`belfry_event::Resolution`].
//!
//! Exists so that a fork in a large room is resolved by what differs: keys by comparing trees, auth
//! chains by their differing tops, citing events by an index. Never a whole state. Knows nothing of
//! the algorithm.

use std::{collections::BTreeMap, sync::Arc};

use belfry_event::{
    Answers, AuthEdges, Budget, CitersOf, CitersPage, Conflict, Difference, EventHash, Pdu,
    Resolution, ResolveError, Resolved, RoomRules, StateMapKey, Step, Unconflicted,
    UnreadableEvent, Wanted,
};
use belfry_kv::{Direction, Range, ReadError};

use crate::{
    reader::RoomReader,
    state::{Change, Changes, Root, StateError, StateTuple, WorkingSet},
    tables::AUTH_CITER,
};

/// Citing events told at once.
const CITERS_PAGE: usize = 50;

/// Entries in which states to be resolved may differ.
pub const CONFLICTS_MAX: usize = 20_000;

/// Why states were not resolved. The event that needs it stays staged, and the room is flagged.
#[derive(Debug, thiserror::Error)]
pub enum ResolutionFault {
    /// The states could not be read, or differ in more than [`CONFLICTS_MAX`] entries.
    #[error(transparent)]
    State(#[from] StateError),
    /// An event could not be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// The resolution has no outcome.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl From<ReadError> for ResolutionFault {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

/// A tuple as the event rules name it.
pub fn state_map_key(tuple: &StateTuple) -> StateMapKey {
    (tuple.event_type().into(), tuple.state_key().to_owned())
}

/// A tuple by the event rules' name; `None` if it is too long to be in any state.
pub fn state_tuple(key: &StateMapKey) -> Option<StateTuple> {
    StateTuple::new(key.0.to_string(), key.1.as_str()).ok()
}

/// An event that the worker plans to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEvent {
    /// The event, with its verdict.
    pub pdu: Arc<Pdu>,
    /// By [`belfry_event::auth_depth`].
    pub auth_depth: u64,
}

/// Events that are not stored yet and may be in the states to be resolved.
pub type Planned = BTreeMap<EventHash, PlannedEvent>;

/// Answers what resolutions of one room ask for.
pub struct Gathering<'r, 's> {
    reader: &'r RoomReader<'s>,
    rules: &'static RoomRules,
    planned: &'r Planned,
    /// Any of the states: for entries in which they all agree.
    unconflicted: Root,
    /// Where pages of citers go on, by the number that was told.
    rests: Vec<Range>,
}

impl RoomReader<'_> {
    /// Resolves states of this room. The outcome's new nodes are in `set`, not yet stored.
    pub async fn resolve(
        &self,
        set: &mut WorkingSet,
        rules: &'static RoomRules,
        roots: &[Root],
        planned: &Planned,
        budget: Budget,
    ) -> Result<Root, ResolutionFault> {
        let base = roots.first().copied().unwrap_or(Root::EMPTY);
        let conflict = self.conflict(set, roots).await?;
        if conflict.is_empty() {
            return Ok(base);
        }
        let resolution = Resolution::new(rules, conflict, Unconflicted::Asked, budget)?;
        let resolved = Gathering::new(self, rules, planned, base)
            .run(set, resolution)
            .await?;
        let changes: Changes = resolved
            .changes
            .iter()
            .filter_map(|(key, event)| Some((state_tuple(key)?, *event)))
            .collect();
        Ok(self.states().apply(set, base, &changes).await?)
    }

    /// In which entries these states differ.
    pub async fn conflict(
        &self,
        set: &mut WorkingSet,
        roots: &[Root],
    ) -> Result<Conflict, StateError> {
        let mut differences = Vec::new();
        for other in roots.iter().skip(1) {
            let states = self.states();
            let changes = states.diff(set, roots[0], *other, CONFLICTS_MAX).await?;
            differences.push(changes.iter().map(difference).collect());
        }
        Ok(Conflict::from_differences(&differences))
    }
}

fn difference(change: &Change) -> (StateMapKey, Difference) {
    let difference = Difference {
        base: change.before,
        other: change.after,
    };
    (state_map_key(&change.tuple), difference)
}

impl<'r, 's> Gathering<'r, 's> {
    /// Answers from this snapshot and from what is planned on it. `unconflicted` is any of the
    /// states to be resolved.
    pub fn new(
        reader: &'r RoomReader<'s>,
        rules: &'static RoomRules,
        planned: &'r Planned,
        unconflicted: Root,
    ) -> Self {
        Self {
            reader,
            rules,
            planned,
            unconflicted,
            rests: Vec::new(),
        }
    }

    /// Takes a resolution to its end.
    pub async fn run(
        &mut self,
        set: &mut WorkingSet,
        mut resolution: Resolution,
    ) -> Result<Resolved, ResolutionFault> {
        let mut answers = Answers::default();
        loop {
            match resolution.step(answers)? {
                Step::Done(resolved) => return Ok(resolved),
                Step::Gather(wanted) => answers = self.answer(set, &wanted).await?,
            }
        }
    }

    /// Answers one step's questions. An event that is not stored has no answer, which the
    /// resolution names.
    pub async fn answer(
        &mut self,
        set: &mut WorkingSet,
        wanted: &Wanted,
    ) -> Result<Answers, ResolutionFault> {
        Ok(Answers {
            edges: self.edges(&wanted.edges).await?,
            citers: self.citers(&wanted.citers).await?,
            entries: self.entries(set, &wanted.entries).await?,
            events: self.events(&wanted.events).await?,
        })
    }

    async fn edges(
        &self,
        hashes: &[EventHash],
    ) -> Result<Vec<(EventHash, AuthEdges)>, ResolutionFault> {
        let events = self.known(hashes).await?;
        // One that is not state has no answer: it belongs in no auth chain.
        let edges = events.into_iter().filter_map(|event| {
            let pdu = event.pdu;
            let edges = AuthEdges {
                key: (
                    pdu.event_type().to_string().into(),
                    pdu.state_key()?.to_owned(),
                ),
                auth_depth: event.auth_depth,
                auth_events: pdu.auth_hashes().to_vec(),
            };
            Some((pdu.hash(), edges))
        });
        Ok(edges.collect())
    }

    async fn events(&self, hashes: &[EventHash]) -> Result<Vec<Arc<Pdu>>, ResolutionFault> {
        let events = self.known(hashes).await?.into_iter();
        Ok(events.map(|event| event.pdu).collect())
    }

    /// These events, planned or stored; those that are neither are left out.
    async fn known(&self, hashes: &[EventHash]) -> Result<Vec<PlannedEvent>, ResolutionFault> {
        let planned = hashes.iter().filter_map(|hash| self.planned.get(hash));
        let mut known: Vec<_> = planned.cloned().collect();
        let is_stored = |hash: &&EventHash| !self.planned.contains_key(hash);
        let stored: Vec<_> = hashes.iter().filter(is_stored).copied().collect();
        if stored.is_empty() {
            return Ok(known);
        }
        for event in self.reader.events(&stored).await?.into_iter().flatten() {
            known.push(PlannedEvent {
                pdu: Arc::new(event.pdu(self.rules)?),
                auth_depth: event.row.auth_depth,
            });
        }
        Ok(known)
    }

    async fn entries(
        &self,
        set: &mut WorkingSet,
        keys: &[StateMapKey],
    ) -> Result<Vec<(StateMapKey, Option<EventHash>)>, StateError> {
        let tuples: BTreeMap<_, _> = keys.iter().map(|key| (key, state_tuple(key))).collect();
        let known: Vec<_> = tuples.values().flatten().cloned().collect();
        let root = self.unconflicted;
        self.reader.states().gather(set, &[root], &known).await?;
        let answers = tuples.into_iter().map(|(key, tuple)| {
            let event = tuple.map(|tuple| set.get(root, &tuple)).transpose()?;
            Ok((key.clone(), event.flatten()))
        });
        answers.collect()
    }

    async fn citers(
        &mut self,
        asked: &[CitersOf],
    ) -> Result<Vec<(EventHash, CitersPage)>, ReadError> {
        let mut answers = Vec::with_capacity(asked.len());
        for question in asked {
            let range = self.range_of(question);
            let page = AUTH_CITER
                .scan(
                    self.reader.snapshot,
                    range,
                    Direction::Backward,
                    CITERS_PAGE,
                )
                .await?;
            let mut citers = self.planned_citers(question);
            citers.extend(page.rows.into_iter().map(|(_, row)| row.event));
            let next = page.rest.map(|rest| self.remember(rest));
            answers.push((question.cited, CitersPage { citers, next }));
        }
        Ok(answers)
    }

    /// Those that storage does not know yet, all on the first page.
    fn planned_citers(&self, question: &CitersOf) -> Vec<EventHash> {
        if question.after.is_some() {
            return Vec::new();
        }
        let planned = self.planned.values().map(|event| &event.pdu);
        let citers = planned
            .filter(|pdu| pdu.state_key().is_some() && pdu.auth_hashes().contains(&question.cited));
        citers.map(|pdu| pdu.hash()).collect()
    }

    fn range_of(&self, question: &CitersOf) -> Range {
        let rest = question.after.and_then(|at| {
            let at = usize::try_from(at).ok()?;
            self.rests.get(at).cloned()
        });
        rest.unwrap_or_else(|| AUTH_CITER.prefix(&self.reader.event_key(question.cited)))
    }

    fn remember(&mut self, rest: Range) -> u64 {
        self.rests.push(rest);
        u64::try_from(self.rests.len() - 1).unwrap_or(u64::MAX)
    }
}
