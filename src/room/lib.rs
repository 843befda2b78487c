//! Rooms: creating them, and sending events into them, one room in one order.
//!
//! It exists so that what happens in a room is planned by pure code on top of what happened
//! before, and committed in batches that cost the same in rooms of any size. It knows nothing of
//! HTTP, of sockets, of users' secrets, and of the tables that hold what it commits.
//!
//! # A request's way
//!
//! [`Rooms::append`] hands it to the room's worker (`worker`), which takes what else waits, reads
//! what planning needs (`planner`), plans each change on top of the one before (`desk`, pure), and
//! commits all of them together. The next batch is planned while this one becomes durable.
//!
//! In a room with a policy server the worker hands the event back instead, built and not stored;
//! whoever asked for it has it signed (`policy_server`) and gives it to the worker again.
//!
//! # Other servers
//!
//! What rooms need of them is in [`Peers`] and [`Keys`], given to [`Rooms::federated`]. What they
//! may ask of rooms are methods of [`Rooms`]; each takes the authenticated `origin` first, the
//! server that asks, and checks everything else itself:
//!
//! ```text
//! receive(Transaction) -> Receipt                                   PUT /send/{txnId}, its PDUs
//! make(origin, Handshake, room, user, versions) -> Template         GET /make_join, _leave, _knock
//! accept_join(origin, room, event_id, event) -> JoinAnswer          PUT /v2/send_join
//! accept_leave(origin, room, event_id, event)                       PUT /v2/send_leave
//! accept_knock(origin, room, event_id, event) -> Vec<RawValue>      PUT /v1/send_knock
//! accept_invite(origin, room, event_id, Invitation) -> RawValue     PUT /v2/invite
//! serve_event(origin, event_id) -> RawValue                         GET /event
//! serve_state(origin, room, event_id) -> StateEvents                GET /state
//! serve_state_ids(origin, room, event_id) -> StateIds               GET /state_ids
//! serve_event_auth(origin, room, event_id) -> Vec<RawValue>         GET /event_auth
//! serve_backfill(origin, room, from, limit) -> Vec<RawValue>        GET /backfill
//! serve_missing_events(origin, room, MissingEvents) -> Vec<RawValue>  POST /get_missing_events
//! ```
//!
//! and what this server's users ask that goes out: `join_remote(Remote)`, `leave_remote(Remote)`,
//! `knock_remote(Remote)`, `invite_remote(..)`, `backfill(room, limit)`.

mod annotation;
mod arrival;
mod auth_chain;
mod backfill;
mod batch;
mod beginning;
mod bell;
mod change;
mod chore;
mod completion;
mod content;
mod create;
mod departure;
mod desk;
mod directory;
mod edu;
mod elsewhere;
mod epoch;
mod erasure;
mod error;
mod fetch;
mod handshake;
mod hold;
mod inbound;
mod isolated;
mod job;
mod joining;
mod line;
mod moment;
mod outliers;
mod passage;
mod past;
mod peers;
mod permission;
mod planner;
mod policy_server;
mod pool;
mod receipt;
mod redacting;
mod remote_join;
mod residence;
mod rest;
mod rooms;
mod serving;
mod settings;
mod shape;
mod sight;
mod sources;
mod stay;
mod stripped;
mod subscribing;
mod successor;
mod template;
mod third_party;
mod transaction;
mod typing;
mod unnaming;
mod verification;
mod worker;

#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod federation_fixture;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gap_tests;
#[cfg(test)]
mod handshake_tests;
#[cfg(test)]
mod keys_fixture;
#[cfg(test)]
mod receive_tests;
#[cfg(test)]
mod rooms_tests;
#[cfg(test)]
mod sweep_tests;

pub use change::{Change, MemberAct, Membership, Profile};
pub use chore::Swept;
pub use content::ALT_ALIASES_MAX;
pub use create::{CreateRoom, INVITES_MAX, InitialState, Preset, Unfit};
pub use directory::JOINED_ROOMS_PAGES_MAX;
pub use elsewhere::{
    Directory, FoundAlias, FoundMoment, FoundSpace, LOOKUP_SERVERS_MAX, PublicRoomsAsk,
};
pub use error::RoomError;
pub use job::{Append, Appended, Txn};
pub use joining::{ALLOW_MAX, VOUCHERS_MAX};
pub use line::{HELD_MAX, HELD_OF_ROOM_MAX};
pub use moment::SERVED_MOMENTS_MAX;
pub use peers::{
    BACKFILL_MAX, Handshake, Invitation, JoinAnswer, KeyWanted, Keys, MISSING_EVENTS_MAX,
    MissingEvents, PEER_ANSWER_BYTES_MAX, PeerAnswer, PeerError, Peers, StateEvents, StateIds,
    Template,
};
pub use receipt::{ReadMark, ReceiptKind};
pub use remote_join::{Remote, VIA_MAX};
pub use rooms::{Identity, MAILBOX_JOBS_MAX, Rooms, WORKERS_MAX};
pub use serving::WALK_EVENTS_MAX;
pub use settings::{SETTINGS_PAGE_MAX, Setting};
pub use stripped::INVITE_STATE_MAX;
pub use successor::Replacement;
pub use third_party::ThirdPartyInvite;
pub use transaction::{Receipt, STAGED_BYTES_MAX, TRANSACTION_PDUS_MAX, Transaction};
pub use typing::TYPING_TIMEOUT_MAX;
