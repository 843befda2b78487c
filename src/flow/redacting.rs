//! Taking away what somebody wrote who was removed from a room (MSC4293).
//!
//! It exists as a flow because that may be more than one commit holds. It knows nothing of which
//! events these are; `room` does.

use belfry_room::RoomError;
use ruma_common::{EventId, RoomId, UserId};

use crate::runner::Inner;
use crate::step::{Halt, Next};

impl Inner {
    pub(crate) async fn redact_sent(
        &self,
        room: &RoomId,
        user: &UserId,
        by: &EventId,
        cursor: &str,
    ) -> Result<Next, Halt> {
        let before = <&EventId>::try_from(cursor).ok();
        match self.rooms.redact_sent(room, user, by, before).await {
            Ok(Some(cursor)) => Ok(Next::At { stage: 0, cursor }),
            Ok(None) => Ok(Next::Done),
            Err(error @ (RoomError::Busy | RoomError::Unavailable(_) | RoomError::Unsure)) => {
                Err(error.into())
            }
            Err(error) => {
                tracing::warn!(%room, %error, "what a removed user wrote is not taken away");
                Ok(Next::Done)
            }
        }
    }
}
