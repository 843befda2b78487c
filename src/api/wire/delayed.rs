//! Delayed events (MSC4140), which ruma has behind a feature of its own.

use http::Method;
use ruma_common::{
    OwnedRoomId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::{StablePathSelector, VersionHistory},
    },
};
use serde::{Deserialize, de::Error as _};
use serde_json::value::RawValue;

/// What `/versions` calls the paths without a prefix.
const STABLE: StablePathSelector = StablePathSelector::Feature("org.matrix.msc4140.stable");

/// `PUT …/rooms/{roomId}/delayed_event/{eventType}/{txnId}`.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) event_type: String,
    pub(crate) txn_id: String,
    pub(crate) body: ScheduleBody,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ScheduleBody {
    pub(crate) delay_ms: u64,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
}

/// `POST …/delayed_events/{delay_id}/{action}`.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) delay_id: String,
    pub(crate) action: String,
}

/// `POST …/delayed_events/{delay_id}`, as the draft had it before.
#[derive(Debug)]
pub(crate) struct OldAct {
    pub(crate) delay_id: String,
    pub(crate) action: String,
}

/// `GET …/delayed_events/{delay_id}`.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) delay_id: String,
}

/// `GET …/delayed_events`.
#[derive(Debug)]
pub(crate) struct LookAtAll;

/// A request that may be to delay an event, as the draft had it before: by a query parameter.
pub(crate) struct Delayable<R> {
    pub(crate) request: R,
    /// As it was sent.
    pub(crate) delay: Option<String>,
}

macro_rules! metadata {
    ($($request:ty: $method:ident, $unstable:literal $(, $stable:literal)?;)+) => {$(
        impl Metadata for $request {
            const METHOD: Method = Method::$method;
            const RATE_LIMITED: bool = true;
            type Authentication = AccessToken;
            type PathBuilder = VersionHistory;
            const PATH_BUILDER: VersionHistory = VersionHistory::new(
                &[(None, concat!("/_matrix/client/unstable/org.matrix.msc4140/", $unstable))],
                &[$((STABLE, concat!("/_matrix/client/", $stable)))?],
                None,
                None,
            );
        }
    )+};
}

metadata! {
    Schedule: PUT, "rooms/{room_id}/delayed_event/{event_type}/{txn_id}",
        "v3/rooms/{room_id}/delayed_event/{event_type}/{txn_id}";
    Act: POST, "delayed_events/{delay_id}/{action}", "v1/delayed_events/{delay_id}/{action}";
    OldAct: POST, "delayed_events/{delay_id}";
    Look: GET, "delayed_events/{delay_id}", "v1/delayed_events/{delay_id}";
    LookAtAll: GET, "delayed_events", "v1/delayed_events";
}

macro_rules! requests {
    ($($request:ident($http:ident, $path:pat) => $value:expr;)+) => {$(
        impl IncomingRequest for $request {
            type EndpointError = Error;
            // Named because one must be: handlers answer with text that is JSON.
            type OutgoingResponse = Error;

            fn try_from_http_request_inner(
                $http: http::Request<&[u8]>,
                path_args: &[&str],
            ) -> Result<Self, DeserializationError> {
                let $path = path_args else {
                    // The router fills in every variable of a path: this is for other callers.
                    return Err(serde_json::Error::custom("a part of the path is missing").into());
                };
                Ok($value)
            }
        }
    )+};
}

requests! {
    Schedule(request, [room_id, event_type, txn_id]) => Self {
        room_id: OwnedRoomId::try_from(*room_id)?,
        event_type: (*event_type).to_owned(),
        txn_id: (*txn_id).to_owned(),
        body: serde_json::from_slice(request.body())?,
    };
    Act(_request, [delay_id, action]) => Self {
        delay_id: (*delay_id).to_owned(),
        action: (*action).to_owned(),
    };
    OldAct(request, [delay_id]) => Self {
        delay_id: (*delay_id).to_owned(),
        action: serde_json::from_slice::<OldBody>(request.body())?.action,
    };
    Look(_request, [delay_id]) => Self { delay_id: (*delay_id).to_owned() };
    LookAtAll(_request, []) => Self;
}

#[derive(Deserialize)]
struct OldBody {
    action: String,
}

impl<R: Metadata> Metadata for Delayable<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Delayable<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut delays =
            form_urlencoded::parse(query).filter(|(name, _)| name == "org.matrix.msc4140.delay");
        let delay = delays.next().map(|(_, delay)| delay.into_owned());
        let request = R::try_from_http_request_inner(request, path_args)?;
        Ok(Self { request, delay })
    }
}
