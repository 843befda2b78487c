//! Networks that bridges reach (Client-Server API, "Third-party Lookups"). There is none: nothing can
//! be bridged here yet.

use std::collections::BTreeMap;

use http::StatusCode;
use ruma_client_api::thirdparty::{
    get_location_for_protocol::v3 as locations, get_location_for_room_alias::v3 as of_alias,
    get_protocol::v3 as protocol, get_protocols::v3 as protocols,
    get_user_for_protocol::v3 as users, get_user_for_user_id::v3 as of_id,
};
use ruma_common::api::error::ErrorKind;

use crate::{
    edge::Call,
    error::{ApiError, Refusal},
};

/// `GET /thirdparty/protocols`.
pub(crate) async fn protocols(
    _: Call<protocols::Request>,
) -> Result<protocols::Response, ApiError> {
    Ok(protocols::Response::new(BTreeMap::new()))
}

/// `GET /thirdparty/protocol/{protocol}`.
pub(crate) async fn protocol(_: Call<protocol::Request>) -> Result<protocol::Response, ApiError> {
    Err(unknown())
}

/// `GET /thirdparty/location/{protocol}`.
pub(crate) async fn locations(
    _: Call<locations::Request>,
) -> Result<locations::Response, ApiError> {
    Err(unknown())
}

/// `GET /thirdparty/location`.
pub(crate) async fn locations_of_alias(
    _: Call<of_alias::Request>,
) -> Result<of_alias::Response, ApiError> {
    Err(unknown())
}

/// `GET /thirdparty/user/{protocol}`.
pub(crate) async fn users(_: Call<users::Request>) -> Result<users::Response, ApiError> {
    Err(unknown())
}

/// `GET /thirdparty/user`.
pub(crate) async fn users_of_id(_: Call<of_id::Request>) -> Result<of_id::Response, ApiError> {
    Err(unknown())
}

fn unknown() -> ApiError {
    let text = "This server bridges to no other network";
    Refusal::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, text).into()
}
