//! Files that clients send.

use std::time::Duration;

use axum::{body::Body, extract::Request, response::Response};
use belfry_media::{Incoming, Label};
use http::{HeaderMap, header, request::Parts};
use http_body_util::BodyExt as _;
use ruma_common::{OwnedMxcUri, api::auth_scheme::AccessToken};
use serde_json::json;

use super::query::parameter;
use crate::{
    edge::{Answer as _, Authenticate as _, Ctx, Edge, JsonText, Rule, segments},
    error::{ApiError, EdgeError},
    rate::{Limit, Subject},
    state::Api,
};

/// A client that sends nothing for this long is given up.
const PIECE_TIME_MAX: Duration = Duration::from_secs(30);

/// `POST /_matrix/media/v3/upload`.
pub(super) async fn upload(api: Api, ctx: Ctx, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let uri = receive(&api, &ctx, &parts, body, None).await?;
    Ok(JsonText(json!({"content_uri": uri}).to_string()).respond())
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`.
pub(super) async fn upload_reserved(
    api: Api,
    ctx: Ctx,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let segments = segments(&api, &mut parts).await?;
    let [server, media_id] = segments.as_slice() else {
        return Err(ApiError::fault("an upload's path has two segments"));
    };
    if *server != api.media.options().server_name.as_str() {
        return Err(belfry_media::MediaError::NotYours.into());
    }
    receive(&api, &ctx, &parts, body, Some(media_id)).await?;
    Ok(JsonText("{}".to_owned()).respond())
}

async fn receive(
    api: &Api,
    ctx: &Ctx,
    parts: &Parts,
    body: Body,
    reserved: Option<&str>,
) -> Result<OwnedMxcUri, ApiError> {
    let requester = AccessToken::authenticate(api, ctx, parts, Rule::NONE).await?;
    api.edge
        .charge(Limit::MediaUpload, Subject::User(requester.user_id.clone()))?;
    let begun = api.media.begin(
        &api.rules,
        requester.account(),
        reserved,
        label(parts)?,
        announced_bytes(&parts.headers),
    );
    let mut incoming = begun.await?;
    pour(&api.edge, body, &mut incoming).await?;
    Ok(incoming.finish().await?)
}

fn label(parts: &Parts) -> Result<Label, ApiError> {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| EdgeError::InvalidParam("Content-Type is not text".to_owned()))?;
    let filename = parameter(parts.uri.query().unwrap_or_default(), "filename");
    Ok(Label::new(content_type, filename.as_deref())?)
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

async fn pour(edge: &Edge, mut body: Body, incoming: &mut Incoming) -> Result<(), ApiError> {
    loop {
        let frame = edge.clock().within(PIECE_TIME_MAX, body.frame()).await;
        match frame.map_err(|_| EdgeError::BodySlow)? {
            None => return Ok(()),
            Some(Err(_)) => return Err(EdgeError::BodyBroken.into()),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    incoming.write(piece).await?;
                }
            }
        }
    }
}
