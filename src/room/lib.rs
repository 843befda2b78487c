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

mod batch;
mod change;
mod create;
mod desk;
mod directory;
mod error;
mod job;
mod permission;
mod planner;
mod rooms;
mod shape;
mod worker;

#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod rooms_tests;

pub use change::{Change, MemberAct, Membership, Profile};
pub use create::{CreateRoom, InitialState, Preset, Unfit};
pub use directory::JOINED_ROOMS_PAGES_MAX;
pub use error::RoomError;
pub use job::{Append, Appended, Txn};
pub use rooms::{Identity, MAILBOX_JOBS_MAX, Rooms, WORKERS_MAX};
