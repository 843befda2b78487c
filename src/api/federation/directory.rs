//! What other servers find here: published rooms, spaces, moments of a room.

use belfry_sync::PublicRoomsRequest;
use http::StatusCode;
use ruma_common::{OwnedRoomId, api::error::ErrorKind};
use serde::Deserialize;
use serde_json::json;

use super::ask::{self, Ask, invalid};
use crate::{
    client::discovery::SEARCH_TERM_BYTES_MAX,
    edge::JsonText,
    error::{ApiError, Refusal},
    state::Api,
};

/// `GET /publicRooms`.
pub(crate) async fn public_rooms(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let limit = match ask.parameter("limit") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| invalid("limit is no number"))?),
    };
    let wanted = PublicRoomsRequest {
        limit,
        since: ask.parameter("since").map(str::to_owned),
        ..PublicRoomsRequest::default()
    };
    page(&api, ask.parameter("third_party_instance_id"), &wanted).await
}

#[derive(Deserialize)]
struct Filtered {
    limit: Option<u64>,
    since: Option<String>,
    #[serde(default)]
    filter: Filter,
    third_party_instance_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct Filter {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

/// `POST /publicRooms`.
pub(crate) async fn filtered_public_rooms(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let body: Filtered = ask.content()?;
    let term = body.filter.generic_search_term;
    if term
        .as_ref()
        .is_some_and(|term| term.len() > SEARCH_TERM_BYTES_MAX)
    {
        let text = format!("search for at most {SEARCH_TERM_BYTES_MAX} bytes");
        return Err(invalid(text));
    }
    let wanted = PublicRoomsRequest {
        limit: body.limit,
        since: body.since,
        search_term: term,
        room_types: body.filter.room_types,
    };
    page(&api, body.third_party_instance_id.as_deref(), &wanted).await
}

async fn page(
    api: &Api,
    third_party: Option<&str>,
    wanted: &PublicRoomsRequest,
) -> Result<JsonText, ApiError> {
    if third_party.is_some_and(|instance| !instance.is_empty()) {
        // There are no such networks, hence no rooms of theirs.
        return ask::json(&json!({"chunk": []}));
    }
    Ok(JsonText(api.views.public_rooms(wanted).await?.to_json()))
}

/// `GET /hierarchy/{roomId}`.
pub(crate) async fn hierarchy(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let suggested_only = match ask.parameter("suggested_only") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid("suggested_only is true or false")),
    };
    let space = api.views.serve_space(&ask.origin, &room, suggested_only);
    Ok(JsonText(space.await?))
}

/// `GET /timestamp_to_event/{roomId}`.
pub(crate) async fn moment(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let room: OwnedRoomId = ask.id(0)?;
    let at_ms = ask.parameter("ts").unwrap_or_default();
    let at_ms = at_ms.parse().map_err(|_| invalid("ts is no time"))?;
    let forward = match ask.parameter("dir") {
        None | Some("f") => true,
        Some("b") => false,
        Some(_) => return Err(invalid("dir is f or b")),
    };
    let found = api.rooms.serve_moment(&ask.origin, &room, at_ms, forward);
    let found = found.await?;
    ask::json(&json!({
        "event_id": found.event_id,
        "origin_server_ts": found.origin_server_ts,
    }))
}

/// `GET /query/{queryType}`: of those that there are, each has its own path.
pub(crate) async fn unknown_query(_: Api, _: Ask) -> Result<JsonText, ApiError> {
    let text = "there is no such query; ask for profile or directory";
    Err(Refusal::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, text).into())
}
