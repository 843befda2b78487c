//! The storage contract: an ordered key-value map with checked, atomic, positioned commits.
//!
//! It exists so that every layer above speaks of tables and commits as values, and every engine
//! below (memory, `RocksDB`, later a cluster) is held to one conformance suite. It knows nothing of
//! Matrix, of HTTP, of any particular engine, and never reads a clock of its own.
//!
//! # The way of a commit
//!
//! 1. **Read.** A request takes one [`Snapshot`] and reads the rows it depends on, a step's rows
//!    together in a [`Batch`]. The snapshot never changes, so whatever is read from it fits
//!    together; after [`SNAPSHOT_AGE_MAX`] it expires.
//! 2. **Decide.** A pure function turns what was read into a [`Commit`]: [`Check`]s that say what
//!    the decision rests on (one row per aggregate is enough if every change of the aggregate
//!    changes that row), and [`Write`]s. Nothing awaits between the read rows and the commit but
//!    the commit itself, and a test can compare the commit with the one it expects.
//! 3. **Send.** [`Engine::commit`] queues it *when called*. The checks are decided against the
//!    database plus all commits queued before, so a second commit may build on the first without
//!    waiting for it. The engine gives the commit its [`Position`], which no other commit ever
//!    gets, and fills in its stamps: an appended row's key ends with (position, ordinal), a
//!    stamped row's value starts with it.
//! 4. **Answer.** `Ok(position)`: a [`Durability::Synced`] commit survives a power loss, and only
//!    now do snapshots show it. [`CommitError::Conflict`]: a check did not hold; go to 1.
//!    [`CommitError::Unknown`]: send the same commit again, if one of its checks names a row that
//!    it changes (it conflicts if the first went through); else read first.
//! 5. **Follow.** [`Engine::changed`] wakes whoever tails a log; the reader takes a snapshot and
//!    scans from the stamp where it left off.
//!
//! ```
//! use belfry_kv::{
//!     Batch, Commit, Counter, Direction, Engine, Keyspace, Kind, Memory, Position, ReadError,
//!     RowCodec, Shape, Stamp, Table, Temperature,
//! };
//!
//! #[derive(Debug, PartialEq)]
//! struct Text(String);
//!
//! impl RowCodec for Text {
//!     const VERSION: u8 = 1;
//!     fn encode(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(self.0.as_bytes());
//!     }
//!     fn decode(_version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
//!         let text = String::from_utf8(bytes.to_vec());
//!         text.map(Self).map_err(|_| ReadError::corrupt("a text is not UTF-8"))
//!     }
//! }
//!
//! const fn keyspace(name: &'static str, tag: u8, shape: Shape, row_version: u8) -> Keyspace {
//!     let (temperature, kind) = (Temperature::Hot, Kind::Ground);
//!     Keyspace { name, tag, shape, temperature, kind, row_version }
//! }
//!
//! static TITLE: Table<String, Text> = Table::new(keyspace("title", 1, Shape::Point, 1));
//! static LOG: Table<(String, Stamp), Text> = Table::new(keyspace("log", 2, Shape::Log, 1));
//! static LINES: Counter<String> = Counter::new(keyspace("lines", 3, Shape::Counter, 0));
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let engine = Memory::default();
//! let room = "kitchen".to_owned();
//!
//! // Read: two tables, one round trip.
//! let snapshot = engine.snapshot().await?;
//! let mut batch = Batch::new();
//! let title = batch.get_seen(&TITLE, &room);
//! let lines = batch.count(&LINES, &room);
//! let mut got = batch.read(&*snapshot).await?;
//! let (title, lines) = (got.take(title)?, got.take(lines)?);
//! assert_eq!((title.row.as_ref(), lines), (None, 0));
//!
//! // Decide: a value that says what must hold and what changes.
//! let mut commit = Commit::synced();
//! TITLE.check_unchanged(&mut commit, &room, &title);
//! LINES.check_within(&mut commit, &room, 0, 99);
//! TITLE.put(&mut commit, &room, &Text("Tea".to_owned()));
//! LOG.append(&mut commit, &(room.clone(),), &Text("Kettle on".to_owned()));
//! LINES.add(&mut commit, &room, 1);
//!
//! // Send; whoever decided on the same rows comes too late.
//! let rival = commit.clone();
//! let position = engine.commit(commit).await?;
//! assert!(engine.commit(rival).await.is_err());
//!
//! // Follow.
//! assert_eq!(engine.changed(Position::ZERO).await, position);
//! let snapshot = engine.snapshot().await?;
//! let range = LOG.prefix(&(room.clone(),));
//! let page = LOG.scan(&*snapshot, range, Direction::Forward, 100).await?;
//! let stamp = Stamp { position, ordinal: 0 };
//! assert_eq!(page.rows, [((room, stamp), Text("Kettle on".to_owned()))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keys and rows
//!
//! A [`Table`] or [`Counter`] is a `static` for one [`Keyspace`]. Keys are tuples of columns
//! ([`KeyCodec`]) that sort as the tuple does, and any of their leading columns name a range
//! ([`KeyPrefix`]). Rows ([`RowCodec`]) carry a version byte.
//!
//! # Engines
//!
//! [`Memory`] is the contract in its plainest form, for tests and simulation: it can hold commits
//! back, crash, and fail as told. Any engine proves itself by `engine_conformance!` (feature
//! `conformance`).

mod batch;
mod codec;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
mod counter;
mod fault;
mod image;
mod key;
mod memory;
mod table;

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod table_tests;

pub use batch::{Batch, Got, Handle};
pub use codec::{KeyCodec, KeyPrefix, KeyReader, KeyWriter, LogKey, RowCodec};
pub use contract::{
    BoxFuture, COMMIT_BYTES_MAX, COMMIT_CHECKS_MAX, COMMIT_WRITES_MAX, Check, Commit, CommitError,
    Direction, Durability, Engine, GET_MANY_KEYS_MAX, LAZY_DELAY_MAX, Limit, PAGE_BYTES_MAX,
    PAGE_ROWS_MAX, Page, ReadError, SCAN_MANY_BYTES_MAX, SCAN_MANY_RANGES_MAX, SNAPSHOT_AGE_MAX,
    Snapshot, Unavailable, VALUE_BYTES_MAX, Write,
};
pub use counter::Counter;
pub use fault::{Fault, FaultPlan, RECORD_COMMITS_MAX, Recorded};
pub use key::{
    KEY_BYTES_MAX, Key, Keyspace, Kind, POSITION_BYTES, Position, Range, STAMP_BYTES, Shape, Stamp,
    Temperature,
};
pub use memory::{Clock, LAZY_COMMITS_MAX, Memory, QUEUED_COMMITS_MAX};
pub use table::{Layout, Rows, Seen, Table};
