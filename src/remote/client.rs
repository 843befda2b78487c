//! One signed request to another server, with its limits, and its answer.
//!
//! Exists so that agreements with other servers, limits on requests under way, backing off, signing
//! and reading errors are in one place: what no agreement covers is not asked, whoever wants to know.
//! Knows no endpoint.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_env::{Clock, Moment};
use belfry_policy::{Action, Denial, Purpose, Request, Requester, Rules};
use belfry_room::PeerError;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use ruma_common::{OwnedServerName, ServerName};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::{
    fetch::Limits,
    network::{Network, NetworkError},
    signer::Signer,
};

/// Requests under way to one server; further ones wait their turn.
pub const PER_SERVER_MAX: usize = 16;
/// Servers that are remembered as not answering, or with requests under way.
pub(crate) const SERVERS_MAX: usize = 10_000;
/// Failures in a row after which a server is left alone.
pub const FAILURES_MAX: u32 = 3;
/// How long a server is left alone by requests that somebody waits for; any contact ends it.
pub const LEFT_ALONE: Duration = Duration::from_secs(30);
/// Characters of another server's error text that are passed on.
const ERROR_CHARS_MAX: usize = 300;

/// What is known of a server while requests are under way to it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) places: Arc<Semaphore>,
    failures: u32,
    until: Moment,
    /// When it answered last, as the wall clock had it, in milliseconds since the Unix epoch.
    answered_ms: Option<u64>,
}

/// Asks other servers, signed. Shared.
pub struct Client {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) signer: Signer,
    clock: Clock,
    rules: Arc<Rules>,
    lines: Mutex<BTreeMap<OwnedServerName, Line>>,
}

impl Client {
    /// Over this network, as this server, as far as the rules go at the moment of each request.
    pub fn new(network: Arc<dyn Network>, signer: Signer, clock: Clock, rules: Arc<Rules>) -> Self {
        Self {
            network,
            signer,
            clock,
            rules,
            lines: Mutex::default(),
        }
    }

    /// This server's name.
    pub fn server(&self) -> &ServerName {
        &self.signer.server
    }

    /// Whether the agreement with that server covers that it is asked, or told, for this.
    pub(crate) fn permit(&self, server: &ServerName, purpose: Purpose) -> Result<(), Denial> {
        let asking = Request::new(Requester::Homeserver, Action::Federate);
        let asking = asking.with_peer(server, purpose);
        belfry_policy::decide(&self.rules, &asking).into_result()
    }

    /// Asks, and reads the answer as this type. A server that has just failed several times is not
    /// asked.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        method: Method,
        path: Path,
        content: Option<&RawValue>,
        limits: Limits,
    ) -> Result<T, PeerError> {
        if self.is_left_alone(server) {
            let text = format!("{server} does not answer; try again later");
            return Err(PeerError::Unreachable(text));
        }
        let response = self.send(server, method, path, content, limits).await?;
        serde_json::from_slice(response.body())
            .map_err(|error| PeerError::Malformed(format!("{server}: {error}")))
    }

    /// Asks whatever happened before, if the agreement covers the path's purpose; the answer, if its
    /// status is 200.
    pub async fn send(
        &self,
        server: &ServerName,
        method: Method,
        path: Path,
        content: Option<&RawValue>,
        limits: Limits,
    ) -> Result<Response<Bytes>, PeerError> {
        if server == self.signer.server {
            let text = "this server does not ask itself".to_owned();
            return Err(PeerError::Unreachable(text));
        }
        self.permit(server, path.purpose)
            .map_err(|denial| PeerError::Unreachable(format!("{server}: {denial}")))?;
        let request = self.signer.request(method, &path.text, server, content);
        let request = request.map_err(|error| PeerError::Malformed(error.to_string()))?;
        let places = self.line(server).places;
        let _place = places.acquire().await;
        let answered = self.network.ask(server, request, limits).await;
        let reached = !matches!(answered, Err(NetworkError::Unreachable(_)));
        self.note(server, reached);
        let response = answered.map_err(|error| match error {
            NetworkError::Unreachable(text) => PeerError::Unreachable(text),
            NetworkError::TooLarge(text) => PeerError::Malformed(text),
        })?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(refused(&response))
        }
    }

    /// The server was heard of: it is asked again at once.
    pub fn heard_of(&self, server: &ServerName) {
        self.note(server, true);
    }

    /// Servers that are remembered, each with when it was heard of last, in milliseconds since the
    /// Unix epoch.
    pub(crate) fn remembered(&self) -> BTreeMap<OwnedServerName, Option<u64>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let each = lines.iter();
        each.map(|(server, line)| (server.clone(), line.answered_ms))
            .collect()
    }

    pub(crate) fn is_left_alone(&self, server: &ServerName) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get(server);
        line.is_some_and(|line| line.failures >= FAILURES_MAX && self.clock.now() < line.until)
    }

    pub(crate) fn line(&self, server: &ServerName) -> Line {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= SERVERS_MAX {
            // Lines that nobody uses; what they know of failures is found out again.
            lines.retain(|_, line| Arc::strong_count(&line.places) > 1);
        }
        let fresh = || Line {
            places: Arc::new(Semaphore::new(PER_SERVER_MAX)),
            failures: 0,
            until: Moment::default(),
            answered_ms: None,
        };
        lines.entry(server.to_owned()).or_insert_with(fresh).clone()
    }

    pub(crate) fn note(&self, server: &ServerName, reached: bool) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(server) {
            line.failures = if reached {
                0
            } else {
                line.failures.saturating_add(1)
            };
            line.until = self.clock.now() + LEFT_ALONE;
            if reached {
                line.answered_ms = Some(self.clock.wall_ms());
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    errcode: Option<String>,
    error: Option<String>,
}

fn refused(response: &Response<Bytes>) -> PeerError {
    let body: ErrorBody = serde_json::from_slice(response.body()).unwrap_or_default();
    let text = body.error.unwrap_or_else(|| response.status().to_string());
    PeerError::Refused {
        errcode: body.errcode.unwrap_or_else(|| "M_UNKNOWN".to_owned()),
        error: text.chars().take(ERROR_CHARS_MAX).collect(),
    }
}

/// A path under construction, and what for: what is put in is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub(crate) text: String,
    pub(crate) purpose: Purpose,
}

impl Path {
    /// What the path starts with, as it is, and what the agreement with the server must cover.
    pub fn new(purpose: Purpose, start: &str) -> Self {
        Self {
            text: start.to_owned(),
            purpose,
        }
    }

    /// One more segment.
    #[must_use]
    pub fn segment(mut self, text: &str) -> Self {
        self.text.push('/');
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~$!@:".contains(&byte) {
                self.text.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _written = write!(self.text, "%{byte:02X}");
            }
        }
        self
    }

    /// One more query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.text
            .push(if self.text.contains('?') { '&' } else { '?' });
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        self.text.push_str(&pair);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_path_cannot_leave_its_place() {
        let path = Path::new(Purpose::Exchange, "/v1")
            .segment("a/../b?c#d")
            .segment("$x:y")
            .query("v", "$e&f=g h")
            .query("v", "2");
        assert_eq!(
            path.text,
            "/v1/a%2F..%2Fb%3Fc%23d/$x:y?v=%24e%26f%3Dg+h&v=2"
        );
    }
}
