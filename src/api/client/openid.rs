//! Vouching for users to other services (Client-Server API, "`OpenID`").

use belfry_user::{OPENID_LIFE, Users};
use ruma_client_api::account::request_openid_token::v3 as request_token;
use ruma_common::authentication::TokenType;

use crate::{edge::Call, error::ApiError};

/// `POST /user/{userId}/openid/request_token`.
pub(crate) async fn request_token(
    users: Users,
    call: Call<request_token::Request>,
) -> Result<request_token::Response, ApiError> {
    let user = &call.request.user_id;
    let token = users.openid_token(&call.auth, user).await?;
    let server = call.auth.user_id.server_name().to_owned();
    Ok(request_token::Response::new(
        token,
        TokenType::Bearer,
        server,
        OPENID_LIFE,
    ))
}
