//! Transaction IDs: what a device or a server has sent before.
//!
//! Exists so that a request sent twice is answered as it was, not done again. A row is kept until
//! its time is up; [`expire`] removes those. Knows no clock: callers say when it is.

use belfry_event::EventHash;
use belfry_kv::{Batch, Commit, Direction, Handle, Key, ReadError, Snapshot, Write};
use bytes::Bytes;
use ruma_common::{ServerName, UserId};

use crate::{
    column::{DIGEST_BYTES, ServerKey, UserKey, digest},
    origin::{DELAYED_SCOPE, OriginRow},
    rows::{InboundTxnRow, TxnRow},
    tables::{EXPIRY, INBOUND_TXN, TXN},
};

/// Longest device ID in a key, in bytes.
pub const DEVICE_ID_BYTES_MAX: usize = 255;

/// Rows removed by one [`expire`], at most.
pub const EXPIRE_MAX: usize = 1_000;

/// A client's transaction: one device, one endpoint with its parameters, one ID (Client-Server
/// API, "Transaction identifiers").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    key: (UserKey, String, [u8; DIGEST_BYTES]),
    origin: OriginRow,
}

/// The device ID is longer than [`DEVICE_ID_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device ID is longer than {DEVICE_ID_BYTES_MAX} bytes")]
pub struct DeviceIdTooLong;

impl Txn {
    /// `scope` is the endpoint and its path parameters but the transaction ID, for instance
    /// `["send", room, type]`; it and the transaction ID may be of any length.
    pub fn new(
        user: &UserId,
        device: &str,
        scope: &[&str],
        txn_id: &str,
    ) -> Result<Self, DeviceIdTooLong> {
        if device.len() > DEVICE_ID_BYTES_MAX {
            return Err(DeviceIdTooLong);
        }
        let mut parts = scope.to_vec();
        parts.push(txn_id);
        Ok(Self {
            key: (UserKey::from(user), device.to_owned(), digest(&parts)),
            origin: OriginRow {
                device: device.into(),
                id: txn_id.into(),
                delayed: scope == [DELAYED_SCOPE],
            },
        })
    }

    /// What it is told again by to the device.
    pub(crate) fn origin(&self) -> &OriginRow {
        &self.origin
    }

    /// Asks whether the transaction was seen.
    pub fn ask(&self, batch: &mut Batch) -> Handle<Option<TxnRow>> {
        batch.get(&TXN, &self.key)
    }

    /// Whether the transaction was seen, and the event that it made.
    pub async fn get(&self, snapshot: &dyn Snapshot) -> Result<Option<TxnRow>, ReadError> {
        TXN.get(snapshot, &self.key).await
    }

    /// Remembers the transaction until the installation's age is `expires_age_ms`. With `check`, for
    /// commits that nothing else serialises, only if it was not seen before.
    pub fn put(
        &self,
        commit: &mut Commit,
        event: Option<EventHash>,
        expires_age_ms: u64,
        check: bool,
    ) {
        if check {
            TXN.check_absent(commit, &self.key);
        }
        TXN.put(commit, &self.key, &TxnRow { event });
        expire_at(commit, expires_age_ms, &TXN.key(&self.key));
    }
}

/// Another server's transaction (Server-Server API, `PUT /send/{txnId}`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundTxn {
    key: (ServerKey, [u8; DIGEST_BYTES]),
}

impl InboundTxn {
    /// A transaction of this server.
    pub fn new(origin: &ServerName, txn_id: &str) -> Self {
        Self {
            key: (ServerKey::from(origin), digest(&[txn_id])),
        }
    }

    /// What the transaction was answered with, if it was seen.
    pub async fn get(&self, snapshot: &dyn Snapshot) -> Result<Option<InboundTxnRow>, ReadError> {
        INBOUND_TXN.get(snapshot, &self.key).await
    }

    /// Remembers the answer until the age is `expires_age_ms`; the commit applies only if there is
    /// none yet.
    pub fn put(&self, commit: &mut Commit, response: &str, expires_age_ms: u64) {
        INBOUND_TXN.check_absent(commit, &self.key);
        let row = InboundTxnRow {
            response: response.into(),
        };
        INBOUND_TXN.put(commit, &self.key, &row);
        expire_at(commit, expires_age_ms, &INBOUND_TXN.key(&self.key));
    }
}

/// The row with this key goes once the installation is that old.
pub(crate) fn expire_at(commit: &mut Commit, expires_age_ms: u64, key: &Key) {
    let target = Bytes::copy_from_slice(key.as_bytes());
    EXPIRY.put(commit, &(expires_age_ms, target), &());
}

/// Adds the removal of rows whose time is up at this age, the oldest first, at most
/// [`EXPIRE_MAX`]; how many. Such a row is written once and never changed, so that nothing needs to
/// be checked.
pub async fn expire(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    age_ms: u64,
) -> Result<usize, ReadError> {
    let range = EXPIRY.range_until(&(), &(age_ms.saturating_add(1),));
    let page = EXPIRY
        .scan(snapshot, range, Direction::Forward, EXPIRE_MAX)
        .await?;
    for (due, ()) in &page.rows {
        if due.1.is_empty() {
            return Err(ReadError::corrupt("a row names no key").within("expiry"));
        }
        commit.writes.push(Write::Delete(Key::new(due.1.clone())));
        EXPIRY.delete(commit, due);
    }
    Ok(page.rows.len())
}
