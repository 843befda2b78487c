//! Pushers, and what somebody was notified of.

use belfry_sync::NotificationsRequest;
use belfry_user::Users;
use ruma_client_api::push::{get_notifications::v3 as notifications, get_pushers::v3 as list};

use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    state::ViewDoor,
    wire::SetPusher,
};

/// `GET /pushers`.
pub(crate) async fn pushers(users: Users, call: Call<list::Request>) -> Result<JsonText, ApiError> {
    let found = users.pushers(&call.auth).await?;
    Ok(JsonText(format!("{{\"pushers\":[{}]}}", found.join(","))))
}

/// `POST /pushers/set`.
pub(crate) async fn set(users: Users, call: Call<SetPusher>) -> Result<JsonText, ApiError> {
    users.set_pusher(&call.auth, call.request.0).await?;
    Ok(JsonText("{}".to_owned()))
}

/// `GET /notifications`.
pub(crate) async fn notifications(
    door: ViewDoor,
    call: Call<notifications::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = NotificationsRequest {
        user_id: call.auth.user_id,
        from: call.request.from,
        limit: call.request.limit.map(u64::from),
        only_highlights: call.request.only.as_deref() == Some("highlight"),
    };
    Ok(JsonText(door.views.notifications(&request).await?))
}
