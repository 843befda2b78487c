//! Removing account data: MSC3391, which ruma does not have.

use http::Method;
use ruma_common::{
    OwnedRoomId, OwnedUserId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
        path_builder::SinglePath,
    },
};
use serde::de::Error as _;

/// `DELETE …/user/{userId}/account_data/{type}`.
pub(crate) struct RemoveGlobal {
    pub(crate) user_id: OwnedUserId,
    pub(crate) event_type: String,
}

/// `DELETE …/user/{userId}/rooms/{roomId}/account_data/{type}`.
pub(crate) struct RemoveInRoom {
    pub(crate) user_id: OwnedUserId,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) event_type: String,
}

impl Metadata for RemoveGlobal {
    const METHOD: Method = Method::DELETE;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new(
        "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}",
    );
}

impl Metadata for RemoveInRoom {
    const METHOD: Method = Method::DELETE;
    const RATE_LIMITED: bool = false;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new(
        "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    );
}

impl IncomingRequest for RemoveGlobal {
    type EndpointError = Error;
    // Named because one must be: the handler answers with `{}`.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let [user_id, event_type] = path_args else {
            return Err(incomplete());
        };
        Ok(Self {
            user_id: OwnedUserId::try_from(*user_id)?,
            event_type: (*event_type).to_owned(),
        })
    }
}

impl IncomingRequest for RemoveInRoom {
    type EndpointError = Error;
    // As above.
    type OutgoingResponse = Error;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let [user_id, room_id, event_type] = path_args else {
            return Err(incomplete());
        };
        Ok(Self {
            user_id: OwnedUserId::try_from(*user_id)?,
            room_id: OwnedRoomId::try_from(*room_id)?,
            event_type: (*event_type).to_owned(),
        })
    }
}

/// The router fills in every variable of a path: this is for other callers.
fn incomplete() -> DeserializationError {
    serde_json::Error::custom("a part of the path is missing").into()
}
