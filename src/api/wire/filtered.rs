//! Requests with a `filter` in their query, as it was sent: ruma's type of it knows fewer members
//! than the spec (`related_by_rel_types`, `related_by_senders`).

use http::Method;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};

/// A request and its filter.
pub(crate) struct Filtered<R> {
    pub(crate) request: R,
    /// JSON, whose form ruma has checked.
    pub(crate) filter: Option<String>,
}

impl<R: Metadata> Metadata for Filtered<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Filtered<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut filters = form_urlencoded::parse(query).filter(|(name, _)| name == "filter");
        let filter = filters.next().map(|(_, filter)| filter.into_owned());
        let request = R::try_from_http_request_inner(request, path_args)?;
        Ok(Self { request, filter })
    }
}
