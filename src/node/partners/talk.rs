//! Devices of the servers' users, and requests that one server signs by hand.

use std::sync::Arc;

use belfry_event::SigningKey;
use belfry_remote::{Limits, Network as _, Signer};
use http::{Method, StatusCode};
use ruma_common::ServerName;
use serde_json::{Value, json, value::to_raw_value};
use std::time::Duration;

use super::{
    member::Member,
    net::Line,
    world::{NAMES, World},
};

const LIMITS: Limits = Limits {
    bytes_max: 1 << 20,
    time_max: Duration::from_secs(30),
    redirects_max: 0,
};

/// A device of the server's user.
pub(super) struct Device {
    pub(super) id: String,
    token: Option<String>,
}

impl Device {
    /// The one that the user began with.
    pub(super) async fn first(member: &Member) -> Self {
        let who = member.get("GET", "/account/whoami", json!(null)).await;
        Self {
            id: who["device_id"].as_str().unwrap().to_owned(),
            token: None,
        }
    }

    /// Another one.
    pub(super) async fn sign_in(member: &Member) -> Self {
        let login = json!({
            "type": "m.login.password", "password": "wordpass",
            "identifier": {"type": "m.id.user", "user": "user"},
        });
        let session = member.get("POST", "/login", login).await;
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        Self {
            id: text("device_id"),
            token: Some(text("access_token")),
        }
    }

    pub(super) async fn act(&self, member: &Member, path: &str, body: Value) -> Value {
        let asked = match &self.token {
            None => member.ask("POST", path, body).await,
            Some(token) => member.ask_with(token, "POST", path, body).await,
        };
        assert_eq!(asked.0, StatusCode::OK, "{path}: {}", asked.1);
        asked.1
    }

    /// Uploads its keys, two one-time keys among them.
    pub(super) async fn upload_keys(&self, member: &Member) {
        let user = member.user();
        let mut seed = [9; 32];
        for (at, byte) in self.id.bytes().enumerate().take(32) {
            seed[at] = byte;
        }
        let key = SigningKey::from_seed(&seed, &self.id).unwrap();
        let sign = |mut object: Value| {
            let signature = key.json_signature(object.to_string().as_bytes()).unwrap();
            object["signatures"] = json!({&user: {key.key_id(): signature}});
            object
        };
        let device_keys = sign(json!({
            "user_id": user, "device_id": self.id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {key.key_id(): key.public_key().to_base64()},
        }));
        let one_time_keys = json!({
            "signed_curve25519:1": sign(json!({"key": "b25l"})),
            "signed_curve25519:2": sign(json!({"key": "dHdv"})),
        });
        let body = json!({"device_keys": device_keys, "one_time_keys": one_time_keys});
        self.act(member, "/keys/upload", body).await;
    }
}

impl World {
    /// A request that the server of this number signs, to another.
    pub(super) async fn signed(
        &self,
        (from, to): (usize, usize),
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let [from_name, to_name] = [from, to].map(|number| {
            let name = <&ServerName>::try_from(NAMES[number]);
            name.unwrap().to_owned()
        });
        let signer = Signer {
            server: from_name.clone(),
            key: SigningKey::from_seed(&[u8::try_from(from).unwrap() + 1; 32], "a").unwrap(),
        };
        let path = format!("/_matrix/federation/v1/{path}");
        let body = body.map(|body| to_raw_value(&body).unwrap());
        let request = signer.request(method, &path, &to_name, body.as_deref());
        let line: Arc<Line> = Line::new(&self.net, &from_name);
        let answer = line.ask(&to_name, request.unwrap(), LIMITS).await.unwrap();
        let status = answer.status();
        (status, serde_json::from_slice(answer.body()).unwrap())
    }

    /// A transaction of EDUs.
    pub(super) async fn edus(&self, way: (usize, usize), edus: Vec<Value>) -> Value {
        let number = self.net.asked("/send/");
        let path = format!("send/by-hand-{number}");
        let body = json!({
            "origin": NAMES[way.0], "origin_server_ts": 1, "pdus": [], "edus": edus,
        });
        let (status, answer) = self.signed(way, (Method::PUT, &path), Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// The server of this number is there for nobody.
    pub(super) fn isolate(&self, number: usize) {
        for other in (0..self.members.len()).filter(|other| *other != number) {
            self.part(number, other);
        }
    }

    /// A room of the first with the second in it.
    pub(super) async fn room_of_two(&self) -> String {
        let room = self.members[0].create("12").await;
        self.members[1].join(&room, &self.members[0]).await;
        self.settle().await;
        room
    }
}
