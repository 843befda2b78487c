//! What rooms refuse.

use std::time::Duration;

use belfry_room::RoomError;
use http::StatusCode as S;
use ruma_common::api::error::{ErrorKind as K, IncompatibleRoomVersionErrorData};

use super::{ApiError, Refusal};
use crate::rate::Wait;

/// How long to wait when a room has too much to do.
const BUSY: Duration = Duration::from_secs(1);

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        use RoomError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::UnknownRoom | E::UnknownEvent | E::UnknownAlias => (S::NOT_FOUND, K::NotFound),
            E::AliasTaken => (S::CONFLICT, K::Unknown),
            E::BadAlias(_) => (S::BAD_REQUEST, K::BadAlias),
            E::DuplicateAnnotation => (S::BAD_REQUEST, K::DuplicateAnnotation),
            E::NotInThread => return draft(S::BAD_REQUEST, "NOT_IN_THREAD", text),
            E::Unsubscribed => return draft(S::CONFLICT, "CONFLICTING_UNSUBSCRIPTION", text),
            E::NotLeft => (S::BAD_REQUEST, K::Unknown),
            E::UnsupportedVersion(_) => (S::BAD_REQUEST, K::UnsupportedRoomVersion),
            E::IncompatibleVersion(version) => {
                let data = IncompatibleRoomVersionErrorData::new(version);
                (S::BAD_REQUEST, K::IncompatibleRoomVersion(data))
            }
            E::UnableToAuthorise => (S::BAD_REQUEST, K::UnableToAuthorizeJoin),
            E::UnableToGrant => (S::BAD_REQUEST, K::UnableToGrantJoin),
            E::Unreachable(_) | E::Unrecommended(_) => (S::BAD_GATEWAY, K::Unknown),
            E::NotRecommended { errcode, .. } => return not_recommended(errcode, text),
            E::Forbidden(_) => (S::FORBIDDEN, K::Forbidden),
            E::BadContent(_) => (S::BAD_REQUEST, K::BadJson),
            E::BadParameter(_) => (S::BAD_REQUEST, K::InvalidParam),
            E::EventTooLarge(_) | E::TooMuchInitialState => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::InvalidRoomState(_) => (S::BAD_REQUEST, K::InvalidRoomState),
            E::Unavailable(_) | E::Unsure => (S::SERVICE_UNAVAILABLE, K::Unknown),
            E::Denied(denial) => return denial.into(),
            E::Busy => return Wait(BUSY).into(),
            E::Fault(_) => return Self::fault(text),
        };
        Refusal::new(status, kind, text).into()
    }
}

/// A policy server's error, in its own words (Server-Server API, "Validating Policy Server
/// signatures").
fn not_recommended(errcode: String, text: String) -> ApiError {
    let status = match &*errcode {
        "M_FORBIDDEN" => S::FORBIDDEN,
        "M_NOT_FOUND" | "M_UNRECOGNIZED" => S::NOT_FOUND,
        "M_LIMIT_EXCEEDED" => S::TOO_MANY_REQUESTS,
        "M_UNKNOWN" => S::BAD_GATEWAY,
        _ => S::BAD_REQUEST,
    };
    let refusal = Refusal::new(status, K::Unknown, text);
    refusal.with("errcode", errcode).into()
}

/// An error that only the draft about subscriptions of threads has (MSC4306).
fn draft(status: S, name: &str, text: String) -> ApiError {
    let errcode = format!("IO.ELEMENT.MSC4306.M_{name}");
    // The kind is told by its own name, over which this one is written.
    let refusal = Refusal::new(status, K::Unknown, text);
    refusal.with("errcode", errcode).into()
}
