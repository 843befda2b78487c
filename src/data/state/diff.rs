//! What differs between two states, in the order of their paths, a page at a time.
//!
//! Exists so that comparing states costs their difference: equal subtrees have equal hashes and
//! are not looked into. Enumerating a state is comparing it with the empty one. Knows no storage:
//! whoever drives it looks nodes up.

use std::sync::Arc;

use belfry_event::EventHash;
use belfry_kv::ReadError;

use super::{
    node::{Entry, Node, NodeHash, Root},
    path::{DEPTH_MAX, FANOUT, Path, Prefix},
    tuple::StateTuple,
};

/// How many nodes are wanted at once, at most: enough for one round trip, few enough to hold.
const WANTED_MAX: usize = 256;

/// How far ahead missing nodes are looked for, at most.
const AHEAD_MAX: usize = 4 * WANTED_MAX;

/// One entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Type and state key.
    pub tuple: StateTuple,
    /// What the first state has.
    pub before: Option<EventHash>,
    /// What the second state has.
    pub after: Option<EventHash>,
}

impl Change {
    /// The entry of the second state, if it has one.
    pub fn entry(self) -> Option<Entry> {
        let tuple = self.tuple;
        self.after.map(|event| Entry { tuple, event })
    }
}

/// A run of differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffPage {
    /// At least as many as asked for if there are more, whole leaves at a time.
    pub changes: Vec<Change>,
    /// Where to go on; `None` if these were the last.
    pub next: Option<Path>,
}

/// One of the two states below some prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Node(NodeHash),
    Loaded(Arc<Node>),
    /// What a leaf higher up holds here; maybe nothing.
    Entries(Vec<Entry>),
}

impl Side {
    const EMPTY: Self = Self::Entries(Vec::new());

    fn new(node: Option<NodeHash>) -> Self {
        node.map_or(Self::EMPTY, Self::Node)
    }

    fn load(&mut self, lookup: Lookup<'_>) {
        if let Self::Node(hash) = self
            && let Some(node) = lookup(*hash)
        {
            *self = Self::Loaded(node);
        }
    }

    fn missing(&self) -> Option<NodeHash> {
        match self {
            Self::Node(hash) => Some(*hash),
            Self::Loaded(_) | Self::Entries(_) => None,
        }
    }

    /// Its entries, unless it is an inner node.
    fn entries(&self) -> Option<&[Entry]> {
        match self {
            Self::Entries(entries) => Some(entries),
            Self::Loaded(node) => match &**node {
                Node::Leaf(entries) => Some(entries),
                Node::Inner(_) => None,
            },
            Self::Node(_) => None,
        }
    }

    fn split(&self, depth: usize) -> [Self; FANOUT] {
        if let Self::Loaded(node) = self
            && let Node::Inner(inner) = &**node
        {
            return inner.children.map(Self::new);
        }
        let mut parts = [const { Vec::new() }; FANOUT];
        for entry in self.entries().unwrap_or_default() {
            parts[entry.tuple.path().digit(depth)].push(entry.clone());
        }
        parts.map(Self::Entries)
    }
}

struct Pair {
    at: Prefix,
    before: Side,
    after: Side,
}

impl Pair {
    /// Whether both sides are at hand now.
    fn load(&mut self, lookup: Lookup<'_>) -> bool {
        self.before.load(lookup);
        self.after.load(lookup);
        self.missing().next().is_none()
    }

    fn missing(&self) -> impl Iterator<Item = NodeHash> {
        let sides = [&self.before, &self.after];
        sides.into_iter().filter_map(Side::missing)
    }

    fn entries(&self) -> Option<(&[Entry], &[Entry])> {
        self.before.entries().zip(self.after.entries())
    }

    /// Refuses a leaf whose entries belong elsewhere, which would be missed or found twice.
    fn in_place(&self) -> Result<(), ReadError> {
        let leaves = [self.before.entries(), self.after.entries()];
        let mut entries = leaves.into_iter().flatten().flatten();
        if entries.any(|entry| !self.at.holds(entry.tuple.path())) || self.at.depth > DEPTH_MAX {
            return Err(ReadError::corrupt("a node is in the wrong place").within("state_node"));
        }
        Ok(())
    }
}

