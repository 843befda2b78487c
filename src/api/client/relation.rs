//! What relates to an event, the threads of a room, and the event closest to a moment.

use belfry_sync::{Direction, MomentRequest, RelationsRequest, ThreadsRequest, ViewError};
use belfry_user::Requester;
use ruma_client_api::{
    relations::{
        get_relating_events::v1 as all, get_relating_events_with_rel_type::v1 as by_type,
        get_relating_events_with_rel_type_and_event_type::v1 as by_types,
    },
    room::get_event_by_timestamp::v1 as moment,
    threads::get_threads::v1::{self as threads, IncludeThreads},
};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, api::Direction as Dir};

use super::history::History;
use crate::{
    edge::{Call, JsonText},
    elsewhere::Elsewhere,
    error::{ApiError, EdgeError},
    state::ViewDoor,
};

/// What the three paths of `/relations` have in common.
struct Page {
    room_id: OwnedRoomId,
    event_id: OwnedEventId,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
    dir: Dir,
    recurse: bool,
}

macro_rules! page {
    ($request:ident) => {
        Page {
            room_id: $request.room_id,
            event_id: $request.event_id,
            from: $request.from,
            to: $request.to,
            limit: $request.limit.map(Into::into),
            dir: $request.dir,
            recurse: $request.recurse,
        }
    };
}

/// `GET /rooms/{roomId}/relations/{eventId}`.
pub(crate) async fn all(door: ViewDoor, call: Call<all::Request>) -> Result<JsonText, ApiError> {
    let request = call.request;
    answer(&door, call.auth, page!(request), (None, None)).await
}

/// `GET /rooms/{roomId}/relations/{eventId}/{relType}`.
pub(crate) async fn by_type(
    door: ViewDoor,
    call: Call<by_type::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    let rel_type = Some(request.rel_type.to_string());
    answer(&door, call.auth, page!(request), (rel_type, None)).await
}

/// `GET /rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`.
pub(crate) async fn by_types(
    door: ViewDoor,
    call: Call<by_types::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    let rel_type = Some(request.rel_type.to_string());
    let event_type = Some(request.event_type.to_string());
    answer(&door, call.auth, page!(request), (rel_type, event_type)).await
}

async fn answer(
    door: &ViewDoor,
    requester: Requester,
    page: Page,
    (rel_type, event_type): (Option<String>, Option<String>),
) -> Result<JsonText, ApiError> {
    door.admit(&requester)?;
    let wanted = RelationsRequest {
        user_id: requester.user_id,
        device_id: Some(requester.device_id),
        room_id: page.room_id,
        event_id: page.event_id,
        rel_type,
        event_type,
        from: page.from,
        to: page.to,
        limit: page.limit,
        direction: direction(page.dir),
        recurse: page.recurse,
    };
    Ok(JsonText(door.views.relations(&wanted).await?.to_json()))
}

/// `GET /rooms/{roomId}/threads`.
pub(crate) async fn threads(
    door: ViewDoor,
    call: Call<threads::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let participated = match request.include {
        IncludeThreads::All => false,
        IncludeThreads::Participated => true,
        other => {
            let text = format!("include is all or participated, not {other}");
            return Err(EdgeError::InvalidParam(text).into());
        }
    };
    let wanted = ThreadsRequest {
        user_id: call.auth.user_id,
        device_id: Some(call.auth.device_id),
        room_id: request.room_id,
        participated,
        limit: request.limit.map(Into::into),
        from: request.from,
    };
    Ok(JsonText(door.views.threads(&wanted).await?.to_json()))
}

/// `GET /rooms/{roomId}/timestamp_to_event`.
pub(crate) async fn moment(
    door: ViewDoor,
    history: History,
    elsewhere: Elsewhere,
    call: Call<moment::Request>,
) -> Result<moment::Response, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let wanted = MomentRequest {
        user_id: call.auth.user_id.clone(),
        room_id: request.room_id,
        at_ms: request.ts.get().into(),
        direction: direction(request.dir),
    };
    let mut gaps = history.gaps(&wanted.room_id);
    loop {
        let found = door.views.event_at(&wanted).await?;
        if !gaps.fill(found.gap).await {
            let (event_id, sent) = match found.event {
                Some(found) => found,
                None => elsewhere_at(&elsewhere, &call.auth, &wanted).await?,
            };
            return Ok(moment::Response::new(event_id, sent));
        }
    }
}

/// The event that other servers in the room know.
async fn elsewhere_at(
    elsewhere: &Elsewhere,
    requester: &Requester,
    wanted: &MomentRequest,
) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), ApiError> {
    let forward = wanted.direction == Direction::Forward;
    let found = elsewhere.moment(requester, &wanted.room_id, wanted.at_ms, forward);
    let found = found.await?.ok_or(ViewError::NotFound)?;
    let sent = js_int::UInt::new_saturating(found.origin_server_ts);
    Ok((found.event_id, MilliSecondsSinceUnixEpoch(sent)))
}

fn direction(dir: Dir) -> Direction {
    match dir {
        Dir::Backward => Direction::Backward,
        Dir::Forward => Direction::Forward,
    }
}
