//! Joins, leaves, knocks and invites of other servers' users. Rooms check the events; here they
//! are only handed on, with the room and the event of the path.

use belfry_room::{Handshake, Invitation, JoinAnswer};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::ask::{self, Ask, invalid};
use crate::{
    consent,
    edge::JsonText,
    error::ApiError,
    rate::{Limit, Subject},
    state::Api,
};

/// Room versions that one question may name.
const VERSIONS_MAX: usize = 100;

async fn make(api: &Api, ask: &Ask, handshake: Handshake) -> Result<JsonText, ApiError> {
    let (room, user): (OwnedRoomId, OwnedUserId) = (ask.id(0)?, ask.id(1)?);
    let mut versions = Vec::new();
    for version in ask.parameters("ver").take(VERSIONS_MAX) {
        versions.push(RoomVersionId::try_from(version).map_err(|_| invalid("ver is no version"))?);
    }
    if versions.is_empty() {
        // What servers speak that name none.
        versions.push(RoomVersionId::V1);
    }
    let made = api
        .rooms
        .make(&ask.origin, handshake, &room, &user, &versions)
        .await?;
    ask::json(&json!({"room_version": made.room_version, "event": made.event}))
}

/// `GET /make_join/{roomId}/{userId}`.
pub(crate) async fn make_join(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    make(&api, &ask, Handshake::Join).await
}

/// `GET /make_leave/{roomId}/{userId}`.
pub(crate) async fn make_leave(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    make(&api, &ask, Handshake::Leave).await
}

/// `GET /make_knock/{roomId}/{userId}`.
pub(crate) async fn make_knock(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    make(&api, &ask, Handshake::Knock).await
}

async fn joined(api: &Api, ask: &Ask) -> Result<Value, ApiError> {
    let (room, event): (OwnedRoomId, OwnedEventId) = (ask.id(0)?, ask.id(1)?);
    api.edge
        .charge(Limit::JoinRoom, Subject::Room(room.clone()))?;
    let content = ask.raw()?;
    let accepted = api.rooms.accept_join(&ask.origin, &room, &event, &content);
    let JoinAnswer {
        event,
        state,
        auth_chain,
        ..
    } = accepted.await?;
    let mut answer = json!({
        "origin": api.federation.server(),
        "state": state,
        "auth_chain": auth_chain,
        "members_omitted": false,
    });
    if let Some(event) = event {
        answer["event"] = json!(event);
    }
    Ok(answer)
}

/// `PUT /v2/send_join/{roomId}/{eventId}`.
pub(crate) async fn send_join(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    ask::json(&joined(&api, &ask).await?)
}

/// `PUT /v1/send_join/{roomId}/{eventId}`: the same as a pair of status and answer.
pub(crate) async fn send_join_v1(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    ask::json(&json!([200, joined(&api, &ask).await?]))
}

async fn left(api: &Api, ask: &Ask) -> Result<(), ApiError> {
    let (room, event): (OwnedRoomId, OwnedEventId) = (ask.id(0)?, ask.id(1)?);
    let content = ask.raw()?;
    let accepted = api.rooms.accept_leave(&ask.origin, &room, &event, &content);
    Ok(accepted.await?)
}

/// `PUT /v2/send_leave/{roomId}/{eventId}`.
pub(crate) async fn send_leave(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    left(&api, &ask).await?;
    ask::json(&json!({}))
}

/// `PUT /v1/send_leave/{roomId}/{eventId}`.
pub(crate) async fn send_leave_v1(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    left(&api, &ask).await?;
    ask::json(&json!([200, {}]))
}

/// `PUT /v1/send_knock/{roomId}/{eventId}`.
pub(crate) async fn send_knock(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let (room, event): (OwnedRoomId, OwnedEventId) = (ask.id(0)?, ask.id(1)?);
    let content = ask.raw()?;
    let accepted = api.rooms.accept_knock(&ask.origin, &room, &event, &content);
    ask::json(&json!({"knock_room_state": accepted.await?}))
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the spec's names")]
struct Invite {
    room_version: RoomVersionId,
    event: Box<RawValue>,
    #[serde(default)]
    invite_room_state: Vec<Box<RawValue>>,
}

/// `PUT /v2/invite/{roomId}/{eventId}`.
pub(crate) async fn invite(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let Invite {
        room_version,
        event,
        invite_room_state,
    } = ask.content()?;
    let invitation = Invitation {
        room_version,
        event,
        invite_room_state,
    };
    let signed = accept_invite(&api, &ask, invitation).await?;
    ask::json(&json!({"event": signed}))
}

/// `PUT /v1/invite/{roomId}/{eventId}`: the event itself, of a room of version 1 or 2.
pub(crate) async fn invite_v1(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let event = ask.raw()?;
    let content: Value = ask.content()?;
    let state = content["unsigned"]["invite_room_state"].as_array();
    let mut invite_room_state = Vec::new();
    for event in state.into_iter().flatten() {
        invite_room_state.push(serde_json::value::to_raw_value(event).map_err(ApiError::fault)?);
    }
    let invitation = Invitation {
        room_version: RoomVersionId::V2,
        event,
        invite_room_state,
    };
    let signed = accept_invite(&api, &ask, invitation).await?;
    ask::json(&json!([200, {"event": signed}]))
}

/// Who invites whom, by an event that was not checked yet.
#[derive(Deserialize)]
struct Parties {
    sender: OwnedUserId,
    state_key: OwnedUserId,
}

async fn accept_invite(
    api: &Api,
    ask: &Ask,
    invitation: Invitation,
) -> Result<Box<RawValue>, ApiError> {
    let (room, event): (OwnedRoomId, OwnedEventId) = (ask.id(0)?, ask.id(1)?);
    let parties: Parties = serde_json::from_str(invitation.event.get())
        .map_err(|_| invalid("this is no invite of a user"))?;
    if parties.state_key.server_name() == api.federation.server() {
        let (rooms, invited) = (Subject::Room(room.clone()), parties.state_key.clone());
        api.edge.charge(Limit::InviteRoom, rooms)?;
        api.edge.charge(Limit::InviteUser, Subject::User(invited))?;
        consent::ask_for_other(&api.users, &parties.state_key, &parties.sender).await?;
    }
    let accepted = api
        .rooms
        .accept_invite(&ask.origin, &room, &event, &invitation);
    Ok(accepted.await?)
}

/// `PUT /exchange_third_party_invite/{roomId}`.
pub(crate) async fn exchange_third_party(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    api.edge
        .charge(Limit::InviteRoom, Subject::Room(room.clone()))?;
    let invite = api
        .rooms
        .read_third_party(&ask.origin, &room, &ask.raw()?)
        .await?;
    consent::ask(&api.users, &invite.invited, &invite.inviter).await?;
    api.rooms.exchange_third_party(invite).await?;
    ask::json(&json!({}))
}
