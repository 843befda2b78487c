//! What is known of a request before it is parsed, handed along explicitly.

use std::{fmt, net::IpAddr};

use belfry_env::{Moment, Shutdown};

use super::Network;
use crate::rate::Subject;

/// A request's number in the log, unique for one run of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The circumstances of one request. A client that goes away drops the handler's future; `stop`
/// is for what waits on purpose, such as a long poll.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The request's number.
    pub request: RequestId,
    /// The client, as far as the proxies in between are believed.
    pub client: IpAddr,
    /// When the answer is cut off.
    pub deadline: Moment,
    /// Raised when the server stops: answer what there is.
    pub stop: Shutdown,
}

impl Ctx {
    /// The client's network, as a subject of rate limits.
    pub fn network(&self) -> Subject {
        Subject::Network(Network::of(self.client))
    }
}
