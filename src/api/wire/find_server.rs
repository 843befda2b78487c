//! Where other servers find this one (Server-Server API, "Server discovery"), which is in no crate of
//! ruma's that is about clients.

use http::Method;
use ruma_common::api::{
    IncomingRequest, Metadata,
    auth_scheme::NoAuthentication,
    error::{DeserializationError, Error},
    path_builder::SinglePath,
};

/// `GET /.well-known/matrix/server`.
pub(crate) struct FindServer;

impl Metadata for FindServer {
    const METHOD: Method = Method::GET;
    const RATE_LIMITED: bool = false;
    type Authentication = NoAuthentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new("/.well-known/matrix/server");
}

impl IncomingRequest for FindServer {
    type EndpointError = Error;
    // Named because one must be: the handler answers with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}
