//! What is remembered of other servers: their keys, and how far each has been told what happens.
//!
//! Exists so that signatures are checked and sending goes on where it stopped after a restart.
//! Knows nothing of who may be spoken to, nor of which keys are right.

use belfry_kv::{
    Commit, Direction, Keyspace, Kind, ReadError, RowCodec, STAMP_BYTES, Seen, Shape, Snapshot,
    Stamp, Table, Temperature,
};
use ruma_common::{OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, postcard_row},
    column::ServerKey,
};

/// Keys of one server that are remembered.
pub const SERVER_KEYS_MAX: usize = 200;
/// Servers given by one call of [`destinations`].
pub const DESTINATIONS_PAGE_MAX: usize = 1_000;
/// EDUs given by one call of [`waiting_edus`].
pub const EDUS_PAGE_MAX: usize = 100;

/// A signing key of another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeyRow {
    /// The ed25519 public key.
    pub key: [u8; 32],
    /// The last moment that it may have signed something, in milliseconds since the Unix epoch.
    pub valid_until_ms: u64,
    /// When it was fetched last, in milliseconds since the Unix epoch.
    pub fetched_ms: u64,
}
postcard_row!(ServerKeyRow);

/// The key document of another server, as it was signed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocumentRow {
    /// The JSON, as it came.
    pub json: Box<str>,
    /// Its `valid_until_ts`.
    pub valid_until_ms: u64,
    /// When it was fetched, in milliseconds since the Unix epoch.
    pub fetched_ms: u64,
}
postcard_row!(KeyDocumentRow);

/// A server that has not been told everything yet, or that failed to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationRow {
    /// Everything up to here has been told, as far as it concerns the server.
    pub told: Stamp,
    /// Failures one after another.
    pub failures: u32,
    /// When it is tried again, as the installation's age in milliseconds.
    pub retry_age_ms: u64,
}

impl RowCodec for DestinationRow {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        let told = self.told.to_bytes();
        codec::encode(&(told, self.failures, self.retry_age_ms), out);
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        if version != Self::VERSION {
            return Err(codec::unknown_version(version));
        }
        let (told, failures, retry_age_ms): ([u8; STAMP_BYTES], _, _) = codec::decode(bytes)?;
        Ok(Self {
            told: Stamp::from_bytes(told),
            failures,
            retry_age_ms,
        })
    }
}

/// An EDU that must not be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EduRow {
    /// The EDU, whole, as JSON.
    pub json: Box<str>,
}
postcard_row!(EduRow);

pub(crate) const fn space(tag: u8, name: &'static str, shape: Shape) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature: Temperature::Cold,
        kind: Kind::Ground,
        row_version: 1,
    }
}

/// Server, key ID: its signing keys.
pub(crate) static SERVER_KEY: Table<(ServerKey, String), ServerKeyRow> =
    Table::new(space(118, "server_key", Shape::Scan));

/// The last key document of a server.
pub(crate) static KEY_DOCUMENT: Table<(ServerKey,), KeyDocumentRow> =
    Table::new(space(119, "key_document", Shape::Point));

/// The servers that lag.
pub(crate) static DESTINATION: Table<(ServerKey,), DestinationRow> =
    Table::new(space(120, "destination", Shape::Scan));

/// Server, and by arrival the EDUs that it has not taken yet.
pub(crate) static EDU_OUTBOX: Table<(ServerKey, Stamp), EduRow> =
    Table::new(space(121, "edu_outbox", Shape::Queue));

/// The keys of a server that are remembered, by key ID, at most [`SERVER_KEYS_MAX`].
pub async fn server_keys(
    snapshot: &dyn Snapshot,
    server: &ServerName,
) -> Result<Vec<(String, ServerKeyRow)>, ReadError> {
    let range = SERVER_KEY.prefix(&(ServerKey::from(server),));
    let page = SERVER_KEY.scan(snapshot, range, Direction::Forward, SERVER_KEYS_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|((_, key_id), row)| (key_id, row)).collect())
}

