//! `GET /sync` with its filter as it was sent: ruma's type of it knows fewer members than the spec,
//! and reading one into it with every poll costs more than the rest of the request.

use std::fmt::Write as _;

use http::{Method, Uri};
use ruma_client_api::sync::sync_events::v3 as sync;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde::de::Error as _;

/// A request for what is new.
#[derive(Debug)]
pub(crate) struct Sync {
    /// Without its filter.
    pub(crate) request: sync::Request,
    /// A definition or an ID.
    pub(crate) filter: Option<String>,
}

impl Metadata for Sync {
    const METHOD: Method = sync::Request::METHOD;
    const RATE_LIMITED: bool = sync::Request::RATE_LIMITED;
    type Authentication = <sync::Request as Metadata>::Authentication;
    type PathBuilder = <sync::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = sync::Request::PATH_BUILDER;
}

impl IncomingRequest for Sync {
    type EndpointError = <sync::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = <sync::Request as IncomingRequest>::OutgoingResponse;

    fn try_from_http_request_inner(
        mut request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = request.uri().query().unwrap_or_default();
        let (mut filter, mut rest) = (None, request.uri().path().to_owned());
        let mut mark = '?';
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let mut pairs = form_urlencoded::parse(part.as_bytes());
            match pairs.next().filter(|(name, _)| name == "filter") {
                Some(_) if filter.is_some() => {
                    return Err(serde_json::Error::custom("more than one filter").into());
                }
                Some((_, text)) => filter = Some(text.into_owned()),
                None => {
                    // Writing to a string cannot fail.
                    _ = write!(rest, "{mark}{part}");
                    mark = '&';
                }
            }
        }
        *request.uri_mut() = Uri::try_from(rest).map_err(serde_json::Error::custom)?;
        let request = sync::Request::try_from_http_request_inner(request, path_args)?;
        Ok(Self { request, filter })
    }
}
