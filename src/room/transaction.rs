//! Transactions of other servers: their PDUs are checked as far as that needs nobody, staged, and
//! answered; the room's inbound task does the rest.
//!
//! It exists so that `PUT /send` is answered once the events are durable, however long their
//! ancestors take to fetch. It knows nothing of EDUs and of what becomes of staged events.

use ruma_common::OwnedServerName;
use serde_json::value::RawValue;

/// PDUs of one transaction (Server-Server API, "Transactions").
pub const TRANSACTION_PDUS_MAX: usize = 50;

/// The PDUs of a `PUT /send/{txnId}`.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Who sent it, by the signature on the request.
    pub origin: OwnedServerName,
    /// `txnId`.
    pub id: String,
    /// `pdus`, as they came; anything that is no object is answered for as far as it can be named.
    pub pdus: Vec<Box<RawValue>>,
}

/// What a transaction is answered with.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The body of the answer: `{"pdus": {"$event": {} or {"error": "…"}}}`.
    pub body: Box<RawValue>,
    /// Whether it was received before (in the last 24 hours): the body is that of the first time,
    /// nothing was done, and its EDUs are to be left alone too.
    pub repeated: bool,
}
