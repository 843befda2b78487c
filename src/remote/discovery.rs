//! From a server's name to where it listens: delegation by `.well-known`, remembered.
//!
//! Exists because the rest of the steps (ports, SRV records, addresses) follow from the delegated
//! name alone and are the dialer's. Knows nothing of what is asked there. (Server-Server API,
//! "Resolving server names".)

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_env::{Clock, Moment};
use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode, Uri,
    header::{AGE, CACHE_CONTROL},
};
use ruma_common::{OwnedServerName, ServerName};
use serde::Deserialize;

use crate::{
    dialer::literal,
    fetch::{FetchError, Fetcher, Limits},
};

/// Servers whose delegation is remembered.
pub const DELEGATIONS_MAX: usize = 10_000;
/// How long a delegation is remembered: where the answer does not say, at least, at most.
pub const DELEGATION_TIME: Duration = Duration::from_hours(24);
/// At least, so that an answer cannot make us ask with every request.
pub const DELEGATION_TIME_MIN: Duration = Duration::from_mins(5);
/// At most.
pub const DELEGATION_TIME_MAX: Duration = Duration::from_hours(48);
/// How long the first failure is remembered; each further one twice as long.
pub const FAILURE_TIME_MIN: Duration = Duration::from_mins(1);
/// How long a failure is remembered at most.
pub const FAILURE_TIME_MAX: Duration = Duration::from_hours(1);
/// What asking for the file may cost.
pub const WELL_KNOWN: Limits = Limits {
    bytes_max: 50 * 1024,
    time_max: Duration::from_secs(10),
    redirects_max: 5,
};

/// Who finds servers. Shared.
pub struct Discovery {
    fetcher: Fetcher,
    clock: Clock,
    known: Mutex<BTreeMap<OwnedServerName, Known>>,
}

/// What was found out of a server.
#[derive(Debug, Clone)]
struct Known {
    /// Where it delegates to; `None` if nowhere that could be read.
    delegate: Option<OwnedServerName>,
    until: Moment,
    failures: u32,
}

#[derive(Deserialize)]
struct WellKnown {
    #[serde(rename = "m.server")]
    server: String,
}

impl Discovery {
    /// Knows nobody yet.
    pub fn new(fetcher: Fetcher, clock: Clock) -> Self {
        Self {
            fetcher,
            clock,
            known: Mutex::default(),
        }
    }

    /// The name to dial, which is also the `Host` and, without its port, the name in the
    /// certificate: the delegated name, or the server's own.
    pub async fn delegated(&self, server: &ServerName) -> OwnedServerName {
        if server.port().is_some() || literal(server.host()).is_some() {
            return server.to_owned();
        }
        let before = self.lock().get(server).cloned();
        if let Some(known) = before.as_ref().filter(|known| self.is_fresh(known)) {
            return known.delegate.clone().unwrap_or_else(|| server.to_owned());
        }
        let found = self.ask(server).await;
        let known = self.judge(&found, before.as_ref());
        let delegate = known.delegate.clone();
        self.remember(server, known);
        delegate.unwrap_or_else(|| server.to_owned())
    }

    fn is_fresh(&self, known: &Known) -> bool {
        self.clock.now() < known.until
    }

    async fn ask(&self, server: &ServerName) -> Result<Response<Bytes>, FetchError> {
        let url = format!("https://{}/.well-known/matrix/server", server.host());
        let url: Uri = url.parse().map_err(|_| FetchError::Url)?;
        self.fetcher.get(&url, WELL_KNOWN).await
    }

    /// What an answer says, and for how long. A delegation that was known goes on while its file
    /// cannot be read: an outage of the web server is not one of the homeserver.
    fn judge(&self, found: &Result<Response<Bytes>, FetchError>, before: Option<&Known>) -> Known {
        let now = self.clock.now();
        let delegate = found.as_ref().ok().and_then(delegate);
        if let (Ok(response), Some(_)) = (found, &delegate) {
            return Known {
                delegate,
                until: now + lifetime(response.headers()),
                failures: 0,
            };
        }
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let pause = FAILURE_TIME_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let outage = !matches!(&found, Ok(response) if !response.status().is_server_error());
        let kept = before.and_then(|before| before.delegate.clone());
        Known {
            delegate: kept.filter(|_| outage),
            until: now + pause.min(FAILURE_TIME_MAX),
            failures,
        }
    }

    /// Makes room by forgetting what ends first.
    fn remember(&self, server: &ServerName, known: Known) {
        let mut all = self.lock();
        if all.len() >= DELEGATIONS_MAX && !all.contains_key(server) {
            let first = all.iter().min_by_key(|(_, known)| known.until);
            if let Some(first) = first.map(|(server, _)| server.clone()) {
                all.remove(&first);
            }
        }
        all.insert(server.to_owned(), known);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OwnedServerName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delegated name in an answer, if there is a usable one.
fn delegate(response: &Response<Bytes>) -> Option<OwnedServerName> {
    if response.status() != StatusCode::OK {
        return None;
    }
    let file: WellKnown = serde_json::from_slice(response.body()).ok()?;
    let server = OwnedServerName::try_from(file.server).ok()?;
    (server.port() != Some(0)).then_some(server)
}

/// How long the answer may be kept (RFC 9111, as far as it concerns one file).
fn lifetime(headers: &HeaderMap) -> Duration {
    let mut seconds = DELEGATION_TIME.as_secs();
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if directive == "no-store" || directive == "no-cache" {
                return DELEGATION_TIME_MIN;
            }
            if let Some(max_age) = directive.strip_prefix("max-age=") {
                seconds = max_age.trim_matches('"').parse().unwrap_or(0);
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    let age: u64 = age.and_then(|age| age.parse().ok()).unwrap_or(0);
    Duration::from_secs(seconds.saturating_sub(age)).clamp(DELEGATION_TIME_MIN, DELEGATION_TIME_MAX)
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
