//! What other representations of states would cost, in bytes: trees of other shapes, and chains of
//! deltas. The numbers of `docs/adr/0004-state-representation.md`.
//!
//! Run with `cargo bench -p belfry-data --bench state_model`. A model only counts what would be
//! written; it knows nothing of the real tree but the size of its entries.

use std::rc::Rc;

use sha2::{Digest, Sha256};

const MEMBERS: usize = 100_000;
/// Tag, a room ID of version 12, its end.
const KEY: usize = 1 + 44 + 1;

type Path = [u8; 32];

#[derive(Clone)]
struct Entry {
    path: Path,
    bytes: usize,
}

fn entry(number: usize) -> Entry {
    let key = format!("@user{number}:city{}.example.org", number % 50);
    Entry {
        path: Sha256::digest(format!("\x0dm.room.member{key}")).into(),
        bytes: 1 + 1 + key.len() + 32,
    }
}

fn main() {
    let entries: Vec<_> = (0..MEMBERS).map(entry).collect();
    println!("trees: bits a level, leaf bytes, hash bytes | 100,000 joins: MB | 100,000 members:");
    println!("MB, nodes, mean depth | 10,000 forks: MB | a change at 10, 100 ... members: bytes");
    for bits in [1, 2, 3, 4, 5, 6] {
        for leaf in [256, 512, 768, 1024, 2048, 3840] {
            Shape {
                bits,
                leaf,
                hash: 20,
            }
            .report(&entries);
        }
    }
    for hash in [16, 32] {
        for bits in [3, 4] {
            Shape {
                bits,
                leaf: 768,
                hash,
            }
            .report(&entries);
        }
    }
    println!("delta chains: lengths | 100,000 joins: MB, the largest commit KB | reads for one");
    println!("entry: mean, most | 10,000 forks: MB");
    for lengths in [
        &[100][..],
        &[100, 50, 25],
        &[32, 32, 32],
        &[10, 10, 10, 10, 10],
    ] {
        Chains::new(lengths).report();
    }
}

enum Node {
    Leaf(Vec<Entry>),
    Inner(Vec<Option<Rc<Node>>>, usize),
}

impl Node {
    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.iter().map(|entry| entry.bytes).sum(),
            Self::Inner(_, bytes) => *bytes,
        }
    }
}

/// Of a tree.
struct Shape {
    bits: usize,
    leaf: usize,
    hash: usize,
}

#[derive(Default)]
struct Written {
    nodes: usize,
    bytes: usize,
}

impl Shape {
    fn digit(&self, path: &Path, depth: usize) -> usize {
        let bits = depth * self.bits..(depth + 1) * self.bits;
        bits.fold(0, |digit, bit| {
            digit << 1 | usize::from(path[bit / 8] >> (7 - bit % 8) & 1)
        })
    }

    fn write(&self, node: Node, written: &mut Written) -> Rc<Node> {
        let value = match &node {
            Node::Leaf(_) => 4 + node.bytes(),
            Node::Inner(children, _) => {
                let present = (1_usize << self.bits).div_ceil(8);
                10 + present + children.iter().flatten().count() * self.hash
            }
        };
        written.nodes += 1;
        written.bytes += KEY + self.hash + value;
        Rc::new(node)
    }

    fn build(&self, entries: Vec<Entry>, depth: usize, written: &mut Written) -> Rc<Node> {
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        if bytes <= self.leaf {
            return self.write(Node::Leaf(entries), written);
        }
        let mut parts = vec![Vec::new(); 1 << self.bits];
        for entry in entries {
            parts[self.digit(&entry.path, depth)].push(entry);
        }
        let child = |part: Vec<Entry>| {
            let full = !part.is_empty();
            full.then(|| self.build(part, depth + 1, written))
        };
        let children = parts.into_iter().map(child).collect();
        self.write(Node::Inner(children, bytes), written)
    }

    fn set(&self, node: &Node, entry: &Entry, depth: usize, written: &mut Written) -> Rc<Node> {
        let Node::Inner(children, _) = node else {
            return self.set_in_leaf(node, entry, depth, written);
        };
        let (mut children, digit) = (children.clone(), self.digit(&entry.path, depth));
        children[digit] = Some(match &children[digit] {
            Some(child) => self.set(child, entry, depth + 1, written),
            None => self.write(Node::Leaf(vec![entry.clone()]), written),
        });
        let bytes = children.iter().flatten().map(|child| child.bytes()).sum();
        self.write(Node::Inner(children, bytes), written)
    }

