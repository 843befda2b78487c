//! What reading rooms refuses.

use std::time::Duration;

use belfry_sync::ViewError;
use http::StatusCode as S;
use ruma_common::api::error::ErrorKind as K;

use super::{ApiError, Refusal};
use crate::rate::Wait;

/// How long to wait when too many requests wait.
const BUSY: Duration = Duration::from_secs(1);

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        use ViewError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Token(_) | E::Filter(_) | E::UnknownFilter | E::Invalid(_) => {
                (S::BAD_REQUEST, K::InvalidParam)
            }
            E::UnknownPos => {
                // A draft's code, which ruma has no kind for.
                let refusal = Refusal::new(S::BAD_REQUEST, K::Unknown, text);
                return refusal.with("errcode", "M_UNKNOWN_POS").into();
            }
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::Forbidden => (S::FORBIDDEN, K::Forbidden),
            E::TooManyWaiting => return Wait(BUSY).into(),
            E::Fault(fault) if fault.is_passing() => return Self::unavailable(text),
            E::Fault(_) => return Self::fault(text),
        };
        Refusal::new(status, kind, text).into()
    }
}
