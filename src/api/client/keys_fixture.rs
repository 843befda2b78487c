//! Devices with keys, for tests: signed as clients sign them.

use belfry_event::SigningKey;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp};

pub(super) const PEER: &str = "192.0.2.1:9";

/// A key pair that signs.
pub(super) struct Pair {
    key: SigningKey,
}

impl Pair {
    pub(super) fn new(seed: u8) -> Self {
        let key = SigningKey::from_seed(&[seed; 32], "x").unwrap();
        Self { key }
    }

    /// Base64.
    pub(super) fn public(&self) -> String {
        self.key.public_key().to_base64()
    }

    /// The object with a signature by this user and key ID.
    pub(super) fn sign(&self, object: &Value, user: &str, key_id: &str) -> Value {
        let signature = self.key.json_signature(object.to_string().as_bytes());
        let mut signed = object.clone();
        signed["signatures"][user][key_id] = signature.unwrap().into();
        signed
    }
}

/// A device with its identity key.
pub(super) struct Device {
    pub(super) user: String,
    pub(super) id: String,
    pub(super) token: String,
    pub(super) pair: Pair,
}

impl Device {
    pub(super) fn of(person: &Person, seed: u8) -> Self {
        Self {
            user: person.user_id.to_string(),
            id: person.device_id.clone(),
            token: person.token.clone(),
            pair: Pair::new(seed),
        }
    }

    pub(super) fn key_id(&self) -> String {
        format!("ed25519:{}", self.id)
    }

    pub(super) fn sign(&self, object: &Value) -> Value {
        self.pair.sign(object, &self.user, &self.key_id())
    }

    /// `DeviceKeys`.
    pub(super) fn keys(&self) -> Value {
        let curve = format!("curve25519:{}", self.id);
        self.sign(&json!({
            "user_id": self.user,
            "device_id": self.id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {self.key_id(): self.pair.public(), curve: Pair::new(99).public()},
        }))
    }

    /// A signed one-time key.
    pub(super) fn one_time(&self, number: usize) -> Value {
        self.sign(&json!({"key": format!("key{number}")}))
    }

    pub(super) fn one_time_keys(&self, numbers: std::ops::Range<usize>) -> Value {
        let keys = numbers.map(|number| {
            let name = format!("signed_curve25519:{number:06}");
            (name, self.one_time(number))
        });
        Value::Object(keys.collect())
    }

    /// Sends JSON; gives the status and the answer.
    pub(super) async fn ask(
        &self,
        app: &TestApp,
        (method, path): (&str, &str),
        body: &Value,
    ) -> (u16, Value) {
        let path = format!("/_matrix/client/v3{path}");
        let endpoint = (method, path.as_str());
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = app.raw_from(PEER, endpoint, Some(&self.token), body).await;
        (answer.0.as_u16(), answer.1)
    }

    /// Sends JSON that must be taken.
    pub(super) async fn done(&self, app: &TestApp, endpoint: (&str, &str), body: &Value) -> Value {
        let (status, answer) = self.ask(app, endpoint, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Sends JSON that must be refused; status and `errcode`.
    pub(super) async fn refused(
        &self,
        app: &TestApp,
        endpoint: (&str, &str),
        body: &Value,
    ) -> (u16, String) {
        let (status, answer) = self.ask(app, endpoint, body).await;
        assert_ne!(status, 200, "{answer}");
        let errcode = answer["errcode"].as_str().unwrap_or_default();
        (status, errcode.to_owned())
    }

    pub(super) async fn upload(&self, app: &TestApp, body: &Value) -> Value {
        self.done(app, UPLOAD, body).await
    }

    /// The keys of a user as this device's user sees them.
    pub(super) async fn query(&self, app: &TestApp, user: &str) -> Value {
        let body = json!({"device_keys": {user: []}});
        self.done(app, QUERY, &body).await
    }

    /// A sync from this place on.
    pub(super) async fn sync(&self, app: &TestApp, since: Option<&str>) -> Value {
        let since = since.map(|since| format!("?since={since}"));
        let path = format!("/sync{}", since.unwrap_or_default());
        self.done(app, ("GET", &path), &Value::Null).await
    }
}

pub(super) const UPLOAD: (&str, &str) = ("POST", "/keys/upload");
pub(super) const QUERY: (&str, &str) = ("POST", "/keys/query");
pub(super) const CLAIM: (&str, &str) = ("POST", "/keys/claim");

/// A person with a device, whose keys are uploaded.
pub(super) async fn device(app: &TestApp, name: &str, seed: u8) -> Device {
    let device = Device::of(&app.person(name).await, seed);
    let body = json!({"device_keys": device.keys()});
    device.upload(app, &body).await;
    device
}

/// The text under `next_batch`.
pub(super) fn next(sync: &Value) -> &str {
    sync["next_batch"].as_str().unwrap()
}

/// The texts of an array, sorted.
pub(super) fn texts(array: &Value) -> Vec<&str> {
    let mut texts: Vec<_> = array
        .as_array()
        .map(|array| array.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    texts.sort_unstable();
    texts
}
