//! Agreements with other servers, which are Belfry's own and not the specification's.

use belfry_policy::ServerRights;
use http::Method;
use ruma_common::{
    OwnedServerName,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::SinglePath,
    },
};
use serde::{Deserialize, de::Error as _};

/// `GET /_belfry/admin/v1/partners`.
#[derive(Debug)]
pub(crate) struct ListPartners;

/// `PUT /_belfry/admin/v1/partners/{serverName}`.
#[derive(Debug)]
pub(crate) struct SetPartner {
    pub(crate) server: OwnedServerName,
    pub(crate) rights: ServerRights,
    pub(crate) note: String,
}

/// `DELETE /_belfry/admin/v1/partners/{serverName}`.
#[derive(Debug)]
pub(crate) struct EndPartner {
    pub(crate) server: OwnedServerName,
}

/// `GET /_belfry/admin/v1/destinations`.
#[derive(Debug)]
pub(crate) struct ListDestinations;

/// `POST /_belfry/admin/v1/destinations/{serverName}/retry`.
#[derive(Debug)]
pub(crate) struct RetryDestination {
    pub(crate) server: OwnedServerName,
}

macro_rules! metadata {
    ($($request:ident: $method:ident $path:literal;)+) => {$(
        impl Metadata for $request {
            const METHOD: Method = Method::$method;
            const RATE_LIMITED: bool = false;
            type Authentication = AccessToken;
            type PathBuilder = SinglePath;
            const PATH_BUILDER: SinglePath = SinglePath::new($path);
        }
    )+};
}

metadata! {
    ListPartners: GET "/_belfry/admin/v1/partners";
    SetPartner: PUT "/_belfry/admin/v1/partners/{server_name}";
    EndPartner: DELETE "/_belfry/admin/v1/partners/{server_name}";
    ListDestinations: GET "/_belfry/admin/v1/destinations";
    RetryDestination: POST "/_belfry/admin/v1/destinations/{server_name}/retry";
}

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    rights: ServerRights,
    #[serde(default)]
    note: String,
}

fn server(path_args: &[&str]) -> Result<OwnedServerName, DeserializationError> {
    let [server] = path_args else {
        return Err(serde_json::Error::custom("the path names a server").into());
    };
    Ok(OwnedServerName::try_from(*server)?)
}

impl IncomingRequest for ListPartners {
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

impl IncomingRequest for SetPartner {
    type EndpointError = Error;
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body: Body = serde_json::from_slice(request.body())?;
        Ok(Self {
            server: server(path_args)?,
            rights: body.rights,
            note: body.note,
        })
    }
}

impl IncomingRequest for EndPartner {
    type EndpointError = Error;
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self {
            server: server(path_args)?,
        })
    }
}

impl IncomingRequest for ListDestinations {
    type EndpointError = Error;
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

impl IncomingRequest for RetryDestination {
    type EndpointError = Error;
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self {
            server: server(path_args)?,
        })
    }
}
