//! States in memory, on which a worker plans before anything is written.
//!
//! Exists so that planning is pure: what is not here is named ([`StateError::Missing`]), gathered,
//! and the plan is made again. Knows no storage.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};

use belfry_event::EventHash;
use belfry_kv::ReadError;
use bytes::Bytes;

use super::{
    diff::{Change, Diff, Progress},
    edit::Edit,
    node::{Entry, Node, NodeHash, Root},
    path::{DEPTH_MAX, Path},
    tuple::StateTuple,
};

/// Encoded bytes of all nodes held; a map of 100,000 members takes 11 MB.
pub const WORKING_SET_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What to change in a state map: the new event, or `None` to remove the entry.
pub type Changes = BTreeMap<StateTuple, Option<EventHash>>;

/// Why a state could not be read or changed in memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// These nodes are not in the working set: gather them, then do the same again.
    #[error("{} state nodes are not in memory; gather them first", .0.len())]
    Missing(Vec<NodeHash>),
    /// Beyond [`WORKING_SET_BYTES_MAX`]: write what is kept, [`WorkingSet::shrink`], gather again.
    #[error("the working set holds more than {WORKING_SET_BYTES_MAX} bytes of state")]
    Full,
    /// More entries differ than the caller can take: go through pages instead.
    #[error("the states differ in more than {0} entries")]
    TooMany(usize),
    /// The nodes could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Nodes in memory: those read from storage, and those made here and not yet written.
#[derive(Debug, Clone, Default)]
pub struct WorkingSet {
    held: BTreeMap<NodeHash, Held>,
    /// Those of them that are not stored.
    fresh: BTreeSet<NodeHash>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Held {
    node: Arc<Node>,
    bytes: Bytes,
}

impl WorkingSet {
    /// Holds nothing, so that only [`Root::EMPTY`] can be read.
    pub fn new() -> Self {
        Self::default()
    }

    /// The event that the state map has for the tuple.
    pub fn get(&self, root: Root, tuple: &StateTuple) -> Result<Option<EventHash>, StateError> {
        let path = tuple.path();
        let mut at = root.node();
        for depth in 0..=DEPTH_MAX {
            let Some(hash) = at else { break };
            match &*self.require(hash)? {
                Node::Leaf(entries) => return Ok(find(entries, tuple)),
                Node::Inner(inner) => at = inner.children[path.digit(depth)],
            }
        }
        Ok(None)
    }

    /// The state map with one entry set.
    pub fn set(
        &mut self,
        root: Root,
        tuple: StateTuple,
        event: EventHash,
    ) -> Result<Root, StateError> {
        self.apply(root, &Changes::from([(tuple, Some(event))]))
    }

    /// The state map with these changes. Names all missing nodes on the way at once.
    pub fn apply(&mut self, root: Root, changes: &Changes) -> Result<Root, StateError> {
        if self.bytes > WORKING_SET_BYTES_MAX {
            return Err(StateError::Full);
        }
        Edit::apply(self, root, changes)
    }

    /// How many entries the state map has.
    pub fn len(&self, root: Root) -> Result<usize, StateError> {
        let Some(hash) = root.node() else {
            return Ok(0);
        };
        let entries = self.require(hash)?.size().entries;
        Ok(usize::try_from(entries).unwrap_or_default())
    }

    /// What turns `before` into `after`, at most `limit` entries.
    pub fn diff(&self, before: Root, after: Root, limit: usize) -> Result<Vec<Change>, StateError> {
        let mut diff = Diff::new(before, after, Path::FIRST, limit.saturating_add(1));
        match diff.advance(&mut |hash| self.node(hash))? {
            Progress::Wants(missing) => Err(StateError::Missing(missing)),
            Progress::Done(page) if page.changes.len() > limit => Err(StateError::TooMany(limit)),
            Progress::Done(page) => Ok(page.changes),
        }
    }

    /// The whole state map, at most `limit` entries.
    pub fn entries(&self, root: Root, limit: usize) -> Result<Vec<Entry>, StateError> {
        let changes = self.diff(Root::EMPTY, root, limit)?;
        Ok(changes.into_iter().filter_map(Change::entry).collect())
    }

