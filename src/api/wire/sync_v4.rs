//! Simplified sliding sync in the accepted shape (MSC4186): `POST /_matrix/client/v4/sync`.
//!
//! Everything stands in the body. What is not understood is passed over.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use ruma_common::{
    OwnedRoomId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::SinglePath,
    },
};
use serde::{Deserialize, de::Error as _};

use super::sliding::Extensions;

/// A request.
#[derive(Debug)]
pub(crate) struct SyncV4(pub(crate) Body);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Body {
    pub(crate) conn_id: Option<String>,
    pub(crate) pos: Option<String>,
    pub(crate) timeout: Option<u64>,
    pub(crate) set_presence: Option<String>,
    pub(crate) lists: BTreeMap<String, List>,
    pub(crate) room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    pub(crate) extensions: Extensions,
}

impl Body {
    /// How long to wait.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) range: Option<(u64, u64)>,
    #[serde(flatten)]
    pub(crate) details: Details,
    #[serde(default)]
    pub(crate) filters: Filters,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Details {
    pub(crate) required_state: RequiredState,
    pub(crate) timeline_limit: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RequiredState {
    pub(crate) include: Vec<Element>,
    pub(crate) exclude: Vec<Element>,
    pub(crate) lazy_members: bool,
}

/// What is absent matches everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Element {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) state_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filters {
    pub(crate) is_dm: Option<bool>,
    pub(crate) spaces: Option<Vec<OwnedRoomId>>,
    pub(crate) is_encrypted: Option<bool>,
    pub(crate) is_invited: Option<bool>,
    pub(crate) room_types: Option<Vec<Option<String>>>,
    pub(crate) not_room_types: Option<Vec<Option<String>>>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) not_tags: Option<Vec<String>>,
}

impl Metadata for SyncV4 {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new("/_matrix/client/v4/sync");
}

impl IncomingRequest for SyncV4 {
    type EndpointError = Error;
    // Named because one must be: the handler answers with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body = *request.body();
        let body = if body.is_empty() { b"{}" } else { body };
        Ok(Self(serde_json::from_slice(body)?))
    }
}

/// `GET /thread_subscriptions` (MSC4308).
#[derive(Debug, Default)]
pub(crate) struct ThreadSubscriptions {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) limit: Option<u64>,
}

impl Metadata for ThreadSubscriptions {
    const METHOD: Method = Method::GET;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_matrix/client/unstable/io.element.msc4308/thread_subscriptions");
}

impl IncomingRequest for ThreadSubscriptions {
    type EndpointError = Error;
    // Named because one must be: the handler answers with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (mut wanted, mut backward) = (Self::default(), false);
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "dir" => backward = value == "b",
                "from" => wanted.from = Some(value.into_owned()),
                "to" => wanted.to = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    let none = || serde_json::Error::custom("limit is a number from 1 on");
                    wanted.limit = Some(limit.ok_or_else(none)?);
                }
                _ => {}
            }
        }
        if !backward {
            return Err(serde_json::Error::custom("dir is b").into());
        }
        Ok(wanted)
    }
}
