//! Stored filters: the definition goes through ruma's type, so that what is stored is one that a
//! sync can use. Knows nothing of what filters do.

use belfry_user::Users;
use ruma_client_api::filter::{create_filter::v3 as create, get_filter::v3 as get};

use crate::{edge::Call, error::ApiError};

/// `POST /user/{userId}/filter`.
pub(crate) async fn create(
    users: Users,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    let definition = serde_json::to_string(&call.request.filter).map_err(ApiError::fault)?;
    let id = users
        .store_filter(&call.auth, &call.request.user_id, &definition)
        .await?;
    Ok(create::Response::new(id))
}

/// `GET /user/{userId}/filter/{filterId}`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<get::Response, ApiError> {
    let (user_id, id) = (&call.request.user_id, &call.request.filter_id);
    let definition = users.filter(&call.auth, user_id, id).await?;
    let filter = serde_json::from_str(&definition).map_err(ApiError::fault)?;
    Ok(get::Response::new(filter))
}
