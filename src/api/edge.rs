//! Where HTTP ends and Matrix begins: one request in, one parsed call out, one answer back.
//!
//! Everything that is the same for all endpoints happens here once: request numbers, the client's
//! address, CORS, body limits, strict JSON, authentication, time limits, panics, the log line.
//! Knows nothing of accounts, rooms or storage; whose token it is, it asks the state ([`Door`]).

mod address;
mod authenticate;
mod body;
mod call;
mod context;
mod cors;
mod gate;
mod json;
mod routes;

#[cfg(test)]
mod edge_tests;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use belfry_env::{Clock, Shutdown};
use belfry_user::Requester;

pub use address::{HOPS_MAX, Network, Peer, TrustedProxies};
pub use authenticate::{Authenticate, Bearer, bearer};
pub use body::{BODY_TIME_MAX, Rule};
pub(crate) use call::segments;
pub use call::{Call, SEGMENT_BYTES_MAX};
pub use context::{Ctx, RequestId};
pub use gate::REQUEST_ID;
pub use json::JsonRefused;
pub(crate) use json::check_object;
pub use routes::{Answer, Endpoint, JsonPieces, JsonText, Routes};

use crate::{
    error::ApiError,
    rate::{Limit, Limits, RateOptions, Subject},
};

/// How long a handler may take, unless its route says otherwise; then 503.
pub const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);

/// What the edge is told by the configuration.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Which rate limits apply.
    pub rates: RateOptions,
}

/// What all requests of one server share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Edge(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    shutdown: Shutdown,
    trusted_proxies: TrustedProxies,
    limits: Limits,
    requests: AtomicU64,
}

impl Edge {
    /// An edge that has seen no request yet.
    pub fn new(options: EdgeOptions, clock: Clock, shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared {
            clock,
            shutdown,
            limits: Limits::new(&options.rates),
            trusted_proxies: options.trusted_proxies,
            requests: AtomicU64::new(1),
        }))
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The buckets, for a handler that gives tokens back.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Whether [`Self::charge`] would find a token; takes none.
    pub fn check(&self, limit: Limit, subject: &Subject) -> Result<(), ApiError> {
        let now = self.0.clock.now();
        Ok(self.0.limits.check(limit, subject, now)?)
    }

    /// Takes a token if there is one, for what has happened already.
    pub fn charge_anyway(&self, limit: Limit, subject: Subject) {
        let now = self.0.clock.now();
        let _empty = self.0.limits.charge(limit, subject, now);
    }

    /// Takes one token from the subject's bucket, or is the answer 429.
    pub fn charge(&self, limit: Limit, subject: Subject) -> Result<(), ApiError> {
        let now = self.0.clock.now();
        Ok(self.0.limits.charge(limit, subject, now)?)
    }
}

/// The state of a router, as far as the edge needs it.
pub trait Door: Clone + Send + Sync + 'static {
    /// What all requests share.
    fn edge(&self) -> &Edge;

    /// Whose access token this is. Errors are the spec's: `M_UNKNOWN_TOKEN`, `M_USER_LOCKED`.
    fn identify(
        &self,
        ctx: &Ctx,
        token: &str,
    ) -> impl Future<Output = Result<Requester, ApiError>> + Send;
}
