//! Every table, row, key and migration; typed reads, gathering and commit builders.
//!
//! It exists so that one crate decides what is on disk: only here are tables named, rows encoded
//! and commits put together. It knows nothing of HTTP, of time (callers say when it is), of policy
//! or of who may do what.

pub mod account;
mod age;
mod ask;
mod check;
mod codec;
mod column;
mod current;
mod cursor;
mod directory;
mod epoch;
mod flow;
mod forgotten;
mod members;
mod migration;
mod openid;
mod order;
mod parts;
mod reader;
mod report;
mod resolution;
mod rows;
mod schema;
mod staging;
mod state;
mod stats;
mod tables;
mod txn;
mod writes;

#[cfg(test)]
mod epoch_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flow_samples;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod resolution_tests;
#[cfg(test)]
mod room_fixture;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod txn_tests;
#[cfg(test)]
mod writes_tests;

pub use age::{AgeRow, age, store_age};
pub use ask::RoomQuestions;
pub use belfry_kv::{
    Batch, BoxFuture, Commit, CommitError, Direction, Engine, Position, ReadError, Seen, Snapshot,
    Stamp, Unavailable,
};
pub use check::{FINDINGS_MAX, Finding, FindingKind, Report, check};
pub use current::{
    CURRENT_PAGE_MAX, CurrentCursor, CurrentPage, CurrentReader, Member, MembersPage,
};
pub use cursor::{CURSOR_NAME_BYTES_MAX, CursorTooLong, cursor, move_cursor};
pub use directory::{
    ALIASES_MAX, AliasRow, alias_seen, aliases_of, claim_alias, is_published, move_alias, publish,
    release_alias,
};
pub use epoch::{CURRENT_CHANGES_MAX, EPOCH_STEP_ENTRIES, EpochStep, abandon_epoch};
pub use flow::{
    FLOWS_PAGE_MAX, Flow, FlowAct, FlowRow, advance_flow, end_flow, flows, start_flow,
};
pub use forgotten::{ForgottenRow, are_forgotten, forget};
pub use members::{UserRoom, user_in_rooms, user_rooms};
pub use migration::{MIGRATION_CURSOR_BYTES_MAX, MigrationError};
pub use openid::{OpenIdRow, openid_token, put_openid_token};
pub use order::{GlobalPage, OrderPage, STAMP_FIRST, STAMP_LAST, TimelinePoint, global_log, tails};
pub use parts::PartWrites;
pub use reader::{CHILDREN_MAX, RoomReader, StoredEvent, rooms, rooms_of_events};
pub use report::{
    REPORTS_PER_USER_MAX, ReportRow, ReportTarget, put_report, reports_by, was_reported,
};
pub use resolution::{
    CONFLICTS_MAX, Gathering, Planned, PlannedEvent, ResolutionFault, state_map_key, state_tuple,
};
pub use rows::{
    Acceptance, CURSOR_RESUME_BYTES_MAX, CurrentRow, CurrentState, CursorRow, EXTREMITIES_MAX,
    EdgeRow, EpochRow, EpochStage, EventRow, GapRow, GlobalRow, InboundTxnRow, LocalMemberRow,
    LogRow, MemberCounts, Membership, RoomHead, StagedRow, TxnRow, UserRoomRow,
};
pub use schema::{Database, Incarnation, OpenError, SCHEMA_VERSION, open, renew_incarnation};
pub use staging::{StagedEvent, next_staged_room, stage, staged_bytes};
pub use state::{
    Change, Changes, DiffPage, Entry, GATHER_ROUNDS_MAX, LEAF_BYTES_MAX, MARKS_MAX, NAME_BYTES_MAX,
    NODE_BYTES_MAX, NODE_HASH_BYTES, NameTooLong, NodeHash, Path, Root, StateError, StatePage,
    StateReader, StateTuple, Sweep, SweepError, SweepStep, WORKING_SET_BYTES_MAX, WorkingSet,
};
pub use stats::{RoomStats, STATS_ROOMS_MAX, Stats, TableStats, stats};
pub use tables::keyspaces;
pub use txn::{DEVICE_ID_BYTES_MAX, DeviceIdTooLong, EXPIRE_MAX, InboundTxn, Txn, expire};
pub use writes::{Before, EntryChange, NewEvent, Place, RoomWrites, WritesError, is_fenced};
