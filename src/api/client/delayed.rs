//! Delayed events (MSC4140): scheduling, looking at and changing them.

use belfry_flow::{DELAY_MAX, DELAYED_MAX, Delay, Delayed, DelayedStage, Flows};
use belfry_user::Requester;
use ruma_common::OwnedRoomId;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    edge::{Call, Edge, JsonText},
    error::{ApiError, EdgeError},
    rate::{Limit, Subject},
    state::RoomDoor,
    wire::{Act, Look, LookAtAll, OldAct, Schedule},
};

/// `PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}`.
pub(crate) async fn schedule(
    flows: Flows,
    edge: Edge,
    call: Call<Schedule>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    if !request.body.content.get().starts_with('{') {
        return Err(EdgeError::BadJson("content is an object".to_owned()).into());
    }
    let scope = format!("delayed_event/{}/{}", request.room_id, request.event_type);
    let event = (request.event_type, request.body.state_key);
    let wanted = Wanted {
        room: request.room_id,
        event,
        content: request.body.content,
        delay_ms: request.body.delay_ms,
        txn: Some((scope, request.txn_id)),
    };
    delay(&flows, &edge, call.auth, wanted).await
}

/// What a request wants to be delayed.
pub(super) struct Wanted {
    pub(super) room: OwnedRoomId,
    /// Type and state key.
    pub(super) event: (String, Option<String>),
    pub(super) content: Box<RawValue>,
    pub(super) delay_ms: u64,
    pub(super) txn: Option<(String, String)>,
}

/// Delays an event; it costs what sending one costs.
pub(super) async fn delay(
    flows: &Flows,
    edge: &Edge,
    requester: Requester,
    wanted: Wanted,
) -> Result<JsonText, ApiError> {
    edge.charge(Limit::Message, Subject::User(requester.user_id.clone()))?;
    let (kind, state_key) = wanted.event;
    let delayed = Delay {
        user: requester.user_id,
        device: requester.device_id,
        room: wanted.room,
        kind,
        state_key,
        content: wanted.content,
        delay_ms: wanted.delay_ms,
        txn: wanted.txn,
    };
    let delay_id = flows.delay(delayed).await?;
    Ok(JsonText(json!({"delay_id": delay_id}).to_string()))
}

/// The delay of a request by query parameter.
pub(super) fn parse_delay(delay: &str) -> Result<u64, EdgeError> {
    let text = "org.matrix.msc4140.delay is a number of milliseconds";
    delay
        .parse()
        .map_err(|_| EdgeError::InvalidParam(text.to_owned()))
}

/// `POST /delayed_events/{delay_id}/{action}`.
pub(crate) async fn act(door: RoomDoor, edge: Edge, call: Call<Act>) -> Result<JsonText, ApiError> {
    let Act { delay_id, action } = call.request;
    change(&door, &edge, &call.auth, (&delay_id, &action)).await
}

/// The same with the action in the body.
pub(crate) async fn old_act(
    door: RoomDoor,
    edge: Edge,
    call: Call<OldAct>,
) -> Result<JsonText, ApiError> {
    let OldAct { delay_id, action } = call.request;
    change(&door, &edge, &call.auth, (&delay_id, &action)).await
}

async fn change(
    door: &RoomDoor,
    edge: &Edge,
    requester: &Requester,
    (id, action): (&str, &str),
) -> Result<JsonText, ApiError> {
    let (flows, user) = (&door.flows, &requester.user_id);
    match action {
        "send" => {
            edge.charge(Limit::Message, Subject::User(user.clone()))?;
            flows.send_delayed(&door.rules, user, id).await?;
        }
        "cancel" => flows.cancel_delayed(user, id).await?,
        "restart" => flows.restart_delayed(user, id).await?,
        other => {
            let text = format!("a delayed event can be sent, cancelled or restarted, not {other}");
            return Err(EdgeError::InvalidParam(text).into());
        }
    }
    Ok(JsonText("{}".to_owned()))
}

/// `GET /delayed_events/{delay_id}`.
pub(crate) async fn look(flows: Flows, call: Call<Look>) -> Result<JsonText, ApiError> {
    let found = flows.delayed(&call.auth.user_id, &call.request.delay_id);
    let found = found.await?;
    let mut told = shown(&found);
    if let Some(ts) = found.row.stage.finalised_ts() {
        told.insert("finalised_ts".to_owned(), ts.into());
    }
    match &found.row.stage {
        DelayedStage::Sent { event, .. } => {
            told.insert("event_id".to_owned(), event.as_str().into());
        }
        DelayedStage::Failed { error, .. } => {
            let error = serde_json::from_str(error).unwrap_or_default();
            told.insert("error".to_owned(), error);
        }
        DelayedStage::Scheduled | DelayedStage::Sending | DelayedStage::Cancelled { .. } => {}
    }
    Ok(JsonText(Value::from(told).to_string()))
}

/// `GET /delayed_events`.
pub(crate) async fn look_at_all(flows: Flows, call: Call<LookAtAll>) -> Result<JsonText, ApiError> {
    let all = flows.delayed_events(&call.auth.user_id).await?;
    let all: Vec<_> = all.iter().map(shown).collect();
    Ok(JsonText(json!({"delayed_events": all}).to_string()))
}

/// What is told of one, wherever it is.
fn shown(delayed: &Delayed) -> Map<String, Value> {
    let row = &delayed.row;
    let content: Value = serde_json::from_str(&row.content).unwrap_or_default();
    let told = json!({
        "delay_id": delayed.id,
        "room_id": row.room,
        "type": row.kind,
        "delay_ms": row.delay_ms,
        "scheduled_at": row.scheduled_ts,
        "content": content,
        // As the draft called them before.
        "delay": row.delay_ms,
        "running_since": row.scheduled_ts,
    });
    let mut told = match told {
        Value::Object(told) => told,
        _ => Map::new(),
    };
    let state_key = row.state_key.as_deref();
    told.extend(state_key.map(|key| ("state_key".to_owned(), key.into())));
    told
}

/// What clients are told of the limits.
pub(super) fn capability() -> Value {
    let max_delay_ms = u64::try_from(DELAY_MAX.as_millis()).unwrap_or(u64::MAX);
    json!({"max_delay_ms": max_delay_ms, "max_scheduled": DELAYED_MAX})
}
