//! Lets web pages of any origin talk to the client API (spec, "Web Browser Clients").
//!
//! Nothing here depends on cookies, so any origin may be allowed and credentials never are.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

const HEADERS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "X-Requested-With, Content-Type, Authorization",
    ),
    // Without this, a page cannot read how long a 429 asks it to wait.
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Retry-After, X-Request-Id",
    ),
];

/// Browsers may keep the answer to a preflight for a day.
const PREFLIGHT_SECS: &str = "86400";

/// Whether browsers call this path: all but what servers say to each other.
pub(super) fn applies(path: &str) -> bool {
    !path.starts_with("/_matrix/federation/") && !path.starts_with("/_matrix/key/")
}

/// Whether the request only asks what is allowed.
pub(super) fn is_preflight(method: &Method, path: &str) -> bool {
    *method == Method::OPTIONS && applies(path)
}

/// The answer to a preflight. No endpoint's logic runs, and no token is asked for.
pub(super) fn preflight() -> Response {
    let max_age = [(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECS)];
    (StatusCode::NO_CONTENT, max_age).into_response()
}

/// Marks an answer as readable from any origin.
pub(super) fn allow(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
