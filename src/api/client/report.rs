//! Reporting rooms, events and users to the administration (Client-Server API, "Reporting
//! Content"). What the reporter cannot see does not exist for them.

use belfry_user::{ProfileError, ReportTarget, Users};
use ruma_client_api::{
    reporting::report_user::v3 as report_user,
    room::{report_content::v3 as report_event, report_room::v3 as report_room},
};

use crate::{
    edge::{Call, Edge},
    error::ApiError,
    rate::{Limit, Subject},
    state::{RoomDoor, ViewDoor},
};

/// `POST /rooms/{roomId}/report`: for whoever knows the room's ID, if it is known here.
pub(crate) async fn room(
    edge: Edge,
    users: Users,
    door: RoomDoor,
    call: Call<report_room::Request>,
) -> Result<report_room::Response, ApiError> {
    edge.charge(Limit::Report, Subject::User(call.auth.user_id.clone()))?;
    let request = call.request;
    users.check_report(&call.auth, &request.reason)?;
    door.rooms.settings(&request.room_id, &[]).await?;
    let target = ReportTarget::Room(request.room_id);
    users.report(&call.auth, target, &request.reason).await?;
    Ok(report_room::Response::new())
}

/// `POST /rooms/{roomId}/report/{eventId}`.
pub(crate) async fn event(
    edge: Edge,
    users: Users,
    door: ViewDoor,
    call: Call<report_event::Request>,
) -> Result<report_event::Response, ApiError> {
    edge.charge(Limit::Report, Subject::User(call.auth.user_id.clone()))?;
    let request = call.request;
    let reason = request.reason.unwrap_or_default();
    users.check_report(&call.auth, &reason)?;
    let (room, event) = (&request.room_id, &request.event_id);
    door.views.event(&call.auth.user_id, room, event).await?;
    let target = ReportTarget::Event(request.room_id, request.event_id);
    users.report(&call.auth, target, &reason).await?;
    Ok(report_event::Response::new())
}

/// `POST /users/{userId}/report`: users of other servers are taken at their word.
pub(crate) async fn user(
    edge: Edge,
    users: Users,
    call: Call<report_user::Request>,
) -> Result<report_user::Response, ApiError> {
    edge.charge(Limit::Report, Subject::User(call.auth.user_id.clone()))?;
    let request = call.request;
    users.check_report(&call.auth, &request.reason)?;
    if request.user_id.server_name() == call.auth.user_id.server_name()
        && let Err(error @ (ProfileError::NotFound | ProfileError::Fault(_))) =
            users.profile(&request.user_id).await
    {
        return Err(error.into());
    }
    let target = ReportTarget::User(request.user_id);
    users.report(&call.auth, target, &request.reason).await?;
    Ok(report_user::Response::new())
}
