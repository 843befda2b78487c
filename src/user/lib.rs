//! Accounts, sessions, devices, profiles and account data: whatever belongs to one local user.
//!
//! Knows nothing of rooms' internals and nothing of HTTP.

mod requester;

pub use requester::Requester;
