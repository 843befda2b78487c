//! `POST /login`, behind a check that ruma's parser forgets: without a `type` it panics.

use http::Method;
use ruma_client_api::session::login::v3 as login;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde::de::Error as _;
use serde_json::Value;

/// A sign-in whose `type` is a text.
pub(crate) struct Login(pub(crate) login::Request);

impl Metadata for Login {
    const METHOD: Method = login::Request::METHOD;
    const RATE_LIMITED: bool = login::Request::RATE_LIMITED;
    type Authentication = <login::Request as Metadata>::Authentication;
    type PathBuilder = <login::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = login::Request::PATH_BUILDER;
}

impl IncomingRequest for Login {
    type EndpointError = <login::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = <login::Request as IncomingRequest>::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body: Value = serde_json::from_slice(request.body())?;
        if !body.get("type").is_some_and(Value::is_string) {
            return Err(serde_json::Error::missing_field("type").into());
        }
        login::Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}
