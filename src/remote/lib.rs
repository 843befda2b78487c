//! Everything outbound: who another server is, how it is reached, and what it is asked and told.
//!
//! It exists so that one crate has the network: the guarded connector that everything goes
//! through, discovery, the keys of other servers, signed requests, and the senders that tell other
//! servers what happens here. It implements the ports that rooms own. It never signs an event. It
//! knows nothing of axum and of configuration files.

mod address;
mod catch_up;
mod client;
mod device_list;
mod dialer;
mod directory;
mod discovery;
mod fetch;
mod flow;
mod key_document;
mod keys;
mod multipart;
mod network;
mod origin;
mod peers;
mod push;
mod queue;
mod remote;
mod resolver;
mod router;
mod sender;
mod signer;
mod socket;
mod target;
mod transaction;
mod trust;
mod user_keys;
mod web;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod permission_tests;

pub use address::AddressRules;
pub use client::{Client, FAILURES_MAX, LEFT_ALONE, PER_SERVER_MAX, Path};
pub use device_list::{LIST_ROOMS_MAX, LIST_SERVERS_MAX};
pub use dialer::{
    ADDRESSES_MAX, CONNECT_TIME_MAX, CONNECTIONS_MAX, DialError, DialOptions, Dialer,
    FEDERATION_PORT, Purpose, RESOLVE_TIME_MAX, TARGETS_MAX,
};
pub use directory::{PROFILE_AGE, PROFILES_MAX, SPACE_AGE, SPACES_MAX, SignedDirectory};
pub use discovery::{
    DELEGATION_TIME, DELEGATION_TIME_MAX, DELEGATION_TIME_MIN, DELEGATIONS_MAX, Discovery,
    FAILURE_TIME_MAX, FAILURE_TIME_MIN, WELL_KNOWN,
};
pub use fetch::{FetchError, Fetcher, Limits};
pub use flow::Flow;
pub use key_document::{
    DOCUMENT_KEYS_MAX, DocumentError, KEY_DOCUMENT_BYTES_MAX, KeyDocument, OWN_VALIDITY_MS, OldKey,
    OwnKeys, TimedKey, VALIDITY_MS_MAX,
};
pub use keys::{
    ASKED_AT_ONCE_MAX, KEYS_TIME_MAX, KeyOptions, KeyStore, NOTARY_SERVERS_MAX, PAUSE_MAX,
    PAUSE_MIN, REFRESH_INTERVAL, SERVERS_HELD_MAX, WITNESSED_MAX,
};
pub use network::{Internet, Network, NetworkError, Off, WHOLE_BYTES_MAX};
pub use origin::{MEDIA_HEAD_TIME_MAX, MEDIA_PIECE_TIME_MAX, MEDIA_REDIRECTS_MAX, SignedOrigin};
pub use peers::SignedPeers;
pub use push::{PUSH_LIMITS, PushError, PushGateways};
pub use queue::{PASSING_MAX, QUEUED_MAX};
pub use remote::{OfflineError, Remote, RemoteOptions, internet, push_gateways};
pub use resolver::{RECORDS_MAX, Resolve, Service, SystemResolver, Unresolved};
pub use sender::{RETRY_MIN, SENDING_MAX, STANDINGS_MAX, SenderOptions, Senders, Standing};
pub use signer::{Signer, UnsignedError};
pub use socket::{Socket, Sockets, Tcp};
pub use target::ROOM_SERVERS_MAX;
pub use transaction::{EDUS_MAX, PDUS_MAX};
pub use trust::{AUTHORITIES_MAX, Authorities, TrustError};
pub use user_keys::SignedUserKeys;
pub use web::{web, web_by};
