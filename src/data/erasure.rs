//! Who asked to be forgotten when their account was closed (Client-Server API, "Account
//! deactivation").
//!
//! Exists so that readers of rooms ask for all senders of a page at once. Knows nothing of what
//! forgetting means.

use belfry_kv::ReadError;
use ruma_common::UserId;

use crate::{account::tables::USER, column::UserKey, reader::RoomReader};

impl RoomReader<'_> {
    /// When each of these users asked for erasure, in milliseconds since the Unix epoch, in the
    /// order asked; one round trip. Users of other servers never did.
    pub async fn erased(&self, users: &[&UserId]) -> Result<Vec<Option<u64>>, ReadError> {
        let keys: Vec<_> = users.iter().map(|user| (UserKey::from(*user),)).collect();
        let rows = USER.get_many(self.snapshot, &keys).await?;
        let closed = rows
            .into_iter()
            .map(|row| row.and_then(|row| row.deactivated));
        Ok(closed
            .map(|closed| closed.filter(|it| it.erase).map(|it| it.ts))
            .collect())
    }
}
