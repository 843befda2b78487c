//! Subscriptions of threads (MSC4306), which ruma has behind a feature of its own; and removals
//! that take events away (MSC4293).

use http::Method;
use ruma_common::{
    OwnedEventId, OwnedRoomId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::{StablePathSelector, VersionHistory},
    },
};
use serde::{Deserialize, de::Error as _};

const PATHS: VersionHistory = VersionHistory::new(
    &[(
        Some("org.matrix.msc4306"),
        "/_matrix/client/unstable/io.element.msc4306/rooms/{room_id}/thread/{event_id}/subscription",
    )],
    &[(
        StablePathSelector::Feature("org.matrix.msc4306.stable"),
        "/_matrix/client/v1/rooms/{room_id}/thread/{event_id}/subscription",
    )],
    None,
    None,
);

/// A thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) root: OwnedEventId,
}

/// `PUT …/rooms/{roomId}/thread/{eventId}/subscription`.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) thread: Thread,
    /// The event that it is because of, if the user did not ask for it.
    pub(crate) automatic: Option<OwnedEventId>,
}

/// `DELETE …/rooms/{roomId}/thread/{eventId}/subscription`.
#[derive(Debug)]
pub(crate) struct Unsubscribe(pub(crate) Thread);

/// `GET …/rooms/{roomId}/thread/{eventId}/subscription`.
#[derive(Debug)]
pub(crate) struct GetSubscription(pub(crate) Thread);

impl Thread {
    fn read(path_args: &[&str]) -> Result<Self, DeserializationError> {
        let [room_id, root] = path_args else {
            // The router fills in every variable of a path: this is for other callers.
            return Err(serde_json::Error::custom("a part of the path is missing").into());
        };
        Ok(Self {
            room_id: OwnedRoomId::try_from(*room_id)?,
            root: OwnedEventId::try_from(*root)?,
        })
    }
}

macro_rules! requests {
    ($($request:ident: $method:ident, ($http:ident, $thread:ident) => $value:expr;)+) => {$(
        impl Metadata for $request {
            const METHOD: Method = Method::$method;
            const RATE_LIMITED: bool = false;
            type Authentication = AccessToken;
            type PathBuilder = VersionHistory;
            const PATH_BUILDER: VersionHistory = PATHS;
        }

        impl IncomingRequest for $request {
            type EndpointError = Error;
            // Named because one must be: handlers answer with text that is JSON.
            type OutgoingResponse = Error;

            fn try_from_http_request_inner(
                $http: http::Request<&[u8]>,
                path_args: &[&str],
            ) -> Result<Self, DeserializationError> {
                let $thread = Thread::read(path_args)?;
                Ok($value)
            }
        }
    )+};
}

requests! {
    Subscribe: PUT, (request, thread) => Self {
        thread,
        automatic: serde_json::from_slice::<Body>(request.body())?.automatic,
    };
    Unsubscribe: DELETE, (_request, thread) => Self(thread);
    GetSubscription: GET, (_request, thread) => Self(thread);
}

#[derive(Deserialize)]
struct Body {
    automatic: Option<OwnedEventId>,
}

/// A kick or a ban that may take away what its target wrote.
pub(crate) struct Removal<R> {
    pub(crate) request: R,
    pub(crate) redact_events: bool,
}

impl<R: Metadata> Metadata for Removal<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

#[derive(Deserialize)]
struct RemovalBody {
    #[serde(default)]
    redact_events: bool,
    #[serde(default, rename = "org.matrix.msc4293.redact_events")]
    unstable: bool,
}

impl<R: IncomingRequest> IncomingRequest for Removal<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body: RemovalBody = serde_json::from_slice(request.body())?;
        Ok(Self {
            request: R::try_from_http_request_inner(request, path_args)?,
            redact_events: body.redact_events || body.unstable,
        })
    }
}
