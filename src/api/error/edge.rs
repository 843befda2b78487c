//! What the edge refuses before any handler runs.

use belfry_policy::Denial;
use http::StatusCode;
use ruma_common::api::error::ErrorKind;

use super::{ApiError, Refusal};
use crate::edge::JsonRefused;

/// Why a request did not become a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeError {
    /// No endpoint has this path.
    UnknownPath,
    /// None has it with this method.
    WrongMethod,
    /// A segment is not UTF-8 once decoded, or holds a NUL.
    PathNotText,
    /// A segment is beyond [`crate::edge::SEGMENT_BYTES_MAX`].
    PathTooLong,
    /// The endpoint needs an access token.
    MissingToken,
    /// `Authorization` has another scheme than `Bearer`.
    NotBearer,
    /// Several `Authorization` headers, or one and a query parameter.
    SeveralTokens,
    /// The account is locked, and the endpoint does not sign it out.
    Locked,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body's compression is not undone.
    ContentEncoding,
    /// The body is a form with files.
    ContentType,
    /// The body took too long.
    BodySlow,
    /// The connection broke, or its framing is wrong.
    BodyBroken,
    /// The body is not JSON.
    NotJson(String),
    /// The body is JSON, but not what the endpoint asks for.
    BadJson(String),
    /// Path, query or headers say something impossible.
    InvalidParam(String),
    /// The answer took too long.
    Late,
}

impl From<JsonRefused> for EdgeError {
    fn from(refused: JsonRefused) -> Self {
        match refused {
            JsonRefused::NotJson(reason) => Self::NotJson(reason),
            JsonRefused::NotAnObject => Self::BadJson("the body is not an object".to_owned()),
        }
    }
}

impl From<EdgeError> for Refusal {
    fn from(error: EdgeError) -> Self {
        use EdgeError as E;
        use ErrorKind as K;
        use StatusCode as S;
        let (status, kind, text) = match error {
            E::UnknownPath => (S::NOT_FOUND, K::Unrecognized, "No such endpoint".to_owned()),
            E::WrongMethod => (
                S::METHOD_NOT_ALLOWED,
                K::Unrecognized,
                "No such method here".to_owned(),
            ),
            E::PathNotText => (
                S::BAD_REQUEST,
                K::InvalidParam,
                "The path is not UTF-8 text".to_owned(),
            ),
            E::PathTooLong => (
                S::BAD_REQUEST,
                K::InvalidParam,
                "A part of the path is too long".to_owned(),
            ),
            E::MissingToken => (S::UNAUTHORIZED, K::MissingToken, "Sign in first".to_owned()),
            E::NotBearer => (
                S::UNAUTHORIZED,
                K::MissingToken,
                "Send \"Authorization: Bearer\"".to_owned(),
            ),
            E::SeveralTokens => (
                S::BAD_REQUEST,
                K::InvalidParam,
                "Send one access token".to_owned(),
            ),
            E::TooLarge(max) => (
                S::PAYLOAD_TOO_LARGE,
                K::TooLarge,
                format!("Send at most {max} bytes"),
            ),
            E::ContentEncoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                K::Unknown,
                "Send the body uncompressed".to_owned(),
            ),
            E::ContentType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                K::Unknown,
                "Send the body as application/json".to_owned(),
            ),
            E::BodySlow => (
                S::REQUEST_TIMEOUT,
                K::Unknown,
                "The body took too long to arrive".to_owned(),
            ),
            E::BodyBroken => (S::BAD_REQUEST, K::Unknown, "The body broke off".to_owned()),
            E::NotJson(reason) => (
                S::BAD_REQUEST,
                K::NotJson,
                format!("The body is not JSON: {reason}"),
            ),
            E::BadJson(reason) => (
                S::BAD_REQUEST,
                K::BadJson,
                format!("The body does not fit: {reason}"),
            ),
            E::InvalidParam(reason) => (S::BAD_REQUEST, K::InvalidParam, reason),
            E::Late => (
                S::SERVICE_UNAVAILABLE,
                K::Unknown,
                "The answer took too long; try again".to_owned(),
            ),
            E::Locked => return Denial::Locked.into(),
        };
        Self::new(status, kind, text)
    }
}

impl From<EdgeError> for ApiError {
    fn from(error: EdgeError) -> Self {
        Refusal::from(error).into()
    }
}
