//! The storage contract: an ordered key-value map with checked, atomic, positioned commits.
//!
//! It exists so that every layer above speaks of tables and commits as values, and every engine
//! below (memory, `RocksDB`, later a cluster) is held to one conformance suite. It knows nothing of
//! Matrix, of HTTP, of any particular engine, and never reads a clock of its own.

mod batch;
mod codec;
mod contract;
mod counter;
mod key;
mod table;

#[cfg(test)]
mod codec_tests;

pub use batch::{Batch, Got, Handle};
pub use codec::{KeyCodec, KeyPrefix, KeyReader, KeyWriter, LogKey, RowCodec};
pub use contract::{
    BoxFuture, COMMIT_BYTES_MAX, COMMIT_CHECKS_MAX, COMMIT_WRITES_MAX, Check, Commit, CommitError,
    Direction, Durability, Engine, GET_MANY_KEYS_MAX, Limit, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page,
    ReadError, SCAN_MANY_RANGES_MAX, SNAPSHOT_AGE_MAX, Snapshot, Unavailable, VALUE_BYTES_MAX,
    Write,
};
pub use counter::Counter;
pub use key::{
    KEY_BYTES_MAX, Key, Keyspace, Kind, POSITION_BYTES, Position, Range, STAMP_BYTES, Shape, Stamp,
    Temperature,
};
pub use table::{Layout, Rows, Seen, Table};
