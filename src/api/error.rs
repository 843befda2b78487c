//! From what went wrong to what the client is told: status, `errcode`, text.
//!
//! The only place that names statuses. One file for each family of errors, each a table. A fault's
//! text stays in the log: it may name files, keys or people.

mod account;
mod act;
mod delayed;
mod edge;
mod keys;
mod media;
mod peer;
mod policy;
mod rate;
mod room;
mod shared_secret;
mod view;

use std::fmt;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::StatusCode;
use ruma_client_api::uiaa::{UiaaInfo, UiaaResponse};
use ruma_common::api::{
    OutgoingResponseExt as _,
    error::{Error, ErrorBody, ErrorKind, StandardErrorBody},
};

pub(crate) use act::InviteBlocked;
pub use edge::EdgeError;
use serde_json::{Value, json};

/// Any answer but the one that was asked for.
#[derive(Debug)]
pub struct ApiError(Box<Answer>);

#[derive(Debug)]
enum Answer {
    Refusal(Refusal),
    Uia(UiaaInfo),
    Fault(StatusCode, String),
}

/// One row of a table.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `errcode`, with the fields that belong to it.
    pub kind: ErrorKind,
    /// What the person in front of the client should do; no secrets, no internals.
    pub text: String,
    extra: Option<(&'static str, Value)>,
}

impl Refusal {
    /// A row.
    pub fn new(status: StatusCode, kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            text: text.into(),
            extra: None,
        }
    }

    /// The same with one more field in the body, for those that ruma's kinds do not have.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.extra = Some((field, value.into()));
        self
    }

    fn body(self) -> ErrorBody {
        let Some((field, value)) = self.extra else {
            return ErrorBody::Standard(StandardErrorBody::new(self.kind, self.text));
        };
        let errcode = self.kind.errcode();
        ErrorBody::Json(json!({"errcode": errcode.as_str(), "error": self.text, field: value}))
    }
}

impl ApiError {
    /// The request cannot be served, and the client is not told why. Logged when it is answered.
    pub fn fault(cause: impl fmt::Display) -> Self {
        Self::failed(StatusCode::INTERNAL_SERVER_ERROR, &cause)
    }

    /// As [`Self::fault`], for what will pass: the client may try again later.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::failed(StatusCode::SERVICE_UNAVAILABLE, &cause)
    }

    fn failed(status: StatusCode, cause: &dyn fmt::Display) -> Self {
        Self(Box::new(Answer::Fault(status, cause.to_string())))
    }

    /// The client has to go through the stages of user-interactive authentication.
    pub fn uia(info: UiaaInfo) -> Self {
        Self(Box::new(Answer::Uia(info)))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(Answer::Refusal(refusal)))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match *self.0 {
            Answer::Refusal(refusal) => refusal.into_response(),
            Answer::Uia(info) => whole(UiaaResponse::AuthResponse(info).try_into_http_response()),
            Answer::Fault(status, cause) => {
                tracing::error!(cause, "the request failed");
                let text = "The server failed; its log says why, under this request's number";
                Refusal::new(status, ErrorKind::Unknown, text).into_response()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        whole(Error::new(self.status, self.body()).try_into_http_response())
    }
}

fn whole<E: fmt::Display>(response: Result<http::Response<BytesMut>, E>) -> Response {
    match response {
        Ok(response) => response.map(|body| Body::from(body.freeze())),
        Err(error) => {
            tracing::error!(%error, "an error could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
