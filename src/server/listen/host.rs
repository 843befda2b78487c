//! The host that a request names (RFC 9112, section 3.2).
//!
//! It exists because a proxy and this server might each go by another of two names, or by one that
//! is none. It knows nothing of which hosts there are.

use axum::body::Body;
use hyper::{
    Request, Response, StatusCode, Version,
    header::{CONTENT_TYPE, HOST, HeaderValue},
    http::uri::Authority,
};

/// What is answered to a request that does not name its host.
const REFUSAL: &str =
    r#"{"errcode":"M_UNKNOWN","error":"The request must have one Host header, with a host in it"}"#;

/// Whether an HTTP/1.1 request names its host once and well. Older ones need not name it; newer ones
/// name it elsewhere, which hyper reads. None may name two.
pub(super) fn is_named<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_well_formed(host),
        (None, _) => request.version() != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// A host and perhaps a port. It may be empty: that is what a request says whose target has none.
fn is_well_formed(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok())
}

pub(super) fn refusal() -> Response<Body> {
    let mut answer = Response::new(Body::from(REFUSAL));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
