//! What policy denies.

use belfry_policy::{Code, Denial};
use http::StatusCode;
use ruma_common::api::error::ErrorKind;

use super::{ApiError, Refusal};

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        let text = denial.to_string();
        match denial.code() {
            Code::UserLocked => Self::new(StatusCode::UNAUTHORIZED, ErrorKind::UserLocked, text)
                .with("soft_logout", true),
            Code::UserSuspended => Self::new(StatusCode::FORBIDDEN, ErrorKind::UserSuspended, text),
            Code::Forbidden => Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, text),
        }
    }
}

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> Self {
        Refusal::from(denial).into()
    }
}
