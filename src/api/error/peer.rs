//! What another server did not give to somebody who looked something up.

use belfry_room::PeerError;
use http::StatusCode as S;
use ruma_common::api::error::ErrorKind as K;

use super::{ApiError, Refusal};

/// Codes by which servers say that there is nothing, or that they do not have the endpoint.
const NOTHING: [&str; 2] = ["M_NOT_FOUND", "M_UNRECOGNIZED"];

impl From<PeerError> for ApiError {
    fn from(error: PeerError) -> Self {
        let text = error.to_string();
        let (status, kind) = match &error {
            PeerError::Refused { errcode, .. } if NOTHING.contains(&&**errcode) => {
                (S::NOT_FOUND, K::NotFound)
            }
            PeerError::Refused { errcode, .. } if errcode == "M_FORBIDDEN" => {
                (S::FORBIDDEN, K::Forbidden)
            }
            // Such as a page's token, which is the other server's.
            PeerError::Refused { errcode, .. } if errcode == "M_INVALID_PARAM" => {
                (S::BAD_REQUEST, K::InvalidParam)
            }
            PeerError::Refused { .. } | PeerError::Unreachable(_) | PeerError::Malformed(_) => {
                (S::BAD_GATEWAY, K::Unknown)
            }
        };
        Refusal::new(status, kind, text).into()
    }
}
