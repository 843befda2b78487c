//! The nodes of state trees and their canonical bytes.
//!
//! Exists so that a node has exactly one encoding: its hash is its name. Knows no storage.

use std::fmt;

use belfry_event::{EventHash, HASH_BYTES};
use belfry_kv::ReadError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    path::FANOUT,
    tuple::{NAME_BYTES_MAX, StateTuple},
};

/// Bytes of a node's name: the head of its SHA-256. A collision, which would let whoever finds it
/// confuse one room on one server, costs 2^80 hashes.
pub const NODE_HASH_BYTES: usize = 20;
/// A subtree whose entries take no more than this is one leaf. Room for at least one entry.
pub const LEAF_BYTES_MAX: usize = 768;
/// No encoded node is longer.
pub const NODE_BYTES_MAX: usize = 4 * 1024;

const LEAF: u8 = 1;
const INNER: u8 = 2;
/// Stands for a type that has no code; its length and its bytes follow.
const SPELLED: u8 = 0;

/// Types that take one byte. Only ever append: the codes are part of every node's hash.
const TYPES: [&str; 21] = [
    "m.room.member",
    "m.room.create",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.server_acl",
    "m.room.tombstone",
    "m.room.pinned_events",
    "m.room.third_party_invite",
    "m.room.policy",
    "m.space.child",
    "m.space.parent",
    "org.matrix.msc3401.call.member",
    "im.vector.modular.widgets",
    "m.room.aliases",
];

/// The name of a node: the first [`NODE_HASH_BYTES`] of the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeHash(pub(crate) [u8; NODE_HASH_BYTES]);

impl NodeHash {
    /// The name of the node with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let mut name = [0; NODE_HASH_BYTES];
        name.copy_from_slice(&digest[..NODE_HASH_BYTES]);
        Self(name)
    }
}

impl fmt::Debug for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A whole state map: the name of its tree's root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Root(NodeHash);

impl Root {
    /// The map without entries; it has no node.
    pub const EMPTY: Self = Self(NodeHash([0; NODE_HASH_BYTES]));

    /// The root node; `None` for the empty map.
    pub fn node(self) -> Option<NodeHash> {
        (self != Self::EMPTY).then_some(self.0)
    }
}

impl From<Option<NodeHash>> for Root {
    fn from(node: Option<NodeHash>) -> Self {
        node.map_or(Self::EMPTY, Self)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Some(node) => node.fmt(f),
            None => f.write_str("empty"),
        }
    }
}

/// One entry of a state map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Type and state key.
    pub tuple: StateTuple,
    /// The state event.
    pub event: EventHash,
}

impl Entry {
    fn bytes(&self) -> usize {
        let spelled = match code(self.tuple.event_type()) {
            SPELLED => 1 + self.tuple.event_type().len(),
            _ => 0,
        };
        1 + spelled + 1 + self.tuple.state_key().len() + HASH_BYTES
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let code = code(self.tuple.event_type());
        out.push(code);
        if code == SPELLED {
            put_name(out, self.tuple.event_type());
        }
        put_name(out, self.tuple.state_key());
        out.extend_from_slice(self.event.as_bytes());
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, ReadError> {
        let event_type = match input.byte()? {
            SPELLED => input.spelled_type()?,
            code => named(code)?,
        };
        let state_key = input.name()?;
        let tuple = StateTuple::new(event_type, state_key);
        Ok(Self {
            tuple: tuple.map_err(|_| damaged("an entry's name is too long"))?,
            event: EventHash::from(input.array::<HASH_BYTES>()?),
        })
    }
}

fn code(event_type: &str) -> u8 {
    let at = TYPES.iter().position(|known| *known == event_type);
    at.and_then(|at| u8::try_from(at + 1).ok())
        .unwrap_or(SPELLED)
}

fn named(code: u8) -> Result<&'static str, ReadError> {
    TYPES
        .get(usize::from(code).wrapping_sub(1))
        .copied()
        .ok_or_else(|| damaged("an entry's type has an unknown code"))
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    // StateTuple keeps names within NAME_BYTES_MAX, which is what a byte can say.
    const { assert!(NAME_BYTES_MAX == u8::MAX as usize) };
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

/// How much a subtree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    /// Entries.
    pub(crate) entries: i64,
    /// Encoded bytes of those entries, which decide whether the subtree is a leaf.
    pub(crate) bytes: i64,
}

