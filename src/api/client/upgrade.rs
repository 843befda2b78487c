//! Replacing a room by one of another version (Client-Server API, "Room upgrades").

use belfry_room::Replacement;
use ruma_client_api::room::upgrade_room::v3 as upgrade;

use crate::{
    edge::{Call, Edge},
    error::ApiError,
    rate::{Limit, Subject},
    state::RoomDoor,
};

/// `POST /rooms/{roomId}/upgrade`.
pub(crate) async fn upgrade(
    door: RoomDoor,
    edge: Edge,
    call: Call<upgrade::Request>,
) -> Result<upgrade::Response, ApiError> {
    let (request, requester) = (call.request, &call.auth);
    edge.charge(
        Limit::RoomCreation,
        Subject::User(requester.user_id.clone()),
    )?;
    let wish = Replacement {
        old: request.room_id,
        by: requester.user_id.clone(),
        profile: door.profile_of(&requester.user_id).await?,
        version: request.new_version,
        additional_creators: request.additional_creators,
    };
    let account = requester.account();
    let new = door.flows.replace_room(&door.rules, account, wish).await?;
    Ok(upgrade::Response::new(new))
}
