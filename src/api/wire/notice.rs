//! `/_synapse/admin/v1/send_server_notice`, which is no part of the Matrix specification and of no
//! crate of ruma's: see Synapse's administration API, "Server Notices".

use http::Method;
use ruma_common::{
    OwnedUserId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::SinglePath,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A notice with no transaction ID.
pub(crate) struct SendNotice(pub(crate) NoticeBody);

/// A notice that may be asked for twice.
pub(crate) struct SendNoticeOnce {
    pub(crate) txn_id: String,
    pub(crate) body: NoticeBody,
}

#[derive(Deserialize)]
pub(crate) struct NoticeBody {
    pub(crate) user_id: OwnedUserId,
    pub(crate) content: Box<RawValue>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) state_key: Option<String>,
}

impl Metadata for SendNotice {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new("/_synapse/admin/v1/send_server_notice");
}

impl Metadata for SendNoticeOnce {
    const METHOD: Method = Method::PUT;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_synapse/admin/v1/send_server_notice/{txn_id}");
}

impl IncomingRequest for SendNotice {
    type EndpointError = Error;
    // Named because one must be: handlers answer with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self(serde_json::from_slice(request.body())?))
    }
}

impl IncomingRequest for SendNoticeOnce {
    type EndpointError = Error;
    // As above.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self {
            txn_id: path_args.concat(),
            body: serde_json::from_slice(request.body())?,
        })
    }
}
