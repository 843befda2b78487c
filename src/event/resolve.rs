//! State resolution: one state out of several that forks of a room have led to.
//!
//! It exists so that a fork in a room of a hundred thousand members costs what the forks differ
//! by. A [`Resolution`] is fed what it asks for, step by step, so that the storage layer gathers in
//! batches and nothing here waits: first auth edges, until the full conflicted set is known; then
//! those events, what they cite, and the few unconflicted entries that their authorisation reads;
//! then it computes. The outcome is that of the algorithm on whole state maps (room versions 2
//! and 12, "State resolution"), or an error, never something in between. It knows nothing of
//! storage, and of events only what the authorisation rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruma_events::StateEventType;

use crate::auth::StateMapKey;
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve_ancestry::{CitersOf, CitersPage, Search};
use crate::resolve_conflict::Conflict;
use crate::resolve_gathered::Gathered;
use crate::resolve_order::{Mainline, power_ordered};
use crate::resolve_replay::Replay;
use crate::resolve_walk::{AuthEdges, Chains, Walk};
use crate::rules::RoomRules;

/// Most items of a kind in one [`Wanted`].
pub const GATHER_MAX: usize = 5_000;

/// Most states in one resolution, equal ones counted once; a room's extremities are capped far
/// below.
pub const FORKS_MAX: usize = 4_096;

/// Most auth edges read for one resolution, unless a [`Budget`] says otherwise.
pub const EDGES_MAX: usize = 100_000;

/// Most citing events looked at for one resolution, unless a [`Budget`] says otherwise.
pub const CITERS_MAX: usize = 100_000;

/// Most whole events loaded for one resolution, unless a [`Budget`] says otherwise.
pub const EVENTS_MAX: usize = 50_000;

/// What one resolution may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most auth edges read; [`EDGES_MAX`].
    pub edges_max: usize,
    /// Most citing events looked at; [`CITERS_MAX`].
    pub citers_max: usize,
    /// Most whole events loaded; [`EVENTS_MAX`].
    pub events_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            edges_max: EDGES_MAX,
            citers_max: CITERS_MAX,
            events_max: EVENTS_MAX,
        }
    }
}

/// Why a resolution has no outcome. None of these leaves a partial one: keep the event staged and
/// flag the room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// More was needed than the budget allows.
    #[error("resolving the state needs more than {max} {what}: raise the budget or purge the room")]
    BudgetExceeded {
        /// Which limit: `forks`, `auth edges`, `citers` or `events`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Storage has no such event, or did not answer for it.
    #[error("{0:?} is needed to resolve the state and missing: fetch it and its auth chain")]
    Missing(EventHash),
    /// Storage gave no answer for a state entry.
    #[error("no answer for the state entry {0:?}: answer every key, with None if it is absent")]
    Unanswered(StateMapKey),
    /// The auth depths of an event and what it cites are not from [`crate::auth_depth`].
    #[error("the auth depth of {0:?} does not follow from its auth events: compute it again")]
    DepthWrong(EventHash),
    /// An event of another room, or of another room version, was given.
    #[error("{0:?} is not of the room whose state is to be resolved")]
    OtherRoom(EventHash),
    /// An event that is not state is in a state map or an auth chain.
    #[error("{0:?} is not a state event, yet it is in a state or an auth chain")]
    NotState(EventHash),
    /// An event that the rules read cannot be read; its acceptance was a mistake.
    #[error("{event:?} or an event that it cites cannot be read: {reason}")]
    Unreadable {
        /// The event.
        event: EventHash,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a resolution learns which events are in the auth chains of unconflicted entries, which is
/// to say in every chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unconflicted {
    /// Every value of the unconflicted state map. One read of auth edges each: for small rooms.
    Listed(Vec<EventHash>),
    /// By [`Wanted::citers`], for the few events in question. Needs an index from each event to
    /// the state events that cite it.
    Asked,
}

/// What a resolution asks for; at most [`GATHER_MAX`] of each, all to be answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Auth edges of these events.
    pub edges: Vec<EventHash>,
    /// State events that cite these events, a page each. Asked only with [`Unconflicted::Asked`].
    pub citers: Vec<CitersOf>,
    /// Entries of the unconflicted state: none of these keys is conflicted, so any of the states
    /// has the answer.
    pub entries: Vec<StateMapKey>,
    /// These events, whole, with their verdicts ([`Pdu::with_rejected`]).
    pub events: Vec<EventHash>,
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
            && self.citers.is_empty()
            && self.entries.is_empty()
            && self.events.is_empty()
    }

    fn cap(mut self) -> Self {
        self.edges.truncate(GATHER_MAX);
        self.citers.truncate(GATHER_MAX);
        self.entries.truncate(GATHER_MAX);
        self.events.truncate(GATHER_MAX);
        self
    }
}

