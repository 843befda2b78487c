//! Finding the nodes of a room's state trees that no root needs any more: mark, then sweep.
//!
//! Exists because states go away (retention, joins given up) while their nodes may be shared with
//! states that stay. Runs in steps in the room's worker, between its commits. Knows no event: the
//! worker names the roots that stay.
//!
//! What makes it safe while the worker goes on planning: the worker gives every root that it
//! commits to [`Sweep::retain`]; a step deletes nothing as long as a retained root has unmarked
//! nodes; the deleting commit carries the head check, so that what another process committed
//! stops it; and nodes that a plan still holds count as new after a step deleted them, so that the
//! plan's commit writes them again.

use std::collections::BTreeSet;

use belfry_kv::{Commit, Direction, PAGE_ROWS_MAX, Range, ReadError, Snapshot};
use ruma_common::RoomId;

use super::{
    gather::{LOAD_MAX, StateReader},
    node::{Node, NodeHash, Root},
    working::{StateError, WorkingSet},
};
use crate::{column::RoomKey, tables::STATE_NODE};

/// Nodes that can be marked: what a million state changes make, and some 100 MB of memory.
pub const MARKS_MAX: usize = 4_000_000;

/// Why a sweep cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// More than [`MARKS_MAX`] nodes are in use; the room stays as it is.
    #[error("the room has more than {MARKS_MAX} state nodes in use; it is left as it is")]
    TooLarge,
    /// The nodes could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A node in use is damaged or missing.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What a step did.
#[derive(Debug, PartialEq, Eq)]
pub enum SweepStep {
    /// Marked some; go on.
    Marked,
    /// Looked through some rows; these deletions were added to the commit. Go on once it applied.
    Swept {
        /// Nodes deleted.
        deleted: usize,
    },
    /// Nothing is left to do.
    Done,
}

/// A sweep of one room under way.
#[derive(Debug)]
pub struct Sweep {
    room: RoomKey,
    marked: BTreeSet<NodeHash>,
    /// Marked, but their children are not yet.
    pending: Vec<NodeHash>,
    rest: Option<Range>,
}

impl Sweep {
    /// Starts with no root retained: give all of them to [`Self::retain`] before the first step
    /// that could delete, which is the one after every retained root is marked.
    pub fn new(room: &RoomId) -> Self {
        let room = RoomKey::from(room);
        let rest = Some(STATE_NODE.prefix(&(room.clone(),)));
        Self {
            room,
            marked: BTreeSet::new(),
            pending: Vec::new(),
            rest,
        }
    }

    /// These states stay: the head's, those before retained events, those of joins in progress,
    /// and from now on each that the worker commits, whenever it does.
    pub fn retain(&mut self, roots: impl IntoIterator<Item = Root>) -> Result<(), SweepError> {
        for root in roots {
            self.mark(root.node())?;
        }
        Ok(())
    }

    /// How many nodes are known to be in use.
    pub fn marked(&self) -> usize {
        self.marked.len()
    }

    /// Marks or sweeps at most `nodes_max` nodes. The snapshot is newer than every commit whose
    /// roots were retained, or `set` holds their nodes. A non-empty `commit` must carry the head
    /// check and be sent before `set` is planned on again; if it fails, drop `set` and the sweep.
    pub async fn step(
        &mut self,
        snapshot: &dyn Snapshot,
        set: &mut WorkingSet,
        commit: &mut Commit,
        nodes_max: usize,
    ) -> Result<SweepStep, SweepError> {
        if !self.pending.is_empty() {
            return self.mark_some(snapshot, set, nodes_max).await;
        }
        match self.rest.take() {
            Some(range) => {
                self.sweep_some(snapshot, set, commit, range, nodes_max)
                    .await
            }
            None => Ok(SweepStep::Done),
        }
    }

    async fn mark_some(
        &mut self,
        snapshot: &dyn Snapshot,
        set: &WorkingSet,
        nodes_max: usize,
    ) -> Result<SweepStep, SweepError> {
        let some = nodes_max.clamp(1, LOAD_MAX);
        let split = self.pending.len().saturating_sub(some);
        let some = self.pending.split_off(split);
        let (held, stored): (Vec<_>, Vec<_>) =
            some.into_iter().partition(|hash| set.node(*hash).is_some());
        for node in held.into_iter().filter_map(|hash| set.node(hash)) {
            self.mark_children(&node)?;
        }
        let reader = StateReader::of_key(snapshot, self.room.clone());
        for (_, row) in reader.read(&stored).await? {
            self.mark_children(&Node::decode(&row.0)?)?;
        }
        Ok(SweepStep::Marked)
    }

    async fn sweep_some(
        &mut self,
        snapshot: &dyn Snapshot,
        set: &mut WorkingSet,
        commit: &mut Commit,
        range: Range,
        nodes_max: usize,
    ) -> Result<SweepStep, SweepError> {
        let page = STATE_NODE
            .scan(
                snapshot,
                range,
                Direction::Forward,
                nodes_max.clamp(1, PAGE_ROWS_MAX),
            )
            .await?;
        let stored = page.rows.iter().map(|((_, hash), _)| NodeHash(*hash));
        let garbage: Vec<_> = stored.filter(|hash| !self.marked.contains(hash)).collect();
        // All that is unmarked, not only this page's: a parent that goes with a later page must
        // not vouch for a child that goes with this one.
        set.unstore(|hash| !self.marked.contains(hash));
        for hash in &garbage {
            STATE_NODE.delete(commit, &(self.room.clone(), hash.0));
        }
        self.rest = page.rest;
        Ok(SweepStep::Swept {
            deleted: garbage.len(),
        })
    }

    fn mark_children(&mut self, node: &Node) -> Result<(), SweepError> {
        node.children().try_for_each(|child| self.mark(Some(child)))
    }

    fn mark(&mut self, node: Option<NodeHash>) -> Result<(), SweepError> {
        let Some(hash) = node else { return Ok(()) };
        if self.marked.insert(hash) {
            self.pending.push(hash);
        }
        if self.marked.len() > MARKS_MAX {
            Err(SweepError::TooLarge)
        } else {
            Ok(())
        }
    }
}
