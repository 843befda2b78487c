//! A user comes into the successor of a room: tags, push rules and direct chats go with them.
//!
//! It exists as a flow because the join and the account are two aggregates. It knows nothing of what
//! is carried over; `user` does.

use ruma_common::{RoomId, UserId};

use crate::runner::Inner;
use crate::step::{Halt, Next};

impl Inner {
    pub(crate) async fn inherit(
        &self,
        user: &UserId,
        old: &RoomId,
        new: &RoomId,
    ) -> Result<Next, Halt> {
        self.users.inherit_room_data(user, old, new).await?;
        Ok(Next::Done)
    }
}
