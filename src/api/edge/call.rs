//! A parsed request: what the handler of an endpoint is given.
//!
//! Order: path, token, body, JSON, fields. So that nobody without a token can make us read a
//! body, and every refusal has the code that the spec gives it.

use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use ruma_common::api::{
    IncomingRequest, IncomingRequestExt as _,
    error::{DeserializationError, FromHttpRequestError},
};

use super::{Authenticate, Ctx, Door, Rule, json};
use crate::error::{ApiError, EdgeError};

/// Longest path segment once decoded. Identifiers end at 255 bytes (spec, appendices); what else
/// stands in a path is shorter than this in every client known.
pub const SEGMENT_BYTES_MAX: usize = 1024;

/// One request for the endpoint `T`.
#[derive(Debug)]
pub struct Call<T: IncomingRequest>
where
    T::Authentication: Authenticate,
{
    /// Path, query and body.
    pub request: T,
    /// Who is asking: a `Requester`, an `Option` of one, or nobody, as the endpoint's
    /// authentication has it.
    pub auth: <T::Authentication as Authenticate>::Identity,
    /// Address, deadline and so on.
    pub ctx: Ctx,
}

impl<T: IncomingRequest> Call<T>
where
    T::Authentication: Authenticate,
{
    /// Reads and parses one request.
    pub(super) async fn accept<S: Door>(
        state: &S,
        rule: Rule,
        ctx: Ctx,
        request: Request,
    ) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let segments = segments(state, &mut parts).await?;
        let auth = T::Authentication::authenticate(state, &ctx, &parts, rule).await?;
        let body = rule
            .read(state.edge().clock(), &parts.headers, body)
            .await?;
        let request = parse(rule, parts, &body, &segments)?;
        Ok(Self { request, auth, ctx })
    }
}

/// The path's variable segments, decoded, in path order.
pub(crate) async fn segments<S: Door>(
    state: &S,
    parts: &mut Parts,
) -> Result<Vec<String>, EdgeError> {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
        return Err(EdgeError::PathNotText);
    };
    let segments: Vec<String> = params.iter().map(|(_, text)| text.to_owned()).collect();
    if segments.iter().any(|text| text.len() > SEGMENT_BYTES_MAX) {
        return Err(EdgeError::PathTooLong);
    }
    if segments.iter().any(|text| text.contains('\0')) {
        return Err(EdgeError::PathNotText);
    }
    Ok(segments)
}

fn parse<T: IncomingRequest>(
    rule: Rule,
    parts: Parts,
    body: &Bytes,
    segments: &[String],
) -> Result<T, EdgeError> {
    let body: &[u8] = if !body.is_empty() || rule == Rule::NONE {
        body
    } else if rule.takes_empty() {
        b"{}"
    } else {
        return Err(EdgeError::NotJson(
            "the body is empty; send {} at least".to_owned(),
        ));
    };
    if !body.is_empty() {
        json::check_object(body)?;
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    T::try_from_http_request(http::Request::from_parts(parts, body), &segments).map_err(refusal)
}

/// What is wrong with a request whose body is known to be JSON.
fn refusal(error: FromHttpRequestError) -> EdgeError {
    match error {
        FromHttpRequestError::MethodMismatch { .. } => EdgeError::WrongMethod,
        FromHttpRequestError::Deserialization(DeserializationError::Json(error)) => {
            EdgeError::BadJson(error.to_string())
        }
        error => EdgeError::InvalidParam(error.to_string()),
    }
}
