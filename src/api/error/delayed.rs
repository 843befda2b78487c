//! What delayed events and subscriptions of threads refuse.

use std::time::Duration;

use belfry_flow::DelayError;
use http::StatusCode as S;
use ruma_common::api::error::{ErrorKind as K, LimitExceededErrorData, RetryAfter};

use super::{ApiError, Refusal};

impl From<DelayError> for ApiError {
    fn from(error: DelayError) -> Self {
        use DelayError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NoDelay => (S::BAD_REQUEST, K::InvalidParam),
            E::TooLong => (S::FORBIDDEN, K::Forbidden),
            E::TooLarge => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::TooMany(left_ms) => {
                let mut data = LimitExceededErrorData::new();
                let seconds = left_ms.div_ceil(1_000);
                data.retry_after = Some(RetryAfter::Delay(Duration::from_secs(seconds)));
                (S::TOO_MANY_REQUESTS, K::LimitExceeded(data))
            }
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::Finalised => (S::CONFLICT, K::Unknown),
            E::Room(error) => return error.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}
