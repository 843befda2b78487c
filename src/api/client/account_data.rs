//! Account data, globally and in rooms.

use belfry_user::Users;
use ruma_client_api::config::{
    get_global_account_data::v3 as get_global, get_room_account_data::v3 as get_in_room,
    set_global_account_data::v3 as set_global, set_room_account_data::v3 as set_in_room,
};
use ruma_common::serde::Raw;

use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    wire::account_data::{RemoveGlobal, RemoveInRoom},
};

/// `GET /user/{userId}/account_data/{type}`.
pub(crate) async fn get_global(
    users: Users,
    call: Call<get_global::Request>,
) -> Result<get_global::Response, ApiError> {
    let event_type = call.request.event_type.to_string();
    let user_id = &call.request.user_id;
    let content = users
        .account_data(&call.auth, user_id, None, &event_type)
        .await?;
    let content = Raw::from_json_string(content).map_err(ApiError::fault)?;
    Ok(get_global::Response::new(content))
}

/// `PUT /user/{userId}/account_data/{type}`.
pub(crate) async fn set_global(
    users: Users,
    call: Call<set_global::Request>,
) -> Result<set_global::Response, ApiError> {
    let event_type = call.request.event_type.to_string();
    let (user_id, content) = (&call.request.user_id, call.request.data.json().get());
    users
        .set_account_data(&call.auth, user_id, None, &event_type, content)
        .await?;
    Ok(set_global::Response::new())
}

/// `GET /user/{userId}/rooms/{roomId}/account_data/{type}`.
pub(crate) async fn get_in_room(
    users: Users,
    call: Call<get_in_room::Request>,
) -> Result<get_in_room::Response, ApiError> {
    let event_type = call.request.event_type.to_string();
    let (user_id, room) = (&call.request.user_id, Some(&*call.request.room_id));
    let content = users
        .account_data(&call.auth, user_id, room, &event_type)
        .await?;
    let content = Raw::from_json_string(content).map_err(ApiError::fault)?;
    Ok(get_in_room::Response::new(content))
}

/// `PUT /user/{userId}/rooms/{roomId}/account_data/{type}`.
pub(crate) async fn set_in_room(
    users: Users,
    call: Call<set_in_room::Request>,
) -> Result<set_in_room::Response, ApiError> {
    let event_type = call.request.event_type.to_string();
    let (user_id, room) = (&call.request.user_id, Some(&*call.request.room_id));
    let content = call.request.data.json().get();
    users
        .set_account_data(&call.auth, user_id, room, &event_type, content)
        .await?;
    Ok(set_in_room::Response::new())
}

/// `DELETE /user/{userId}/account_data/{type}` (MSC3391).
pub(crate) async fn remove_global(
    users: Users,
    call: Call<RemoveGlobal>,
) -> Result<JsonText, ApiError> {
    let RemoveGlobal {
        user_id,
        event_type,
    } = call.request;
    users
        .remove_account_data(&call.auth, &user_id, None, &event_type)
        .await?;
    Ok(JsonText("{}".to_owned()))
}

/// `DELETE /user/{userId}/rooms/{roomId}/account_data/{type}` (MSC3391).
pub(crate) async fn remove_in_room(
    users: Users,
    call: Call<RemoveInRoom>,
) -> Result<JsonText, ApiError> {
    let RemoveInRoom {
        user_id,
        room_id,
        event_type,
    } = call.request;
    users
        .remove_account_data(&call.auth, &user_id, Some(&room_id), &event_type)
        .await?;
    Ok(JsonText("{}".to_owned()))
}
