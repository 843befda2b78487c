//! Flows: acts over more than one room or account, each a job that survives a crash.
//!
//! It exists because no commit holds such an act: somebody with a thousand rooms closes an account,
//! shows another name; a room is replaced by another, with all that points at it. The commit that
//! begins the act holds its first row ([`belfry_data::start_flow`]), written by whoever owns that
//! commit (`user` for accounts, `room` for rooms). Here the rows are worked off, step by step, each
//! bounded, each doing nothing that was done already when it is done again, until the last one
//! removes the row. It knows nothing of HTTP, and of who may begin what: that was asked before.
//!
//! # How it runs
//!
//! [`Flows::resume`] starts the one task there is (`runner`), which takes a step of every flow in
//! turn, so that a long one keeps nobody waiting, and ends when there is nothing left. It is called
//! when the server starts, by whoever has begun a flow, and now and then besides.

mod delaying;
mod due;
mod inheriting;
mod notices;
mod redacting;
mod replacing;
mod rooms_of_user;
mod runner;
mod step;

#[cfg(test)]
mod delayed_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flow_tests;

pub use belfry_data::{DelayedRow, DelayedStage};
pub use delaying::{DELAY_MAX, DELAYED_CONTENT_BYTES_MAX, DELAYED_MAX, Delay, DelayError, Delayed};
pub use notices::{Notice, NoticeError};
pub use rooms_of_user::ROOMS_PER_STEP;
pub use runner::{Flows, PAUSE_MAX, PAUSE_MIN, ROUND_PAGES_MAX};
