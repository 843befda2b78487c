//! Reading state trees of one room from a snapshot: into a working set, or in pages.
//!
//! Exists so that planning stays pure. One round trip a level, for however many tuples and roots
//! are asked; nothing here reads a whole large state unless the caller goes through its pages.
//! Knows no event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belfry_kv::{ReadError, Snapshot};
use ruma_common::RoomId;

use super::{
    diff::{Change, Diff, DiffPage, Progress},
    node::{Entry, Node, NodeHash, Root},
    path::Path,
    tuple::StateTuple,
    working::{Changes, StateError, WorkingSet},
};
use crate::{
    column::RoomKey,
    tables::{STATE_NODE, StateNode},
};

/// Round trips of one gathering; a level takes one, and a tree of sensible names has few.
pub const GATHER_ROUNDS_MAX: usize = 256;

/// Nodes asked for in one read.
pub(super) const LOAD_MAX: usize = 1_000;

/// A run of a state map's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePage {
    /// At least as many as asked for if there are more.
    pub entries: Vec<Entry>,
    /// Where to go on, also on a later snapshot; `None` if these were the last.
    pub next: Option<Path>,
}

/// The state trees of one room on one snapshot.
#[derive(Clone)]
pub struct StateReader<'s> {
    snapshot: &'s dyn Snapshot,
    room: RoomKey,
}

impl<'s> StateReader<'s> {
    /// Reads the trees of this room.
    pub fn new(snapshot: &'s dyn Snapshot, room: &RoomId) -> Self {
        Self::of_key(snapshot, RoomKey::from(room))
    }

    pub(crate) fn of_key(snapshot: &'s dyn Snapshot, room: RoomKey) -> Self {
        Self { snapshot, room }
    }

    /// Takes these nodes into the working set. A node that is not stored is damage: roots name
    /// only what was committed with them or before.
    pub async fn load(&self, set: &mut WorkingSet, nodes: &[NodeHash]) -> Result<(), StateError> {
        for chunk in nodes.chunks(LOAD_MAX) {
            for (hash, node) in self.read(chunk).await? {
                set.load(hash, node.0)?;
            }
        }
        Ok(())
    }

    /// Takes in what [`WorkingSet::get`] and [`WorkingSet::set`] need for every one of these
    /// tuples in every one of these states.
    pub async fn gather(
        &self,
        set: &mut WorkingSet,
        roots: &[Root],
        tuples: &[StateTuple],
    ) -> Result<(), StateError> {
        self.until_known(set, |set| missing(set, roots, tuples))
            .await
    }

    /// [`WorkingSet::apply`], gathering what it needs.
    pub async fn apply(
        &self,
        set: &mut WorkingSet,
        root: Root,
        changes: &Changes,
    ) -> Result<Root, StateError> {
        self.until_known(set, |set| set.apply(root, changes)).await
    }

    /// [`WorkingSet::diff`], gathering what it needs.
    pub async fn diff(
        &self,
        set: &mut WorkingSet,
        before: Root,
        after: Root,
        limit: usize,
    ) -> Result<Vec<Change>, StateError> {
        self.until_known(set, |set| set.diff(before, after, limit))
            .await
    }

    /// Differences from `from` on, about `limit` of them. Holds no more than it is about to look
    /// at, whatever the states' size.
    pub async fn diff_page(
        &self,
        before: Root,
        after: Root,
        from: Path,
        limit: usize,
    ) -> Result<DiffPage, StateError> {
        let mut diff = Diff::new(before, after, from, limit.max(1));
        let mut nodes = BTreeMap::new();
        loop {
            match diff.advance(&mut |hash| nodes.get(&hash).cloned())? {
                Progress::Done(page) => return Ok(page),
                Progress::Wants(wanted) => nodes = self.decoded(&wanted).await?,
            }
        }
    }

    /// Entries from `from` on, about `limit` of them.
    pub async fn page(
        &self,
        root: Root,
        from: Path,
        limit: usize,
    ) -> Result<StatePage, StateError> {
        let page = self.diff_page(Root::EMPTY, root, from, limit).await?;
        Ok(StatePage {
            entries: page.changes.into_iter().filter_map(Change::entry).collect(),
            next: page.next,
        })
    }

    /// Tries, gathers what was missing, and tries again.
    async fn until_known<T>(
        &self,
        set: &mut WorkingSet,
        mut attempt: impl FnMut(&mut WorkingSet) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        for _ in 0..GATHER_ROUNDS_MAX {
            match attempt(set) {
                Err(StateError::Missing(nodes)) => self.load(set, &nodes).await?,
                settled => return settled,
            }
        }
        Err(ReadError::TooLarge.into())
    }

    async fn decoded(
        &self,
        nodes: &[NodeHash],
    ) -> Result<BTreeMap<NodeHash, Arc<Node>>, StateError> {
        let rows = self.read(nodes).await?.into_iter();
        let nodes = rows.map(|(hash, row)| Ok((hash, Arc::new(Node::decode(&row.0)?))));
        nodes.collect()
    }

    pub(super) async fn read(
        &self,
        nodes: &[NodeHash],
    ) -> Result<Vec<(NodeHash, StateNode)>, StateError> {
        let keys: Vec<_> = nodes
            .iter()
            .map(|hash| (self.room.clone(), hash.0))
            .collect();
        let rows = STATE_NODE.get_many(self.snapshot, &keys).await?;
        let found = nodes.iter().zip(rows).map(|(hash, row)| match row {
            Some(node) => Ok((*hash, node)),
            None => Err(not_stored(*hash)),
        });
        found.collect()
    }
}

fn not_stored(hash: NodeHash) -> StateError {
    let what = format!("state_node: {hash:?} is referred to and not stored");
    ReadError::Corrupt(what).into()
}

fn missing(set: &WorkingSet, roots: &[Root], tuples: &[StateTuple]) -> Result<(), StateError> {
    let mut missing = BTreeSet::new();
    for root in roots {
        for tuple in tuples {
            match set.get(*root, tuple) {
                Err(StateError::Missing(nodes)) => missing.extend(nodes),
                settled => _ = settled?,
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(StateError::Missing(missing.into_iter().collect()))
    }
}
