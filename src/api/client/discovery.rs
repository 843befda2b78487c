//! Finding rooms and users: the directories, room summaries, spaces (Client-Server API, "Published
//! room directory", "Room previews", "Spaces", "User directory", "Mutual rooms").
//!
//! It knows nothing of other servers' directories: asked for them, it finds nothing.

use belfry_room::RoomError;
use belfry_sync::{HierarchyRequest, MutualRooms, PublicRoomsRequest, UserSearch, ViewError};
use belfry_user::Requester;
use ruma_client_api::{
    directory::{
        get_public_rooms::v3 as public_rooms,
        get_public_rooms_filtered::v3 as filtered_public_rooms,
    },
    membership::get_mutual_rooms::{unstable as mutual_rooms_unstable, v1 as mutual_rooms},
    room::get_summary::v1 as summary,
    space::get_hierarchy::v1 as hierarchy,
    user_directory::search_users::v3 as search_users,
};
use ruma_common::{
    OwnedRoomId, RoomAliasId, RoomId, RoomOrAliasId, ServerName, UserId, directory::RoomNetwork,
};

use crate::{
    edge::{Call, Edge, JsonText},
    error::{ApiError, EdgeError},
    rate::{Limit, Subject},
    state::{RoomDoor, ViewDoor},
};

/// Longest search term, in bytes.
pub(crate) const SEARCH_TERM_BYTES_MAX: usize = 1_000;

/// `GET /publicRooms`.
pub(crate) async fn public_rooms(
    door: ViewDoor,
    call: Call<public_rooms::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    require_local(&door, request.server.as_deref())?;
    let wanted = PublicRoomsRequest {
        limit: request.limit.map(Into::into),
        since: request.since,
        ..PublicRoomsRequest::default()
    };
    Ok(JsonText(door.views.public_rooms(&wanted).await?.to_json()))
}

/// `POST /publicRooms`.
pub(crate) async fn filtered_public_rooms(
    door: ViewDoor,
    call: Call<filtered_public_rooms::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    require_local(&door, request.server.as_deref())?;
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        // There are no such networks, hence no rooms of theirs.
        return Ok(JsonText("{\"chunk\":[]}".to_owned()));
    }
    let search_term = request.filter.generic_search_term;
    check_term(search_term.as_deref().unwrap_or_default())?;
    let types = request.filter.room_types;
    let names = types.iter().map(|it| it.as_str().map(str::to_owned));
    let wanted = PublicRoomsRequest {
        limit: request.limit.map(Into::into),
        since: request.since,
        search_term,
        room_types: (!types.is_empty()).then(|| names.collect()),
    };
    Ok(JsonText(door.views.public_rooms(&wanted).await?.to_json()))
}

/// `GET /room_summary/{roomIdOrAlias}`.
pub(crate) async fn summary(
    door: ViewDoor,
    rooms: RoomDoor,
    call: Call<summary::Request>,
) -> Result<JsonText, ApiError> {
    if let Some(requester) = &call.auth {
        door.admit(requester)?;
    }
    let user = call.auth.as_ref().map(|requester| &*requester.user_id);
    let room = room_of(&door, &rooms, &call.request.room_id_or_alias).await?;
    let found = door.views.room_summary(user, &room).await?;
    Ok(JsonText(found.to_json(&room)))
}

/// `GET /rooms/{roomId}/hierarchy`.
pub(crate) async fn hierarchy(
    door: ViewDoor,
    call: Call<hierarchy::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let wanted = HierarchyRequest {
        user_id: call.auth.user_id,
        room_id: request.room_id,
        suggested_only: request.suggested_only,
        limit: request.limit.map(Into::into),
        max_depth: request.max_depth.map(Into::into),
        from: request.from,
    };
    Ok(JsonText(door.views.hierarchy(&wanted).await?.to_json()))
}

/// `POST /user_directory/search`.
pub(crate) async fn search_users(
    edge: Edge,
    door: ViewDoor,
    call: Call<search_users::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    edge.charge(
        Limit::UserDirectory,
        Subject::User(call.auth.user_id.clone()),
    )?;
    check_term(&call.request.search_term)?;
    let search = UserSearch {
        user_id: call.auth.user_id,
        term: call.request.search_term,
        limit: call.request.limit.into(),
    };
    Ok(JsonText(door.views.find_users(&search).await?.to_json()))
}

/// `GET /mutual_rooms`.
pub(crate) async fn mutual_rooms(
    door: ViewDoor,
    call: Call<mutual_rooms::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    let from = request.from.as_deref();
    let found = in_common(&door, &call.auth, &request.user_id, from).await?;
    Ok(JsonText(found.to_json()))
}

/// The same under the path of MSC2666.
pub(crate) async fn mutual_rooms_unstable(
    door: ViewDoor,
    call: Call<mutual_rooms_unstable::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    let from = request.from.as_deref();
    let found = in_common(&door, &call.auth, &request.user_id, from).await?;
    Ok(JsonText(found.to_json()))
}

async fn in_common(
    door: &ViewDoor,
    requester: &Requester,
    other: &UserId,
    from: Option<&str>,
) -> Result<MutualRooms, ApiError> {
    door.admit(requester)?;
    if requester.user_id == other {
        let text = "user_id is yourself; ask for somebody else";
        return Err(EdgeError::InvalidParam(text.to_owned()).into());
    }
    let found = door.views.mutual_rooms(&requester.user_id, other, from);
    Ok(found.await?)
}

/// Nothing is found at other servers.
fn require_local(door: &ViewDoor, server: Option<&ServerName>) -> Result<(), ViewError> {
    match server {
        Some(server) if server != door.views.server_name() => Err(ViewError::NotFound),
        _ => Ok(()),
    }
}

fn check_term(term: &str) -> Result<(), EdgeError> {
    if term.len() > SEARCH_TERM_BYTES_MAX {
        let text = format!("Search for at most {SEARCH_TERM_BYTES_MAX} bytes");
        return Err(EdgeError::InvalidParam(text));
    }
    Ok(())
}

async fn room_of(
    door: &ViewDoor,
    rooms: &RoomDoor,
    name: &RoomOrAliasId,
) -> Result<OwnedRoomId, ApiError> {
    if let Ok(room) = <&RoomId>::try_from(name) {
        return Ok(room.to_owned());
    }
    let alias = <&RoomAliasId>::try_from(name);
    let alias = alias.map_err(|_| EdgeError::InvalidParam("not a room ID or alias".to_owned()))?;
    require_local(door, Some(alias.server_name()))?;
    match rooms.rooms.resolve_alias(alias).await {
        Err(RoomError::UnknownAlias) => Err(ViewError::NotFound.into()),
        found => Ok(found?),
    }
}
