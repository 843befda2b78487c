//! Rooms that users have left and do not want to be reminded of.
//!
//! Exists so that forgetting is a fact of its own, beside the membership rows, which follow from
//! the rooms' states. Knows nothing of who may forget.

use belfry_event::EventHash;
use belfry_kv::{Commit, GET_MANY_KEYS_MAX, ReadError, Shape, Snapshot, Table, Temperature};
use ruma_common::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    rows::UserRoomRow,
    tables::ground,
};

/// A departure that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenRow {
    /// The member event by which the user was out of the room. After another one, the room is
    /// forgotten no longer.
    pub event: EventHash,
}
postcard_row!(ForgottenRow);

/// User, room.
pub(crate) static FORGOTTEN: Table<(UserKey, RoomKey), ForgottenRow> =
    Table::new(ground(64, "forgotten", Shape::Scan, Temperature::Cold));

/// Forgets the room, as far as the user's last departure goes.
pub fn forget(commit: &mut Commit, user: &UserId, room: &RoomId, departure: EventHash) {
    let key = (UserKey::from(user), RoomKey::from(room));
    FORGOTTEN.put(commit, &key, &ForgottenRow { event: departure });
}

/// Which of these rooms the user has forgotten, in the order asked.
pub async fn are_forgotten(
    snapshot: &dyn Snapshot,
    user: &UserId,
    rooms: &[(&RoomId, UserRoomRow)],
) -> Result<Vec<bool>, ReadError> {
    let mut told = Vec::with_capacity(rooms.len());
    for chunk in rooms.chunks(GET_MANY_KEYS_MAX) {
        let keys = chunk.iter();
        let keys: Vec<_> = keys
            .map(|(room, _)| (UserKey::from(user), RoomKey::from(*room)))
            .collect();
        let rows = FORGOTTEN.get_many(snapshot, &keys).await?;
        let pairs = chunk.iter().zip(rows);
        told.extend(pairs.map(|((_, now), row)| row.is_some_and(|row| row.event == now.event)));
    }
    Ok(told)
}
