//! Knocking on rooms (Client-Server API, "Knocking on rooms").

use belfry_room::{MemberAct, Membership};
use ruma_client_api::knock::knock_room::v3 as knock;

use crate::{
    edge::{Call, Edge},
    elsewhere::Elsewhere,
    error::ApiError,
    rate::{Limit, Subject},
    state::RoomDoor,
};

/// `POST /knock/{roomIdOrAlias}`.
pub(crate) async fn knock(
    door: RoomDoor,
    edge: Edge,
    elsewhere: Elsewhere,
    call: Call<knock::Request>,
) -> Result<knock::Response, ApiError> {
    let (request, user) = (call.request, &call.auth.user_id);
    let found = elsewhere.room(&call.auth, &request.room_id_or_alias, request.via);
    let (room_id, via) = found.await?;
    // Whoever knocks wants in, and others are told of it: it costs what a join costs.
    edge.charge(Limit::JoinLocal, Subject::User(user.clone()))?;
    edge.charge(Limit::JoinRoom, Subject::Room(room_id.clone()))?;
    let mut change = Membership::new(user.clone(), MemberAct::Knock);
    change.reason = request.reason;
    change.profile = door.profile_of(user).await?;
    door.go(&call.auth, &room_id, change, via).await?;
    Ok(knock::Response::new(room_id))
}
