//! Profiles, field by field. The two old fields have no handlers of their own: their paths are
//! the general ones. Rooms show a new name by a flow, which was begun with the change.

use belfry_flow::Flows;
use belfry_user::Users;
use ruma_client_api::profile::{
    delete_profile_field::v3 as delete_field, get_profile::v3 as get,
    get_profile_field::v3 as get_field, set_profile_field::v3 as set_field,
};
use ruma_common::profile::ProfileFieldValue;

use crate::{edge::Call, error::ApiError};

/// `GET /profile/{userId}`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<get::Response, ApiError> {
    let fields = users.profile(&call.request.user_id).await?;
    Ok(fields.into_iter().collect())
}

/// `GET /profile/{userId}/{keyName}`.
pub(crate) async fn get_field(
    users: Users,
    call: Call<get_field::Request>,
) -> Result<get_field::Response, ApiError> {
    let name = call.request.field.as_str();
    let value = users.profile_field(&call.request.user_id, name).await?;
    let value = ProfileFieldValue::new(name, value).map_err(ApiError::fault)?;
    Ok(get_field::Response::new(value))
}

/// `PUT /profile/{userId}/{keyName}`.
pub(crate) async fn set_field(
    users: Users,
    flows: Flows,
    call: Call<set_field::Request>,
) -> Result<set_field::Response, ApiError> {
    let field = &call.request.value;
    let (name, value) = (field.field_name(), field.value());
    let user_id = &call.request.user_id;
    users
        .set_profile_field(&call.auth, user_id, name.as_str(), Some(&*value))
        .await?;
    flows.resume();
    Ok(set_field::Response::new())
}

/// `DELETE /profile/{userId}/{keyName}`.
pub(crate) async fn delete_field(
    users: Users,
    flows: Flows,
    call: Call<delete_field::Request>,
) -> Result<delete_field::Response, ApiError> {
    let (user_id, name) = (&call.request.user_id, call.request.field.as_str());
    users
        .set_profile_field(&call.auth, user_id, name, None)
        .await?;
    flows.resume();
    Ok(delete_field::Response::new())
}