/// A comparison under way: what is left to look at, the next on top.
pub(super) struct Diff {
    stack: Vec<Pair>,
    from: Path,
    enough: usize,
    changes: Vec<Change>,
}

pub(super) enum Progress {
    /// Look these up, then go on.
    Wants(Vec<NodeHash>),
    Done(DiffPage),
}

type Lookup<'l> = &'l mut dyn FnMut(NodeHash) -> Option<Arc<Node>>;

impl Diff {
    /// Differences at `from` and behind it, until there are `enough`.
    pub(super) fn new(before: Root, after: Root, from: Path, enough: usize) -> Self {
        let mut diff = Self {
            stack: Vec::new(),
            from,
            enough,
            changes: Vec::new(),
        };
        let sides = (Side::new(before.node()), Side::new(after.node()));
        diff.push(Prefix::ROOT, sides.0, sides.1);
        diff
    }

    /// Goes on until the page is full or a node is missing.
    pub(super) fn advance(&mut self, lookup: Lookup<'_>) -> Result<Progress, ReadError> {
        while self.changes.len() < self.enough {
            let Some(mut pair) = self.stack.pop() else {
                break;
            };
            if !pair.load(lookup) {
                self.stack.push(pair);
                return self.widen(lookup).map(Progress::Wants);
            }
            self.compare(&pair)?;
        }
        Ok(Progress::Done(DiffPage {
            changes: std::mem::take(&mut self.changes),
            next: self.stack.last().map(|pair| pair.at.first),
        }))
    }

    fn push(&mut self, at: Prefix, before: Side, after: Side) {
        if before != after && !at.is_before(self.from) {
            self.stack.push(Pair { at, before, after });
        }
    }

    /// Looks ahead for the missing nodes that come first, descending where it can already.
    fn widen(&mut self, lookup: Lookup<'_>) -> Result<Vec<NodeHash>, ReadError> {
        let (mut wanted, mut ahead) = (Vec::new(), Vec::new());
        while wanted.len() < WANTED_MAX && ahead.len() < AHEAD_MAX {
            let Some(mut pair) = self.stack.pop() else {
                break;
            };
            if pair.load(lookup) && pair.entries().is_none() {
                self.compare(&pair)?;
            } else {
                wanted.extend(pair.missing());
                ahead.push(pair);
            }
        }
        self.stack.extend(ahead.into_iter().rev());
        Ok(wanted)
    }

    fn compare(&mut self, pair: &Pair) -> Result<(), ReadError> {
        pair.in_place()?;
        match pair.entries() {
            Some((before, after)) => compare_entries(before, after, &mut self.changes),
            None => self.descend(pair),
        }
        Ok(())
    }

    fn descend(&mut self, pair: &Pair) {
        let depth = pair.at.depth;
        let sides = pair
            .before
            .split(depth)
            .into_iter()
            .zip(pair.after.split(depth));
        for (digit, (before, after)) in sides.enumerate().rev() {
            self.push(pair.at.child(digit), before, after);
        }
    }
}

/// Both sorted by tuple.
fn compare_entries(before: &[Entry], after: &[Entry], changes: &mut Vec<Change>) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    while let Some(tuple) = first_tuple(before.peek(), after.peek()) {
        let event = |entry: &Entry| entry.event;
        let change = Change {
            before: before.next_if(|entry| entry.tuple == tuple).map(event),
            after: after.next_if(|entry| entry.tuple == tuple).map(event),
            tuple,
        };
        if change.before != change.after {
            changes.push(change);
        }
    }
}

fn first_tuple(before: Option<&&Entry>, after: Option<&&Entry>) -> Option<StateTuple> {
    let tuples = before.into_iter().chain(after).map(|entry| &entry.tuple);
    tuples.min().cloned()
}
