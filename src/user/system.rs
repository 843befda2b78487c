//! The server's own user, who tells people what the administration has to say; and what is set for
//! users without being asked by them.
//!
//! Its name begins with an underscore, as nobody's does who registers, and it has no password: nobody
//! signs in as it. Knows nothing of what is told.

use belfry_data::account::{self as rows, UserChange};
use ruma_common::{OwnedUserId, RoomId, UserId};

use crate::{Users, fault::Fault, store::Tries, tag::TagError};

/// The part of its ID before the colon.
const SYSTEM_NAME: &str = "_notices";

impl Users {
    /// The server's own user; its account is made if there is none.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn system_user(&self) -> Result<OwnedUserId, Fault> {
        let server = &self.0.options.server_name;
        let user_id = UserId::parse(format!("@{SYSTEM_NAME}:{server}"))
            .map_err(|error| Fault::Broken(error.to_string()))?;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if rows::user(&*snapshot, &user_id).await?.is_some() {
                return Ok(user_id);
            }
            let change = UserChange::new(&user_id, self.new_row(None));
            self.0.store.commit(change.finish(), &mut tries).await?;
        }
    }

    /// Tags a user's room for the server, which asks nobody.
    ///
    /// # Errors
    /// [`TagError::TooMany`], [`TagError::Fault`]; [`TagError::NotYours`] if there is no such user.
    pub async fn tag_room(&self, user: &UserId, room: &RoomId, tag: &str) -> Result<(), TagError> {
        self.put_tag(user, room, (tag, Some(serde_json::json!({}))))
            .await
    }
}
