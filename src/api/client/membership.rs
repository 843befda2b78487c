//! Joining, leaving, inviting, and keeping out (Client-Server API, "Room membership").

use belfry_room::{MemberAct, Membership};
use belfry_user::Requester;
use http::StatusCode;
use ruma_client_api::membership::{
    ban_user::v3 as ban, forget_room::v3 as forget, invite_user::v3 as invite,
    join_room_by_id::v3 as join, join_room_by_id_or_alias::v3 as join_any,
    joined_rooms::v3 as joined_rooms, kick_user::v3 as kick, leave_room::v3 as leave,
    unban_user::v3 as unban,
};
use ruma_common::{OwnedServerName, OwnedUserId, RoomId, api::error::ErrorKind};

use crate::{
    edge::{Call, Edge},
    elsewhere::Elsewhere,
    error::{ApiError, Refusal},
    rate::{Limit, Subject},
    state::RoomDoor,
    wire::Removal,
};

/// `POST /rooms/{roomId}/join`.
pub(crate) async fn join(
    door: RoomDoor,
    edge: Edge,
    call: Call<join::Request>,
) -> Result<join::Response, ApiError> {
    let request = call.request;
    let way = (request.reason, Vec::new());
    enter(&door, &edge, &call.auth, &request.room_id, way).await?;
    Ok(join::Response::new(request.room_id))
}

/// `POST /join/{roomIdOrAlias}`.
pub(crate) async fn join_any(
    door: RoomDoor,
    edge: Edge,
    elsewhere: Elsewhere,
    call: Call<join_any::Request>,
) -> Result<join_any::Response, ApiError> {
    let request = call.request;
    let found = elsewhere.room(&call.auth, &request.room_id_or_alias, request.via);
    let (room_id, via) = found.await?;
    let way = (request.reason, via);
    enter(&door, &edge, &call.auth, &room_id, way).await?;
    Ok(join_any::Response::new(room_id))
}

async fn enter(
    door: &RoomDoor,
    edge: &Edge,
    requester: &Requester,
    room_id: &RoomId,
    (reason, via): (Option<String>, Vec<OwnedServerName>),
) -> Result<(), ApiError> {
    edge.charge(Limit::JoinLocal, Subject::User(requester.user_id.clone()))?;
    edge.charge(Limit::JoinRoom, Subject::Room(room_id.to_owned()))?;
    let mut change = Membership::new(requester.user_id.clone(), MemberAct::Join);
    change.reason = reason;
    change.profile = door.profile_of(&requester.user_id).await?;
    door.go(requester, room_id, change, via).await
}

/// `POST /rooms/{roomId}/leave`.
pub(crate) async fn leave(
    door: RoomDoor,
    call: Call<leave::Request>,
) -> Result<leave::Response, ApiError> {
    let request = call.request;
    let target = call.auth.user_id.clone();
    let about = (target, request.reason);
    change(&door, &call.auth, &request.room_id, MemberAct::Leave, about).await?;
    Ok(leave::Response::new())
}

/// `POST /rooms/{roomId}/invite`.
pub(crate) async fn invite(
    door: RoomDoor,
    edge: Edge,
    call: Call<invite::Request>,
) -> Result<invite::Response, ApiError> {
    let (request, requester) = (call.request, &call.auth);
    let invite::InvitationRecipient::UserId(wanted) = request.recipient else {
        let text = "Invite by user ID: this server uses no identity server";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidParam, text).into());
    };
    edge.charge(
        Limit::InviteIssuer,
        Subject::User(requester.user_id.clone()),
    )?;
    edge.charge(Limit::InviteRoom, Subject::Room(request.room_id.clone()))?;
    edge.charge(Limit::InviteUser, Subject::User(wanted.user_id.clone()))?;
    let mut change = Membership::new(wanted.user_id, MemberAct::Invite);
    change.profile = door.profile_of(&change.target).await?;
    change.reason = wanted.reason;
    door.go(requester, &request.room_id, change, Vec::new())
        .await?;
    Ok(invite::Response::new())
}

/// `POST /rooms/{roomId}/kick`.
pub(crate) async fn kick(
    door: RoomDoor,
    call: Call<Removal<kick::Request>>,
) -> Result<kick::Response, ApiError> {
    let Removal {
        request,
        redact_events,
    } = call.request;
    let mut change = Membership::new(request.user_id, MemberAct::Kick);
    change.reason = request.reason;
    change.redact_events = redact_events;
    remove(&door, &call.auth, &request.room_id, change).await?;
    Ok(kick::Response::new())
}

/// `POST /rooms/{roomId}/ban`.
pub(crate) async fn ban(
    door: RoomDoor,
    call: Call<Removal<ban::Request>>,
) -> Result<ban::Response, ApiError> {
    let Removal {
        request,
        redact_events,
    } = call.request;
    let mut change = Membership::new(request.user_id, MemberAct::Ban);
    change.reason = request.reason;
    change.redact_events = redact_events;
    remove(&door, &call.auth, &request.room_id, change).await?;
    Ok(ban::Response::new())
}

/// `POST /rooms/{roomId}/unban`.
pub(crate) async fn unban(
    door: RoomDoor,
    call: Call<unban::Request>,
) -> Result<unban::Response, ApiError> {
    let request = call.request;
    let about = (request.user_id, request.reason);
    change(&door, &call.auth, &request.room_id, MemberAct::Unban, about).await?;
    Ok(unban::Response::new())
}

/// A kick or a ban; what the target wrote goes with them in the background, if that was asked for.
async fn remove(
    door: &RoomDoor,
    requester: &Requester,
    room_id: &RoomId,
    change: Membership,
) -> Result<(), ApiError> {
    let redacts = change.redact_events;
    door.go(requester, room_id, change, Vec::new()).await?;
    if redacts {
        door.flows.resume();
    }
    Ok(())
}

async fn change(
    door: &RoomDoor,
    requester: &Requester,
    room_id: &RoomId,
    act: MemberAct,
    (target, reason): (OwnedUserId, Option<String>),
) -> Result<(), ApiError> {
    let mut change = Membership::new(target, act);
    change.reason = reason;
    door.go(requester, room_id, change, Vec::new()).await
}

/// `POST /rooms/{roomId}/forget`.
pub(crate) async fn forget(
    door: RoomDoor,
    call: Call<forget::Request>,
) -> Result<forget::Response, ApiError> {
    let (room_id, user_id) = (&call.request.room_id, &call.auth.user_id);
    door.rooms.forget(room_id, user_id).await?;
    Ok(forget::Response::new())
}

/// `GET /joined_rooms`.
pub(crate) async fn joined_rooms(
    door: RoomDoor,
    call: Call<joined_rooms::Request>,
) -> Result<joined_rooms::Response, ApiError> {
    let rooms = door.rooms.joined_rooms(&call.auth.user_id).await?;
    Ok(joined_rooms::Response::new(rooms))
}
