//! The keys of other servers: held, fetched, and handed on as a notary.
//!
//! Exists so that a signature is checked against keys that were fetched once, within limits of
//! time and number, and that survive a restart. Knows nothing of what is signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::{
    BoxFuture, Commit, Engine, KeyDocumentRow, ServerKeyRow, keep_key_document, keep_server_key,
    key_document, server_keys,
};
use belfry_env::{Env, Moment};
use belfry_event::{KeyRing, PublicKey};
use belfry_room::{KeyWanted, Keys};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use js_int::UInt;
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    fetch::Limits,
    key_document::{
        KEY_DOCUMENT_BYTES_MAX, KeyDocument, OwnKeys, TimedKey, VALIDITY_MS_MAX, gives_up,
        is_key_id,
    },
    network::Network,
};

/// Servers whose keys are held in memory; the rest is read from the database.
pub const SERVERS_HELD_MAX: usize = 2_000;
/// Servers that are asked for keys at the same time by one call.
pub const ASKED_AT_ONCE_MAX: usize = 8;
/// How long one call fetches, at most.
pub const KEYS_TIME_MAX: Duration = Duration::from_secs(20);
/// Servers of which one call asks a witness.
pub const WITNESSED_MAX: usize = 50;
/// Servers that one question to us as a notary may name.
pub const NOTARY_SERVERS_MAX: usize = 100;
/// How long a server is left alone after the first failure; after each further one twice as long.
pub const PAUSE_MIN: Duration = Duration::from_secs(10);
/// How long a server is left alone at most.
pub const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How long a document is not asked for again because it lacks a key.
pub const REFRESH_INTERVAL: Duration = Duration::from_mins(1);

/// What asking one server for its document may cost.
const DOCUMENT: Limits = Limits {
    bytes_max: KEY_DOCUMENT_BYTES_MAX,
    time_max: Duration::from_secs(10),
    redirects_max: 0,
};

/// What the key store is told.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// Our own keys.
    pub own: OwnKeys,
    /// Servers that are asked when one does not answer for itself.
    pub notaries: Vec<OwnedServerName>,
    /// Keys whose secret half is public: nothing signed with them counts.
    pub refused: Vec<PublicKey>,
}

/// Why a server was left alone, and until when.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Moment,
    failures: u32,
}

/// The keys of servers. Shared.
pub struct KeyStore {
    engine: Arc<dyn Engine>,
    env: Env,
    network: Arc<dyn Network>,
    options: KeyOptions,
    held: Mutex<BTreeMap<OwnedServerName, Arc<Vec<TimedKey>>>>,
    pauses: Mutex<BTreeMap<OwnedServerName, Pause>>,
    /// One question at a time to one server.
    flights: Mutex<BTreeMap<OwnedServerName, Arc<tokio::sync::Mutex<()>>>>,
}

