//! Simplified sliding sync in the draft's shape (MSC4186): `POST .../org.matrix.simplified_msc3575/sync`.
//!
//! Clients of today speak this one. What is not understood is passed over.

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
    presence::PresenceState,
};
use serde::{Deserialize, de::Error as _};

/// A request: what stands in the query, and the body.
#[derive(Debug)]
pub(crate) struct Slide {
    pub(crate) pos: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) set_presence: PresenceState,
    pub(crate) body: Body,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Body {
    pub(crate) conn_id: Option<String>,
    pub(crate) txn_id: Option<String>,
    pub(crate) lists: BTreeMap<String, List>,
    pub(crate) room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    pub(crate) extensions: Extensions,
}

#[derive(Debug, Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) ranges: Option<Vec<(u64, u64)>>,
    #[serde(flatten)]
    pub(crate) details: Details,
    #[serde(default)]
    pub(crate) filters: Filters,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) required_state: Vec<(String, String)>,
    pub(crate) timeline_limit: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filters {
    pub(crate) is_dm: Option<bool>,
    pub(crate) is_encrypted: Option<bool>,
    pub(crate) is_invite: Option<bool>,
    pub(crate) room_types: Option<Vec<Option<String>>>,
    pub(crate) not_room_types: Option<Vec<Option<String>>>,
    pub(crate) spaces: Option<Vec<OwnedRoomId>>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) not_tags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Extensions {
    pub(crate) to_device: ToDevice,
    pub(crate) e2ee: Scope,
    pub(crate) account_data: Scope,
    pub(crate) receipts: Scope,
    pub(crate) typing: Scope,
    #[serde(
        rename = "io.element.msc4308.thread_subscriptions",
        alias = "thread_subscriptions"
    )]
    pub(crate) threads: Threads,
    #[serde(rename = "org.matrix.msc4262.profiles")]
    pub(crate) profiles: Profiles,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Profiles {
    #[serde(flatten)]
    pub(crate) scope: Scope,
    pub(crate) fields: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Threads {
    pub(crate) enabled: Option<bool>,
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToDevice {
    pub(crate) enabled: Option<bool>,
    pub(crate) since: Option<String>,
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scope {
    pub(crate) enabled: Option<bool>,
    pub(crate) lists: Option<Vec<String>>,
    pub(crate) rooms: Option<Vec<String>>,
}

impl Metadata for Slide {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync");
}

impl IncomingRequest for Slide {
    type EndpointError = Error;
    // Named because one must be: the handler answers with text that is JSON.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body = *request.body();
        let body = if body.is_empty() { b"{}" } else { body };
        let mut wanted = Self {
            pos: None,
            timeout: None,
            set_presence: PresenceState::default(),
            body: serde_json::from_slice(body)?,
        };
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "pos" => wanted.pos = Some(value.into_owned()),
                "set_presence" => wanted.set_presence = PresenceState::from(value.into_owned()),
                "timeout" => {
                    let wait = value.parse().map_err(|_| {
                        serde_json::Error::custom("timeout is no number of milliseconds")
                    })?;
                    wanted.timeout = Some(Duration::from_millis(wait));
                }
                _ => {}
            }
        }
        Ok(wanted)
    }
}
