//! What registration by a shared secret refuses.

use belfry_user::ProvenAccountError;
use http::StatusCode as S;
use ruma_common::api::error::ErrorKind as K;

use super::{ApiError, EdgeError, Refusal};

impl From<ProvenAccountError> for ApiError {
    fn from(error: ProvenAccountError) -> Self {
        use ProvenAccountError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Off => return EdgeError::UnknownPath.into(),
            E::NonceUnknown => (S::BAD_REQUEST, K::Unknown),
            E::WrongMac => (S::FORBIDDEN, K::Forbidden),
            E::KindUnknown | E::DisplayNameTooLong => (S::BAD_REQUEST, K::InvalidParam),
            E::Refused(refused) => return refused.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}