    fn set_in_leaf(
        &self,
        node: &Node,
        entry: &Entry,
        depth: usize,
        written: &mut Written,
    ) -> Rc<Node> {
        let mut entries = match node {
            Node::Leaf(entries) => entries.clone(),
            Node::Inner(..) => Vec::new(),
        };
        entries.retain(|old| old.path != entry.path);
        entries.push(entry.clone());
        self.build(entries, depth, written)
    }

    fn depth(&self, node: &Node, path: &Path, depth: usize) -> usize {
        match node {
            Node::Leaf(_) => depth + 1,
            Node::Inner(children, _) => match &children[self.digit(path, depth)] {
                Some(child) => self.depth(child, path, depth + 1),
                None => depth + 1,
            },
        }
    }

    fn report(&self, entries: &[Entry]) {
        let (mut joins, mut root) = (Written::default(), Rc::new(Node::Leaf(Vec::new())));
        let mut changes = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            root = self.set(&root, entry, 0, &mut joins);
            if [10, 100, 1_000, 10_000, 100_000].contains(&(number + 1)) {
                changes.push(self.change(&root, &entries[..=number]));
            }
        }
        let (mut map, mut forks) = (Written::default(), Written::default());
        self.build(entries.to_vec(), 0, &mut map);
        for entry in entries.iter().step_by(10) {
            self.set(&root, entry, 0, &mut forks);
        }
        let sample = entries.iter().step_by(100);
        let depth: usize = sample.map(|entry| self.depth(&root, &entry.path, 0)).sum();
        println!(
            "{} {:4} {} | {} | {} {:6} {} | {} | {changes:?}",
            self.bits,
            self.leaf,
            self.hash,
            mega(joins.bytes),
            mega(map.bytes),
            map.nodes,
            hundredths(depth * 100 / (entries.len() / 100)),
            mega(forks.bytes),
        );
    }

    /// Mean bytes of a change.
    fn change(&self, root: &Node, entries: &[Entry]) -> usize {
        let mut written = Written::default();
        let sample = entries.len().min(1_000);
        for entry in &entries[..sample] {
            self.set(root, entry, 0, &mut written);
        }
        written.bytes / sample
    }
}

/// A state is stored as what differs from an earlier one, or whole when the chains of every level
/// are full: Synapse's groups with one level of 100, its compressor's with 100, 50, 25.
struct Chains<'l> {
    lengths: &'l [usize],
    /// Of each level, the last state and how long its chain is.
    levels: Vec<(usize, usize)>,
    /// The state that each one is stored by; 0 for whole ones.
    base: Vec<usize>,
    rows: usize,
    largest: usize,
}

/// Tag, room, group, type, state key, their ends; row version, hash.
const DELTA_ROW: usize = KEY + 8 + 14 + 27 + 1 + 32;
const GROUP_ROW: usize = KEY + 8 + 1 + 8;

impl<'l> Chains<'l> {
    fn new(lengths: &'l [usize]) -> Self {
        Self {
            lengths,
            levels: vec![(0, usize::MAX); lengths.len()],
            base: vec![0],
            rows: 0,
            largest: 0,
        }
    }

    fn join(&mut self, state: usize) {
        let mut levels = self.levels.iter().zip(self.lengths);
        let level = levels.position(|((_, length), most)| length < most);
        let base = level.map_or(0, |level| self.levels[level].0);
        self.base.push(base);
        self.rows += state - base;
        self.largest = self.largest.max(state - base);
        let upto = level.unwrap_or(self.lengths.len());
        for below in &mut self.levels[..upto] {
            *below = (state, 0);
        }
        if let Some(level) = level {
            self.levels[level] = (state, self.levels[level].1 + 1);
        }
    }

    /// Groups that are read to find a member in a state.
    fn reads(&self, mut state: usize, member: usize) -> usize {
        let mut reads = 1;
        while self.base[state] != 0 && self.base[state] >= member {
            state = self.base[state];
            reads += 1;
        }
        reads
    }

    fn report(mut self) {
        (1..=MEMBERS).for_each(|state| self.join(state));
        let pairs = (0..20_000_usize).map(|number| {
            let state = number * 7_919 % MEMBERS + 1;
            self.reads(state, number * 104_729 % state + 1)
        });
        let reads: Vec<_> = pairs.collect();
        println!(
            "{:?} | {} {} KB | {} {:?} | {}",
            self.lengths,
            mega(self.rows * DELTA_ROW + MEMBERS * GROUP_ROW),
            self.largest * DELTA_ROW / 1_000,
            hundredths(reads.iter().sum::<usize>() * 100 / reads.len()),
            reads.iter().max(),
            mega(10_000 * (DELTA_ROW + GROUP_ROW)),
        );
    }
}

fn mega(bytes: usize) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10)
}

fn hundredths(number: usize) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}
