//! What somebody does not want to be told of: invites from whom they do not admit (Client-Server API,
//! "Invite permission"), rooms that they have left and forgotten.
//!
//! It exists so that both are asked in one way. It knows nothing of the rule about invites, which is
//! `policy`'s, and of how a room is forgotten.

use belfry_data::{Membership, Snapshot, UserRoomRow, account, are_forgotten};
use belfry_policy::{Admission, INVITE_PERMISSION_TYPES, InvitePermission};
use ruma_common::{RoomId, UserId};

use crate::error::Fault;

/// Whether the user is shown invites by this one.
pub(crate) async fn shows_invite(
    snapshot: &dyn Snapshot,
    user: &UserId,
    by: &UserId,
) -> Result<bool, Fault> {
    for event_type in INVITE_PERMISSION_TYPES {
        let row = account::account_data(snapshot, user, "", event_type).await?;
        let config = row.and_then(|row| serde_json::from_str(&row.content).ok());
        let config: InvitePermission = config.unwrap_or_default();
        if config.admits(by) != Admission::Shown {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the user has left the room and forgotten it.
pub(crate) async fn is_forgotten(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
    row: UserRoomRow,
) -> Result<bool, Fault> {
    if !matches!(row.membership, Membership::Leave | Membership::Ban) {
        return Ok(false);
    }
    let told = are_forgotten(snapshot, user, &[(room, row)]).await?;
    Ok(told == [true])
}
