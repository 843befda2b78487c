//! Profiles, field by field. The two old fields have no handlers of their own: their paths are
//! the general ones. Rooms show a new name by a flow, which was begun with the change.

use belfry_flow::Flows;
use belfry_user::{ProfileError, Users};
use ruma_client_api::profile::{
    delete_profile_field::v3 as delete_field, get_profile::v3 as get,
    get_profile_field::v3 as get_field, set_profile_field::v3 as set_field,
};
use ruma_common::{UserId, profile::ProfileFieldValue};
use serde_json::Value;

use crate::{edge::Call, elsewhere::Elsewhere, error::ApiError};

/// `GET /profile/{userId}`.
pub(crate) async fn get(
    users: Users,
    elsewhere: Elsewhere,
    call: Call<get::Request>,
) -> Result<get::Response, ApiError> {
    let fields = fields(&users, &elsewhere, &call.request.user_id).await?;
    Ok(fields.into_iter().collect())
}

/// The profile of a user of whatever server.
async fn fields(
    users: &Users,
    elsewhere: &Elsewhere,
    user: &UserId,
) -> Result<Vec<(String, Value)>, ApiError> {
    if elsewhere.is_far(user.server_name()) {
        // The endpoint takes no token: it is the server that asks.
        if let Some(fields) = elsewhere.profile(None, user).await? {
            return Ok(fields.into_iter().collect());
        }
    }
    Ok(users.profile(user).await?)
}

/// `GET /profile/{userId}/{keyName}`.
pub(crate) async fn get_field(
    users: Users,
    elsewhere: Elsewhere,
    call: Call<get_field::Request>,
) -> Result<get_field::Response, ApiError> {
    let name = call.request.field.as_str();
    let fields = fields(&users, &elsewhere, &call.request.user_id).await?;
    let mut named = fields.into_iter().filter(|(field, _)| field == name);
    let (_, value) = named.next().ok_or(ProfileError::NotFound)?;
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
