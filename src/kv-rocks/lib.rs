//! The storage contract over `RocksDB`.
//!
//! Exists so that one crate, and only one, knows `RocksDB`: its files, its threads, its errors. It
//! knows no table and nothing of Matrix; keyspaces come to it as values.
//!
//! One thread writes ([`committer`]), a few read what no cache holds ([`pool`]), `RocksDB` has one
//! for flushes and one for compaction. Nothing here blocks an async runtime but [`Rocks::open`],
//! [`Rocks::close`] and dropping the engine.

mod archive;
mod committer;
mod engine;
mod fault;
mod group;
mod guard;
mod layout;
mod open;
mod options;
mod pool;
mod published;
mod queue;
mod registry;
mod stall;
mod stats;
mod store;
mod threads;
mod tuning;
mod view;
mod wal;

#[cfg(test)]
mod committer_tests;
#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod wal_tests;

pub use belfry_kv::Clock;

pub use archive::{ArchiveError, Census, TableCensus};
pub use engine::Rocks;
pub use fault::OpenError;
pub use layout::Columns;
pub use options::{FreeDisk, Options, free_disk_bytes};
pub use queue::{QUEUE_BYTES_MAX, QUEUE_COMMITS_MAX};
pub use stats::{FamilyStats, Stats, TableStats};
