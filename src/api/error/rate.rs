//! Too much at once.

use std::time::Duration;

use http::StatusCode;
use ruma_common::api::error::{ErrorKind, LimitExceededErrorData, RetryAfter};

use super::{ApiError, Refusal};
use crate::rate::Wait;

impl From<Wait> for Refusal {
    fn from(Wait(wait): Wait) -> Self {
        let seconds = whole_seconds(wait);
        let mut limit = LimitExceededErrorData::new();
        limit.retry_after = Some(RetryAfter::Delay(Duration::from_secs(seconds)));
        let text = format!("Too many requests; try again in {seconds} s");
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::LimitExceeded(limit),
            text,
        )
    }
}

/// Rounded up: a client that comes back a moment early is only refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<Wait> for ApiError {
    fn from(wait: Wait) -> Self {
        Refusal::from(wait).into()
    }
}
