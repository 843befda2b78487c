//! The walk over auth chains: which events some states' chains have and others' lack, and which
//! lie between conflicted events.
//!
//! It exists so that both sets are found by reading the differing top of the chains instead of
//! all of them, in batches that storage can answer at once. It descends by auth depth, which the
//! server computes itself and no other server can forge; that is what makes it right to stop
//! where all chains have become one, which is where they meet an event that every state has at
//! the latest. It knows nothing of what events say.

use std::collections::{BTreeMap, BTreeSet};

use ruma_events::StateEventType;

use crate::auth::StateMapKey;
use crate::hash::EventHash;
use crate::resolve::{GATHER_MAX, ResolveError, Wanted};
use crate::resolve_conflict::Conflict;
use crate::resolve_gathered::{Gathered, Lack};

/// What the walk must know of an event: kept beside each state event in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthEdges {
    /// The event's type and state key.
    pub key: StateMapKey,
    /// From [`auth_depth`]. Not the event's `depth`, which its server may have made up.
    pub auth_depth: u64,
    /// The event's `auth_events`.
    pub auth_events: Vec<EventHash>,
}

/// Whether events of a type may be among the `auth_events` of others.
pub(crate) fn may_be_cited((event_type, _): &StateMapKey) -> bool {
    matches!(
        event_type,
        StateEventType::RoomCreate
            | StateEventType::RoomJoinRules
            | StateEventType::RoomMember
            | StateEventType::RoomPowerLevels
            | StateEventType::RoomThirdPartyInvite
    )
}

/// The auth depth of an event: one more than the greatest of its auth events, 0 if it has none.
///
/// To be computed once, when the event is stored, which it is only after its auth events.
pub fn auth_depth(of_auth_events: impl IntoIterator<Item = u64>) -> u64 {
    of_auth_events
        .into_iter()
        .max()
        .map_or(0, |deepest| deepest.saturating_add(1))
}

/// A set of forks, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Forks(Box<[u64]>);

impl Forks {
    fn none(forks: usize) -> Self {
        Self(vec![0; forks.div_ceil(64)].into())
    }

    fn all(forks: usize) -> Self {
        let mut all = Self::none(forks);
        for fork in 0..forks {
            all.insert(fork);
        }
        all
    }

    fn insert(&mut self, fork: usize) {
        if let Some(word) = self.0.get_mut(fork / 64) {
            *word |= 1 << (fork % 64);
        }
    }

    fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Known by name only.
    Named,
    /// Its edges are known.
    Loaded,
    /// What it cites was told whose chains it is in.
    Expanded,
}

#[derive(Debug)]
struct Node {
    /// The auth depth once loaded, before that the greatest it can be.
    depth: u64,
    progress: Progress,
    /// Whether it is of the conflicted state set.
    conflicted: bool,
    /// Whether it is conflicted and of a type that others may cite.
    citable: bool,
    /// Whether it is conflicted or in the auth chain of a conflicted event.
    below: bool,
    /// In whose auth chains it is.
    chains: Forks,
    /// In whose auth chains its auth events are: those above, and the forks whose state has it.
    reaches: Forks,
    auth_events: Vec<EventHash>,
}

/// The sets that the walk ends with.
#[derive(Debug)]
pub(crate) struct Chains {
    /// In the chain of some fork's conflicted events but not of every fork's: the auth difference,
    /// if every unconflicted event was among the walk's starts; else what contains it. With the
    /// events' auth events.
    pub(crate) difference: BTreeMap<EventHash, Vec<EventHash>>,
    /// The conflicted state subgraph without its lower ends, which are conflicted; empty unless
    /// it was asked for.
    pub(crate) subgraph: BTreeSet<EventHash>,
}

/// A walk in progress.
#[derive(Debug)]
pub(crate) struct Walk {
    all: Forks,
    none: Forks,
    with_subgraph: bool,
    /// Whether to find out which events are unconflicted; else all of those are starts.
    asks_entries: bool,
    nodes: BTreeMap<EventHash, Node>,
    /// Known by name only, by the greatest depth possible.
    unloaded: BTreeSet<(u64, EventHash)>,
    /// Loaded, and not yet descended from.
    pending: BTreeSet<(u64, EventHash)>,
    /// Not expanded, and telling forks apart.
    partial: BTreeSet<EventHash>,
    /// Not expanded, and below a conflicted event.
    below: BTreeSet<(u64, EventHash)>,
    /// The least auth depth among the conflicted events that others may cite.
    floor: u64,
}

