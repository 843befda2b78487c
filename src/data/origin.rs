//! By which request of which client an event of this server came: for `unsigned` (Client-Server
//! API, "Transaction identifiers"; MSC4140).
//!
//! Exists so that a device knows its own events again. Written in the commit that holds the event;
//! transaction IDs go when they are not remembered any more. Knows nothing of who reads it.

use belfry_event::EventHash;
use belfry_kv::{Commit, ReadError, Shape, Table, Temperature};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::RoomKey,
    reader::RoomReader,
    tables::{EventKey, ground},
    txn::expire_at,
};

/// The scope of transactions that are delayed events coming due: their ID is the `delay_id`.
pub const DELAYED_SCOPE: &str = "delayed";
/// Longest transaction ID that is told again, in bytes.
pub const TOLD_TXN_BYTES_MAX: usize = 255;

/// The request that made an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRow {
    /// The device that asked.
    pub device: Box<str>,
    /// The transaction ID that it chose, or the `delay_id`.
    pub id: Box<str>,
    /// Whether it was a delayed event.
    pub delayed: bool,
}
postcard_row!(OriginRow);

/// Events of this server, with what made them.
pub(crate) static EVENT_ORIGIN: Table<EventKey, OriginRow> =
    Table::new(ground(32, "event_origin", Shape::Point, Temperature::Cold));

/// Remembers what made an event: of a delayed one for ever, of others until the installation's age
/// is `expires_age_ms`.
pub(crate) fn put_origin(
    commit: &mut Commit,
    room: &RoomKey,
    event: EventHash,
    row: &OriginRow,
    expires_age_ms: u64,
) {
    if row.id.len() > TOLD_TXN_BYTES_MAX {
        return;
    }
    let key = (room.clone(), *event.as_bytes());
    EVENT_ORIGIN.put(commit, &key, row);
    if !row.delayed {
        expire_at(commit, expires_age_ms, &EVENT_ORIGIN.key(&key));
    }
}

impl RoomReader<'_> {
    /// What made these events, in the order asked, as far as it is remembered; one round trip.
    pub async fn origins(&self, events: &[EventHash]) -> Result<Vec<Option<OriginRow>>, ReadError> {
        let keys: Vec<_> = events.iter().map(|event| self.event_key(*event)).collect();
        EVENT_ORIGIN.get_many(self.snapshot, &keys).await
    }
}
