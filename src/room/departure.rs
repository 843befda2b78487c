//! Forgetting rooms that one has left (Client-Server API, "Leaving rooms").
//!
//! It exists because a forgotten room is no change of the room: nobody else hears of it. It knows
//! nothing of what readers then leave out.

use belfry_data::{Commit, Membership, forget, user_in_rooms};
use ruma_common::{RoomId, UserId};

use crate::error::RoomError;
use crate::rooms::Rooms;

impl Rooms {
    /// Forgets the room for this user, until they have to do with it again.
    ///
    /// # Errors
    /// [`RoomError::NotLeft`] also if the user never had to do with the room.
    pub async fn forget(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let rows = user_in_rooms(&*snapshot, user_id, &[room_id]).await?;
        let row = rows.into_iter().flatten().next();
        let left = row.filter(|row| matches!(row.membership, Membership::Leave | Membership::Ban));
        let departure = left.ok_or(RoomError::NotLeft)?.event;
        // Nothing to check: if the user comes back at this moment, the departure is not the last
        // member event any more, and the row says nothing.
        let mut commit = Commit::synced();
        forget(&mut commit, user_id, room_id, departure);
        self.0.engine.commit(commit).await?;
        Ok(())
    }
}