/// Remembers a key.
pub fn keep_server_key(commit: &mut Commit, server: &ServerName, key_id: &str, row: &ServerKeyRow) {
    let key = (ServerKey::from(server), key_id.to_owned());
    SERVER_KEY.put(commit, &key, row);
}

/// The last key document of a server.
pub async fn key_document(
    snapshot: &dyn Snapshot,
    server: &ServerName,
) -> Result<Option<KeyDocumentRow>, ReadError> {
    KEY_DOCUMENT
        .get(snapshot, &(ServerKey::from(server),))
        .await
}

/// Remembers a key document.
pub fn keep_key_document(commit: &mut Commit, server: &ServerName, row: &KeyDocumentRow) {
    KEY_DOCUMENT.put(commit, &(ServerKey::from(server),), row);
}

/// Servers that lag, by name, behind `after`; at most [`DESTINATIONS_PAGE_MAX`].
pub async fn destinations(
    snapshot: &dyn Snapshot,
    after: Option<&ServerName>,
) -> Result<Vec<(OwnedServerName, DestinationRow)>, ReadError> {
    let range = match after {
        Some(server) => DESTINATION.range_after(&(), &(ServerKey::from(server),)),
        None => DESTINATION.whole(),
    };
    let page = DESTINATION.scan(snapshot, range, Direction::Forward, DESTINATIONS_PAGE_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|((server,), row)| (server.0, row)).collect())
}

/// How far a server lags, for a commit that checks it.
pub async fn destination(
    snapshot: &dyn Snapshot,
    server: &ServerName,
) -> Result<Seen<DestinationRow>, ReadError> {
    DESTINATION
        .get_seen(snapshot, &(ServerKey::from(server),))
        .await
}

/// Remembers how far a server lags.
pub fn keep_destination(commit: &mut Commit, server: &ServerName, row: &DestinationRow) {
    DESTINATION.put(commit, &(ServerKey::from(server),), row);
}

/// Forgets a server that has been told everything, if it still stands where it was seen.
pub fn forget_destination(commit: &mut Commit, server: &ServerName, seen: &DestinationRow) {
    let key = (ServerKey::from(server),);
    DESTINATION.check_equals(commit, &key, Some(seen));
    DESTINATION.delete(commit, &key);
}

/// Has an EDU wait for a server.
pub fn push_edu(commit: &mut Commit, server: &ServerName, row: &EduRow) {
    EDU_OUTBOX.append(commit, &(ServerKey::from(server),), row);
}

/// The EDUs that wait for a server, oldest first; at most [`EDUS_PAGE_MAX`].
pub async fn waiting_edus(
    snapshot: &dyn Snapshot,
    server: &ServerName,
    limit: usize,
) -> Result<Vec<(Stamp, EduRow)>, ReadError> {
    let range = EDU_OUTBOX.prefix(&(ServerKey::from(server),));
    let limit = limit.min(EDUS_PAGE_MAX);
    let page = EDU_OUTBOX.scan(snapshot, range, Direction::Forward, limit);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|((_, stamp), row)| (stamp, row)).collect())
}

/// Takes an EDU off that the server has taken.
pub fn drop_edu(commit: &mut Commit, server: &ServerName, stamp: Stamp) {
    EDU_OUTBOX.delete(commit, &(ServerKey::from(server), stamp));
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn key() -> ServerKeyRow {
        ServerKeyRow {
            key: [3; 32],
            valid_until_ms: 300,
            fetched_ms: 200,
        }
    }

    pub(crate) fn document() -> KeyDocumentRow {
        KeyDocumentRow {
            json: "{}".into(),
            valid_until_ms: 300,
            fetched_ms: 200,
        }
    }

    pub(crate) fn lagging() -> DestinationRow {
        DestinationRow {
            told: Stamp::from_bytes([1; STAMP_BYTES]),
            failures: 2,
            retry_age_ms: 400,
        }
    }

    pub(crate) fn edu() -> EduRow {
        EduRow {
            json: r#"{"edu_type":"m.typing"}"#.into(),
        }
    }
}
