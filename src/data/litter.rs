//! Rooms in which parts of commits may have been left behind, for sweeping.
//!
//! Exists because a join that is given up, or a crash in the middle of one, leaves nodes that no
//! head will ever refer to, and nobody else would look for them. Knows nothing of what is litter:
//! that is [`crate::Sweep`]'s.

use belfry_kv::{Commit, Direction, ReadError, Shape, Snapshot, Table, Temperature};
use ruma_common::{OwnedRoomId, RoomId};

use crate::{column::RoomKey, tables::ground};

/// Rooms into which parts were written since they were last swept.
pub(crate) static LITTER: Table<(RoomKey,), ()> =
    Table::new(ground(110, "litter", Shape::Scan, Temperature::Cold));

/// Notes that parts are written into the room.
pub(crate) fn note_litter(commit: &mut Commit, room: &RoomKey) {
    LITTER.put(commit, &(room.clone(),), &());
}

/// Notes that the room is swept. Only in commits that check its head, and while nobody writes
/// parts into it.
pub fn clear_litter(commit: &mut Commit, room: &RoomId) {
    LITTER.delete(commit, &(RoomKey::from(room),));
}

/// Rooms to be swept, by ID: at most `limit`, behind `after`.
pub async fn littered_rooms(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<OwnedRoomId>, ReadError> {
    let range = match after {
        Some(room) => LITTER.range_after(&(), &(RoomKey::from(room),)),
        None => LITTER.whole(),
    };
    let page = LITTER
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    Ok(page.rows.into_iter().map(|((room,), ())| room.0).collect())
}
