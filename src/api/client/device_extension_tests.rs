//! What concerns a device, as extensions of sliding sync in both shapes: messages to it, changed device
//! lists, counts of keys.

use serde_json::{Value, json};

use super::keys_fixture::{Device, PEER, device, texts};
use crate::fixture::TestApp;

const SHAPES: [&str; 2] = [
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "/_matrix/client/v4/sync",
];

/// A connection that asks for these extensions alone.
struct Connection<'a> {
    device: &'a Device,
    path: &'a str,
    pos: Option<String>,
    messages: Option<String>,
}

impl<'a> Connection<'a> {
    fn new(device: &'a Device, path: &'a str) -> Self {
        Self {
            device,
            path,
            pos: None,
            messages: None,
        }
    }

    /// The answer's extensions; goes on from there the next time.
    async fn ask(&mut self, app: &TestApp) -> Value {
        let mut body = json!({"timeout": 0, "extensions": {
            "e2ee": {"enabled": true},
            "to_device": {"enabled": true, "limit": 10},
        }});
        let mut path = format!("{}?timeout=0", self.path);
        if let Some(pos) = &self.pos {
            body["pos"] = json!(pos);
            path.push_str("&pos=");
            path.push_str(pos);
        }
        if let Some(since) = &self.messages {
            body["extensions"]["to_device"]["since"] = json!(since);
        }
        let path = if self.path.ends_with("/v4/sync") {
            self.path.to_owned()
        } else {
            path
        };
        let asked = app.raw_from(
            PEER,
            ("POST", &*path),
            Some(&self.device.token),
            body.to_string(),
        );
        let (status, told, _) = asked.await;
        assert_eq!(status, 200, "{path}: {told}");
        self.pos = told["pos"].as_str().map(str::to_owned);
        let told = told["extensions"].clone();
        let next = told["to_device"]["next_batch"].as_str();
        self.messages = next.map(str::to_owned);
        told
    }
}

fn numbers(told: &Value) -> Vec<u64> {
    let events = told["to_device"]["events"].as_array();
    let events = events.into_iter().flatten();
    events
        .map(|event| event["content"]["n"].as_u64().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn messages_to_the_device_come_until_it_has_them() {
    for path in SHAPES {
        let app = TestApp::new();
        let alice = device(&app, "alice", 1).await;
        let bob = device(&app, "bob", 2).await;
        let mut connection = Connection::new(&bob, path);
        assert!(numbers(&connection.ask(&app).await).is_empty());
        let before = connection.messages.clone();
        for number in [1, 2] {
            let body = json!({"messages": {&bob.user: {&bob.id: {"n": number}}}});
            let path = format!("/sendToDevice/m.test/{number}");
            alice.done(&app, ("PUT", &path), &body).await;
        }
        assert_eq!(numbers(&connection.ask(&app).await), [1, 2], "{path}");
        // As if the answer had been lost.
        connection.messages = before;
        assert_eq!(numbers(&connection.ask(&app).await), [1, 2], "{path}");
        assert!(numbers(&connection.ask(&app).await).is_empty(), "{path}");
        app.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_counted_and_changed_device_lists_told() {
    for path in SHAPES {
        let app = TestApp::new();
        let alice = device(&app, "alice", 1).await;
        let bob = device(&app, "bob", 2).await;
        let mut connection = Connection::new(&alice, path);
        connection.ask(&app).await;
        let body = json!({"preset": "public_chat"});
        let made = alice.done(&app, ("POST", "/createRoom"), &body).await;
        let room = made["room_id"].as_str().unwrap();
        bob.done(&app, ("POST", &format!("/join/{room}")), &json!({}))
            .await;
        let keys = json!({"one_time_keys": alice.one_time_keys(0..3)});
        alice.upload(&app, &keys).await;
        let told = connection.ask(&app).await;
        let e2ee = &told["e2ee"];
        assert_eq!(texts(&e2ee["device_lists"]["changed"]), [&*bob.user]);
        assert_eq!(e2ee["device_one_time_keys_count"]["signed_curve25519"], 3);
        assert_eq!(e2ee["device_unused_fallback_key_types"], json!([]));
        let quiet = connection.ask(&app).await;
        assert!(quiet["e2ee"]["device_lists"].is_null(), "{quiet}");
        bob.done(&app, ("POST", &format!("/rooms/{room}/leave")), &json!({}))
            .await;
        let left = connection.ask(&app).await;
        assert_eq!(texts(&left["e2ee"]["device_lists"]["left"]), [&*bob.user]);
        app.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_devices_of_users_with_whom_they_never_shared_a_room() {
    for path in SHAPES {
        let app = TestApp::new();
        let alice = device(&app, "alice", 1).await;
        let bob = device(&app, "bob", 2).await;
        let mut connection = Connection::new(&alice, path);
        connection.ask(&app).await;
        let path = format!("/devices/{}", bob.id);
        let name = json!({"display_name": "Bob's phone"});
        bob.done(&app, ("PUT", &path), &name).await;
        bob.upload(&app, &json!({"one_time_keys": bob.one_time_keys(0..1)}))
            .await;
        let told = connection.ask(&app).await;
        assert!(told["e2ee"]["device_lists"].is_null(), "{told}");
        app.stop().await;
    }
}
