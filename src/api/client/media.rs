//! The media repository (Client-Server API, "Content repository"), authenticated and legacy paths.
//!
//! Files go through these handlers piece by piece, so they are served raw, not as [`Call`]s.

pub(crate) mod download;
pub(crate) mod header;
#[cfg(test)]
mod header_tests;
#[cfg(test)]
mod media_tests;
mod preview;
pub(crate) mod query;
#[cfg(test)]
mod remote_tests;
mod upload;

use axum::{
    extract::{FromRef, Request},
    response::Response,
};
use belfry_media::Media;
use http::Method;
use js_int::UInt;
use ruma_client_api::{
    authenticated_media::get_media_config::v1 as config, media::create_mxc_uri::v1 as create,
};
use ruma_common::{MilliSecondsSinceUnixEpoch, api::auth_scheme::AccessToken};
use serde_json::json;

use crate::{
    edge::{
        Answer as _, Authenticate as _, Call, Ctx, Edge, JsonText, REQUEST_TIME_MAX, Routes, Rule,
    },
    error::ApiError,
    rate::{Limit, Subject},
    state::Api,
};

/// Adds all of it.
pub(crate) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let routes = routes
        .serve(Rule::NONE, limits)
        .serve_raw(Method::GET, "/_matrix/media/v3/config", legacy_limits)
        .serve_by(
            &Method::GET,
            preview::PATH,
            REQUEST_TIME_MAX,
            preview::preview,
        )
        .serve_by(
            &Method::GET,
            preview::LEGACY_PATH,
            REQUEST_TIME_MAX,
            preview::preview,
        )
        .serve(Rule::NONE, reserve)
        .serve_raw(Method::POST, "/_matrix/media/v3/upload", upload::upload)
        .serve_raw(
            Method::PUT,
            "/_matrix/media/v3/upload/{server}/{media_id}",
            upload::upload_reserved,
        );
    reading(routes)
}

fn reading(routes: Routes<Api>) -> Routes<Api> {
    let get = Method::GET;
    let authenticated = [
        "/_matrix/client/v1/media/download/{server}/{media_id}",
        "/_matrix/client/v1/media/download/{server}/{media_id}/{filename}",
    ];
    let legacy = [
        "/_matrix/media/v3/download/{server}/{media_id}",
        "/_matrix/media/v3/download/{server}/{media_id}/{filename}",
        "/_matrix/media/r0/download/{server}/{media_id}",
        "/_matrix/media/r0/download/{server}/{media_id}/{filename}",
    ];
    let mut routes = routes
        .serve_raw(
            get.clone(),
            "/_matrix/client/v1/media/thumbnail/{server}/{media_id}",
            download::thumbnail,
        )
        .serve_raw(
            get.clone(),
            "/_matrix/media/v3/thumbnail/{server}/{media_id}",
            download::legacy_thumbnail,
        );
    for path in authenticated {
        routes = routes.serve_raw(get.clone(), path, download::download);
    }
    for path in legacy {
        routes = routes.serve_raw(get.clone(), path, download::legacy_download);
    }
    routes
}

impl FromRef<Api> for Media {
    fn from_ref(api: &Api) -> Self {
        api.media.clone()
    }
}

/// `GET /_matrix/client/v1/media/config`.
async fn limits(media: Media, _: Call<config::Request>) -> Result<config::Response, ApiError> {
    Ok(config::Response::new(upload_bytes_max(&media)))
}

/// `GET /_matrix/media/v3/config`, for clients of before v1.11.
async fn legacy_limits(api: Api, ctx: Ctx, request: Request) -> Result<Response, ApiError> {
    AccessToken::authenticate(&api, &ctx, &request.into_parts().0, Rule::NONE).await?;
    let answer = json!({"m.upload.size": api.media.options().upload_bytes_max});
    Ok(JsonText(answer.to_string()).respond())
}

fn upload_bytes_max(media: &Media) -> UInt {
    UInt::new_saturating(media.options().upload_bytes_max)
}

/// `POST /_matrix/media/v1/create`.
async fn reserve(
    edge: Edge,
    api: Api,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    edge.charge(Limit::MediaCreate, Subject::User(call.auth.user_id.clone()))?;
    let reserved = api.media.reserve(&api.rules, call.auth.account()).await?;
    let mut answer = create::Response::new(reserved.uri);
    let expires = UInt::new_saturating(reserved.expires_ts);
    answer.unused_expires_at = Some(MilliSecondsSinceUnixEpoch(expires));
    Ok(answer)
}
