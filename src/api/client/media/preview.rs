//! What pages say of themselves, for those who see a link to them.

use axum::extract::Request;
use ruma_common::api::auth_scheme::AccessToken;

use super::query::parameter;
use crate::{
    edge::{Authenticate as _, Ctx, JsonText, Rule},
    error::{ApiError, EdgeError},
    rate::{Limit, Subject},
    state::Api,
};

pub(super) const PATH: &str = "/_matrix/client/v1/media/preview_url";
/// Where it was before v1.11.
pub(super) const LEGACY_PATH: &str = "/_matrix/media/v3/preview_url";

/// `GET /_matrix/client/v1/media/preview_url`. There is one of now only, whatever `ts` says.
pub(super) async fn preview(api: Api, ctx: Ctx, request: Request) -> Result<JsonText, ApiError> {
    let parts = request.into_parts().0;
    let requester = AccessToken::authenticate(&api, &ctx, &parts, Rule::NONE).await?;
    if !api.media.shows_previews() {
        return Err(EdgeError::UnknownPath.into());
    }
    let query = parts.uri.query().unwrap_or_default();
    let missing = || EdgeError::InvalidParam("url is missing; send the page's URL".to_owned());
    let url = parameter(query, "url").ok_or_else(missing)?;
    if parameter(query, "ts").is_some_and(|ts| ts.parse::<i64>().is_err()) {
        return Err(EdgeError::InvalidParam("ts is no time in milliseconds".to_owned()).into());
    }
    let user = Subject::User(requester.user_id.clone());
    api.edge.charge(Limit::UrlPreview, user)?;
    let made = api.media.preview(&api.rules, requester.account(), &url);
    Ok(JsonText(made.await?.to_string()))
}