    /// The new nodes that these roots need, as they are to be stored. They count as stored from
    /// here on, and new nodes that none of the roots needs are dropped: the roots are all that the
    /// plan keeps. If the commit that stores them fails, drop the working set.
    pub fn take_writes(&mut self, roots: &[Root]) -> Vec<(NodeHash, Bytes)> {
        let mut writes = BTreeMap::new();
        let mut pending: Vec<NodeHash> = roots.iter().filter_map(|root| root.node()).collect();
        while let Some(hash) = pending.pop() {
            if !self.fresh.remove(&hash) {
                continue;
            }
            if let Some(held) = self.held.get(&hash) {
                pending.extend(held.node.children());
                writes.insert(hash, held.bytes.clone());
            }
        }
        for unneeded in std::mem::take(&mut self.fresh) {
            self.drop_node(unneeded);
        }
        writes.into_iter().collect()
    }

    /// Drops the nodes that are stored if all together take more than `bytes_max`. For between
    /// plans: what the next one needs is gathered again.
    pub fn shrink(&mut self, bytes_max: usize) {
        if self.bytes > bytes_max {
            let fresh = &self.fresh;
            self.held.retain(|hash, _| fresh.contains(hash));
            self.bytes = self.held.values().map(|held| held.bytes.len()).sum();
        }
    }

    /// Encoded bytes of all nodes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in a node read from storage.
    pub(crate) fn load(&mut self, hash: NodeHash, bytes: Bytes) -> Result<(), StateError> {
        if self.bytes > WORKING_SET_BYTES_MAX {
            return Err(StateError::Full);
        }
        let node = Node::decode(&bytes)?;
        if NodeHash::of(&bytes) != hash {
            let wrong = ReadError::corrupt("a node's bytes do not have its hash");
            return Err(wrong.within("state_node").into());
        }
        self.fresh.remove(&hash);
        self.hold(hash, node, bytes);
        Ok(())
    }

    /// Says that these nodes may not be stored any more: plans that keep them write them anew.
    pub(super) fn unstore(&mut self, gone: impl Fn(&NodeHash) -> bool) {
        let gone = self.held.keys().filter(|hash| gone(hash));
        self.fresh.extend(gone);
    }

    pub(super) fn node(&self, hash: NodeHash) -> Option<Arc<Node>> {
        self.held.get(&hash).map(|held| Arc::clone(&held.node))
    }

    /// Takes in a node made here.
    pub(super) fn insert(&mut self, node: Node) -> NodeHash {
        let bytes = Bytes::from(node.encode());
        let hash = NodeHash::of(&bytes);
        if self.hold(hash, node, bytes) {
            self.fresh.insert(hash);
        }
        hash
    }

    /// Whether the node was not held before.
    fn hold(&mut self, hash: NodeHash, node: Node, bytes: Bytes) -> bool {
        let btree_map::Entry::Vacant(vacant) = self.held.entry(hash) else {
            return false;
        };
        self.bytes += bytes.len();
        let node = Arc::new(node);
        vacant.insert(Held { node, bytes });
        true
    }

    fn drop_node(&mut self, hash: NodeHash) {
        if let Some(held) = self.held.remove(&hash) {
            self.bytes -= held.bytes.len();
        }
    }

    fn require(&self, hash: NodeHash) -> Result<Arc<Node>, StateError> {
        self.node(hash)
            .ok_or_else(|| StateError::Missing(vec![hash]))
    }
}

fn find(entries: &[Entry], tuple: &StateTuple) -> Option<EventHash> {
    let at = entries.binary_search_by(|entry| entry.tuple.cmp(tuple));
    at.ok()
        .and_then(|at| entries.get(at))
        .map(|entry| entry.event)
}

/// Merges what several plans miss, each node once.
pub(super) fn merge_missing(missing: BTreeSet<NodeHash>) -> StateError {
    StateError::Missing(missing.into_iter().collect())
}
