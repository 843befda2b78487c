//! Delayed events through the router: when they are sent, and what can be done until then.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::fixture::TestApp;

const UNSTABLE: &str = "unstable/org.matrix.msc4140";

async fn rest(talker: &Talker<'_>, ms: u64) {
    talker.app.env.clock.sleep(Duration::from_millis(ms)).await;
}

async fn put(talker: &Talker<'_>, path: &str, body: Value) -> (u16, Value) {
    // A quick talker waits like everybody else.
    rest(talker, 5_000).await;
    talker.ask(Method::PUT, path, &body).await
}

/// Delays a message; its `delay_id`.
async fn delay(talker: &Talker<'_>, room: &str, (txn, delay_ms): (&str, u64)) -> String {
    let path = format!("v3/rooms/{room}/delayed_event/m.room.message/{txn}");
    let content = json!({"msgtype": "m.text", "body": txn});
    let body = json!({"delay_ms": delay_ms, "content": content});
    let (status, answer) = put(talker, &path, body).await;
    assert_eq!(status, 200, "{answer}");
    answer["delay_id"].as_str().unwrap().to_owned()
}

async fn act(talker: &Talker<'_>, id: &str, action: &str) -> u16 {
    rest(talker, 5_000).await;
    let path = format!("v1/delayed_events/{id}/{action}");
    talker.ask(Method::POST, &path, &json!({})).await.0
}

async fn look(talker: &Talker<'_>, id: &str) -> Value {
    talker.get(&format!("v1/delayed_events/{id}")).await
}

