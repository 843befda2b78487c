//! Finding rooms and users: the directories, room summaries, spaces (Client-Server API, "Published
//! room directory", "Room previews", "Spaces", "User directory", "Mutual rooms").
//!
//! Of rooms that this server is not in, others are asked.

use std::collections::BTreeMap;

use belfry_room::{FoundAlias, PublicRoomsAsk};
use belfry_sync::{
    FarRoom, HierarchyRequest, MissingRoom, MutualRooms, PublicRoomsRequest, UserSearch, ViewError,
};
use belfry_user::Requester;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
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
use ruma_common::{OwnedRoomId, RoomAliasId, RoomId, ServerName, UserId, directory::RoomNetwork};
use serde_json::json;

use crate::{
    edge::{Call, Edge, JsonText},
    elsewhere::Elsewhere,
    error::{ApiError, EdgeError},
    rate::{Limit, Subject},
    state::ViewDoor,
};

/// Longest search term, in bytes.
pub(crate) const SEARCH_TERM_BYTES_MAX: usize = 1_000;

/// Rooms of a space that other servers are asked for, for one step down.
const FAR_ROOMS_MAX: usize = 50;
/// How many are asked for at the same time.
const FAR_AT_ONCE_MAX: usize = 8;
/// Steps down through rooms that this server is not in, for one page.
const FAR_ROUNDS_MAX: usize = 4;

/// `GET /publicRooms`.
pub(crate) async fn public_rooms(
    door: ViewDoor,
    elsewhere: Elsewhere,
    call: Call<public_rooms::Request>,
) -> Result<JsonText, ApiError> {
    let request = call.request;
    if let Some(server) = request.server.filter(|server| elsewhere.is_far(server)) {
        let ask = PublicRoomsAsk {
            limit: request.limit.map(Into::into),
            since: request.since,
            filter: None,
        };
        return far_rooms(&elsewhere, None, &server, &ask).await;
    }
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
    elsewhere: Elsewhere,
    call: Call<filtered_public_rooms::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        // There are no such networks, hence no rooms of theirs.
        return Ok(JsonText("{\"chunk\":[]}".to_owned()));
    }
    let search_term = request.filter.generic_search_term;
    check_term(search_term.as_deref().unwrap_or_default())?;
    let types = request.filter.room_types;
    let names = types.iter().map(|it| it.as_str().map(str::to_owned));
    if let Some(server) = request.server.filter(|server| elsewhere.is_far(server)) {
        let mut filter = json!({});
        if let Some(term) = search_term {
            filter["generic_search_term"] = term.into();
        }
        if !types.is_empty() {
            filter["room_types"] = names.collect::<Vec<_>>().into();
        }
        let ask = PublicRoomsAsk {
            limit: request.limit.map(Into::into),
            since: request.since,
            filter: Some(filter),
        };
        return far_rooms(&elsewhere, Some(&call.auth), &server, &ask).await;
    }
    let wanted = PublicRoomsRequest {
        limit: request.limit.map(Into::into),
        since: request.since,
        search_term,
        room_types: (!types.is_empty()).then(|| names.collect()),
    };
    Ok(JsonText(door.views.public_rooms(&wanted).await?.to_json()))
}

/// A page of another server's directory.
async fn far_rooms(
    elsewhere: &Elsewhere,
    requester: Option<&Requester>,
    server: &ServerName,
    ask: &PublicRoomsAsk,
) -> Result<JsonText, ApiError> {
    let page = elsewhere.public_rooms(requester, server, ask).await?;
    Ok(JsonText(page.ok_or(ViewError::NotFound)?))
}

