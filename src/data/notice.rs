//! The rooms in which the administration tells users something.
//!
//! Exists so that a user has one such room. Knows nothing of what is told, nor of the room's state.

use belfry_kv::{Commit, ReadError, Seen, Shape, Snapshot, Table, Temperature};
use ruma_common::{OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, column::UserKey, tables::ground};

/// The room of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeRoomRow {
    /// The room.
    pub room: OwnedRoomId,
    /// The server's own user, who writes there.
    pub sender: OwnedUserId,
}
postcard_row!(NoticeRoomRow);

/// User.
pub(crate) static NOTICE_ROOM: Table<(UserKey,), NoticeRoomRow> =
    Table::new(ground(33, "notice_room", Shape::Point, Temperature::Cold));

/// The user's room, for a commit that checks it.
pub async fn notice_room(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Seen<NoticeRoomRow>, ReadError> {
    NOTICE_ROOM
        .get_seen(snapshot, &(UserKey::from(user),))
        .await
}

/// Gives the user another room, if theirs is as it was seen.
pub fn put_notice_room(
    commit: &mut Commit,
    user: &UserId,
    seen: &Seen<NoticeRoomRow>,
    row: &NoticeRoomRow,
) {
    let key = (UserKey::from(user),);
    NOTICE_ROOM.check_unchanged(commit, &key, seen);
    NOTICE_ROOM.put(commit, &key, row);
}
