//! What tags, reports, `OpenID` tokens and the invited refuse.

use belfry_user::{OpenIdError, ReportError, TagError};
use http::StatusCode as S;
use ruma_common::api::error::{ErrorKind as K, LimitExceededErrorData};

use super::{ApiError, Refusal};

impl From<TagError> for ApiError {
    fn from(error: TagError) -> Self {
        use TagError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotYours => (S::FORBIDDEN, K::Forbidden),
            E::Name | E::Order | E::TooMany => (S::BAD_REQUEST, K::InvalidParam),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        use ReportError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::TooLong => (S::BAD_REQUEST, K::InvalidParam),
            E::TooMany => {
                let kind = K::LimitExceeded(LimitExceededErrorData::new());
                (S::TOO_MANY_REQUESTS, kind)
            }
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<OpenIdError> for ApiError {
    fn from(error: OpenIdError) -> Self {
        use OpenIdError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotYours => (S::FORBIDDEN, K::Forbidden),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

/// The invited wants no invites from whoever sent this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InviteBlocked;

impl From<InviteBlocked> for ApiError {
    fn from(_: InviteBlocked) -> Self {
        let text = "This user takes no invites from you";
        Refusal::new(S::FORBIDDEN, K::InviteBlocked, text).into()
    }
}
