//! Whether users of this server want to be invited by somebody.
//!
//! The rule is `policy`'s, and what it goes by is account data. Knows nothing of rooms.

use belfry_data::account as rows;
use belfry_policy::{Admission, INVITE_PERMISSION_TYPES, InvitePermission};
use ruma_common::UserId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Users, fault::Fault};

impl Users {
    /// What becomes of an invite of this user by that one: the first type of account data that
    /// does not simply show it decides. For users of other servers, their servers decide.
    pub async fn admits_invite(&self, user: &UserId, by: &UserId) -> Result<Admission, Fault> {
        if user.server_name() != self.0.options.server_name {
            return Ok(Admission::Shown);
        }
        let snapshot = self.0.store.snapshot().await?;
        for event_type in INVITE_PERMISSION_TYPES {
            let row = rows::account_data(&*snapshot, user, "", event_type).await?;
            let config = row.and_then(|row| serde_json::from_str(&row.content).ok());
            let config: InvitePermission = config.unwrap_or_default();
            let admission = config.admits(by);
            if admission != Admission::Shown {
                return Ok(admission);
            }
        }
        Ok(Admission::Shown)
    }

    /// Whether the user ignores that one (Client-Server API, "Ignoring users").
    pub async fn ignores(&self, user: &UserId, by: &UserId) -> Result<bool, Fault> {
        #[derive(Default, Deserialize)]
        struct Ignored {
            ignored_users: Map<String, Value>,
        }
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::account_data(&*snapshot, user, "", "m.ignored_user_list").await?;
        let ignored = row.and_then(|row| serde_json::from_str(&row.content).ok());
        let ignored: Ignored = ignored.unwrap_or_default();
        Ok(ignored.ignored_users.contains_key(by.as_str()))
    }
}
