//! Rows about what other servers sent and the room's worker has not taken yet.

use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// An event as another server sent it: its format, size, content hash and signatures were looked
/// at, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRow {
    /// The server that sent it, whose quota it counts against.
    pub origin: Box<str>,
    /// When it came, in milliseconds since the Unix epoch.
    pub received_ts: u64,
    /// Canonical JSON in the federation format.
    pub json: Box<str>,
}
postcard_row!(StagedRow);

/// A transaction of another server that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundTxnRow {
    /// The JSON that it was answered with.
    pub response: Box<str>,
}
postcard_row!(InboundTxnRow);