impl Walk {
    /// A walk from the conflicted events and, as part of every state, from `common` ones, which
    /// are all of the unconflicted events if given.
    pub(crate) fn new(
        conflict: &Conflict,
        common: Option<Vec<EventHash>>,
        with_subgraph: bool,
    ) -> Self {
        let forks = conflict.forks().len();
        let mut walk = Self {
            all: Forks::all(forks),
            none: Forks::none(forks),
            with_subgraph,
            asks_entries: common.is_none(),
            nodes: BTreeMap::new(),
            unloaded: BTreeSet::new(),
            pending: BTreeSet::new(),
            partial: BTreeSet::new(),
            below: BTreeSet::new(),
            floor: u64::MAX,
        };
        for (fork, state) in conflict.forks().iter().enumerate() {
            for (key, hash) in state {
                let node = walk.node(*hash, u64::MAX);
                node.conflicted = true;
                node.citable = may_be_cited(key);
                node.below = true;
                node.reaches.insert(fork);
            }
        }
        let all = walk.all.clone();
        for hash in common.into_iter().flatten() {
            walk.node(hash, u64::MAX).reaches = all.clone();
        }
        let starts: Vec<_> = walk.nodes.keys().copied().collect();
        for hash in starts {
            walk.sort_in(hash);
        }
        walk
    }

    /// Takes the edges of an event that [`Self::advance`] asked for.
    pub(crate) fn feed(&mut self, hash: EventHash, edges: AuthEdges) -> Result<(), ResolveError> {
        let Some(node) = self
            .nodes
            .get_mut(&hash)
            .filter(|node| node.progress == Progress::Named)
        else {
            return Ok(());
        };
        if edges.auth_depth > node.depth || (edges.auth_depth == 0 && !edges.auth_events.is_empty())
        {
            return Err(ResolveError::DepthWrong(hash));
        }
        self.unloaded.remove(&(node.depth, hash));
        self.below.remove(&(node.depth, hash));
        node.depth = edges.auth_depth;
        node.auth_events = edges.auth_events;
        node.progress = Progress::Loaded;
        if node.citable {
            self.floor = self.floor.min(node.depth);
        }
        self.sort_in(hash);
        Ok(())
    }

    /// Descends as far as what is loaded allows. Answers with the edges and entries that are
    /// wanted next, or with nothing once the walk is complete.
    pub(crate) fn advance(&mut self, gathered: &Gathered) -> Result<Wanted, ResolveError> {
        while !self.is_complete() {
            // An event may be descended from once nothing that might lead to it is unknown.
            let unknown = self.unloaded.last().map(|(depth, _)| *depth);
            let next = self.pending.last().copied();
            let Some((depth, hash)) = next.filter(|(depth, _)| unknown <= Some(*depth)) else {
                let deepest = self.unloaded.iter().rev().take(GATHER_MAX);
                let edges = deepest.map(|(_, hash)| *hash).collect();
                return Ok(Wanted {
                    edges,
                    ..Wanted::default()
                });
            };
            let entries = self.settle(hash, gathered);
            if !entries.is_empty() {
                return Ok(Wanted {
                    entries,
                    ..Wanted::default()
                });
            }
            self.expand(hash, depth)?;
        }
        Ok(Wanted::default())
    }

    /// An unconflicted event is of every state, and what it cites in every chain. Answers with the
    /// keys that must be looked up to know whether `hash` is one, and others of its kind.
    fn settle(&mut self, hash: EventHash, gathered: &Gathered) -> Vec<StateMapKey> {
        if !self.asks_entries {
            return Vec::new();
        }
        let telling = |node: &Node| !node.conflicted && node.reaches != self.all;
        if !self.nodes.get(&hash).is_some_and(telling) {
            return Vec::new();
        }
        match gathered.holds(hash) {
            Ok(true) => {
                if let Some(node) = self.nodes.get_mut(&hash) {
                    node.reaches = self.all.clone();
                }
                Vec::new()
            }
            Ok(false) | Err(Lack::Edges) => Vec::new(),
            Err(Lack::Entry(_)) => {
                let lacking = |hash: &EventHash| match gathered.holds(*hash) {
                    Err(Lack::Entry(key)) => Some(key),
                    _ => None,
                };
                let partial = self.partial.iter().take(GATHER_MAX);
                partial.filter_map(lacking).collect()
            }
        }
    }

