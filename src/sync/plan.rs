//! Which rooms a turn looks at: those that changed, found without looking at those that did not.
//!
//! It exists so that the cost of a turn is that of what changed: one look into the user's ring, or,
//! where that does not reach back far enough, one read of all tails. It knows nothing of what is
//! told of a room.

use std::collections::BTreeSet;

use belfry_data::{
    Membership, Snapshot, Stamp, UserRoom, receipt::have_receipts_since, tails, typing,
    user_in_rooms, user_rooms,
};
use ruma_common::{OwnedRoomId, RoomId, UserId};

use crate::{account_changes::AccountChanges, error::Fault, joined::Candidate};

/// A user's rooms, past ones too, read at once; all of them in as many reads as it takes.
const ROOMS_PAGE: usize = 2_000;

/// Rooms whose receipts are asked for at once.
const PASSING_PAGE: usize = 1_000;

/// Rooms of one user that are looked at. Nobody comes near; the rest is left out.
pub const USER_ROOMS_MAX: usize = 100_000;

/// All rooms of a user, whatever the membership.
pub(crate) async fn all(snapshot: &dyn Snapshot, user: &UserId) -> Result<Vec<UserRoom>, Fault> {
    let mut rooms: Vec<UserRoom> = Vec::new();
    while rooms.len() < USER_ROOMS_MAX {
        let after = rooms.last().map(|last| &*last.room_id);
        let page = user_rooms(snapshot, user, after, ROOMS_PAGE).await?;
        let last = page.len() < ROOMS_PAGE;
        rooms.extend(page);
        if last {
            break;
        }
    }
    Ok(rooms)
}

/// The rooms that these rows are about, to be told in full.
pub(crate) fn every(rooms: Vec<UserRoom>) -> Vec<Candidate> {
    let rooms = rooms.into_iter();
    rooms
        .map(|room| Candidate {
            room: room.room_id,
            row: room.row,
        })
        .collect()
}

/// The rooms among `rooms` in which something may have changed behind `since`.
pub(crate) async fn by_tails(
    snapshot: &dyn Snapshot,
    rooms: &[UserRoom],
    since: Stamp,
    changes: &AccountChanges,
) -> Result<Vec<UserRoom>, Fault> {
    let with_data: BTreeSet<_> = changes.rooms().collect();
    let (joined, others): (Vec<&UserRoom>, Vec<_>) = rooms
        .iter()
        .partition(|room| room.row.membership == Membership::Join);
    let mut found = Vec::new();
    for chunk in joined.chunks(ROOMS_PAGE) {
        let ids: Vec<_> = chunk.iter().map(|room| &*room.room_id).collect();
        let tails = tails(snapshot, &ids).await?;
        let news = chunk.iter().zip(tails).filter(|(room, tail)| {
            tail.is_some_and(|tail| tail > since)
                || room.stamp > since
                || with_data.contains(&*room.room_id)
        });
        found.extend(news.map(|(room, _)| (*room).clone()));
    }
    let others = others.into_iter().filter(|room| room.stamp > since);
    found.extend(others.cloned());
    Ok(found)
}

/// Adds to what was found the other rooms in which somebody typed or read behind `since`, and those
/// whose counts `came_late`.
pub(crate) async fn add_passing(
    snapshot: &dyn Snapshot,
    rooms: Vec<UserRoom>,
    since: Stamp,
    came_late: impl Fn(&RoomId) -> bool,
    found: &mut Vec<UserRoom>,
) -> Result<(), Fault> {
    let known: BTreeSet<_> = found.iter().map(|room| room.room_id.clone()).collect();
    let joined = rooms
        .into_iter()
        .filter(|room| room.row.membership == Membership::Join && !known.contains(&room.room_id));
    let joined: Vec<_> = joined.collect();
    for chunk in joined.chunks(PASSING_PAGE) {
        let ids: Vec<_> = chunk.iter().map(|room| &*room.room_id).collect();
        let typing = typing::typing(snapshot, &ids).await?;
        let read = have_receipts_since(snapshot, &ids, since).await?;
        for ((room, typing), read) in chunk.iter().zip(typing).zip(read) {
            let typed = typing.is_some_and(|(stamp, _)| stamp > since);
            if typed || read || came_late(&room.room_id) {
                found.push(room.clone());
            }
        }
    }
    Ok(())
}

/// These rooms, and those with new account data, as far as the user has to do with them.
pub(crate) async fn by_name(
    snapshot: &dyn Snapshot,
    user: &UserId,
    named: BTreeSet<OwnedRoomId>,
    changes: &AccountChanges,
) -> Result<Vec<Candidate>, Fault> {
    let mut rooms: BTreeSet<&RoomId> = named.iter().map(|room| &**room).collect();
    rooms.extend(changes.rooms());
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let rooms: Vec<_> = rooms.into_iter().collect();
    let rows = user_in_rooms(snapshot, user, &rooms).await?;
    let rows = rooms.into_iter().zip(rows);
    let candidates = rows.filter_map(|(room, row)| {
        let room = room.to_owned();
        row.map(|row| Candidate { room, row })
    });
    Ok(candidates.collect())
}
