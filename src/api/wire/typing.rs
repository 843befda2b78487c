//! `PUT /rooms/{roomId}/typing/{userId}`, without the timeout that ruma's type insists on and the
//! spec does not.

use std::time::Duration;

use http::Method;
use ruma_client_api::typing::create_typing_event::v3 as typing;
use ruma_common::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::{IncomingRequest, Metadata, error::DeserializationError},
};
use serde::{Deserialize, de::Error as _};

/// Somebody types, or ceased to.
#[derive(Debug)]
pub(crate) struct SetTyping {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) user_id: OwnedUserId,
    pub(crate) typing: bool,
    pub(crate) timeout: Option<Duration>,
}

impl Metadata for SetTyping {
    const METHOD: Method = typing::Request::METHOD;
    const RATE_LIMITED: bool = typing::Request::RATE_LIMITED;
    type Authentication = <typing::Request as Metadata>::Authentication;
    type PathBuilder = <typing::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = typing::Request::PATH_BUILDER;
}

#[derive(Deserialize)]
struct Body {
    typing: bool,
    timeout: Option<u64>,
}

impl IncomingRequest for SetTyping {
    type EndpointError = <typing::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = <typing::Request as IncomingRequest>::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body: Body = serde_json::from_slice(request.body())?;
        let [room_id, user_id] = path_args else {
            return Err(serde_json::Error::custom("the path names a room and a user").into());
        };
        Ok(Self {
            room_id: RoomId::parse(*room_id)?,
            user_id: UserId::parse(*user_id)?,
            typing: body.typing,
            timeout: body.timeout.map(Duration::from_millis),
        })
    }
}