/// What was gathered; order does not matter, and more than was asked for does no harm.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// To [`Wanted::edges`].
    pub edges: Vec<(EventHash, AuthEdges)>,
    /// To [`Wanted::citers`], by the cited event.
    pub citers: Vec<(EventHash, CitersPage)>,
    /// To [`Wanted::entries`]; `None` where the state has none.
    pub entries: Vec<(StateMapKey, Option<EventHash>)>,
    /// To [`Wanted::events`].
    pub events: Vec<Arc<Pdu>>,
}

/// The resolved state, as changes to the unconflicted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The value of every conflicted key, `None` if the resolved state has none there; and of the
    /// keys that no state had but resolution has brought back. All other keys keep their value.
    pub changes: BTreeMap<StateMapKey, Option<EventHash>>,
    /// Events of the full conflicted set that were not allowed, and why, in the order of replay.
    pub refused: Vec<(EventHash, String)>,
    /// Size of the full conflicted set.
    pub replayed: usize,
}

/// The next step of a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Gather this, and come again with it.
    Gather(Wanted),
    /// The outcome.
    Done(Resolved),
}

#[derive(Debug)]
enum Stage {
    Walk(Walk),
    Search {
        search: Search,
        subgraph: BTreeSet<EventHash>,
    },
    Load {
        full: BTreeSet<EventHash>,
    },
    Order {
        replay: Replay,
        mainline: Mainline,
        replayed: usize,
    },
    Done(Resolved),
}

/// A resolution in progress.
#[derive(Debug)]
pub struct Resolution {
    gathered: Gathered,
    budget: Budget,
    stage: Stage,
    asks_citers: bool,
    asked: Wanted,
    edges: usize,
}

impl Resolution {
    /// Begins to resolve `conflict` by the rules of the room's version.
    ///
    /// # Errors
    /// If there are more than [`FORKS_MAX`] states.
    pub fn new(
        rules: &'static RoomRules,
        conflict: Conflict,
        unconflicted: Unconflicted,
        budget: Budget,
    ) -> Result<Self, ResolveError> {
        within("forks", conflict.forks().len(), FORKS_MAX)?;
        let with_subgraph = rules.state_resolution().consider_conflicted_state_subgraph;
        let common = match unconflicted {
            Unconflicted::Listed(common) => Some(common),
            Unconflicted::Asked => None,
        };
        let asks_citers = common.is_none();
        Ok(Self {
            stage: Stage::Walk(Walk::new(&conflict, common, with_subgraph)),
            gathered: Gathered::new(rules, conflict),
            budget,
            asks_citers,
            asked: Wanted::default(),
            edges: 0,
        })
    }

    /// Goes on with the answers to what the step before asked for; with none at first.
    ///
    /// # Errors
    /// If an answer is missing or makes no sense, or the budget is used up. The resolution is then
    /// of no further use.
    pub fn step(&mut self, answers: Answers) -> Result<Step, ResolveError> {
        self.take(answers)?;
        loop {
            let wanted = self.advance()?;
            if !wanted.is_empty() {
                self.asked = wanted.cap();
                self.check_budget()?;
                return Ok(Step::Gather(self.asked.clone()));
            }
            if let Stage::Done(resolved) = &self.stage {
                return Ok(Step::Done(resolved.clone()));
            }
            self.enter_next_stage()?;
        }
    }