impl Size {
    pub(super) fn of<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let one = |entry: &Entry| Self {
            entries: 1,
            bytes: signed(entry.bytes()),
        };
        let sizes = entries.into_iter().map(one);
        sizes.fold(Self::default(), Self::add)
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(super) fn subtract(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    pub(super) fn fits_a_leaf(self) -> bool {
        self.bytes <= signed(LEAF_BYTES_MAX)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A node with subtrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inner {
    /// One for each digit.
    pub(crate) children: [Option<NodeHash>; FANOUT],
    /// What all the subtrees hold.
    pub(crate) size: Size,
}

/// A node of a state tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// At least one entry, in the order of their tuples.
    Leaf(Vec<Entry>),
    /// More than fits into a leaf.
    Inner(Inner),
}

impl Node {
    pub(crate) fn size(&self) -> Size {
        match self {
            Self::Leaf(entries) => Size::of(entries),
            Self::Inner(inner) => inner.size,
        }
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = NodeHash> + '_ {
        let inner = match self {
            Self::Leaf(_) => None,
            Self::Inner(inner) => Some(inner),
        };
        inner.into_iter().flat_map(|inner| inner.children).flatten()
    }

    /// The canonical bytes. Leaf: 1, entries (u16), then for each: type (a code, or 0 and its
    /// spelling), state key, event hash. Inner: 2, entries (u32), bytes (u32), which children
    /// exist (u8), their hashes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEAF_BYTES_MAX);
        match self {
            Self::Leaf(entries) => encode_leaf(&mut out, entries),
            Self::Inner(inner) => encode_inner(&mut out, inner),
        }
        out
    }

    /// The inverse of [`Self::encode`]; whatever that does not write is damage.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut input = Input(bytes);
        let node = match input.byte()? {
            LEAF => decode_leaf(&mut input).map(Self::Leaf),
            INNER => decode_inner(&mut input).map(Self::Inner),
            _ => Err(damaged("a node is neither a leaf nor an inner node")),
        }?;
        if input.0.is_empty() {
            Ok(node)
        } else {
            Err(damaged("a node has bytes behind its end"))
        }
    }
}

fn encode_leaf(out: &mut Vec<u8>, entries: &[Entry]) {
    out.push(LEAF);
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        entry.encode(out);
    }
}

fn encode_inner(out: &mut Vec<u8>, inner: &Inner) {
    out.push(INNER);
    for count in [inner.size.entries, inner.size.bytes] {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
    }
    let bits = inner.children.iter().rev();
    out.push(bits.fold(0, |bits, child| bits << 1 | u8::from(child.is_some())));
    for child in inner.children.iter().flatten() {
        out.extend_from_slice(&child.0);
    }
}

fn decode_leaf(input: &mut Input<'_>) -> Result<Vec<Entry>, ReadError> {
    let count = u16::from_be_bytes(input.array()?);
    let entries = (0..count)
        .map(|_| Entry::decode(input))
        .collect::<Result<Vec<_>, _>>()?;
    let sorted = entries.is_sorted_by(|a, b| a.tuple < b.tuple);
    if sorted && !entries.is_empty() && Size::of(&entries).fits_a_leaf() {
        Ok(entries)
    } else {
        Err(damaged("a leaf is empty, too large or out of order"))
    }
}

fn decode_inner(input: &mut Input<'_>) -> Result<Inner, ReadError> {
    let size = Size {
        entries: i64::from(u32::from_be_bytes(input.array()?)),
        bytes: i64::from(u32::from_be_bytes(input.array()?)),
    };
    let present = input.byte()?;
    let mut children = [None; FANOUT];
    for (digit, child) in children.iter_mut().enumerate() {
        if present >> digit & 1 == 1 {
            *child = Some(NodeHash(input.array()?));
        }
    }
    if size.fits_a_leaf() || present == 0 {
        return Err(damaged("an inner node holds what fits into a leaf"));
    }
    Ok(Inner { children, size })
}

/// What is left to read of a node.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, ReadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(*head)
    }

    fn name(&mut self) -> Result<&'a str, ReadError> {
        let length = usize::from(self.byte()?);
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(ends_early)?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| damaged("a name is not UTF-8"))
    }

    fn spelled_type(&mut self) -> Result<&'a str, ReadError> {
        let name = self.name()?;
        if code(name) == SPELLED {
            Ok(name)
        } else {
            Err(damaged("a type that has a code is spelled"))
        }
    }
}

fn ends_early() -> ReadError {
    damaged("a node ends early")
}

fn damaged(what: &str) -> ReadError {
    ReadError::corrupt(what).within("state_node")
}
