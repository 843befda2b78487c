//! Who types in which room (Client-Server API, "Typing Notifications").
//!
//! Exists so that a sync reads who types like everything else: from its snapshot, by what changed.
//! A room's row is one value, written as a whole. Knows no clock: rows say until which age of the
//! installation somebody counts as typing.

use belfry_kv::{Commit, Direction, ReadError, Seen, Shape, Snapshot, Stamp, Table};
use ruma_common::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::RoomKey,
    stir::{StirRow, space, stir},
};

/// Users that count as typing in one room; whoever comes next does not.
pub const TYPING_USERS_MAX: usize = 100;

/// Who types in a room.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TypingRow {
    /// User IDs, sorted, each once, with the installation's age in milliseconds until which they
    /// type. At most [`TYPING_USERS_MAX`].
    pub users: Vec<(Box<str>, u64)>,
}
postcard_row!(TypingRow);

/// Every room that somebody typed in.
pub(crate) static ROOM_TYPING: Table<(RoomKey,), (Stamp, TypingRow)> =
    Table::new(space(80, "room_typing", Shape::Scan));

/// Who types in each of these rooms, in the order asked, with the stamp of the last change; one
/// round trip.
pub async fn typing(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
) -> Result<Vec<Option<(Stamp, TypingRow)>>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| (RoomKey::from(*room),)).collect();
    ROOM_TYPING.get_many(snapshot, &keys).await
}

/// The same of one room, for [`put_typing`].
pub async fn typing_seen(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<Seen<(Stamp, TypingRow)>, ReadError> {
    let key = (RoomKey::from(room),);
    ROOM_TYPING.get_seen(snapshot, &key).await
}

/// Rooms in which somebody typed, behind `after`, by ID, at most `limit`.
pub async fn typing_rooms(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(OwnedRoomId, TypingRow)>, ReadError> {
    let range = match after {
        Some(room) => ROOM_TYPING.range_after(&(), &(RoomKey::from(room),)),
        None => ROOM_TYPING.whole(),
    };
    let page = ROOM_TYPING
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows.map(|((room,), (_, row))| (room.0, row)).collect())
}

/// A commit that says who types in the room, if that is still as it was seen. Lazy: nobody is
/// promised that it lasts.
pub fn put_typing(room: &RoomId, seen: &Seen<(Stamp, TypingRow)>, row: &TypingRow) -> Commit {
    let mut commit = Commit::lazy();
    let key = (RoomKey::from(room),);
    ROOM_TYPING.check_unchanged(&mut commit, &key, seen);
    ROOM_TYPING.stamp(&mut commit, &key, row);
    let room = room.as_str().into();
    stir(&mut commit, &StirRow::Typing { room });
    commit
}

/// The same for users who go on typing: nobody is told, for nothing changed that is shown.
pub fn prolong_typing(room: &RoomId, seen: &Seen<(Stamp, TypingRow)>, row: &TypingRow) -> Commit {
    let mut commit = Commit::lazy();
    let key = (RoomKey::from(room),);
    ROOM_TYPING.check_unchanged(&mut commit, &key, seen);
    let stamp = seen.row.as_ref().map_or(Stamp::default(), |(at, _)| *at);
    ROOM_TYPING.put(&mut commit, &key, &(stamp, row.clone()));
    commit
}
