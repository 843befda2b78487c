//! Subscriptions of threads (MSC4306). A thread that one cannot see does not exist.

use ruma_common::{EventId, RoomId, UserId};
use serde_json::json;

use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    state::{RoomDoor, ViewDoor},
    wire::{GetSubscription, Subscribe, Unsubscribe},
};

/// `PUT /rooms/{roomId}/thread/{eventId}/subscription`.
pub(crate) async fn subscribe(
    views: ViewDoor,
    door: RoomDoor,
    call: Call<Subscribe>,
) -> Result<JsonText, ApiError> {
    views.admit(&call.auth)?;
    let (user, thread) = (&call.auth.user_id, &call.request.thread);
    let (room, first) = (&*thread.room_id, &*thread.root);
    see(&views, user, room, first).await?;
    let cause = call.request.automatic.as_deref();
    if let Some(cause) = cause {
        see(&views, user, room, cause).await?;
    }
    door.rooms
        .subscribe_thread(user, room, first, cause)
        .await?;
    Ok(JsonText("{}".to_owned()))
}

/// `DELETE /rooms/{roomId}/thread/{eventId}/subscription`.
pub(crate) async fn unsubscribe(
    views: ViewDoor,
    door: RoomDoor,
    call: Call<Unsubscribe>,
) -> Result<JsonText, ApiError> {
    views.admit(&call.auth)?;
    let (user, thread) = (&call.auth.user_id, &call.request.0);
    let (room, first) = (&*thread.room_id, &*thread.root);
    see(&views, user, room, first).await?;
    door.rooms.unsubscribe_thread(user, room, first).await?;
    Ok(JsonText("{}".to_owned()))
}

/// `GET /rooms/{roomId}/thread/{eventId}/subscription`.
pub(crate) async fn get(
    views: ViewDoor,
    door: RoomDoor,
    call: Call<GetSubscription>,
) -> Result<JsonText, ApiError> {
    views.admit(&call.auth)?;
    let (user, thread) = (&call.auth.user_id, &call.request.0);
    let (room, first) = (&*thread.room_id, &*thread.root);
    see(&views, user, room, first).await?;
    let found = door.rooms.thread_subscription(user, room, first).await?;
    let automatic = found.ok_or(belfry_room::RoomError::UnknownEvent)?;
    Ok(JsonText(json!({"automatic": automatic}).to_string()))
}

async fn see(
    views: &ViewDoor,
    user: &UserId,
    room: &RoomId,
    event: &EventId,
) -> Result<(), ApiError> {
    views.views.event(user, room, event).await?;
    Ok(())
}
