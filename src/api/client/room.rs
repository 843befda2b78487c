//! Creating rooms, and sending events into them.

use belfry_room::{Change, CreateRoom, INVITES_MAX, InitialState, Preset, RoomError, Txn};
use belfry_user::Requester;
use http::StatusCode;
use ruma_client_api::{
    message::send_message_event::v3 as send,
    redact::redact_event::v3 as redact,
    room::{
        Visibility,
        create_room::v3::{self as create, RoomPreset},
    },
    state::send_state_event::v3 as send_state,
};
use ruma_common::{EventId, OwnedEventId, OwnedRoomAliasId, api::error::ErrorKind, serde::Raw};
use ruma_events::TimelineEventType;
use serde::Deserialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    delayed::{self, Wanted},
    directory::is_public,
};
use crate::{
    consent,
    edge::{Call, Edge, JsonText},
    error::{ApiError, EdgeError, Refusal},
    rate::{Limit, Subject},
    state::{About, RoomDoor},
    wire::Delayable,
};

/// `POST /createRoom`.
pub(crate) async fn create(
    door: RoomDoor,
    edge: Edge,
    about: About,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    edge.charge(
        Limit::RoomCreation,
        Subject::User(call.auth.user_id.clone()),
    )?;
    let request = wanted_room(&door, &about, &call.auth, call.request).await?;
    for user in request.invite.iter().take(INVITES_MAX) {
        consent::ask(&door.users, user, &call.auth.user_id).await?;
    }
    let account = call.auth.account();
    let made = door.rooms.create_as(&door.rules, account, request).await;
    Ok(create::Response::new(made.map_err(not_created)?))
}

async fn wanted_room(
    door: &RoomDoor,
    about: &About,
    requester: &Requester,
    request: create::Request,
) -> Result<CreateRoom, ApiError> {
    refuse_unserved(&request)?;
    let version = request.room_version.clone();
    Ok(CreateRoom {
        creator: requester.user_id.clone(),
        profile: door.profile_of(&requester.user_id).await?,
        version: version.unwrap_or_else(|| about.default_room_version.clone()),
        preset: preset(&request)?,
        name: request.name,
        topic: request.topic,
        alias: whole_alias(requester, request.room_alias_name.as_deref())?,
        published: is_public(&request.visibility)?,
        invite: request.invite,
        is_direct: request.is_direct,
        creation_content: fields(request.creation_content.as_ref())?,
        initial_state: initial_state(&request.initial_state)?,
        power_level_content_override: fields(request.power_level_content_override.as_ref())?,
        replaces: None,
    })
}

/// What cannot be done is refused, not left out in silence.
fn refuse_unserved(request: &create::Request) -> Result<(), ApiError> {
    if request.invite_3pid.is_empty() {
        return Ok(());
    }
    let unserved = "Invite by user ID: this server uses no identity server";
    Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidParam, unserved).into())
}

/// The alias that a client names by its local part.
fn whole_alias(
    requester: &Requester,
    name: Option<&str>,
) -> Result<Option<OwnedRoomAliasId>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let server = requester.user_id.server_name();
    let alias = OwnedRoomAliasId::try_from(format!("#{name}:{server}"));
    match alias {
        Ok(alias) if !name.contains(':') => Ok(Some(alias)),
        _ => {
            let text = "room_alias_name is the part of an alias between # and the colon, alone";
            Err(EdgeError::InvalidParam(text.to_owned()).into())
        }
    }
}

/// An alias that a room has already is told in other words here than where aliases are claimed.
fn not_created(error: RoomError) -> ApiError {
    match error {
        RoomError::AliasTaken => {
            let text = error.to_string();
            Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::RoomInUse, text).into()
        }
        error => error.into(),
    }
}

fn preset(request: &create::Request) -> Result<Preset, ApiError> {
    match &request.preset {
        Some(RoomPreset::PrivateChat) => Ok(Preset::PrivateChat),
        Some(RoomPreset::TrustedPrivateChat) => Ok(Preset::TrustedPrivateChat),
        Some(RoomPreset::PublicChat) => Ok(Preset::PublicChat),
        Some(other) => {
            let text = format!("There is no preset {other}");
            Err(EdgeError::InvalidParam(text).into())
        }
        None if request.visibility == Visibility::Public => Ok(Preset::PublicChat),
        None => Ok(Preset::PrivateChat),
    }
}

fn fields<T>(raw: Option<&Raw<T>>) -> Result<Map<String, Value>, ApiError> {
    let Some(raw) = raw else {
        return Ok(Map::new());
    };
    serde_json::from_str(raw.json().get()).map_err(bad_json)
}

