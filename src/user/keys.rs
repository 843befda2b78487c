//! Keys of devices and users: uploading, asking for and claiming them, cross-signing.
//!
//! The server keeps what it verified and hands it on; it could make nothing up that a client would
//! believe. Knows nothing of HTTP, nor of how other servers are asked: that is a port.

mod claim;
mod elsewhere;
mod query;
mod remote;
mod serving;
mod shape;
mod signature;
mod signing;
mod together;
mod upload;

#[cfg(test)]
mod claim_tests;

use belfry_data::ReadError;
use belfry_policy::Denial;

pub(crate) use claim::ClaimDesk;
pub use claim::{CLAIM_DEVICES_MAX, CLAIMED_KEY_MEMORY, ClaimedKeys, ClaimedOf, WantedKeys};
pub(crate) use elsewhere::Asked;
pub use elsewhere::{DeviceList, DeviceUpdate, RESYNCS_MAX, TRACKED_LIST_BYTES_MAX};
pub use query::{KEY_WAIT_MAX, KeyViewer, QUERY_USERS_MAX, QueriedKeys, WantedDevices};
pub use remote::{NoRemoteKeys, RemoteKeys};
pub use serving::keys_for_servers;
pub use shape::{
    ALGORITHMS_MAX, DEVICE_KEYS_BYTES_MAX, KEY_NAME_BYTES_MAX, ONE_TIME_KEY_BYTES_MAX,
    SIGNING_KEY_BYTES_MAX,
};
pub use signature::{SIGNATURES_MAX, SignatureFailure, SignatureFailures, SignedKeys};
pub use signing::SigningKeys;
pub(crate) use upload::put_keys;
pub use upload::{KeyUpload, ONE_TIME_KEYS_MAX};

use crate::fault::Fault;

/// Why keys were not taken or given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the shape that the specification gives.
    #[error("{0}")]
    Shape(String),
    /// Of another user or device, or for another use.
    #[error("{0}")]
    Mismatch(String),
    /// A signature that must be there is missing or wrong.
    #[error("{0}")]
    Signature(String),
    /// Another key was uploaded under this ID before.
    #[error("another key was uploaded as {0} before; use a new ID")]
    KnownId(String),
    /// A key beyond its limit in bytes.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(&'static str, usize),
    /// More than a limit takes.
    #[error("send at most {1} {0}")]
    TooMany(&'static str, usize),
    /// There is no such device, or no longer.
    #[error("there is no such device")]
    NoDevice,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for KeyError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}