/// `GET /room_summary/{roomIdOrAlias}`.
pub(crate) async fn summary(
    door: ViewDoor,
    elsewhere: Elsewhere,
    call: Call<summary::Request>,
) -> Result<JsonText, ApiError> {
    if let Some(requester) = &call.auth {
        door.admit(requester)?;
    }
    let user = call.auth.as_ref().map(|requester| &*requester.user_id);
    let found = named(&elsewhere, &call).await?;
    let room = &found.room_id;
    let here = door.views.room_summary(user, room).await;
    let Some(requester) = call.auth.as_ref().filter(|_| here.is_err()) else {
        return Ok(JsonText(here?.to_json(room)));
    };
    let mut via = call.request.via.clone();
    via.extend(found.servers);
    let space = elsewhere.space(requester, room, via).await;
    let far = space.and_then(|space| FarRoom::parse(space.room.get()));
    match far.filter(|far| far.room_id() == room) {
        Some(far) => {
            let summary = door.views.far_summary(user, &far).await?;
            Ok(JsonText(summary.to_json(room)))
        }
        None => Ok(JsonText(here?.to_json(room))),
    }
}

/// The room that a request for a summary names.
async fn named(
    elsewhere: &Elsewhere,
    call: &Call<summary::Request>,
) -> Result<FoundAlias, ApiError> {
    let name = &call.request.room_id_or_alias;
    if let Ok(room) = <&RoomId>::try_from(&**name) {
        return Ok(FoundAlias {
            room_id: room.to_owned(),
            servers: Vec::new(),
        });
    }
    let alias = <&RoomAliasId>::try_from(&**name);
    let alias = alias.map_err(|_| EdgeError::InvalidParam("not a room ID or alias".to_owned()))?;
    if elsewhere.is_far(alias.server_name()) && !elsewhere.is_on() {
        return Err(ViewError::NotFound.into());
    }
    elsewhere.alias(call.auth.as_ref(), alias).await
}

/// `GET /rooms/{roomId}/hierarchy`.
pub(crate) async fn hierarchy(
    door: ViewDoor,
    elsewhere: Elsewhere,
    call: Call<hierarchy::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let mut wanted = HierarchyRequest {
        user_id: call.auth.user_id.clone(),
        room_id: request.room_id,
        suggested_only: request.suggested_only,
        limit: request.limit.map(Into::into),
        max_depth: request.max_depth.map(Into::into),
        from: request.from,
        far: BTreeMap::new(),
    };
    let mut page = door.views.hierarchy(&wanted).await?;
    for _ in 0..FAR_ROUNDS_MAX {
        if page.missing.is_empty() {
            break;
        }
        page.missing.truncate(FAR_ROOMS_MAX);
        ask_for(&elsewhere, &call.auth, page.missing, &mut wanted.far).await;
        page = door.views.hierarchy(&wanted).await?;
    }
    if page
        .missing
        .iter()
        .any(|room| room.room_id == wanted.room_id)
    {
        return Err(ViewError::Forbidden.into());
    }
    Ok(JsonText(page.to_json()))
}

/// Asks other servers for rooms of a space.
async fn ask_for(
    elsewhere: &Elsewhere,
    requester: &Requester,
    missing: Vec<MissingRoom>,
    far: &mut BTreeMap<OwnedRoomId, Option<FarRoom>>,
) {
    let mut asked: Vec<BoxFuture<'_, _>> = Vec::new();
    for room in missing {
        asked.push(Box::pin(async move {
            let space = elsewhere.space(requester, &room.room_id, room.via).await;
            (room.room_id, space)
        }));
    }
    let mut answers = stream::iter(asked).buffered(FAR_AT_ONCE_MAX);
    while let Some((room_id, space)) = answers.next().await {
        let Some(space) = space else {
            far.entry(room_id).or_insert(None);
            continue;
        };
        let told = FarRoom::parse(space.room.get());
        far.insert(room_id.clone(), told.filter(|it| it.room_id() == room_id));
        for child in &space.children {
            // What a space holds, only its own answer tells.
            if let Some(child) = FarRoom::parse(child.get()).filter(|it| !it.is_space()) {
                let room_id = child.room_id().to_owned();
                far.entry(room_id).or_insert(Some(child));
            }
        }
        for closed in space.inaccessible_children {
            far.entry(closed).or_insert(None);
        }
    }
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

fn check_term(term: &str) -> Result<(), EdgeError> {
    if term.len() > SEARCH_TERM_BYTES_MAX {
        let text = format!("Search for at most {SEARCH_TERM_BYTES_MAX} bytes");
        return Err(EdgeError::InvalidParam(text));
    }
    Ok(())
}
