//! Who is asking, once an access token has been looked up.

use belfry_policy::{Account, Standing};
use ruma_common::{OwnedDeviceId, OwnedUserId};

/// A signed-in user, as far as one request needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The account.
    pub user_id: OwnedUserId,
    /// The device that the token belongs to.
    pub device_id: OwnedDeviceId,
    /// The account's role, a name in policy's rules.
    pub role: String,
    /// Whether an administrator has restricted the account.
    pub standing: Standing,
}

impl Requester {
    /// The account as policy looks at it.
    pub fn account(&self) -> Account<'_> {
        Account {
            id: &self.user_id,
            role: &self.role,
            standing: self.standing,
        }
    }
}
