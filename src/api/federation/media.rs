//! Files of this server that other servers fetch (Server-Server API, "Content Repository").
//!
//! Only this server's own: what it has of others, these ask where it is. The answer is two parts, of
//! which the first says nothing yet.

use axum::{body::Body, extract::Request, response::Response};
use belfry_media::{File, Wanted};
use belfry_policy::Purpose;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Method, header};

use super::ask::{self, Ask};
use crate::{
    client::media::{
        download::{check_id, pieces},
        header::{UNKNOWN_TYPE, disposition},
        query,
    },
    edge::{Ctx, Routes, Rule},
    error::ApiError,
    state::Api,
};

/// Adds both endpoints.
pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let get = Method::GET;
    let (whole, small) = (
        "/_matrix/federation/v1/media/download/{mediaId}",
        "/_matrix/federation/v1/media/thumbnail/{mediaId}",
    );
    routes
        .serve_raw(get.clone(), whole, download)
        .serve_raw(get, small, thumbnail)
}

/// `GET /media/download/{mediaId}`.
async fn download(api: Api, _: Ctx, request: Request) -> Result<Response, ApiError> {
    let (ask, query) = accept(&api, request).await?;
    // Only until the answer begins: large files must not keep events waiting.
    let _running = api.federation.turns().take(&ask.origin).await?;
    let wanted = wanted(&api, &ask, &query)?;
    respond(api.media.open(&wanted).await?)
}

/// `GET /media/thumbnail/{mediaId}`.
async fn thumbnail(api: Api, _: Ctx, request: Request) -> Result<Response, ApiError> {
    let (ask, query) = accept(&api, request).await?;
    let _running = api.federation.turns().take(&ask.origin).await?;
    let wanted = wanted(&api, &ask, &query)?;
    let (size, moving) = (query::size(&query)?, query::animated(&query)?);
    respond(api.media.thumbnail(&wanted, size, moving).await?)
}

async fn accept(api: &Api, request: Request) -> Result<(Ask, String), ApiError> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let ask = ask::accept(api, (Rule::NONE, Purpose::Media), request).await?;
    Ok((ask, query))
}

fn wanted<'a>(api: &'a Api, ask: &'a Ask, query: &str) -> Result<Wanted<'a>, ApiError> {
    let id = ask.path.first().map_or("", String::as_str);
    check_id(id)?;
    Ok(Wanted {
        server: api.federation.server(),
        id,
        wait: query::wait(query)?,
        asker: ask.origin.as_str(),
        fetch: None,
    })
}

fn respond(file: File) -> Result<Response, ApiError> {
    // No file holds its own hash, so none holds this boundary.
    let boundary = file.id.to_string();
    let content_type = file.label.content_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    let disposition = disposition(&file.label, None);
    let before = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n\
         Content-Type: {content_type}\r\nContent-Disposition: {disposition}\r\n\r\n"
    );
    let after = format!("\r\n--{boundary}--\r\n");
    let bytes = file.bytes();
    let around = u64::try_from(before.len() + after.len()).unwrap_or(u64::MAX);
    let content = pieces(file, 0, bytes);
    let framed = stream::iter([Ok(Bytes::from(before))])
        .chain(content)
        .chain(stream::iter([Ok(Bytes::from(after))]));
    let mut response = Response::new(Body::from_stream(framed));
    let kind = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.map_err(ApiError::fault)?);
    headers.insert(header::CONTENT_LENGTH, (bytes + around).into());
    Ok(response)
}
