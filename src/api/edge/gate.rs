//! Around every request: its number, its client's address, its line in the log, CORS, and the
//! catching of panics.
//!
//! The log line names the route's template, never the path or the query, which hold identifiers
//! and tokens.

use std::{panic::AssertUnwindSafe, sync::atomic::Ordering};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use super::{Ctx, Edge, Peer, REQUEST_TIME_MAX, RequestId, cors};
use crate::error::ApiError;

/// The answer's header that holds the request's number, for questions to the administrator.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware around all routes and fallbacks.
pub(super) async fn pass(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let ctx = edge.context(&request);
    let id = ctx.request;
    let open = cors::applies(request.uri().path());
    let span = tracing::info_span!(
        "request",
        %id,
        method = %request.method(),
        route = route(&request),
    );
    let mut response = if cors::is_preflight(request.method(), request.uri().path()) {
        cors::preflight()
    } else {
        request.extensions_mut().insert(ctx);
        edge.run(next.run(request)).instrument(span).await
    };
    if open {
        cors::allow(response.headers_mut());
    }
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

impl Edge {
    fn context(&self, request: &Request) -> Ctx {
        let peer = request.extensions().get::<Peer>().copied();
        let shared = &self.0;
        Ctx {
            request: RequestId(shared.requests.fetch_add(1, Ordering::Relaxed)),
            client: shared
                .trusted_proxies
                .client_address(peer.unwrap_or(Peer::Local), request.headers()),
            deadline: shared.clock.now() + REQUEST_TIME_MAX,
            stop: shared.shutdown.clone(),
        }
    }

    /// Runs the request to its end without a panic, and logs it.
    async fn run(&self, answer: impl Future<Output = Response>) -> Response {
        let clock = &self.0.clock;
        let started = clock.now();
        // Nothing of the handler's is looked at after a panic; what it shares is behind locks
        // that say so themselves.
        let whole = AssertUnwindSafe(answer).catch_unwind();
        let response = whole
            .await
            .unwrap_or_else(|_| ApiError::fault("the handler panicked").into_response());
        let took_ms = clock.now().since(started).as_millis();
        tracing::info!(status = response.status().as_u16(), took_ms, "answered");
        response
    }
}

fn route(request: &Request) -> &str {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or("none", MatchedPath::as_str)
}
