//! `GET /mutual_rooms`: the rooms that the user and another are both in.
//!
//! It knows nothing of what the rooms are called.

use belfry_data::{Membership, user_in_rooms, user_rooms};
use ruma_common::{OwnedRoomId, RoomId, UserId};

use crate::{
    error::{Fault, ViewError},
    json::{EventList, Object, write_string},
    token::List,
    views::Views,
};

/// Most rooms of an answer.
pub const MUTUAL_ROOMS_MAX: usize = 1_000;
/// Rooms of a user read at once.
const READ_MAX: usize = 1_000;
/// How many times that many are looked at.
const READS_MAX: usize = 100;

/// Rooms that two users are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutualRooms {
    /// A run of them, by ID.
    pub joined: Vec<OwnedRoomId>,
    /// How many there are altogether.
    pub count: usize,
    /// The token to go on with; `None` if there is nothing more.
    pub next_batch: Option<String>,
}

impl MutualRooms {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut list = EventList::default();
        for room in &self.joined {
            list.push(|out| write_string(room.as_str(), out));
        }
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("joined", &list);
        object.plain("count", self.count);
        if let Some(token) = &self.next_batch {
            object.string("next_batch", token);
        }
        object.end();
        out
    }
}

impl Views {
    /// The rooms that both users are in.
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn mutual_rooms(
        &self,
        user: &UserId,
        other: &UserId,
        from: Option<&str>,
    ) -> Result<MutualRooms, ViewError> {
        let shared = &*self.0;
        let place = |token| shared.tokens.list_place(List::MutualRooms, token);
        let passed: Option<OwnedRoomId> = from.map(place).transpose()?;
        let passed = passed.as_ref();
        let found = shared.read(|snapshot| async move {
            let all = common(&*snapshot, user, other).await?;
            let count = all.len();
            let rest = all
                .into_iter()
                .filter(|room| passed.is_none_or(|it| room > it));
            let mut joined: Vec<_> = rest.take(MUTUAL_ROOMS_MAX + 1).collect();
            let more = joined.len() > MUTUAL_ROOMS_MAX;
            joined.truncate(MUTUAL_ROOMS_MAX);
            let last = joined.last().filter(|_| more);
            let next_batch = last.map(|room| shared.tokens.list(List::MutualRooms, room));
            Ok(MutualRooms {
                joined,
                count,
                next_batch,
            })
        });
        found.await
    }
}

async fn common(
    snapshot: &dyn belfry_data::Snapshot,
    user: &UserId,
    other: &UserId,
) -> Result<Vec<OwnedRoomId>, Fault> {
    let mut common = Vec::new();
    let mut after: Option<OwnedRoomId> = None;
    for _ in 0..READS_MAX {
        let rooms = user_rooms(snapshot, user, after.as_deref(), READ_MAX).await?;
        let more = rooms.len() == READ_MAX;
        after = rooms.last().map(|room| room.room_id.clone());
        let joined = rooms.into_iter();
        let joined = joined.filter(|room| room.row.membership == Membership::Join);
        let joined: Vec<_> = joined.map(|room| room.room_id).collect();
        let ids: Vec<&RoomId> = joined.iter().map(|room| &**room).collect();
        let there = user_in_rooms(snapshot, other, &ids).await?;
        let both = joined.into_iter().zip(there);
        let both = both.filter(|(_, row)| {
            row.as_ref()
                .is_some_and(|row| row.membership == Membership::Join)
        });
        common.extend(both.map(|(room, _)| room));
        if !more {
            break;
        }
    }
    common.sort_unstable();
    Ok(common)
}
