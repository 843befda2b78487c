//! Rooms of which a server that lags is still to be told, whatever happened in them.
//!
//! Exists so that a server which was away for days costs one row for each room that it shares, and
//! the log is not read again for it. Knows nothing of what a server is told in the end.

use belfry_event::EventHash;
use belfry_kv::{Commit, Direction, ReadError, STAMP_BYTES, Shape, Snapshot, Stamp, Table};
use ruma_common::{OwnedRoomId, RoomId, ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, ServerKey},
    federation::space,
};

/// Rooms given by one call of [`lagging_rooms`].
pub const LAGGING_ROOMS_PAGE_MAX: usize = 1_000;

/// Server that lags, room: the last event there that it is to be told of.
pub(crate) static LAGGING_ROOM: Table<(ServerKey, RoomKey), LagRow> =
    Table::new(space(122, "lagging_room", Shape::Scan));

/// The last event of a room that a server is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagRow {
    stamp: [u8; STAMP_BYTES],
    /// Which event.
    pub event: EventHash,
}
postcard_row!(LagRow);

impl LagRow {
    /// An event and its place in the server's log.
    pub fn new(stamp: Stamp, event: EventHash) -> Self {
        let stamp = stamp.to_bytes();
        Self { stamp, event }
    }

    /// Its place in the server's log.
    pub fn stamp(&self) -> Stamp {
        Stamp::from_bytes(self.stamp)
    }
}

/// Remembers that a server is to be told of a room.
pub fn note_lag(commit: &mut Commit, server: &ServerName, room: &RoomId, row: &LagRow) {
    LAGGING_ROOM.put(commit, &(ServerKey::from(server), RoomKey::from(room)), row);
}

/// Forgets all rooms of a server: it has been told.
pub fn forget_lag(commit: &mut Commit, server: &ServerName) {
    LAGGING_ROOM.delete_prefix(commit, &(ServerKey::from(server),));
}

/// The rooms of which a server is to be told, by ID, behind `after`; at most `limit` and
/// [`LAGGING_ROOMS_PAGE_MAX`].
pub async fn lagging_rooms(
    snapshot: &dyn Snapshot,
    server: &ServerName,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(OwnedRoomId, LagRow)>, ReadError> {
    let prefix = (ServerKey::from(server),);
    let range = match after {
        Some(room) => {
            let key = (ServerKey::from(server), RoomKey::from(room));
            LAGGING_ROOM.range_after(&prefix, &key)
        }
        None => LAGGING_ROOM.prefix(&prefix),
    };
    let limit = limit.min(LAGGING_ROOMS_PAGE_MAX);
    let page = LAGGING_ROOM.scan(snapshot, range, Direction::Forward, limit);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|((_, room), row)| (room.0, row)).collect())
}
