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
pub mod connection;
pub mod copy;
mod current;
mod cursor;
mod delayed;
mod directory;
mod epoch;
mod erasure;
mod federation;
mod flow;
mod forgotten;
pub mod keys;
mod lag;
mod listing;
mod litter;
pub mod media;
mod members;
mod migration;
pub mod note;
mod notice;
mod openid;
mod order;
mod origin;
mod partner;
mod parts;
pub mod presence;
pub mod preview;
pub mod pusher;
mod reader;
pub mod receipt;
mod redact;
mod relation;
mod remote;
mod report;
mod resolution;
mod room_time;
mod rows;
mod schema;
mod shared;
mod shortening;
mod staging;
mod stale;
mod state;
mod stats;
pub mod stir;
mod subscription;
mod tables;
mod thread;
mod txn;
pub mod typing;
mod writes;

#[cfg(test)]
mod act_samples;
#[cfg(test)]
mod epoch_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flow_samples;
#[cfg(test)]
mod golden_media;
#[cfg(test)]
mod golden_reading;
#[cfg(test)]
mod golden_related;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod remote_samples;
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
    Batch, BoxFuture, Commit, CommitError, Direction, Engine, GET_MANY_KEYS_MAX, Position,
    ReadError, Seen, Snapshot, Stamp, Unavailable,
};
pub use check::{FINDINGS_MAX, Finding, FindingKind, Report, check};
pub use current::{
    CURRENT_PAGE_MAX, CurrentCursor, CurrentPage, CurrentReader, Member, MembersPage,
};
pub use cursor::{CURSOR_NAME_BYTES_MAX, CursorTooLong, cursor, move_cursor};
pub use delayed::{
    DELAYED_PAGE_MAX, DelayedRow, DelayedStage, DelayedTxn, DelayedTxnRow, FINALISED_MAX,
    delayed_due, delayed_of, delayed_seen, move_delayed, schedule_delayed,
};
pub use directory::{
    ALIASES_MAX, AliasRow, alias_seen, aliases_of, claim_alias, is_published, move_alias, publish,
    release_alias,
};
pub use epoch::{CURRENT_CHANGES_MAX, EPOCH_STEP_ENTRIES, EpochStep, abandon_epoch};
pub use federation::{
    DESTINATIONS_PAGE_MAX, DestinationRow, EDUS_PAGE_MAX, EduRow, KeyDocumentRow, SERVER_KEYS_MAX,
    ServerKeyRow, destination, destinations, drop_edu, forget_destination, keep_destination,
    keep_key_document, keep_server_key, key_document, push_edu, server_keys, waiting_edus,
};
pub use flow::{
    FLOWS_PAGE_MAX, Flow, FlowAct, FlowRow, advance_flow, end_flow, flow, flows, start_flow,
};
pub use forgotten::{ForgottenRow, are_forgotten, forget};
pub use lag::{LAGGING_ROOMS_PAGE_MAX, LagRow, forget_lag, lagging_rooms, note_lag};
pub use listing::{
    ListedRoomRow, ListedUserRow, ListingPage, ListingPlace, ListingRow, WORD_BYTES_MAX, WORDS_MAX,
    joined_rooms_of, list_room, list_user, listed_rooms, listed_users, listing, published,
    users_by_word,
};
pub use litter::{clear_litter, littered_rooms};
pub use members::{UserRoom, user_in_rooms, user_rooms};
pub use migration::{MIGRATION_CURSOR_BYTES_MAX, MigrationError};
pub use notice::{NoticeRoomRow, notice_room, put_notice_room};
pub use openid::{OpenIdRow, openid_token, put_openid_token};
pub use order::{GlobalPage, OrderPage, STAMP_FIRST, STAMP_LAST, TimelinePoint, global_log, tails};
pub use origin::{DELAYED_SCOPE, OriginRow, TOLD_TXN_BYTES_MAX};
pub use partner::{PARTNERS_READ_MAX, PartnerRow, partners, put_partner};
pub use parts::PartWrites;
pub use reader::{CHILDREN_MAX, RoomReader, StoredEvent, rooms, rooms_of_events};
pub use redact::redact_stored;
pub use relation::{PARTICIPANTS_MAX, REL_TYPE_BYTES_MAX, RelationPage, RelationRow, ThreadTail};
pub use remote::{
    InviteRow, REDACTIONS_MAX, StuckRow, await_target, clear_stuck, end_invite, flag_stuck,
    forget_target, invite, invites, put_invite, relay, stuck_rooms, user_room,
};
pub use report::{
    REPORTS_PER_USER_MAX, ReportRow, ReportTarget, put_report, reports_by, was_reported,
};
pub use resolution::{
    CONFLICTS_MAX, Gathering, Planned, PlannedEvent, ResolutionFault, state_map_key, state_tuple,
};
pub use room_time::TimePoint;
pub use rows::{
    Acceptance, CURSOR_RESUME_BYTES_MAX, CurrentRow, CurrentState, CursorRow, EXTREMITIES_MAX,
    EdgeRow, EpochRow, EpochStage, EventRow, GapRow, GlobalRow, InboundTxnRow, LocalMemberRow,
    LogRow, MemberCounts, Membership, RoomHead, StagedRow, TxnRow, UserRoomRow,
};
pub use schema::{Database, Incarnation, OpenError, SCHEMA_VERSION, open, renew_incarnation};
pub use shared::{REMEMBERED_BYTES_MAX, REMEMBERED_MAX, SharedSnapshot};
pub use shortening::TRIM_ENTRIES_MAX;
pub use staging::{StagedEvent, next_staged_room, stage, staged_bytes};
pub use stale::{Stale, StaleMark, stale, unmark};
pub use state::{
    Change, Changes, DiffPage, Entry, GATHER_ROUNDS_MAX, LEAF_BYTES_MAX, MARKS_MAX, NAME_BYTES_MAX,
    NODE_BYTES_MAX, NODE_HASH_BYTES, NameTooLong, NodeHash, Path, Root, StateError, StatePage,
    StateReader, StateTuple, Sweep, SweepError, SweepStep, WORKING_SET_BYTES_MAX, WorkingSet,
};
pub use stats::{RoomStats, STATS_ROOMS_MAX, Stats, TableStats, stats};
pub use subscription::{
    SubscriptionEntry, SubscriptionPage, SubscriptionRow, ThreadState, set_subscription,
    subscription, subscription_changes, subscription_seen,
};
pub use tables::keyspaces;
pub use thread::{MAIN_THREAD, THREAD_HOPS_MAX};
pub use txn::{DEVICE_ID_BYTES_MAX, DeviceIdTooLong, EXPIRE_MAX, InboundTxn, Txn, expire};
pub use writes::{Before, EntryChange, NewEvent, Place, RoomWrites, WritesError, is_fenced};