impl KeyStore {
    /// A store over these leaves.
    pub fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        network: Arc<dyn Network>,
        options: KeyOptions,
    ) -> Self {
        Self {
            engine,
            env,
            network,
            options,
            held: Mutex::default(),
            pauses: Mutex::default(),
            flights: Mutex::default(),
        }
    }

    /// Our own document, signed, as `GET /_matrix/key/v2/server` gives it.
    pub fn own_document(&self) -> Result<String, belfry_event::SignError> {
        self.options.own.document(self.env.clock.wall_ms())
    }

    /// The documents of these servers, signed by us as well, as far as they are to be had; each
    /// with when it must still be valid. At most [`NOTARY_SERVERS_MAX`]; what is beyond is left
    /// out.
    pub async fn notarise(&self, wanted: Vec<(OwnedServerName, u64)>) -> Vec<String> {
        let mut each: Vec<BoxFuture<'_, Option<String>>> = Vec::new();
        for (server, minimum_ms) in wanted.into_iter().take(NOTARY_SERVERS_MAX) {
            each.push(Box::pin(
                async move { self.document(&server, minimum_ms).await },
            ));
        }
        let all = stream::iter(each).buffered(ASKED_AT_ONCE_MAX);
        let documents: Vec<Option<String>> = all.collect().await;
        documents.into_iter().flatten().collect()
    }

    async fn document(&self, server: &ServerName, minimum_ms: u64) -> Option<String> {
        let own = &self.options.own;
        if server == own.server {
            return self.own_document().ok();
        }
        // Nobody vouches for longer, so that asking for longer must not make us ask.
        let now_ms = self.env.clock.wall_ms();
        let minimum_ms = minimum_ms.min(now_ms.saturating_add(VALIDITY_MS_MAX / 2));
        let mut row = self.stored_document(server).await;
        let is_fresh = |row: &KeyDocumentRow| row.valid_until_ms >= minimum_ms.max(now_ms);
        if !row.as_ref().is_some_and(is_fresh) && self.may_ask(server) {
            let asked = self
                .env
                .clock
                .within(KEYS_TIME_MAX, self.refresh(server, &[]));
            if asked.await.is_ok() {
                row = self.stored_document(server).await;
            }
        }
        let json = row?.json;
        own.current
            .sign_json(own.server.as_str(), json.as_bytes())
            .ok()
    }

    async fn stored_document(&self, server: &ServerName) -> Option<KeyDocumentRow> {
        let snapshot = self.engine.snapshot().await.ok()?;
        key_document(&*snapshot, server).await.ok().flatten()
    }

    /// The keys of a server, from memory or from the database.
    async fn known(&self, server: &ServerName) -> Arc<Vec<TimedKey>> {
        if server == self.options.own.server {
            return Arc::new(self.options.own.timed(self.env.clock.wall_ms()));
        }
        if let Some(keys) = lock(&self.held).get(server) {
            return Arc::clone(keys);
        }
        let keys = Arc::new(self.read(server).await);
        self.hold(server, &keys);
        keys
    }

    async fn read(&self, server: &ServerName) -> Vec<TimedKey> {
        let read = async {
            let snapshot = self.engine.snapshot().await.ok()?;
            server_keys(&*snapshot, server).await.ok()
        };
        let rows = read.await.unwrap_or_default().into_iter();
        rows.filter_map(|(key_id, row)| {
            Some(TimedKey {
                key_id,
                key: PublicKey::from_bytes(&row.key).ok()?,
                valid_until_ms: row.valid_until_ms,
            })
        })
        .collect()
    }

    fn hold(&self, server: &ServerName, keys: &Arc<Vec<TimedKey>>) {
        let mut held = lock(&self.held);
        if held.len() >= SERVERS_HELD_MAX {
            // The database has them all; what is needed comes back.
            held.clear();
        }
        held.insert(server.to_owned(), Arc::clone(keys));
    }

    fn may_ask(&self, server: &ServerName) -> bool {
        let now = self.env.clock.now();
        let paused = lock(&self.pauses).get(server).copied();
        paused.is_none_or(|pause| pause.until <= now)
    }

    /// Fetches what is wanted of one server, unless it was asked a moment ago.
    async fn refresh(&self, server: &ServerName, wanted: &[&KeyWanted]) {
        let flight = Arc::clone(lock(&self.flights).entry(server.to_owned()).or_default());
        let turn = flight.lock().await;
        let mut satisfied = !wanted.is_empty() && self.satisfies(server, wanted).await;
        if !satisfied && self.may_ask(server) {
            let document = self.ask_everybody(server).await;
            let found = document.is_some();
            if let Some((document, json)) = document {
                let row = KeyDocumentRow {
                    json: json.into(),
                    valid_until_ms: document.valid_until_ms,
                    fetched_ms: self.env.clock.wall_ms(),
                };
                self.keep(server, &document.keys, Some(&row)).await;
            }
            satisfied = found && !wanted.is_empty() && self.satisfies(server, wanted).await;
            self.note(server, found, satisfied);
        }
        drop(turn);
        let mut flights = lock(&self.flights);
        if Arc::strong_count(&flight) <= 2 {
            flights.remove(server);
        }
    }

    async fn satisfies(&self, server: &ServerName, wanted: &[&KeyWanted]) -> bool {
        let known = self.known(server).await;
        wanted.iter().all(|wanted| is_satisfied(&known, wanted))
    }

    fn note(&self, server: &ServerName, found: bool, satisfied: bool) {
        let mut pauses = lock(&self.pauses);
        if satisfied {
            pauses.remove(server);
            return;
        }
        if pauses.len() >= SERVERS_HELD_MAX {
            let now = self.env.clock.now();
            pauses.retain(|_, pause| pause.until > now);
        }
        let before = pauses.get(server).map_or(0, |pause| pause.failures);
        let span = if found {
            REFRESH_INTERVAL
        } else {
            PAUSE_MIN.saturating_mul(1 << before.min(16)).min(PAUSE_MAX)
        };
        let pause = Pause {
            until: self.env.clock.now() + span,
            failures: if found { 0 } else { before.saturating_add(1) },
        };
        pauses.insert(server.to_owned(), pause);
    }

    /// The server itself, then each notary.
    async fn ask_everybody(&self, server: &ServerName) -> Option<(KeyDocument, String)> {
        match self.ask_origin(server).await {
            Ok(found) => return Some(found),
            Err(error) => tracing::debug!(%server, error, "a server's keys were not to be had"),
        }
        for notary in &self.options.notaries {
            match self.ask_notary(notary, server).await {
                Ok(found) => return Some(found),
                Err(error) => tracing::debug!(%server, %notary, error, "nor by a notary"),
            }
        }
        None
    }

    async fn ask_origin(&self, server: &ServerName) -> Result<(KeyDocument, String), String> {
        let request = Request::get("/_matrix/key/v2/server").body(Bytes::new());
        let response = self.send(server, request).await?;
        self.believe(server, response.body())
    }

    /// The notary is known by its certificate; the document must be signed by its own server.
    async fn ask_notary(
        &self,
        notary: &ServerName,
        server: &ServerName,
    ) -> Result<(KeyDocument, String), String> {
        let now_ms = self.env.clock.wall_ms();
        let body =
            json!({"server_keys": {server.as_str(): {"": {"minimum_valid_until_ts": now_ms}}}});
        let request = Request::builder()
            .method(Method::POST)
            .uri("/_matrix/key/v2/query")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()));
        let response = self.send(notary, request).await?;
        let answer: NotaryAnswer =
            serde_json::from_slice(response.body()).map_err(|error| error.to_string())?;
        let mut refused = "the notary has no such keys".to_owned();
        for document in answer.server_keys {
            match self.believe(server, document.get().as_bytes()) {
                Ok(found) => return Ok(found),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn send(
        &self,
        server: &ServerName,
        request: http::Result<Request<Bytes>>,
    ) -> Result<Response<Bytes>, String> {
        let request = request.map_err(|error| error.to_string())?;
        let answered = self.network.ask(server, request, DOCUMENT).await;
        let response = answered.map_err(|error| error.to_string())?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(format!("status {}", response.status()))
        }
    }

    fn believe(&self, server: &ServerName, json: &[u8]) -> Result<(KeyDocument, String), String> {
        let now_ms = self.env.clock.wall_ms();
        let mut document =
            KeyDocument::read(server, json, now_ms).map_err(|error| error.to_string())?;
        let refused = &self.options.refused;
        document.keys.retain(|key| !refused.contains(&key.key));
        let text = String::from_utf8(json.to_vec()).map_err(|error| error.to_string())?;
        Ok((document, text))
    }

    /// Remembers what a document says. A key that it no longer lists stays as it was: events that
    /// it signed are still there.
    async fn keep(&self, server: &ServerName, found: &[TimedKey], row: Option<&KeyDocumentRow>) {
        let fetched_ms = self.env.clock.wall_ms();
        let mut keys = (*self.known(server).await).clone();
        let mut commit = Commit::lazy();
        for key in found {
            keys.retain(|known| known.key_id != key.key_id);
            keys.push(key.clone());
            let row = ServerKeyRow {
                key: *key.key.as_bytes(),
                valid_until_ms: key.valid_until_ms,
                fetched_ms,
            };
            keep_server_key(&mut commit, server, &key.key_id, &row);
        }
        if let Some(row) = row {
            keep_key_document(&mut commit, server, row);
        }
        self.hold(server, &Arc::new(keys));
        if let Err(error) = self.engine.commit(commit).await {
            tracing::warn!(%error, "a server's keys were not stored; they are fetched again");
        }
    }

    /// Asks the witness whether the server still uses the keys that are known of it.
    async fn ask_witness(&self, witness: &ServerName, server: &ServerName) {
        match self.ask_notary(witness, server).await {
            Ok((document, json)) => {
                let known = self.known(server).await;
                let mut keys = document.renewed(json.as_bytes(), &known);
                if let Some(last) = self.stored_document(server).await {
                    keys.retain(|key| !gives_up(&last.json, &key.key_id));
                }
                if !keys.is_empty() {
                    self.keep(server, &keys, None).await;
                }
            }
            Err(error) => tracing::debug!(%server, %witness, error, "nor by a witness"),
        }
    }

    /// Servers whose keys are known, but not for as long as is wanted.
    async fn outdated<'w>(&self, wanted: &'w [KeyWanted]) -> BTreeSet<&'w ServerName> {
        let mut outdated = BTreeSet::new();
        for wanted in wanted {
            let known = self.known(&wanted.server).await;
            let is_known = known.iter().any(|key| wanted.key_ids.contains(&key.key_id));
            if is_known && !is_satisfied(&known, wanted) {
                outdated.insert(&*wanted.server);
            }
        }
        outdated
    }

    async fn ring(&self, wanted: &[KeyWanted]) -> KeyRing {
        let mut ring = KeyRing::new(self.options.refused.iter().map(|key| *key.as_bytes()));
        for wanted in wanted {
            for key in &*self.known(&wanted.server).await {
                let until = UInt::new_saturating(key.valid_until_ms);
                let until = MilliSecondsSinceUnixEpoch(until);
                let server = wanted.server.clone();
                if let Err(error) = ring.insert(server, &*key.key_id, key.key.clone(), until) {
                    tracing::debug!(server = %wanted.server, %error, "a key is refused");
                }
            }
        }
        ring
    }

    /// What is wanted and not known, by server.
    async fn lacking<'w>(
        &self,
        wanted: &'w [KeyWanted],
    ) -> BTreeMap<&'w ServerName, Vec<&'w KeyWanted>> {
        let mut lacking: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for wanted in wanted {
            let known = self.known(&wanted.server).await;
            let could_be_had = wanted.key_ids.iter().any(|key_id| is_key_id(key_id));
            if could_be_had && !is_satisfied(&known, wanted) && self.may_ask(&wanted.server) {
                lacking.entry(&*wanted.server).or_default().push(wanted);
            }
        }
        lacking
    }
}

