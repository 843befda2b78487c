//! `/_synapse/admin/v1/register`, which is no part of the Matrix specification and of no crate of
//! ruma's: see Synapse's administration API, "Register users".

use http::Method;
use ruma_common::api::{
    IncomingRequest, Metadata,
    auth_scheme::NoAuthentication,
    error::{DeserializationError, Error},
    path_builder::SinglePath,
};
use serde::Deserialize;

/// Where both requests go.
const PATH: SinglePath = SinglePath::new("/_synapse/admin/v1/register");

/// Asks for a nonce.
pub(crate) struct AskNonce;

/// Asks for an account. `mac` is the HMAC-SHA1 in hexadecimal.
#[derive(Deserialize)]
pub(crate) struct RegisterBySecret {
    pub(crate) nonce: String,
    pub(crate) username: String,
    pub(crate) displayname: Option<String>,
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) admin: bool,
    pub(crate) user_type: Option<String>,
    pub(crate) mac: String,
}

impl Metadata for AskNonce {
    const METHOD: Method = Method::GET;
    const RATE_LIMITED: bool = false;
    type Authentication = NoAuthentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = PATH;
}

impl IncomingRequest for AskNonce {
    type EndpointError = Error;
    // Named because one must be: handlers answer with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

impl Metadata for RegisterBySecret {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = NoAuthentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = PATH;
}

impl IncomingRequest for RegisterBySecret {
    type EndpointError = Error;
    // As above.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(serde_json::from_slice(request.body())?)
    }
}
