//! What sliding sync has told each connection (MSC4186).
//!
//! Exists so that a connection goes on after a restart, and so that a request of it reads only the
//! rooms that it may tell. Lazy: a connection that a crash forgot begins anew. Knows nothing of what
//! is told.

use belfry_kv::{Commit, Direction, ReadError, STAMP_BYTES, Shape, Snapshot, Stamp, Table, Write};
use ruma_common::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, column::UserKey, stir::space};

/// Connections of one device; the one used longest ago goes first.
pub const CONNECTIONS_MAX: usize = 8;

/// Whose connection it is: user, device, and the name that the client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    user: UserKey,
    device: String,
    name: String,
}

impl ConnectionId {
    /// A connection.
    pub fn new(user: &UserId, device: &str, name: &str) -> Self {
        Self {
            user: UserKey::from(user),
            device: device.to_owned(),
            name: name.to_owned(),
        }
    }

    fn key(&self, room: &str) -> (UserKey, String, String, String) {
        let (device, name) = (self.device.clone(), self.name.clone());
        (self.user.clone(), device, name, room.to_owned())
    }
}

/// What a connection has been told, as a whole or of one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionRow {
    /// As a whole.
    Head(HeadRow),
    /// Of one room, in the last answer but one and before, and in the last.
    Room {
        /// What the client has for certain.
        before: Option<ToldRow>,
        /// What it has if it got the answer of this number.
        now: ToldRow,
        /// See `now`.
        answer: u64,
    },
}
postcard_row!(ConnectionRow);

/// A connection as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// The number of the last answer.
    pub answer: u64,
    /// Up to where the last answer looked.
    at: [u8; STAMP_BYTES],
    /// The same of the answer before.
    before: [u8; STAMP_BYTES],
    /// A digest of what was asked.
    pub asked: u64,
    /// When it was used, as the installation's age in milliseconds.
    pub used_age_ms: u64,
}

impl HeadRow {
    /// A connection whose answer number `answer` looked up to `at`, and the one before it up to
    /// `before`.
    pub fn new(answer: u64, at: Stamp, before: Stamp, asked: u64, used_age_ms: u64) -> Self {
        Self {
            answer,
            at: at.to_bytes(),
            before: before.to_bytes(),
            asked,
            used_age_ms,
        }
    }

    /// Up to where the last answer looked.
    pub fn at(&self) -> Stamp {
        Stamp::from_bytes(self.at)
    }

    /// The same of the answer before.
    pub fn before(&self) -> Stamp {
        Stamp::from_bytes(self.before)
    }
}

/// What was told of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRow {
    at: [u8; STAMP_BYTES],
    /// The timeline limit that it was asked with.
    pub limit: u32,
    /// A digest of the state that it was asked with.
    pub state: u64,
}

impl ToldRow {
    /// Told up to `at`.
    pub fn new(at: Stamp, limit: u32, state: u64) -> Self {
        Self {
            at: at.to_bytes(),
            limit,
            state,
        }
    }

    /// Up to where.
    pub fn at(&self) -> Stamp {
        Stamp::from_bytes(self.at)
    }
}

/// User, device, connection, room (empty for the connection as a whole).
pub(crate) static CONNECTION: Table<(UserKey, String, String, String), ConnectionRow> =
    Table::new(space(89, "connection", Shape::Scan));

/// A connection as a whole; `None` if it is not known.
pub async fn connection(
    snapshot: &dyn Snapshot,
    id: &ConnectionId,
) -> Result<Option<HeadRow>, ReadError> {
    let row = CONNECTION.get(snapshot, &id.key("")).await?;
    Ok(row.and_then(|row| match row {
        ConnectionRow::Head(head) => Some(head),
        ConnectionRow::Room { .. } => None,
    }))
}

/// What the connection was told of these rooms, in the order asked.
pub async fn told_rooms(
    snapshot: &dyn Snapshot,
    id: &ConnectionId,
    rooms: &[&RoomId],
) -> Result<Vec<Option<ConnectionRow>>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| id.key(room.as_str())).collect();
    CONNECTION.get_many(snapshot, &keys).await
}

/// The connections of the same device: name and last use. At most 2 × [`CONNECTIONS_MAX`].
pub async fn connections_of_device(
    snapshot: &dyn Snapshot,
    id: &ConnectionId,
) -> Result<Vec<(ConnectionId, u64)>, ReadError> {
    let prefix = (id.user.clone(), id.device.clone());
    let mut found = Vec::new();
    let mut range = CONNECTION.prefix(&prefix);
    while found.len() < 2 * CONNECTIONS_MAX {
        let first = CONNECTION
            .first(snapshot, range, Direction::Forward)
            .await?;
        let Some(((_, _, name, _), row)) = first else {
            break;
        };
        let used = match row {
            ConnectionRow::Head(head) => head.used_age_ms,
            ConnectionRow::Room { .. } => 0,
        };
        let other = ConnectionId { name, ..id.clone() };
        let whole = (id.user.clone(), id.device.clone(), other.name.clone());
        range = CONNECTION.range_after(&prefix, &whole);
        found.push((other, used));
    }
    Ok(found)
}

/// Sets what a connection was told as a whole.
pub fn put_connection(commit: &mut Commit, id: &ConnectionId, row: HeadRow) {
    CONNECTION.put(commit, &id.key(""), &ConnectionRow::Head(row));
}

/// Sets what a connection was told of a room, in answer `answer`; `before` is what it has if it
/// did not get that.
pub fn put_told(
    commit: &mut Commit,
    id: &ConnectionId,
    room: &RoomId,
    before: Option<ToldRow>,
    (answer, now): (u64, ToldRow),
) {
    let row = ConnectionRow::Room {
        before,
        now,
        answer,
    };
    CONNECTION.put(commit, &id.key(room.as_str()), &row);
}

/// Forgets what a connection was told of a room.
pub fn forget_told(commit: &mut Commit, id: &ConnectionId, room: &RoomId) {
    CONNECTION.delete(commit, &id.key(room.as_str()));
}

/// Forgets a connection.
pub fn delete_connection(commit: &mut Commit, id: &ConnectionId) {
    let prefix = (id.user.clone(), id.device.clone(), id.name.clone());
    let range = CONNECTION.prefix(&prefix);
    commit.writes.push(Write::DeleteRange(range));
}

/// Forgets every connection of a user's device, which is gone.
pub fn delete_connections(commit: &mut Commit, user: &UserId, device: &str) {
    let prefix = (UserKey::from(user), device.to_owned());
    CONNECTION.delete_prefix(commit, &prefix);
}
