//! Matrix event rules, pure: what an event is in each room version, and what may be done with it.
//!
//! It exists so that one crate holds everything that every homeserver must compute identically:
//! canonical JSON, hashes, signatures, redaction, event formats, authorisation, state resolution,
//! history visibility and push-rule evaluation. It knows nothing of I/O, async, storage, clocks or
//! randomness; a function here fails only because of its arguments.

mod hash;
mod pdu;
mod rules;

pub use hash::{Alphabet, EVENT_ID_BYTES, EventHash, HASH_BYTES, NotAHash};
pub use pdu::{Pdu, UnreadableEvent};
pub use rules::{INTEGER_MAX, Numbers, RoomRules};

/// Most `prev_events` of an event.
pub const PREV_EVENTS_MAX: usize = 20;

/// Most `auth_events` of an event.
pub const AUTH_EVENTS_MAX: usize = 10;
