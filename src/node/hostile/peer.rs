//! The hostile server, and the network by which the other one asks it.
//!
//! Knows nothing of what it is to say: a script tells.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use belfry_env::Env;
use belfry_remote::{Limits, Network, NetworkError};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use ruma_common::ServerName;
use serde_json::{Value, json};

use super::forge;

/// The key that a peer signs with.
pub(super) const KEY_ID: &str = "ed25519:evil";
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A server with keys of its own.
pub(super) struct Peer {
    pub(super) name: String,
    key: SigningKey,
}

impl Peer {
    pub(super) fn new(name: &str) -> Self {
        let seed = u8::try_from(name.len()).unwrap();
        Self {
            name: name.to_owned(),
            key: SigningKey::from_bytes(&[seed; 32]),
        }
    }

    /// What it publishes of its keys.
    fn document(&self, now_ms: u64) -> Value {
        let public = forge::public(&self.key);
        let mut document = json!({
            "server_name": self.name,
            "verify_keys": {KEY_ID: {"key": public}},
            "old_verify_keys": {},
            "valid_until_ts": now_ms + DAY_MS,
        });
        self.sign(&mut document);
        document
    }

    /// The public half of its key.
    pub(super) fn public_key(&self) -> String {
        forge::public(&self.key)
    }

    /// Signs what is no event.
    pub(super) fn sign(&self, value: &mut Value) {
        forge::sign(value, &self.name, KEY_ID, &self.key);
    }

    /// Hashes and signs an event, whatever it says; its ID.
    pub(super) fn sign_event(&self, event: &mut Value, version: u32) -> String {
        forge::sign_event(event, version, &self.name, (KEY_ID, &self.key))
    }

    /// Signs an event that is hashed already, by another name of the key.
    pub(super) fn sign_event_as(&self, event: &mut Value, version: u32, key_id: &str) {
        forge::add_event_signature(event, version, &self.name, (key_id, &self.key));
    }

    /// The header of a request to `hs1`.
    pub(super) fn header(&self, method: &str, uri: &str, content: Option<&Value>) -> String {
        let mut signed = json!({
            "method": method, "uri": uri, "origin": self.name, "destination": "hs1",
        });
        if let Some(content) = content {
            signed["content"] = content.clone();
        }
        let signature = forge::signature(&signed, &self.key);
        format!(
            r#"X-Matrix origin="{}",destination="hs1",key="{KEY_ID}",sig="{signature}""#,
            self.name
        )
    }
}

/// A request that a peer got.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// Path and query, decoded.
    pub(super) path: String,
    pub(super) body: Value,
}

type Script = Arc<dyn Fn(&Heard) -> Option<(u16, Value)> + Send + Sync>;

/// The network as `hs1` sees it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Net(Arc<Shared>);

struct Shared {
    env: Env,
    peers: BTreeMap<String, Arc<Peer>>,
    script: Mutex<Script>,
    heard: Mutex<Vec<Heard>>,
}

impl Net {
    pub(super) fn new(env: &Env, peers: &[&Arc<Peer>]) -> Self {
        let peers = peers.iter();
        let peers = peers.map(|peer| (peer.name.clone(), Arc::clone(peer)));
        Self(Arc::new(Shared {
            env: env.clone(),
            peers: peers.collect(),
            script: Mutex::new(Arc::new(|_| None)),
            heard: Mutex::default(),
        }))
    }

    /// What is answered from now on; what the script does not know is not found.
    pub(super) fn answer(
        &self,
        script: impl Fn(&Heard) -> Option<(u16, Value)> + Send + Sync + 'static,
    ) {
        *self.0.script.lock().unwrap() = Arc::new(script);
    }

    /// What was asked since the last call, but for keys.
    pub(super) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.0.heard.lock().unwrap())
    }

    fn reply(&self, peer: &Peer, heard: Heard) -> (u16, Value) {
        if heard.path.starts_with("/_matrix/key/v2/server") {
            return (200, peer.document(self.0.env.clock.wall_ms()));
        }
        let script = Arc::clone(&self.0.script.lock().unwrap());
        let told = script(&heard);
        let sends = heard.path.contains("/v1/send/");
        self.0.heard.lock().unwrap().push(heard);
        let nothing = json!({"errcode": "M_NOT_FOUND", "error": "no"});
        let taken = sends.then(|| (200, json!({"pdus": {}})));
        told.or(taken).unwrap_or((404, nothing))
    }
}

impl Network for Net {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        let peer = self.0.peers.get(server.as_str());
        let Some(peer) = peer else {
            let gone = NetworkError::Unreachable(format!("{server} is away"));
            return Box::pin(std::future::ready(Err(gone)));
        };
        let path = request.uri().path_and_query().unwrap().as_str();
        let heard = Heard {
            path: percent_decoded(path),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        };
        let (status, body) = self.reply(peer, heard);
        let body = body.to_string();
        if body.len() > limits.bytes_max {
            let large = NetworkError::TooLarge("more than is taken".to_owned());
            return Box::pin(std::future::ready(Err(large)));
        }
        let response = Response::builder().status(status).body(body.into());
        Box::pin(std::future::ready(Ok(response.unwrap())))
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap(), rest.next().unwrap()];
        let digits = std::str::from_utf8(&digits).unwrap();
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}