    /// Runs all steps with a source that answers at once: for rooms held in memory.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run(
        mut self,
        mut gather: impl FnMut(&Wanted) -> Answers,
    ) -> Result<Resolved, ResolveError> {
        let mut answers = Answers::default();
        loop {
            match self.step(answers)? {
                Step::Gather(wanted) => answers = gather(&wanted),
                Step::Done(resolved) => return Ok(resolved),
            }
        }
    }

    fn take(&mut self, answers: Answers) -> Result<(), ResolveError> {
        self.edges = self.edges.saturating_add(answers.edges.len());
        for (hash, edges) in answers.edges {
            self.gathered.put_edges(hash, &edges);
            if let Stage::Walk(walk) = &mut self.stage {
                walk.feed(hash, edges)?;
            }
        }
        for (cited, page) in answers.citers {
            if let Stage::Search { search, .. } = &mut self.stage {
                search.feed(cited, page);
                within("citers", search.citers(), self.budget.citers_max)?;
            }
        }
        answers
            .entries
            .into_iter()
            .for_each(|(key, value)| self.gathered.put_entry(key, value));
        answers
            .events
            .into_iter()
            .try_for_each(|event| self.gathered.put_event(event))?;
        self.check_answered()
    }

    /// Without this an unanswered question would be asked for ever.
    fn check_answered(&self) -> Result<(), ResolveError> {
        let no_depth = |hash: &&EventHash| self.gathered.depth(**hash).is_none();
        let no_event = |hash: &&EventHash| !self.gathered.has_event(**hash);
        let missing = self.asked.edges.iter().find(no_depth);
        if let Some(hash) = missing.or_else(|| self.asked.events.iter().find(no_event)) {
            return Err(ResolveError::Missing(*hash));
        }
        if let Stage::Search { search, .. } = &self.stage
            && let Some(asked) = self.asked.citers.iter().find(|asked| search.awaits(asked))
        {
            return Err(ResolveError::Missing(asked.cited));
        }
        match self
            .asked
            .entries
            .iter()
            .find(|key| self.gathered.entry(key).is_err())
        {
            Some(key) => Err(ResolveError::Unanswered(key.clone())),
            None => Ok(()),
        }
    }

    fn check_budget(&self) -> Result<(), ResolveError> {
        let edges = self.edges.saturating_add(self.asked.edges.len());
        within("auth edges", edges, self.budget.edges_max)?;
        let events = self
            .gathered
            .events()
            .saturating_add(self.asked.events.len());
        within("events", events, self.budget.events_max)
    }

    /// What the current stage lacks; nothing once it is complete.
    fn advance(&mut self) -> Result<Wanted, ResolveError> {
        let gathered = &self.gathered;
        match &mut self.stage {
            Stage::Walk(walk) => walk.advance(gathered),
            Stage::Search { search, .. } => Ok(search.advance(gathered)),
            Stage::Load { full } => gathered.missing_for(full),
            Stage::Order { mainline, .. } => mainline.advance(gathered),
            Stage::Done(_) => Ok(Wanted::default()),
        }
    }

    fn enter_next_stage(&mut self) -> Result<(), ResolveError> {
        let idle = Stage::Load {
            full: BTreeSet::new(),
        };
        self.stage = match std::mem::replace(&mut self.stage, idle) {
            Stage::Walk(walk) => self.after_walk(walk.finish()),
            Stage::Search { search, subgraph } => {
                let difference = search.finish(&self.gathered);
                self.load(difference, subgraph)
            }
            Stage::Load { full } => self.replay_power_events(&full)?,
            Stage::Order {
                replay,
                mainline,
                replayed,
            } => Stage::Done(self.finish(replay, mainline, replayed)?),
            done @ Stage::Done(_) => done,
        };
        Ok(())
    }

    fn after_walk(&self, chains: Chains) -> Stage {
        let Chains {
            difference,
            subgraph,
        } = chains;
        if self.asks_citers {
            return Stage::Search {
                search: Search::new(difference),
                subgraph,
            };
        }
        self.load(difference.into_keys().collect(), subgraph)
    }

    /// The full conflicted set is known.
    fn load(&self, difference: BTreeSet<EventHash>, subgraph: BTreeSet<EventHash>) -> Stage {
        let mut full = self.gathered.conflict.events();
        full.extend(difference);
        full.extend(subgraph);
        Stage::Load { full }
    }

    /// Steps 1 and 2 of the algorithm, and what step 3 begins with.
    fn replay_power_events(&self, full: &BTreeSet<EventHash>) -> Result<Stage, ResolveError> {
        let power_events = power_ordered(full, &self.gathered)?;
        let mut replay = Replay::default();
        replay.apply(&power_events, &self.gathered)?;
        let replayed: BTreeSet<_> = power_events.into_iter().collect();
        let remaining = full.difference(&replayed).copied().collect();
        let power_levels = (StateEventType::RoomPowerLevels, String::new());
        let mainline = Mainline::new(remaining, replay.value(&power_levels, &self.gathered));
        Ok(Stage::Order {
            replay,
            mainline,
            replayed: full.len(),
        })
    }

    /// Steps 4 and 5.
    fn finish(
        &self,
        mut replay: Replay,
        mainline: Mainline,
        replayed: usize,
    ) -> Result<Resolved, ResolveError> {
        replay.apply(&mainline.finish(&self.gathered)?, &self.gathered)?;
        let keys = self.gathered.conflict.keys();
        let mut changes: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), None)).collect();
        for (key, hash) in replay.state {
            // An unconflicted entry stands, whatever was replayed at its key.
            if !matches!(self.gathered.entry(&key), Ok(Some(_))) {
                changes.insert(key, Some(hash));
            }
        }
        Ok(Resolved {
            changes,
            refused: replay.refused,
            replayed,
        })
    }
}

fn within(what: &'static str, count: usize, max: usize) -> Result<(), ResolveError> {
    if count > max {
        return Err(ResolveError::BudgetExceeded { what, max });
    }
    Ok(())
}