fn initial_state<T>(events: &[Raw<T>]) -> Result<Vec<InitialState>, ApiError> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: TimelineEventType,
        #[serde(default)]
        state_key: String,
        content: Box<RawValue>,
    }
    let read = |raw: &Raw<T>| {
        let event: Event = serde_json::from_str(raw.json().get()).map_err(bad_json)?;
        Ok(InitialState {
            kind: event.kind,
            state_key: event.state_key,
            content: event.content,
        })
    };
    events.iter().map(read).collect()
}

/// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`.
pub(crate) async fn send(
    door: RoomDoor,
    edge: Edge,
    call: Call<Delayable<send::Request>>,
) -> Result<JsonText, ApiError> {
    let Delayable { request, delay } = call.request;
    let content = request.body.into_json();
    if let Some(delay) = delay {
        let wanted = Wanted {
            delay_ms: delayed::parse_delay(&delay)?,
            txn: Some((
                format!("send/{}/{}", request.room_id, request.event_type),
                request.txn_id.to_string(),
            )),
            room: request.room_id,
            event: (request.event_type.to_string(), None),
            content,
        };
        return delayed::delay(&door.flows, &edge, call.auth, wanted).await;
    }
    charge(&edge, &call.auth)?;
    let kind = TimelineEventType::from(request.event_type.to_string());
    let scope = format!("send/{}/{kind}", request.room_id);
    let change = if kind == TimelineEventType::RoomRedaction {
        redaction_from(&content)?
    } else {
        Change::Message { kind, content }
    };
    let txn = txn(&call.auth, scope, request.txn_id.as_str());
    let sent = door.act(&call.auth, &request.room_id, change, Some(txn));
    Ok(sent_as(&sent.await?))
}

/// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`.
pub(crate) async fn send_state(
    door: RoomDoor,
    edge: Edge,
    call: Call<Delayable<send_state::Request>>,
) -> Result<JsonText, ApiError> {
    let Delayable { request, delay } = call.request;
    if let Some(delay) = delay {
        let wanted = Wanted {
            delay_ms: delayed::parse_delay(&delay)?,
            txn: None,
            room: request.room_id,
            event: (request.event_type.to_string(), Some(request.state_key)),
            content: request.body.into_json(),
        };
        return delayed::delay(&door.flows, &edge, call.auth, wanted).await;
    }
    charge(&edge, &call.auth)?;
    let change = Change::State {
        kind: TimelineEventType::from(request.event_type.to_string()),
        state_key: request.state_key,
        content: request.body.into_json(),
    };
    let sent = door.act(&call.auth, &request.room_id, change, None);
    Ok(sent_as(&sent.await?))
}

fn sent_as(event: &EventId) -> JsonText {
    JsonText(json!({"event_id": event}).to_string())
}

/// `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`.
pub(crate) async fn redact(
    door: RoomDoor,
    edge: Edge,
    call: Call<redact::Request>,
) -> Result<redact::Response, ApiError> {
    charge(&edge, &call.auth)?;
    let request = call.request;
    let content = match &request.reason {
        Some(reason) => json!({"reason": reason}),
        None => json!({}),
    };
    let change = redaction(&request.event_id, &content)?;
    let scope = format!("redact/{}/{}", request.room_id, request.event_id);
    let txn = txn(&call.auth, scope, request.txn_id.as_str());
    let sent = door.act(&call.auth, &request.room_id, change, Some(txn));
    Ok(redact::Response::new(sent.await?))
}

/// A redaction sent like any other event names its target in its content (room version 11).
fn redaction_from(content: &RawValue) -> Result<Change, ApiError> {
    #[derive(Deserialize)]
    struct Content {
        redacts: OwnedEventId,
    }
    let target: Content = serde_json::from_str(content.get()).map_err(bad_json)?;
    let mut rest: Map<String, Value> = serde_json::from_str(content.get()).map_err(bad_json)?;
    rest.remove("redacts");
    redaction(&target.redacts, &rest.into())
}

fn redaction(target: &EventId, content: &Value) -> Result<Change, ApiError> {
    Ok(Change::Redaction {
        redacts: target.to_owned(),
        content: to_raw_value(content).map_err(bad_json)?,
    })
}

fn txn(requester: &Requester, scope: String, id: &str) -> Txn {
    Txn {
        user: requester.user_id.clone(),
        device: requester.device_id.clone(),
        scope,
        id: id.to_owned(),
    }
}

fn charge(edge: &Edge, requester: &Requester) -> Result<(), ApiError> {
    edge.charge(Limit::Message, Subject::User(requester.user_id.clone()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that map_err asks for"
)]
fn bad_json(error: serde_json::Error) -> ApiError {
    EdgeError::BadJson(error.to_string()).into()
}
