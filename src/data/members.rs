//! Which users and servers are in which rooms, by rows that every membership change writes.
//!
//! Exists so that /sync starts from a user's rooms, the notifier from a room's local users, and a
//! sender from a room's servers, none of them from the whole state. Knows nothing of why.

use belfry_kv::{Direction, ReadError, Snapshot, Stamp};
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};

use crate::{
    column::{RoomKey, ServerKey, UserKey},
    reader::RoomReader,
    rows::{Membership, UserRoomRow},
    tables::{LOCAL_MEMBER, ROOM_SERVER, USER_ROOM},
};

/// A room of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// When the row was last written: at the last `m.room.member` event, or when many changed at
    /// once.
    pub stamp: Stamp,
    /// The user's membership, and the event that says so.
    pub row: UserRoomRow,
}

/// The rooms of a user, whatever the membership, by room ID: at most `limit`, behind `after`.
pub async fn user_rooms(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<UserRoom>, ReadError> {
    let prefix = (UserKey::from(user),);
    let range = match after {
        Some(room) => USER_ROOM.range_after(&prefix, &(UserKey::from(user), RoomKey::from(room))),
        None => USER_ROOM.prefix(&prefix),
    };
    let page = USER_ROOM
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rooms = page
        .rows
        .into_iter()
        .map(|((_, room), (stamp, row))| UserRoom {
            room_id: room.0,
            stamp,
            row,
        });
    Ok(rooms.collect())
}

/// What a user is to each of these rooms, in the order asked; one round trip.
pub async fn user_in_rooms(
    snapshot: &dyn Snapshot,
    user: &UserId,
    rooms: &[&RoomId],
) -> Result<Vec<Option<UserRoomRow>>, ReadError> {
    let key = |room: &&RoomId| (UserKey::from(user), RoomKey::from(*room));
    let keys: Vec<_> = rooms.iter().map(key).collect();
    let rows = USER_ROOM.get_many(snapshot, &keys).await?;
    Ok(rows
        .into_iter()
        .map(|row| row.map(|(_, row)| row))
        .collect())
}

impl RoomReader<'_> {
    /// Users of this server in the room, whatever their membership: at most `limit`, by user ID,
    /// behind `after`.
    pub async fn local_members(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(OwnedUserId, Membership)>, ReadError> {
        let prefix = (self.room.clone(),);
        let range = match after {
            Some(user) => {
                LOCAL_MEMBER.range_after(&prefix, &(self.room.clone(), UserKey::from(user)))
            }
            None => LOCAL_MEMBER.prefix(&prefix),
        };
        let page = LOCAL_MEMBER
            .scan(self.snapshot, range, Direction::Forward, limit)
            .await?;
        let members = page.rows.into_iter();
        Ok(members
            .map(|((_, user), row)| (user.0, row.membership))
            .collect())
    }

    /// How many users of the server are joined, by the rows of this epoch (the head's,
    /// [`crate::RoomHead::rows`]).
    pub async fn joined_users(&self, epoch: u64, server: &ServerName) -> Result<i64, ReadError> {
        let key = (self.room.clone(), epoch, ServerKey::from(server));
        ROOM_SERVER.get(self.snapshot, &key).await
    }

    /// Servers that have joined users in the room, each with how many: at most `limit` rows are
    /// looked at, by name, behind `after`. The answer's second part is where to go on.
    ///
    /// `epoch` is the head's ([`crate::RoomHead::rows`]).
    pub async fn joined_servers(
        &self,
        epoch: u64,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<(Vec<(OwnedServerName, i64)>, Option<OwnedServerName>), ReadError> {
        let mut range = ROOM_SERVER.prefix(&(self.room.clone(), epoch));
        if let Some(server) = after {
            let key = (self.room.clone(), epoch, ServerKey::from(server));
            range.from = ROOM_SERVER.key(&key).successor();
        }
        let page = ROOM_SERVER
            .scan(self.snapshot, range, Direction::Forward, limit)
            .await?;
        let last = page.rows.last().filter(|_| page.rest.is_some());
        let next = last.map(|((_, _, server), _)| server.0.clone());
        // A server whose last user left keeps a row that says 0.
        let joined = page.rows.into_iter().filter(|(_, count)| *count > 0);
        let servers = joined.map(|((_, _, server), count)| (server.0, count));
        Ok((servers.collect(), next))
    }
}