#[derive(Deserialize)]
struct NotaryAnswer {
    server_keys: Vec<Box<RawValue>>,
}

fn is_satisfied(known: &[TimedKey], wanted: &KeyWanted) -> bool {
    let at_ms = wanted.valid_at.map_or(0, |at| u64::from(at.0));
    known
        .iter()
        .any(|key| at_ms <= key.valid_until_ms && wanted.key_ids.contains(&key.key_id))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keys for KeyStore {
    fn held<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        Box::pin(self.ring(wanted))
    }

    fn fetch<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        Box::pin(async move {
            let lacking = self.lacking(wanted).await;
            let mut each: Vec<BoxFuture<'_, ()>> = Vec::new();
            for (server, wanted) in &lacking {
                each.push(Box::pin(self.refresh(server, wanted)));
            }
            let all = stream::iter(each).buffer_unordered(ASKED_AT_ONCE_MAX);
            let whole = all.collect::<()>();
            if self.env.clock.within(KEYS_TIME_MAX, whole).await.is_err() {
                tracing::debug!("some servers' keys take too long to fetch");
            }
            self.ring(wanted).await
        })
    }

    fn fetch_by<'a>(
        &'a self,
        wanted: &'a [KeyWanted],
        witness: &'a ServerName,
    ) -> BoxFuture<'a, KeyRing> {
        Box::pin(async move {
            self.fetch(wanted).await;
            let outdated = self.outdated(wanted).await.into_iter();
            let mut each: Vec<BoxFuture<'_, ()>> = Vec::new();
            for server in outdated.filter(|it| *it != witness).take(WITNESSED_MAX) {
                each.push(Box::pin(self.ask_witness(witness, server)));
            }
            let all = stream::iter(each).buffer_unordered(ASKED_AT_ONCE_MAX);
            let whole = all.collect::<()>();
            if self.env.clock.within(KEYS_TIME_MAX, whole).await.is_err() {
                tracing::debug!(%witness, "a witness takes too long");
            }
            self.ring(wanted).await
        })
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
