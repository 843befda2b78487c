//! Matrix event rules, pure: what an event is in each room version, and what may be done with it.
//!
//! It exists so that one crate holds everything that every homeserver must compute identically:
//! canonical JSON, hashes, signatures, redaction, event formats, authorisation, state resolution,
//! history visibility and push-rule evaluation. It knows nothing of I/O, async, storage, clocks or
//! randomness; a function here fails only because of its arguments.

mod acl;
mod auth;
mod batch;
mod client;
mod countersign;
mod digest;
mod draft;
#[cfg(test)]
mod fixtures;
mod format;
mod hash;
mod inbound;
mod json;
mod json_number;
mod json_parser;
mod key_ring;
mod pdu;
mod policy_server;
mod power;
#[cfg(test)]
mod property_tests;
mod push;
mod redaction;
mod resolve;
mod resolve_ancestry;
mod resolve_conflict;
mod resolve_gathered;
mod resolve_order;
mod resolve_replay;
mod resolve_walk;
mod rules;
mod signing;
mod visibility;

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod auth_version_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod resolve_arrival;
#[cfg(test)]
mod resolve_room;
#[cfg(test)]
mod resolve_scenarios;
#[cfg(test)]
mod resolve_tests;

pub use acl::acl_allows;
pub use auth::{
    Basis, Judgement, NotGathered, Rejection, StateMapKey, Verdict, auth_events_needed, auth_types,
    check_auth_events, check_state_dependent, check_state_independent, judge, state_needed,
};
pub use batch::SignedText;
pub use client::ClientFormat;
pub use countersign::NotOurs;
pub use draft::{Draft, DraftError};
pub use format::{
    AUTH_EVENTS_MAX, EVENT_BYTES_MAX, EVENT_TEXT_BYTES_MAX, FormatError, ID_BYTES_MAX,
    PREV_EVENTS_MAX,
};
pub use hash::{Alphabet, EVENT_ID_BYTES, EventHash, HASH_BYTES, NotAHash};
pub use inbound::{Inbound, Verified};
pub use json::{JSON_NESTING_MAX, JsonError, canonical_json};
pub use key_ring::{KeyError, KeyRing, PublicKey, SignatureError};
pub use pdu::{Pdu, UnreadableEvent};
pub use policy_server::{POLICY_KEY_ID, POLICY_TYPE, PolicyServer};
pub use power::{may_invite, may_redact_others, may_send_state};
pub use push::{EventNotifier, NoPushEvent, Notification, OUTCOMES_MAX, PushRoom};
pub use resolve::{
    Answers, Budget, CITERS_MAX, EDGES_MAX, EVENTS_MAX, FORKS_MAX, GATHER_MAX, Resolution,
    ResolveError, Resolved, Step, Unconflicted, Wanted,
};
pub use resolve_ancestry::{CitersOf, CitersPage};
pub use resolve_conflict::{Conflict, Difference, StateMap};
pub use resolve_walk::{AuthEdges, auth_depth};
pub use rules::{INTEGER_MAX, Numbers, RoomRules};
pub use signing::{SEED_BYTES, SignError, SigningKey};
pub use visibility::{Around, Standing, Visibility, server_may_see, user_may_see, visible_at_once};
