//! What a row is called: keyspaces, keys, ranges, and the positions that engines hand out.

use bytes::Bytes;

/// Longest key, tag byte and stamp included.
pub const KEY_BYTES_MAX: usize = 2 * 1024;

/// Bytes of an encoded [`Position`]: as wide as the widest engine planned needs (a versionstamp).
pub const POSITION_BYTES: usize = 10;

/// Bytes of an encoded [`Stamp`].
pub const STAMP_BYTES: usize = POSITION_BYTES + 2;

/// How a table is read and written; engines choose block sizes, filters and caches by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Read by whole key, often for keys that are absent.
    Point,
    /// Read by prefix, overwritten in place.
    Scan,
    /// Written at one end, deleted at the other.
    Queue,
    /// Appended, read in order, seldom deleted.
    Log,
    /// An `i64` changed by [`crate::Write::Add`], eight bytes big-endian.
    Counter,
}

/// How likely a row is to be read again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temperature {
    /// Read on most requests: kept in cache, lightly compressed.
    Hot,
    /// Read seldom: compressed well.
    Cold,
}

/// Whether a table may be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Holds facts: migrated forward, never dropped.
    Ground,
    /// Follows from Ground tables: rebuilt beside the old one, then swapped.
    Derived,
}

/// One named, ordered map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyspace {
    /// For people, metrics and `schema.lock`; `snake_case`.
    pub name: &'static str,
    /// The identity on disk, first byte of every key: never reused, never renumbered, below 255.
    pub tag: u8,
    /// The access pattern.
    pub shape: Shape,
    /// How often rows are read again.
    pub temperature: Temperature,
    /// Whether the table can be rebuilt.
    pub kind: Kind,
    /// The version byte that new rows start with.
    pub row_version: u8,
}

/// A whole key: the keyspace's tag, then the encoded columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// A key from its encoded form.
    ///
    /// # Panics
    /// If `bytes` is empty: a key always starts with its keyspace's tag.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        assert!(!bytes.is_empty(), "a key starts with its keyspace's tag");
        Self(bytes)
    }

    /// The tag of the keyspace that this key belongs to.
    pub fn tag(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The encoded key, tag included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoded columns, without the tag.
    pub fn columns(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The key right after this one: nothing sorts between the two.
    #[must_use]
    pub fn successor(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1);
        bytes.extend_from_slice(&self.0);
        bytes.push(0);
        Self(bytes.into())
    }

    /// The key with `stamp` behind it, as [`crate::Write::Append`] makes it.
    #[must_use]
    pub fn stamped(&self, stamp: Stamp) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + STAMP_BYTES);
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&stamp.to_bytes());
        Self(bytes.into())
    }
}

/// A half-open range of keys, `from` included, `to` excluded, both of one keyspace (`to` may be
/// the first key of the next one). Empty if `from >= to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key inside.
    pub from: Key,
    /// The first key outside.
    pub to: Key,
}

impl Range {
    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &Key) -> Self {
        let mut end = prefix.as_bytes().to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        // A tag is below 255, so at least the tag byte is left to increase.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self {
            from: prefix.clone(),
            to: Key::new(end),
        }
    }

    /// Whether no key can be inside.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Every key of the keyspace.
    pub fn table(space: &Keyspace) -> Self {
        Self::prefix(&Key::new(vec![space.tag]))
    }
}

/// A place in the one order of commits: given by the engine, strictly increasing, also over
/// restarts and crashes (a position once answered is never given again, even if the crash lost its
/// lazy commit), visible to readers in order, with gaps. 80 bits wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u128);

impl Position {
    /// Before every commit.
    pub const ZERO: Self = Self(0);
    /// The last position that the encoding can hold.
    pub const MAX: Self = Self((1 << (8 * POSITION_BYTES)) - 1);

    /// The position with this number; `None` beyond 80 bits.
    pub const fn new(number: u128) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The position right behind this one; `None` behind [`Self::MAX`].
    pub const fn successor(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The number, for engines and arithmetic on distances; never shown to a client.
    pub const fn number(self) -> u128 {
        self.0
    }

    /// Big-endian, so that byte order is position order.
    pub fn to_bytes(self) -> [u8; POSITION_BYTES] {
        let mut out = [0; POSITION_BYTES];
        out.copy_from_slice(&self.0.to_be_bytes()[16 - POSITION_BYTES..]);
        out
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; POSITION_BYTES]) -> Self {
        let mut wide = [0; 16];
        wide[16 - POSITION_BYTES..].copy_from_slice(&bytes);
        Self(u128::from_be_bytes(wide))
    }
}

/// A place inside a commit: the position, and the number of stamping writes (Append, Stamp) before
/// this one in the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Where the commit stands.
    pub position: Position,
    /// Which stamping write of the commit, from 0.
    pub ordinal: u16,
}

impl Stamp {
    /// Position, then ordinal, both big-endian.
    pub fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut out = [0; STAMP_BYTES];
        out[..POSITION_BYTES].copy_from_slice(&self.position.to_bytes());
        out[POSITION_BYTES..].copy_from_slice(&self.ordinal.to_be_bytes());
        out
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; STAMP_BYTES]) -> Self {
        let mut position = [0; POSITION_BYTES];
        position.copy_from_slice(&bytes[..POSITION_BYTES]);
        let ordinal = u16::from_be_bytes([bytes[POSITION_BYTES], bytes[POSITION_BYTES + 1]]);
        Self {
            position: Position::from_bytes(position),
            ordinal,
        }
    }
}
