//! Aliases of rooms, and which rooms the server shows in its directory.
//!
//! Exists so that an alias names one room, and so that both directions are read without a search.
//! Knows nothing of who may claim or publish what.

use belfry_kv::{
    Commit, Direction, Keyspace, Kind, ReadError, Seen, Shape, Snapshot, Table, Temperature,
};
use ruma_common::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, column::RoomKey, stale::mark_room};

/// Most aliases of one room that [`aliases_of`] gives.
pub const ALIASES_MAX: usize = 1_000;

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    /// The room.
    pub room: OwnedRoomId,
    /// Who claimed the alias.
    pub creator: OwnedUserId,
}
postcard_row!(AliasRow);

const fn space(tag: u8, name: &'static str, kind: Kind, shape: Shape) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature: Temperature::Hot,
        kind,
        row_version: 1,
    }
}

/// What each alias of this server stands for.
pub(crate) static ROOM_ALIAS: Table<(String,), AliasRow> =
    Table::new(space(61, "room_alias", Kind::Ground, Shape::Point));

/// Room, alias of this server.
pub(crate) static ALIAS_OF_ROOM: Table<(RoomKey, String), ()> =
    Table::new(space(62, "alias_of_room", Kind::Derived, Shape::Scan));

/// The rooms that the server shows in its directory.
pub(crate) static PUBLISHED: Table<(RoomKey,), ()> =
    Table::new(space(63, "published", Kind::Ground, Shape::Scan));

/// What the alias stands for, for a commit that checks it.
pub async fn alias_seen(
    snapshot: &dyn Snapshot,
    alias: &RoomAliasId,
) -> Result<Seen<AliasRow>, ReadError> {
    ROOM_ALIAS.get_seen(snapshot, &(alias.to_string(),)).await
}

/// The aliases of a room, by name, at most [`ALIASES_MAX`].
pub async fn aliases_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<Vec<OwnedRoomAliasId>, ReadError> {
    let range = ALIAS_OF_ROOM.prefix(&(RoomKey::from(room),));
    let page = ALIAS_OF_ROOM.scan(snapshot, range, Direction::Forward, ALIASES_MAX);
    let aliases = page.await?.rows.into_iter().map(|((_, alias), ())| {
        OwnedRoomAliasId::try_from(alias)
            .map_err(|_| ReadError::corrupt("a key holds no alias").within("alias_of_room"))
    });
    aliases.collect()
}

/// Claims the alias for a room; the commit applies only if nobody has it.
pub fn claim_alias(commit: &mut Commit, alias: &RoomAliasId, room: &RoomId, creator: &UserId) {
    let row = AliasRow {
        room: room.to_owned(),
        creator: creator.to_owned(),
    };
    let key = (alias.to_string(),);
    ROOM_ALIAS.check_absent(commit, &key);
    ROOM_ALIAS.put(commit, &key, &row);
    ALIAS_OF_ROOM.put(commit, &(RoomKey::from(room), alias.to_string()), &());
}

/// Gives the alias up, if it still stands for what was seen.
pub fn release_alias(commit: &mut Commit, alias: &RoomAliasId, seen: &Seen<AliasRow>) {
    let key = (alias.to_string(),);
    ROOM_ALIAS.check_unchanged(commit, &key, seen);
    ROOM_ALIAS.delete(commit, &key);
    if let Some(row) = &seen.row {
        let key = (RoomKey::from(&*row.room), alias.to_string());
        ALIAS_OF_ROOM.delete(commit, &key);
    }
}

/// Gives an alias, if it still stands for what was seen, to another room.
pub fn move_alias(commit: &mut Commit, alias: &RoomAliasId, seen: &Seen<AliasRow>, room: &RoomId) {
    let Some(row) = &seen.row else { return };
    let key = (alias.to_string(),);
    ROOM_ALIAS.check_unchanged(commit, &key, seen);
    let moved = AliasRow {
        room: room.to_owned(),
        creator: row.creator.clone(),
    };
    ROOM_ALIAS.put(commit, &key, &moved);
    ALIAS_OF_ROOM.delete(commit, &(RoomKey::from(&*row.room), alias.to_string()));
    ALIAS_OF_ROOM.put(commit, &(RoomKey::from(room), alias.to_string()), &());
}

/// Whether the server shows the room in its directory.
pub async fn is_published(snapshot: &dyn Snapshot, room: &RoomId) -> Result<bool, ReadError> {
    let row = PUBLISHED.get(snapshot, &(RoomKey::from(room),)).await?;
    Ok(row.is_some())
}

/// Shows the room in the directory, or no longer; the listing itself follows.
pub fn publish(commit: &mut Commit, room: &RoomId, shown: bool) {
    mark_room(commit, room);
    let key = (RoomKey::from(room),);
    if shown {
        PUBLISHED.put(commit, &key, &());
    } else {
        PUBLISHED.delete(commit, &key);
    }
}
