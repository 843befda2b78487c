//! Pushers and notifications through the router.

use ruma_client_api::{membership::join_room_by_id::v3 as join, room::create_room::v3 as create};
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const SET: (&str, &str) = ("POST", "/_matrix/client/v3/pushers/set");

fn pusher(key: &str) -> Value {
    json!({
        "app_id": "io.element.android", "pushkey": key, "kind": "http",
        "app_display_name": "Element X", "device_display_name": "Telephone", "lang": "en",
        "data": {"url": "https://push.example/_matrix/push/v1/notify", "format": "event_id_only"},
    })
}

async fn set(app: &TestApp, person: &Person, body: &Value) -> (u16, String) {
    app.raw(SET, Some(&person.token), body.to_string()).await
}

async fn get(app: &TestApp, person: &Person, path: &str) -> Value {
    let path = format!("/_matrix/client/v3/{path}");
    let answer = app.raw_from(PEER, ("GET", &path), Some(&person.token), "");
    let (status, answer, _) = answer.await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(start_paused = true)]
async fn pusher_is_set_listed_and_removed() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    assert_eq!(set(&app, &alice, &pusher("one")).await.0, 200);
    let found = get(&app, &alice, "pushers").await;
    assert_eq!(found, json!({"pushers": [pusher("one")]}));
    let remove = json!({"app_id": "io.element.android", "pushkey": "one", "kind": null});
    assert_eq!(set(&app, &alice, &remove).await.0, 200);
    assert_eq!(get(&app, &alice, "pushers").await, json!({"pushers": []}));
}

#[tokio::test(start_paused = true)]
async fn telephone_that_changes_hands_pushes_to_the_new_owner_only() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    set(&app, &alice, &pusher("one")).await;
    let mut shared = pusher("one");
    shared["append"] = json!(true);
    set(&app, &bob, &shared).await;
    let count = async |person| {
        let found = get(&app, person, "pushers").await;
        found["pushers"].as_array().unwrap().len()
    };
    assert_eq!((count(&alice).await, count(&bob).await), (1, 1));
    set(&app, &bob, &pusher("one")).await;
    assert_eq!((count(&alice).await, count(&bob).await), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn pushers_that_cannot_be() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let with = |name: &str, value: Value| {
        let mut body = pusher("one");
        body[name] = value;
        body
    };
    for (body, expected) in [
        (json!({}), expect(400, "M_BAD_JSON")),
        (with("lang", json!(1)), expect(400, "M_BAD_JSON")),
        (with("data", json!([])), expect(400, "M_BAD_JSON")),
        (with("append", json!("yes")), expect(400, "M_BAD_JSON")),
        (
            with("pushkey", json!("x".repeat(513))),
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            with("app_id", json!("x".repeat(65))),
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            with("data", json!({"url": "http://[::1]/"})),
            expect(400, "M_INVALID_PARAM"),
        ),
        (with("kind", json!("email")), expect(400, "M_INVALID_PARAM")),
    ] {
        assert_eq!(set(&app, &alice, &body).await, expected, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn notifications_are_listed_newest_first_with_what_was_read() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    let room = app.send(Some(&alice.token), request).await.unwrap().room_id;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let mut sent = Vec::new();
    for txn in ["1", "2", "3"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let body = json!({"msgtype": "m.text", "body": txn}).to_string();
        let answer = app.raw_from(PEER, ("PUT", &path), Some(&alice.token), body);
        sent.push(answer.await.1["event_id"].as_str().unwrap().to_owned());
    }
    let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{}", sent[0]);
    app.raw(("POST", &path), Some(&bob.token), "{}").await;
    let page = get(&app, &bob, "notifications?limit=2").await;
    let events = page["notifications"].as_array().unwrap();
    let ids: Vec<_> = events
        .iter()
        .map(|one| one["event"]["event_id"].clone())
        .collect();
    assert_eq!(ids, [json!(sent[2]), json!(sent[1])]);
    assert_eq!(
        (&events[0]["read"], &events[0]["room_id"]),
        (&json!(false), &json!(room))
    );
    let token = page["next_token"].as_str().unwrap();
    let page = get(&app, &bob, &format!("notifications?limit=2&from={token}")).await;
    let events = page["notifications"].as_array().unwrap();
    assert_eq!(events[0]["event"]["event_id"], json!(sent[0]));
    assert_eq!(events[0]["read"], true);
    let highlights = get(&app, &bob, "notifications?only=highlight").await;
    assert_eq!(highlights["notifications"], json!([]));
    let path = "/_matrix/client/v3/notifications?from=banana";
    let refused = app.raw(("GET", path), Some(&bob.token), "").await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pusher_goes_with_its_device() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    set(&app, &alice, &pusher("one")).await;
    let path = ("POST", "/_matrix/client/v3/logout");
    assert_eq!(app.raw(path, Some(&alice.token), "{}").await.0, 200);
    let account = belfry_user::NewDevice::default();
    let again = app
        .users
        .sign_in("alice", "wordpass", &account)
        .await
        .unwrap();
    let path = "/_matrix/client/v3/pushers";
    let token = again.tokens.access.reveal().to_owned();
    let answer = app.raw_from(PEER, ("GET", path), Some(&token), "").await;
    assert_eq!(answer.1, json!({"pushers": []}));
}
