//! What every engine promises: snapshots to read, commits to write, positions to follow.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::key::{KEY_BYTES_MAX, Key, Position, Range, STAMP_BYTES};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Longest value, stamp included.
pub const VALUE_BYTES_MAX: usize = 96 * 1024;
/// Keys and values of all writes of one commit.
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// Writes in one commit.
pub const COMMIT_WRITES_MAX: usize = 10_000;
/// Checks in one commit.
pub const COMMIT_CHECKS_MAX: usize = 10_000;
/// How long a [`Durability::Lazy`] commit may stay undurable while the engine runs.
pub const LAZY_DELAY_MAX: Duration = Duration::from_millis(100);
/// How long a snapshot may be read; later reads answer [`ReadError::Expired`].
pub const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(5);
/// Keys in one `get_many`.
pub const GET_MANY_KEYS_MAX: usize = 10_000;
/// Ranges in one `scan_many`.
pub const SCAN_MANY_RANGES_MAX: usize = 1_000;
/// Rows in one page, whatever the caller's limit.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// A page ends with the row that takes its keys and values to this size.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Once the pages of one `scan_many` have reached this size, those behind hold no row and leave
/// their whole range.
pub const SCAN_MANY_BYTES_MAX: usize = 4 * PAGE_BYTES_MAX;

/// A database. Clones are made by `Arc`; dropping the last handle closes it.
pub trait Engine: Send + Sync {
    /// The database as it is now, unchanged for as long as it is held. Holds every commit whose
    /// [`Engine::commit`] had returned when this was called.
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>>;

    /// Applies all of the commit or nothing. Queued in the order of the *calls* (not of the first
    /// polls), so that a caller may send a second commit that builds on the first without waiting.
    /// Dropping the future does not take the commit back.
    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>>;

    /// Resolves once the last [`Durability::Synced`] commit stands behind `after`, with its
    /// position. Lazy commits wake nobody. Pending for ever once the engine is closed.
    fn changed(&self, after: Position) -> BoxFuture<'_, Position>;
}

/// An immutable view. Usable for [`SNAPSHOT_AGE_MAX`].
pub trait Snapshot: Send + Sync {
    /// The last commit that the view holds.
    fn position(&self) -> Position;

    /// The values of at most [`GET_MANY_KEYS_MAX`] keys, in the order asked; one round trip.
    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>>;

    /// At most `limit` rows of the range (see also [`PAGE_ROWS_MAX`], [`PAGE_BYTES_MAX`]).
    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// One page for each of at most [`SCAN_MANY_RANGES_MAX`] ranges, each read forward; one round
    /// trip. See also [`SCAN_MANY_BYTES_MAX`].
    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>>;
}

/// Which end of a range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Backward,
}

/// A run of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Key and value, in the direction asked.
    pub rows: Vec<(Key, Bytes)>,
    /// What was not read because a limit came first; `None` if the range is exhausted. It may turn
    /// out to hold no row.
    pub rest: Option<Range>,
}

/// When a commit may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Answered, and visible to snapshots, once it survives a power loss (so nobody acts on what
    /// may yet be lost). Wakes [`Engine::changed`].
    Synced,
    /// Answered once it is visible; durable with the next synced commit, or [`LAZY_DELAY_MAX`]
    /// later. A crash loses a suffix of the lazy commits since the last synced one.
    Lazy,
}

/// What must hold in the database (as the commits queued before left it) for a commit to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No row has the key.
    Absent(Key),
    /// The row holds exactly this value.
    Equals(Key, Bytes),
    /// The counter (0 if absent) lies between the bounds, both included, before the commit's own
    /// writes.
    Within {
        /// The counter's key.
        key: Key,
        /// Lowest value allowed.
        min: i64,
        /// Highest value allowed.
        max: i64,
    },
}

impl Check {
    /// Length of the key and of the value compared with.
    fn lengths(&self) -> (usize, usize) {
        match self {
            Self::Absent(key) | Self::Within { key, .. } => (key.as_bytes().len(), 0),
            Self::Equals(key, value) => (key.as_bytes().len(), value.len()),
        }
    }
}

/// One change. Writes of a commit apply in order; the last to a key wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the row.
    Put(Key, Bytes),
    /// Removes the row, if there is one.
    Delete(Key),
    /// Removes every row of the range.
    DeleteRange(Range),
    /// Adds to the counter (0 if absent); saturates at the ends of `i64`.
    Add(Key, i64),
    /// Sets the row `prefix ++ stamp`, a key that only this write can have.
    Append {
        /// All of the key but its stamp.
        prefix: Key,
        /// The row.
        value: Bytes,
    },
    /// Sets the row to `stamp ++ value`.
    Stamp {
        /// The row's key.
        key: Key,
        /// What follows the stamp.
        value: Bytes,
    },
}