    fn is_complete(&self) -> bool {
        if !self.partial.is_empty() {
            return false;
        }
        // Between conflicted events there is nothing at the depth of the lowest that can be a lower
        // end; it is among the starts, so its depth is known once nothing partial is left.
        self.below
            .last()
            .is_none_or(|(depth, _)| !self.with_subgraph || *depth <= self.floor)
    }

    fn expand(&mut self, hash: EventHash, depth: u64) -> Result<(), ResolveError> {
        self.pending.remove(&(depth, hash));
        self.partial.remove(&hash);
        self.below.remove(&(depth, hash));
        let Some(node) = self.nodes.get_mut(&hash) else {
            return Ok(());
        };
        node.progress = Progress::Expanded;
        let (auth_events, reaches, below) =
            (node.auth_events.clone(), node.reaches.clone(), node.below);
        for auth_event in auth_events {
            let depth_max = depth.saturating_sub(1);
            let node = self.node(auth_event, depth_max);
            if node.progress != Progress::Named && node.depth > depth_max {
                return Err(ResolveError::DepthWrong(hash));
            }
            let before = node.depth;
            node.depth = before.min(depth_max);
            node.chains.extend(&reaches);
            node.reaches.extend(&reaches);
            node.below |= below;
            self.unloaded.remove(&(before, auth_event));
            self.below.remove(&(before, auth_event));
            self.sort_in(auth_event);
        }
        Ok(())
    }

    fn node(&mut self, hash: EventHash, depth: u64) -> &mut Node {
        let none = &self.none;
        self.nodes.entry(hash).or_insert_with(|| Node {
            depth,
            progress: Progress::Named,
            conflicted: false,
            citable: false,
            below: false,
            chains: none.clone(),
            reaches: none.clone(),
            auth_events: Vec::new(),
        })
    }

    /// Puts a node into the sets that it belongs to by now.
    fn sort_in(&mut self, hash: EventHash) {
        let Some(node) = self.nodes.get(&hash) else {
            return;
        };
        if node.progress == Progress::Expanded {
            return;
        }
        let open = if node.progress == Progress::Loaded {
            &mut self.pending
        } else {
            &mut self.unloaded
        };
        open.insert((node.depth, hash));
        if node.below {
            self.below.insert((node.depth, hash));
        }
        let partial = !node.chains.is_empty() && node.chains != self.all;
        if partial || node.reaches != self.all {
            self.partial.insert(hash);
        } else {
            self.partial.remove(&hash);
        }
    }

    /// The sets, once [`Self::advance`] wants nothing more.
    pub(crate) fn finish(self) -> Chains {
        let subgraph = if self.with_subgraph {
            self.between_conflicted()
        } else {
            BTreeSet::new()
        };
        let all = self.all;
        let differs = |node: &Node| !node.chains.is_empty() && node.chains != all;
        let difference = self
            .nodes
            .into_iter()
            .filter(|(_, node)| differs(node))
            .map(|(hash, node)| (hash, node.auth_events))
            .collect();
        Chains {
            difference,
            subgraph,
        }
    }

    fn between_conflicted(&self) -> BTreeSet<EventHash> {
        let mut ascending: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.progress == Progress::Expanded)
            .collect();
        ascending.sort_by_key(|(_, node)| node.depth);
        let mut leading: BTreeSet<EventHash> = BTreeSet::new();
        for (hash, node) in ascending {
            let conflicted = |auth: &EventHash| self.nodes.get(auth).is_some_and(|n| n.conflicted);
            if node
                .auth_events
                .iter()
                .any(|auth| conflicted(auth) || leading.contains(auth))
            {
                leading.insert(*hash);
            }
        }
        leading.retain(|hash| self.nodes.get(hash).is_some_and(|node| node.below));
        leading
    }
}
