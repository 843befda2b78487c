//! Rooms and users whose rows in the directories are behind.
//!
//! Exists so that directories, which depend on several events of a room or on several rooms, are
//! derived outside of the commits that change them, and yet nothing is forgotten: the mark is a row
//! of the very commit, one for each room or user however often it changed, and is removed by the
//! commit that brings the directory up to date, if nothing changed meanwhile. A log's reader would
//! have to pass every message for the few events that matter here. Knows nothing of directories.

use belfry_kv::{Commit, Direction, Keyspace, Kind, ReadError, Shape, Snapshot, Stamp, Table};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};

/// What is behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    /// A room, whose current state changed or which was published or is no more.
    Room(OwnedRoomId),
    /// A user of this server, whose profile changed, or who came or went.
    User(OwnedUserId),
}

/// A mark as it was read.
#[derive(Debug, Clone)]
pub struct StaleMark {
    /// What is behind.
    pub what: Stale,
    key: (String,),
    /// When it was set last.
    row: (Stamp, ()),
}

/// Room IDs and user IDs, told apart by their sigils.
pub(crate) static STALE: Table<(String,), (Stamp, ())> = Table::new(Keyspace {
    name: "stale",
    tag: 76,
    shape: Shape::Queue,
    temperature: belfry_kv::Temperature::Hot,
    kind: Kind::Ground,
    row_version: 1,
});

/// Marks a room.
pub(crate) fn mark_room(commit: &mut Commit, room: &RoomId) {
    STALE.stamp(commit, &(room.to_string(),), &());
}

/// Marks a user.
pub(crate) fn mark_user(commit: &mut Commit, user: &UserId) {
    STALE.stamp(commit, &(user.to_string(),), &());
}

/// What is behind: at most `limit`, rooms first.
pub async fn stale(snapshot: &dyn Snapshot, limit: usize) -> Result<Vec<StaleMark>, ReadError> {
    let page = STALE
        .scan(snapshot, STALE.whole(), Direction::Forward, limit)
        .await?;
    let marks = page.rows.into_iter().map(|(key, row)| {
        let what = what(&key.0);
        let what =
            what.ok_or_else(|| ReadError::corrupt("a mark marks nothing").within("stale"))?;
        Ok(StaleMark { what, key, row })
    });
    marks.collect()
}

/// Removes a mark; the commit applies only if nothing changed since it was read.
pub fn unmark(commit: &mut Commit, mark: &StaleMark) {
    STALE.check_equals(commit, &mark.key, Some(&mark.row));
    STALE.delete(commit, &mark.key);
}

fn what(id: &str) -> Option<Stale> {
    if id.starts_with('!') {
        id.try_into().ok().map(Stale::Room)
    } else {
        id.try_into().ok().map(Stale::User)
    }
}