/// What was said in the room, latest first.
async fn said(talker: &Talker<'_>, room: &str) -> Vec<String> {
    let filter = "%7B%22types%22%3A%5B%22m.room.message%22%5D%7D";
    let path = format!("v3/rooms/{room}/messages?dir=b&limit=100&filter={filter}");
    let page = talker.get(&path).await;
    let events = page["chunk"].as_array().unwrap().iter();
    events
        .map(|event| event["content"]["body"].as_str().unwrap_or("").to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_sent_when_it_is_due_and_its_sender_knows_it_again() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let id = delay(&alice, &room, ("later", 60_000)).await;
    assert_eq!(
        delay(&alice, &room, ("later", 60_000)).await,
        id,
        "the same request"
    );
    rest(&alice, 50_000).await;
    assert!(said(&alice, &room).await.is_empty());
    let waiting = look(&alice, &id).await;
    assert_eq!(waiting["room_id"], json!(room));
    assert_eq!(waiting["type"], "m.room.message");
    assert_eq!(waiting["delay_ms"], 60_000);
    assert_eq!(waiting["content"]["body"], "later");
    assert!(waiting.get("finalised_ts").is_none() && waiting.get("state_key").is_none());
    rest(&alice, 6_000).await;
    assert_eq!(said(&bob, &room).await, ["later"]);
    let sent = look(&alice, &id).await;
    assert!(sent["finalised_ts"].as_u64().is_some());
    let event = sent["event_id"].as_str().unwrap();
    let path = format!("v3/rooms/{room}/event/{event}");
    let unsigned = &alice.get(&path).await["unsigned"];
    assert_eq!(unsigned["delay_id"], json!(id));
    assert_eq!(unsigned["org.matrix.msc4140.delay_id"], json!(id));
    assert!(bob.get(&path).await["unsigned"].get("delay_id").is_none());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delayed_event_is_cancelled_restarted_or_sent_at_once() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    let cancelled = delay(&alice, &room, ("cancelled", 100_000)).await;
    let now = delay(&alice, &room, ("now", 100_000)).await;
    let again = delay(&alice, &room, ("again", 100_000)).await;
    let list = alice.get("v1/delayed_events").await;
    let ids = each(&list["delayed_events"], "delay_id");
    assert_eq!(ids, [&*cancelled, &now, &again]);
    assert_eq!(act(&alice, &cancelled, "cancel").await, 200);
    assert_eq!(act(&alice, &cancelled, "cancel").await, 200, "asked twice");
    assert_eq!(act(&alice, &cancelled, "send").await, 409);
    assert_eq!(act(&alice, &cancelled, "restart").await, 409);
    assert_eq!(act(&alice, &now, "send").await, 200);
    assert_eq!(act(&alice, &now, "send").await, 200, "asked twice");
    assert_eq!(act(&alice, &now, "cancel").await, 409);
    assert_eq!(said(&alice, &room).await, ["now"]);
    rest(&alice, 40_000).await;
    assert_eq!(act(&alice, &again, "restart").await, 200);
    rest(&alice, 90_000).await;
    assert_eq!(said(&alice, &room).await, ["now"]);
    rest(&alice, 11_000).await;
    assert_eq!(said(&alice, &room).await, ["again", "now"]);
    assert!(look(&alice, &cancelled).await.get("event_id").is_none());
    for (action, status) in [("cancel", 404), ("dance", 400)] {
        assert_eq!(act(&bob, &again, action).await, status);
    }
    let theirs = bob.refused(&format!("v1/delayed_events/{again}")).await;
    assert_eq!(theirs, (404, "M_NOT_FOUND".to_owned()));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn power_counts_when_a_delayed_state_event_is_sent() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice
        .room("public_chat", json!({"room_version": "11"}))
        .await;
    bob.join(&room).await;
    let path = format!("v3/rooms/{room}/delayed_event/m.room.topic/t");
    let body = json!({"delay_ms": 60_000, "state_key": "", "content": {"topic": "later"}});
    let (_, first) = put(&bob, &path, body.clone()).await;
    let (_, denied) = put(&bob, &format!("{path}2"), body).await;
    let first = first["delay_id"].as_str().unwrap().to_owned();
    assert_eq!(look(&bob, &first).await["state_key"], "");
    assert_eq!(act(&bob, &first, "send").await, 403);
    assert!(
        look(&bob, &first).await.get("finalised_ts").is_none(),
        "it goes on to wait"
    );
    rest(&bob, 60_000).await;
    let denied = look(&bob, denied["delay_id"].as_str().unwrap()).await;
    assert_eq!(denied["error"]["errcode"], "M_FORBIDDEN");
    let levels = json!({"users": {alice.id(): 100, bob.id(): 50}});
    alice.set(&room, "m.room.power_levels", "", levels).await;
    let body = json!({"delay_ms": 60_000, "state_key": "", "content": {"topic": "later"}});
    put(&bob, &format!("{path}3"), body).await;
    rest(&bob, 61_000).await;
    let topic = alice
        .get(&format!("v3/rooms/{room}/state/m.room.topic/"))
        .await;
    assert_eq!(topic["topic"], "later");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn delays_and_their_number_have_limits() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let path = |txn: &str| format!("v3/rooms/{room}/delayed_event/m.room.message/{txn}");
    for (body, status, errcode) in [
        (
            json!({"delay_ms": 0, "content": {}}),
            400,
            "M_INVALID_PARAM",
        ),
        (json!({"delay_ms": -1, "content": {}}), 400, "M_BAD_JSON"),
        (json!({"delay_ms": 5}), 400, "M_BAD_JSON"),
        (json!({"delay_ms": 5, "content": []}), 400, "M_BAD_JSON"),
        (
            json!({"delay_ms": 3_000_000_000_u64, "content": {}}),
            403,
            "M_FORBIDDEN",
        ),
        (
            json!({"delay_ms": 5, "content": {"b": "x".repeat(65_536)}}),
            413,
            "M_TOO_LARGE",
        ),
    ] {
        let (got, answer) = put(&alice, &path("bad"), body).await;
        assert_eq!((got, answer["errcode"].as_str()), (status, Some(errcode)));
    }
    for number in 0..100 {
        delay(&alice, &room, (&format!("d{number}"), 1_000_000)).await;
    }
    let body = json!({"delay_ms": 5_000, "content": {}});
    let (status, answer) = put(&alice, &path("more"), body).await;
    assert_eq!(
        (status, answer["errcode"].as_str()),
        (429, Some("M_LIMIT_EXCEEDED"))
    );
    let capabilities = alice.get("v3/capabilities").await;
    let told = &capabilities["capabilities"]["m.delayed_events"];
    assert_eq!(told["max_scheduled"], 100);
    assert_eq!(told["max_delay_ms"], 2_592_000_000_u64);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_draft_before_delayed_by_a_parameter() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let query = "org.matrix.msc4140.delay=30000";
    let path = format!("v3/rooms/{room}/send/m.room.message/t?{query}");
    let (_, message) = put(&alice, &path, json!({"body": "m"})).await;
    let (_, again) = put(&alice, &path, json!({"body": "m"})).await;
    assert_eq!(message, again);
    let path = format!("v3/rooms/{room}/state/m.room.topic/?{query}");
    let (_, state) = put(&alice, &path, json!({"topic": "t"})).await;
    let state = state["delay_id"].as_str().unwrap();
    let list = alice.get(&format!("{UNSTABLE}/delayed_events")).await;
    assert_eq!(list["delayed_events"].as_array().unwrap().len(), 2);
    let path = format!("{UNSTABLE}/delayed_events/{state}");
    alice.post(&path, json!({"action": "send"})).await;
    let topic = alice
        .get(&format!("v3/rooms/{room}/state/m.room.topic/"))
        .await;
    assert_eq!(topic["topic"], "t");
    let path = format!("v3/rooms/{room}/send/m.room.message/u?org.matrix.msc4140.delay=soon");
    let (status, answer) = put(&alice, &path, json!({})).await;
    assert_eq!(
        (status, &answer["errcode"]),
        (400, &json!("M_INVALID_PARAM"))
    );
    rest(&alice, 30_000).await;
    assert_eq!(said(&alice, &room).await, ["m"]);
    app.stop().await;
}
