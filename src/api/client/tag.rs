//! Tags of rooms (Client-Server API, "Room Tagging").

use belfry_user::Users;
use ruma_client_api::tag::{
    create_tag::v3 as create, delete_tag::v3 as delete, get_tags::v3 as get,
};
use serde_json::{Value, json};

use crate::{
    edge::{Call, JsonText},
    error::ApiError,
};

/// `GET /user/{userId}/rooms/{roomId}/tags`.
pub(crate) async fn all(users: Users, call: Call<get::Request>) -> Result<JsonText, ApiError> {
    let (user, room) = (&call.request.user_id, &call.request.room_id);
    let tags = users.tags(&call.auth, user, room).await?;
    Ok(JsonText(json!({"tags": Value::Object(tags)}).to_string()))
}

/// `PUT /user/{userId}/rooms/{roomId}/tags/{tag}`.
pub(crate) async fn set(
    users: Users,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    let request = &call.request;
    let (user, room, order) = (&request.user_id, &request.room_id, request.tag_info.order);
    users
        .set_tag(&call.auth, user, room, &request.tag, order)
        .await?;
    Ok(create::Response::new())
}

/// `DELETE /user/{userId}/rooms/{roomId}/tags/{tag}`.
pub(crate) async fn delete(
    users: Users,
    call: Call<delete::Request>,
) -> Result<delete::Response, ApiError> {
    let request = &call.request;
    let (user, room) = (&request.user_id, &request.room_id);
    users
        .remove_tag(&call.auth, user, room, &request.tag)
        .await?;
    Ok(delete::Response::new())
}
