//! Events and states that other servers read. Rooms check that the asker may, and that every event
//! is one of the room in the path.

use belfry_room::{BACKFILL_MAX, MISSING_EVENTS_MAX, MissingEvents};
use ruma_common::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::ask::{self, Ask, invalid};
use crate::{edge::JsonText, error::ApiError, state::Api};

/// Events whose ancestors one question may ask for.
const LATEST_MAX: usize = 256;

/// What transactions and answers with events are like.
fn pdus(api: &Api, pdus: &[Box<RawValue>]) -> Result<JsonText, ApiError> {
    ask::json(&json!({
        "origin": api.federation.server(),
        "origin_server_ts": api.edge.clock().wall_ms(),
        "pdus": pdus,
    }))
}

/// `GET /event/{eventId}`.
pub(crate) async fn event(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let event: OwnedEventId = ask.id(0)?;
    let found = api.rooms.serve_event(&ask.origin, &event).await?;
    pdus(&api, &[found])
}

/// `GET /state/{roomId}`.
pub(crate) async fn state(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let event: OwnedEventId = ask.needed("event_id")?;
    let state = api.rooms.serve_state(&ask.origin, &room, &event).await?;
    ask::json(&json!({"pdus": state.pdus, "auth_chain": state.auth_chain}))
}

/// `GET /state_ids/{roomId}`.
pub(crate) async fn state_ids(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let event: OwnedEventId = ask.needed("event_id")?;
    let ids = api
        .rooms
        .serve_state_ids(&ask.origin, &room, &event)
        .await?;
    ask::json(&json!({"pdu_ids": ids.pdu_ids, "auth_chain_ids": ids.auth_chain_ids}))
}

/// `GET /event_auth/{roomId}/{eventId}`.
pub(crate) async fn event_auth(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let (room, event): (OwnedRoomId, OwnedEventId) = (ask.id(0)?, ask.id(1)?);
    let chain = api
        .rooms
        .serve_event_auth(&ask.origin, &room, &event)
        .await?;
    ask::json(&json!({"auth_chain": chain}))
}

/// `GET /backfill/{roomId}`.
pub(crate) async fn backfill(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let limit = ask.limit(BACKFILL_MAX, BACKFILL_MAX)?;
    let mut from = Vec::new();
    for event in ask.parameters("v").take(LATEST_MAX) {
        let event = OwnedEventId::try_from(event);
        from.push(event.map_err(|_| invalid("v is no event's ID"))?);
    }
    if from.is_empty() {
        return Err(invalid("say by v from which events on"));
    }
    let found = api.rooms.serve_backfill(&ask.origin, &room, &from, limit);
    pdus(&api, &found.await?)
}

#[derive(Deserialize)]
struct Missing {
    earliest_events: Vec<OwnedEventId>,
    latest_events: Vec<OwnedEventId>,
    #[serde(default = "default_limit")]
    limit: u64,
    #[serde(default)]
    min_depth: i64,
}

fn default_limit() -> u64 {
    10
}

/// `POST /get_missing_events/{roomId}`.
pub(crate) async fn missing_events(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let mut missing: Missing = ask.content()?;
    missing.earliest_events.truncate(LATEST_MAX);
    missing.latest_events.truncate(LATEST_MAX);
    let limit = usize::try_from(missing.limit).unwrap_or(usize::MAX);
    let asked = MissingEvents {
        earliest: missing.earliest_events,
        latest: missing.latest_events,
        limit: limit.min(MISSING_EVENTS_MAX),
        min_depth: missing.min_depth,
    };
    let events = api.rooms.serve_missing_events(&ask.origin, &room, &asked);
    ask::json(&json!({"events": events.await?}))
}
