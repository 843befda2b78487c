//! What other servers tell of their users that passes: that they type, how far they have read.
//!
//! It exists so that what comes from elsewhere is held against the room first: whose user it is,
//! and whether they are in the room. It knows nothing of EDUs as JSON.

use std::time::Duration;

use ruma_common::{EventId, RoomId, ServerName, UserId};

use crate::error::RoomError;
use crate::receipt::{ReadMark, ReceiptKind, require_joined};
use crate::rooms::Rooms;

impl Rooms {
    /// A user of another server types, or no longer does if there is no timeout.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] if the user is not of that server or not in the room, or the room
    /// shuts the server out.
    pub async fn receive_typing(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        user: &UserId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomError> {
        check_speaker(origin, user)?;
        self.0.door(room_id, origin).await?;
        let snapshot = self.0.engine.snapshot().await?;
        require_joined(&*snapshot, room_id, user).await?;
        drop(snapshot);
        self.set_typing(room_id, user, timeout).await
    }

    /// A user of another server has read up to an event, in a thread (`main`, or its root's ID) or
    /// in all.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] as above; [`RoomError::UnknownEvent`].
    pub async fn receive_receipt(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        user: &UserId,
        (event_id, thread): (&EventId, Option<&str>),
    ) -> Result<(), RoomError> {
        check_speaker(origin, user)?;
        self.0.door(room_id, origin).await?;
        let kind = ReceiptKind::Read;
        let mark = ReadMark {
            kind,
            event_id,
            thread,
        };
        self.mark(user, room_id, mark).await
    }
}

fn check_speaker(origin: &ServerName, user: &UserId) -> Result<(), RoomError> {
    if user.server_name() == origin {
        return Ok(());
    }
    let text = "a server speaks for its own users only";
    Err(RoomError::Forbidden(text.to_owned()))
}
