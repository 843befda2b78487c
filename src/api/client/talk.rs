//! Somebody who talks to the test server in plain JSON: what a test reads of events is what a
//! client would.

use http::Method;
use ruma_common::OwnedEventId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp};

const PEER: &str = "192.0.2.1:9";

/// A person at the test server.
pub(super) struct Talker<'a> {
    pub(super) app: &'a TestApp,
    pub(super) person: Person,
    sent: std::cell::Cell<u32>,
}

impl<'a> Talker<'a> {
    pub(super) async fn new(app: &'a TestApp, name: &str) -> Self {
        let person = app.person(name).await;
        let sent = std::cell::Cell::new(0);
        Self { app, person, sent }
    }

    pub(super) fn id(&self) -> &str {
        self.person.user_id.as_str()
    }

    /// Status and body.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/_matrix/client/{path}");
        let token = Some(self.person.token.as_str());
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let endpoint = (method.as_str(), &*path);
        let (status, answer, _) = self.app.raw_from(PEER, endpoint, token, body).await;
        (status.as_u16(), answer)
    }

    /// The answer to a request that is to succeed.
    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Status and `errcode` of one that is not.
    pub(super) async fn refused(&self, path: &str) -> (u16, String) {
        let (status, answer) = self.ask(Method::GET, path, &Value::Null).await;
        let errcode = answer["errcode"].as_str().unwrap_or_default();
        (status, errcode.to_owned())
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::PUT, path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A room; `more` is added to the request.
    pub(super) async fn room(&self, preset: &str, more: Value) -> String {
        let mut body = json!({"preset": preset});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let made = self.post("v3/createRoom", body).await;
        made["room_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn join(&self, room: &str) {
        self.post(&format!("v3/join/{room}"), json!({})).await;
    }

    pub(super) async fn invite(&self, room: &str, other: &Talker<'_>) {
        let body = json!({"user_id": other.id()});
        self.post(&format!("v3/rooms/{room}/invite"), body).await;
    }

    pub(super) async fn leave(&self, room: &str) {
        self.post(&format!("v3/rooms/{room}/leave"), json!({}))
            .await;
    }

    /// Sends an event; its ID.
    pub(super) async fn send(&self, room: &str, kind: &str, content: Value) -> String {
        self.sent.set(self.sent.get() + 1);
        // A quick talker waits like everybody else.
        self.app
            .env
            .clock
            .sleep(std::time::Duration::from_secs(5))
            .await;
        let number = self.sent.get();
        let path = format!("v3/rooms/{room}/send/{kind}/t{number}");
        let sent = self.put(&path, content).await;
        let id = sent["event_id"].as_str().unwrap().to_owned();
        OwnedEventId::try_from(id).unwrap().to_string()
    }

    pub(super) async fn say(&self, room: &str, body: &str) -> String {
        let content = json!({"msgtype": "m.text", "body": body});
        self.send(room, "m.room.message", content).await
    }

    /// A message that relates to an event.
    pub(super) async fn relate(&self, room: &str, rel_type: &str, to: &str) -> String {
        let content = json!({
            "msgtype": "m.text",
            "body": rel_type,
            "m.relates_to": {"rel_type": rel_type, "event_id": to},
        });
        self.send(room, "m.room.message", content).await
    }

    pub(super) async fn edit(&self, room: &str, event: &str, body: &str) -> String {
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {body}"),
            "m.new_content": {"msgtype": "m.text", "body": body},
            "m.relates_to": {"rel_type": "m.replace", "event_id": event},
        });
        self.send(room, "m.room.message", content).await
    }

    pub(super) async fn redact(&self, room: &str, event: &str) {
        self.sent.set(self.sent.get() + 1);
        let number = self.sent.get();
        let path = format!("v3/rooms/{room}/redact/{event}/r{number}");
        self.put(&path, json!({})).await;
    }

    pub(super) async fn set(&self, room: &str, kind: &str, key: &str, content: Value) -> String {
        let path = format!("v3/rooms/{room}/state/{kind}/{key}");
        let sent = self.put(&path, content).await;
        sent["event_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn ignore(&self, other: &Talker<'_>) {
        let path = format!(
            "v3/user/{}/account_data/m.ignored_user_list",
            self.person.user_id
        );
        let body = json!({"ignored_users": {other.id(): {}}});
        self.put(&path, body).await;
    }

    /// What relates to an event, as its `unsigned` tells.
    pub(super) async fn bundle(&self, room: &str, event: &str) -> Value {
        let found = self.get(&format!("v3/rooms/{room}/event/{event}")).await;
        found["unsigned"]["m.relations"].clone()
    }
}

/// A field of every element.
pub(super) fn each(array: &Value, field: &str) -> Vec<String> {
    let all = array.as_array().expect("an array").iter();
    all.map(|one| one[field].as_str().unwrap_or_default().to_owned())
        .collect()
}
