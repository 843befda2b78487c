//! Every table, row, key and migration; typed reads, gathering and commit builders.
//!
//! It exists so that one crate decides what is on disk: only here are tables named, rows encoded
//! and commits put together. It knows nothing of HTTP, of time (callers say when it is), of policy
//! or of who may do what.

mod codec;
mod column;
mod rows;
mod state;
mod tables;

#[cfg(test)]
mod fixture;

pub use rows::*;
pub use state::{
    Change, Changes, DiffPage, Entry, GATHER_ROUNDS_MAX, LEAF_BYTES_MAX, MARKS_MAX, NAME_BYTES_MAX,
    NODE_BYTES_MAX, NODE_HASH_BYTES, NameTooLong, NodeHash, Path, Root, StateError, StatePage,
    StateReader, StateTuple, Sweep, SweepError, SweepStep, WORKING_SET_BYTES_MAX, WorkingSet,
};
pub use tables::keyspaces;
