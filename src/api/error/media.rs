//! What media refuse.

use std::time::Duration;

use belfry_media::MediaError;
use http::StatusCode as S;
use ruma_common::api::error::{
    ErrorKind as K, ResourceLimitExceededErrorData, UserLimitExceededErrorData,
};

use super::{ApiError, Refusal};
use crate::rate::Wait;

/// How long to wait when too many pictures are waiting.
const BUSY: Duration = Duration::from_secs(1);

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        use MediaError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::NotYetUploaded => (S::GATEWAY_TIMEOUT, K::NotYetUploaded),
            E::TooLarge(_) | E::TooManyPixels => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Quota { help, .. } => {
                let limit = UserLimitExceededErrorData::new(help.info_uri);
                (S::FORBIDDEN, K::UserLimitExceeded(limit))
            }
            E::ServerQuota(help) => {
                let limit = ResourceLimitExceededErrorData::new(help.admin_contact);
                (S::FORBIDDEN, K::ResourceLimitExceeded(limit))
            }
            E::NotYours | E::UrlDenied => (S::FORBIDDEN, K::Forbidden),
            E::AlreadyUploaded => (S::CONFLICT, K::CannotOverwriteMedia),
            E::BadLabel(_) | E::BadUrl(_) => (S::BAD_REQUEST, K::InvalidParam),
            E::NotAPicture => (S::BAD_REQUEST, K::Unknown),
            E::StoreFull => (S::INSUFFICIENT_STORAGE, K::Unknown),
            E::OriginTooLarge => (S::BAD_GATEWAY, K::TooLarge),
            E::OriginFailed(cause) | E::PageFailed(cause) => {
                tracing::debug!(cause, "another server's file or page did not come");
                (S::BAD_GATEWAY, K::Unknown)
            }
            E::Spent(wait) => return Wait(wait).into(),
            E::NoPreviews => (S::NOT_FOUND, K::Unrecognized),
            E::TooManyReserved | E::Busy => return Wait(BUSY).into(),
            E::Denied(denial) => return denial.into(),
            E::Unavailable(cause) => return Self::unavailable(cause),
            E::Broken(cause) => return Self::fault(cause),
        };
        Refusal::new(status, kind, text).into()
    }
}
