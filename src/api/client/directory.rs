//! Aliases of rooms, and whether the directory shows them (Client-Server API, "Room aliases" and
//! "Published room directory").

use ruma_client_api::{
    alias::{create_alias::v3 as create, delete_alias::v3 as delete, get_alias::v3 as get},
    directory::{get_room_visibility::v3 as get_listed, set_room_visibility::v3 as set_listed},
    room::{Visibility, aliases::v3 as aliases},
};

use crate::{
    edge::Call,
    elsewhere::Elsewhere,
    error::{ApiError, EdgeError},
    state::RoomDoor,
};

/// `PUT /directory/room/{roomAlias}`.
pub(crate) async fn create(
    door: RoomDoor,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    let (request, account) = (&call.request, call.auth.account());
    door.rooms
        .claim_alias_as(&door.rules, account, &request.room_alias, &request.room_id)
        .await?;
    Ok(create::Response::new())
}

/// `GET /directory/room/{roomAlias}`.
pub(crate) async fn get(
    elsewhere: Elsewhere,
    call: Call<get::Request>,
) -> Result<get::Response, ApiError> {
    let found = elsewhere.alias(None, &call.request.room_alias).await?;
    Ok(get::Response::new(found.room_id, found.servers))
}

/// `DELETE /directory/room/{roomAlias}`.
pub(crate) async fn delete(
    door: RoomDoor,
    call: Call<delete::Request>,
) -> Result<delete::Response, ApiError> {
    let (alias, account) = (&call.request.room_alias, call.auth.account());
    door.rooms
        .release_alias_as(&door.rules, account, alias)
        .await?;
    Ok(delete::Response::new())
}

/// `GET /rooms/{roomId}/aliases`.
pub(crate) async fn aliases(
    door: RoomDoor,
    call: Call<aliases::Request>,
) -> Result<aliases::Response, ApiError> {
    let (room_id, account) = (&call.request.room_id, call.auth.account());
    let aliases = door.rooms.aliases_as(&door.rules, account, room_id).await?;
    Ok(aliases::Response::new(aliases))
}

/// `GET /directory/list/room/{roomId}`.
pub(crate) async fn get_listed(
    door: RoomDoor,
    call: Call<get_listed::Request>,
) -> Result<get_listed::Response, ApiError> {
    let shown = door.rooms.is_published(&call.request.room_id).await?;
    let visibility = if shown {
        Visibility::Public
    } else {
        Visibility::Private
    };
    Ok(get_listed::Response::new(visibility))
}

/// `PUT /directory/list/room/{roomId}`.
pub(crate) async fn set_listed(
    door: RoomDoor,
    call: Call<set_listed::Request>,
) -> Result<set_listed::Response, ApiError> {
    let (request, account) = (&call.request, call.auth.account());
    let shown = is_public(&request.visibility)?;
    door.rooms
        .publish_as(&door.rules, account, &request.room_id, shown)
        .await?;
    Ok(set_listed::Response::new())
}

/// Whether the directory is to show the room.
pub(super) fn is_public(visibility: &Visibility) -> Result<bool, EdgeError> {
    match visibility {
        Visibility::Public => Ok(true),
        Visibility::Private => Ok(false),
        other => {
            let text = format!("There is no visibility {other}; choose public or private");
            Err(EdgeError::InvalidParam(text))
        }
    }
}