impl Write {
    /// Whether the write takes an ordinal.
    pub fn stamps(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Stamp { .. })
    }

    /// Length of key and value as stored.
    fn lengths(&self) -> (usize, usize) {
        match self {
            Self::Put(key, value) => (key.as_bytes().len(), value.len()),
            Self::Delete(key) => (key.as_bytes().len(), 0),
            Self::DeleteRange(range) => (
                range.from.as_bytes().len().max(range.to.as_bytes().len()),
                0,
            ),
            Self::Add(key, _) => (key.as_bytes().len(), size_of::<i64>()),
            Self::Append { prefix, value } => (prefix.as_bytes().len() + STAMP_BYTES, value.len()),
            Self::Stamp { key, value } => (key.as_bytes().len(), value.len() + STAMP_BYTES),
        }
    }
}

/// A transaction as a value: checks, then writes, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What must hold.
    pub checks: Vec<Check>,
    /// What changes.
    pub writes: Vec<Write>,
    /// When it may be answered.
    pub durability: Durability,
}

impl Commit {
    /// An empty commit that is answered when it survives a power loss.
    pub fn synced() -> Self {
        Self {
            checks: Vec::new(),
            writes: Vec::new(),
            durability: Durability::Synced,
        }
    }

    /// An empty commit that is never acknowledged as durable.
    pub fn lazy() -> Self {
        Self {
            durability: Durability::Lazy,
            ..Self::synced()
        }
    }

    /// Bytes of keys and values that the writes store.
    pub fn bytes(&self) -> usize {
        self.writes
            .iter()
            .map(Write::lengths)
            .map(|(key, value)| key + value)
            .sum()
    }

    /// Whether the commit keeps the contract's limits; every engine asks before it queues.
    pub fn within_limits(&self) -> Result<(), Limit> {
        if self.writes.len() > COMMIT_WRITES_MAX {
            return Err(Limit::Writes);
        }
        if self.checks.len() > COMMIT_CHECKS_MAX {
            return Err(Limit::Checks);
        }
        for (key, value) in self.checks.iter().map(Check::lengths) {
            limit_lengths(key, value)?;
        }
        let mut bytes = 0;
        for (key, value) in self.writes.iter().map(Write::lengths) {
            limit_lengths(key, value)?;
            bytes += key + value;
        }
        if bytes > COMMIT_BYTES_MAX {
            Err(Limit::Bytes)
        } else {
            Ok(())
        }
    }
}

fn limit_lengths(key: usize, value: usize) -> Result<(), Limit> {
    if key > KEY_BYTES_MAX {
        Err(Limit::Key)
    } else if value > VALUE_BYTES_MAX {
        Err(Limit::Value)
    } else {
        Ok(())
    }
}

/// Which limit a commit broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Beyond [`KEY_BYTES_MAX`].
    #[error("a key is longer than {KEY_BYTES_MAX} bytes")]
    Key,
    /// Beyond [`VALUE_BYTES_MAX`].
    #[error("a value is longer than {VALUE_BYTES_MAX} bytes")]
    Value,
    /// Beyond [`COMMIT_BYTES_MAX`].
    #[error("the commit is larger than {COMMIT_BYTES_MAX} bytes")]
    Bytes,
    /// Beyond [`COMMIT_WRITES_MAX`].
    #[error("the commit has more than {COMMIT_WRITES_MAX} writes")]
    Writes,
    /// Beyond [`COMMIT_CHECKS_MAX`].
    #[error("the commit has more than {COMMIT_CHECKS_MAX} checks")]
    Checks,
}

/// Why a commit was not applied, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A check did not hold; nothing was applied. Read again and decide anew.
    #[error("the rows changed since they were read")]
    Conflict,
    /// The engine failed while it made the commit durable: it may be found applied or not, now or
    /// after a restart. Safe to send again if a check names a row that the commit changes.
    #[error("the commit may or may not have been applied: {0}")]
    Unknown(String),
    /// Nothing was applied.
    #[error("the database takes no writes: {0}")]
    Unavailable(Unavailable),
    /// Nothing was applied; the same commit can never be.
    #[error("{0}")]
    TooLarge(Limit),
}

/// Why an engine takes no writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// Too little free space is left on the disk; reads go on, writes return when space does.
    DiskFull,
    /// More commits are queued than the engine holds.
    Busy,
    /// The engine is shutting down.
    Closed,
    /// An earlier write failed; the text names it.
    Failed(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("the disk is nearly full; free some space"),
            Self::Busy => f.write_str("too many writes are waiting; try again"),
            Self::Closed => f.write_str("the server is stopping"),
            Self::Failed(cause) => write!(f, "a write failed: {cause}; check the disk, restart"),
        }
    }
}

/// Why a read has no answer. Absence is not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The snapshot is older than [`SNAPSHOT_AGE_MAX`]: take a new one.
    #[error("the snapshot has expired")]
    Expired,
    /// More keys, ranges or rows were asked for than the contract allows.
    #[error("too much was asked for in one read")]
    TooLarge,
    /// The engine could not read.
    #[error("the database cannot be read: {0}")]
    Unavailable(String),
    /// A row does not decode, or a checksum does not match.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
}

impl ReadError {
    /// A [`ReadError::Corrupt`] that says what is wrong.
    pub fn corrupt(what: &str) -> Self {
        Self::Corrupt(what.to_owned())
    }

    /// The same, naming the table if it is about damage.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        match self {
            Self::Corrupt(what) => Self::Corrupt(format!("{table}: {what}")),
            other => other,
        }
    }
}
