//! Changing a state tree: new nodes along the changed paths, everything else shared.
//!
//! Exists to keep the one rule of the shape (a subtree is a leaf if its entries fit) in one place.
//! Knows no storage.

use std::collections::{BTreeMap, BTreeSet};

use belfry_event::EventHash;

use super::{
    node::{Entry, Inner, Node, NodeHash, Root, Size},
    path::{DEPTH_MAX, FANOUT, Path},
    tuple::StateTuple,
    working::{Changes, StateError, WorkingSet, merge_missing},
};

/// One edit under way. Once a node is missing the result counts for nothing, but the edit goes on
/// so that all missing nodes are named together.
pub(super) struct Edit<'s> {
    set: &'s mut WorkingSet,
    missing: BTreeSet<NodeHash>,
}

/// A change and where it belongs.
struct Placed<'c> {
    path: Path,
    tuple: &'c StateTuple,
    event: Option<EventHash>,
}

/// A subtree after the edit, and by how much it grew.
struct Edited {
    hash: Option<NodeHash>,
    grown: Size,
}

impl Edit<'_> {
    pub(super) fn apply(
        set: &mut WorkingSet,
        root: Root,
        changes: &Changes,
    ) -> Result<Root, StateError> {
        let mut edit = Edit {
            set,
            missing: BTreeSet::new(),
        };
        let edited = edit.subtree(root.node(), 0, &place(changes));
        if edit.missing.is_empty() {
            Ok(Root::from(edited.hash))
        } else {
            Err(merge_missing(edit.missing))
        }
    }

    fn subtree(&mut self, at: Option<NodeHash>, depth: usize, changes: &[Placed<'_>]) -> Edited {
        let Some(hash) = at else {
            return self.fill(&[], depth, changes);
        };
        let Some(node) = self.set.node(hash) else {
            self.missing.insert(hash);
            return Edited {
                hash: at,
                grown: Size::default(),
            };
        };
        match &*node {
            Node::Leaf(entries) => self.fill(entries, depth, changes),
            Node::Inner(inner) => self.descend(inner, depth, changes),
        }
    }

    /// Changes a subtree whose entries are all known.
    fn fill(&mut self, entries: &[Entry], depth: usize, changes: &[Placed<'_>]) -> Edited {
        let before = Size::of(entries);
        let entries = merge(entries, changes);
        let grown = Size::of(&entries).subtract(before);
        Edited {
            hash: self.build(entries, depth),
            grown,
        }
    }

    fn descend(&mut self, inner: &Inner, depth: usize, changes: &[Placed<'_>]) -> Edited {
        let mut next = inner.clone();
        let mut grown = Size::default();
        let same_child =
            |a: &Placed<'_>, b: &Placed<'_>| a.path.digit(depth) == b.path.digit(depth);
        for run in changes.chunk_by(same_child) {
            let child = &mut next.children[run[0].path.digit(depth)];
            let edited = self.subtree(*child, depth + 1, run);
            *child = edited.hash;
            grown = grown.add(edited.grown);
        }
        next.size = next.size.add(grown);
        Edited {
            hash: self.close(next, depth),
            grown,
        }
    }

    /// An inner node, or the leaf that it shrank to.
    fn close(&mut self, inner: Inner, depth: usize) -> Option<NodeHash> {
        if !inner.size.fits_a_leaf() {
            return Some(self.set.insert(Node::Inner(inner)));
        }
        let mut entries = Vec::new();
        self.collect(&Node::Inner(inner), &mut entries);
        entries.sort_by(|a, b| a.tuple.cmp(&b.tuple));
        self.build(entries, depth)
    }

    fn collect(&mut self, node: &Node, into: &mut Vec<Entry>) {
        if let Node::Leaf(entries) = node {
            into.extend_from_slice(entries);
        }
        for child in node.children() {
            match self.set.node(child) {
                Some(child) => self.collect(&child, into),
                None => _ = self.missing.insert(child),
            }
        }
    }

    fn build(&mut self, entries: Vec<Entry>, depth: usize) -> Option<NodeHash> {
        if entries.is_empty() {
            None
        } else if Size::of(&entries).fits_a_leaf() {
            Some(self.set.insert(Node::Leaf(entries)))
        } else {
            let placed = entries.into_iter().map(|entry| (entry.tuple.path(), entry));
            Some(self.split(placed.collect(), depth))
        }
    }

    fn split(&mut self, placed: Vec<(Path, Entry)>, depth: usize) -> NodeHash {
        let size = Size::of(placed.iter().map(|(_, entry)| entry));
        if size.fits_a_leaf() || depth >= DEPTH_MAX {
            let entries = placed.into_iter().map(|(_, entry)| entry).collect();
            return self.set.insert(Node::Leaf(entries));
        }
        let mut parts = [const { Vec::new() }; FANOUT];
        for (path, entry) in placed {
            parts[path.digit(depth)].push((path, entry));
        }
        let children = parts.map(|part| (!part.is_empty()).then(|| self.split(part, depth + 1)));
        self.set.insert(Node::Inner(Inner { children, size }))
    }
}

fn place(changes: &Changes) -> Vec<Placed<'_>> {
    let mut placed: Vec<_> = changes
        .iter()
        .map(|(tuple, event)| Placed {
            path: tuple.path(),
            tuple,
            event: *event,
        })
        .collect();
    placed.sort_by_key(|change| change.path);
    placed
}

fn merge(entries: &[Entry], changes: &[Placed<'_>]) -> Vec<Entry> {
    let mut merged: BTreeMap<_, _> = entries
        .iter()
        .map(|entry| (&entry.tuple, entry.event))
        .collect();
    for change in changes {
        match change.event {
            Some(event) => merged.insert(change.tuple, event),
            None => merged.remove(change.tuple),
        };
    }
    let entry = |(tuple, event): (&StateTuple, _)| Entry {
        tuple: tuple.clone(),
        event,
    };
    merged.into_iter().map(entry).collect()
}
