//! Typing, receipts, unread counts and presence through the router.

use std::time::Duration;

use ruma_client_api::{membership::join_room_by_id::v3 as join, room::create_room::v3 as create};
use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";

/// A room of two.
async fn room(app: &TestApp, alice: &Person, bob: &Person) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    let room = app.send(Some(&alice.token), request).await.unwrap().room_id;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    room
}

async fn call(app: &TestApp, person: &Person, endpoint: (&str, &str), body: &Value) -> Value {
    let path = format!("/_matrix/client/v3{}", endpoint.1);
    let endpoint = (endpoint.0, &*path);
    let (status, answer, _) = app
        .raw_from(PEER, endpoint, Some(&person.token), body.to_string())
        .await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn say(app: &TestApp, person: &Person, room: &OwnedRoomId, content: &Value) -> String {
    let txn = app.env.random.u64();
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    let sent = call(app, person, ("PUT", &path), content).await;
    sent["event_id"].as_str().unwrap().to_owned()
}

fn text(body: &str) -> Value {
    json!({"msgtype": "m.text", "body": body})
}

/// What a sync tells; waits half a minute for it.
async fn sync(app: &TestApp, person: &Person, since: &mut String, more: &str) -> Value {
    let path = if since.is_empty() {
        format!("/_matrix/client/v3/sync?x=1{more}")
    } else {
        format!("/_matrix/client/v3/sync?timeout=30000&since={since}{more}")
    };
    let answer = app.raw_from(PEER, ("GET", &path), Some(&person.token), "");
    let (status, answer, _) = answer.await;
    assert_eq!(status, 200, "{answer}");
    *since = answer["next_batch"].as_str().unwrap().to_owned();
    answer
}

fn joined<'a>(answer: &'a Value, room: &OwnedRoomId) -> &'a Value {
    &answer["rooms"]["join"][room.as_str()]
}

fn ephemeral<'a>(answer: &'a Value, room: &OwnedRoomId, kind: &str) -> Option<&'a Value> {
    let events = joined(answer, room)["ephemeral"]["events"].as_array()?;
    let found = events.iter().find(|event| event["type"] == kind)?;
    Some(&found["content"])
}

fn unread(answer: &Value, room: &OwnedRoomId) -> (u64, u64) {
    let counts = &joined(answer, room)["unread_notifications"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    (count("notification_count"), count("highlight_count"))
}

async fn read(app: &TestApp, person: &Person, room: &OwnedRoomId, event: &str, body: &Value) {
    let path = format!("/rooms/{room}/receipt/m.read/{event}");
    call(app, person, ("POST", &path), body).await;
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_at_once_and_ends_by_itself() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let mut since = String::new();
    sync(&app, &bob, &mut since, "&set_presence=offline").await;
    let path = format!("/rooms/{room}/typing/{}", alice.user_id);
    let typing = json!({"typing": true, "timeout": 5_000});
    let begun = app.env.clock.now();
    let (told, _) = tokio::join!(
        sync(&app, &bob, &mut since, "&set_presence=offline"),
        call(&app, &alice, ("PUT", &path), &typing)
    );
    let content = ephemeral(&told, &room, "m.typing").unwrap();
    assert_eq!(*content, json!({"user_ids": [alice.user_id]}));
    let told = sync(&app, &bob, &mut since, "&set_presence=offline").await;
    let content = ephemeral(&told, &room, "m.typing").unwrap();
    assert_eq!(*content, json!({"user_ids": []}));
    let took = app.env.clock.now().since(begun);
    assert!(took >= Duration::from_secs(5), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_types_says_so_themselves_and_is_in_the_room() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let carol = app.person("carol").await;
    let room = room(&app, &alice, &bob).await;
    let path = |who: &Person| format!("/_matrix/client/v3/rooms/{room}/typing/{}", who.user_id);
    for (who, token, body, expected) in [
        (
            &bob,
            &alice,
            "{\"typing\":true}",
            expect(403, "M_FORBIDDEN"),
        ),
        (
            &carol,
            &carol,
            "{\"typing\":true}",
            expect(403, "M_FORBIDDEN"),
        ),
        (&alice, &alice, "{\"typing\":1}", expect(400, "M_BAD_JSON")),
        (&alice, &alice, "{}", expect(400, "M_BAD_JSON")),
    ] {
        let answer = app.raw(("PUT", &path(who)), Some(&token.token), body).await;
        assert_eq!(answer, expected, "{body}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn receipts_are_told_and_private_ones_only_to_their_owner() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let event = say(&app, &alice, &room, &text("one")).await;
    let (mut of_alice, mut of_bob) = (String::new(), String::new());
    sync(&app, &alice, &mut of_alice, "").await;
    sync(&app, &bob, &mut of_bob, "").await;
    let path = format!("/rooms/{room}/receipt/m.read.private/{event}");
    call(&app, &bob, ("POST", &path), &json!({})).await;
    let told = sync(&app, &bob, &mut of_bob, "").await;
    let content = ephemeral(&told, &room, "m.receipt").unwrap();
    assert!(content[&event]["m.read.private"][bob.user_id.as_str()]["ts"].is_u64());
    let next = say(&app, &alice, &room, &text("two")).await;
    read(&app, &bob, &room, &next, &json!({})).await;
    let told = sync(&app, &alice, &mut of_alice, "").await;
    let content = ephemeral(&told, &room, "m.receipt").unwrap();
    assert!(content[&event].is_null(), "{content}");
    assert!(content[&next]["m.read"][bob.user_id.as_str()].is_object());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn receipts_that_cannot_be() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let carol = app.person("carol").await;
    let room = room(&app, &alice, &bob).await;
    let event = say(&app, &alice, &room, &text("one")).await;
    let path = |rest: &str| format!("/_matrix/client/v3/rooms/{room}/receipt/{rest}");
    let threaded = r#"{"thread_id":"$other:hs1"}"#;
    for (who, rest, body, expected) in [
        (
            &bob,
            format!("m.nonsense/{event}"),
            "{}",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            &bob,
            "m.read/$unknown".to_owned(),
            "{}",
            expect(404, "M_NOT_FOUND"),
        ),
        (
            &bob,
            format!("m.read/{event}"),
            threaded,
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            &bob,
            format!("m.fully_read/{event}"),
            r#"{"thread_id":"main"}"#,
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            &bob,
            format!("m.read/{event}"),
            r#"{"thread_id":1}"#,
            expect(400, "M_BAD_JSON"),
        ),
        (
            &carol,
            format!("m.read/{event}"),
            "{}",
            expect(403, "M_FORBIDDEN"),
        ),
    ] {
        let answer = app
            .raw(("POST", &path(&rest)), Some(&who.token), body)
            .await;
        assert_eq!(answer, expected, "{rest} {body}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn markers_are_receipts_and_account_data() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let event = say(&app, &alice, &room, &text("one")).await;
    let mut since = String::new();
    sync(&app, &bob, &mut since, "").await;
    let body = json!({"m.fully_read": event, "m.read": event});
    call(
        &app,
        &bob,
        ("POST", &format!("/rooms/{room}/read_markers")),
        &body,
    )
    .await;
    let told = sync(&app, &bob, &mut since, "").await;
    let data = &joined(&told, &room)["account_data"]["events"][0];
    assert_eq!(data["type"], "m.fully_read");
    assert_eq!(data["content"]["event_id"], event);
    let content = ephemeral(&told, &room, "m.receipt").unwrap();
    assert!(content[&event]["m.read"].is_object());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn counts_come_with_the_event_and_go_with_the_receipt() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let mut since = String::new();
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (0, 0));
    say(&app, &alice, &room, &text("one")).await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (1, 0), "with the event");
    let mention = json!({"msgtype": "m.text", "body": "hello",
        "m.mentions": {"user_ids": [bob.user_id]}});
    let event = say(&app, &alice, &room, &mention).await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (2, 1));
    read(&app, &bob, &room, &event, &json!({})).await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (0, 0));
    let mut fresh = String::new();
    let told = sync(&app, &bob, &mut fresh, "").await;
    assert_eq!(
        unread(&told, &room),
        (0, 0),
        "and so it is for a new device"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn own_events_edits_notices_and_redacted_events_do_not_count() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let event = say(&app, &alice, &room, &text("one")).await;
    let mut since = String::new();
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (1, 0));
    let told = sync(&app, &alice, &mut String::new(), "").await;
    assert_eq!(unread(&told, &room), (0, 0), "alice said it");
    let edit = json!({"msgtype": "m.text", "body": "* two", "m.new_content": text("two"),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event}});
    say(&app, &alice, &room, &edit).await;
    say(
        &app,
        &alice,
        &room,
        &json!({"msgtype": "m.notice", "body": "n"}),
    )
    .await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (1, 0));
    let path = format!("/rooms/{room}/redact/{event}/1");
    call(&app, &alice, ("PUT", &path), &json!({})).await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (0, 0), "the redaction takes it back");
    say(&app, &alice, &room, &text("three")).await;
    say(&app, &bob, &room, &text("I have read that")).await;
    let told = sync(&app, &bob, &mut since, "").await;
    assert_eq!(unread(&told, &room), (0, 0), "who answers has read");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn threads_are_counted_apart_for_who_asks() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &bob).await;
    let first = say(&app, &alice, &room, &text("root")).await;
    let in_thread = json!({"msgtype": "m.text", "body": "reply",
        "m.relates_to": {"rel_type": "m.thread", "event_id": first}});
    let reply = say(&app, &alice, &room, &in_thread).await;
    let filter = r#"{"room":{"timeline":{"unread_thread_notifications":true}}}"#;
    let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    let by_thread = format!("&filter={filter}");
    let told = sync(&app, &bob, &mut String::new(), "").await;
    assert_eq!(unread(&told, &room), (2, 0), "together");
    let told = sync(&app, &bob, &mut String::new(), &by_thread).await;
    assert_eq!(unread(&told, &room), (1, 0));
    let threads = &joined(&told, &room)["unread_thread_notifications"];
    assert_eq!(threads[&first]["notification_count"], 1);
    read(&app, &bob, &room, &first, &json!({"thread_id": "main"})).await;
    let told = sync(&app, &bob, &mut String::new(), &by_thread).await;
    assert_eq!(unread(&told, &room), (0, 0));
    let threads = &joined(&told, &room)["unread_thread_notifications"];
    assert_eq!(
        threads[&first]["notification_count"], 1,
        "the thread was not read"
    );
    read(&app, &bob, &room, &reply, &json!({"thread_id": first})).await;
    let told = sync(&app, &bob, &mut String::new(), &by_thread).await;
    assert!(joined(&told, &room)["unread_thread_notifications"].is_null());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_to_those_who_share_a_room() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let carol = app.person("carol").await;
    let room = room(&app, &alice, &bob).await;
    let mut since = String::new();
    sync(&app, &bob, &mut since, "&set_presence=offline").await;
    let path = format!("/presence/{}/status", alice.user_id);
    let status = json!({"presence": "unavailable", "status_msg": "at lunch"});
    let (told, _) = tokio::join!(
        sync(&app, &bob, &mut since, "&set_presence=offline"),
        call(&app, &alice, ("PUT", &path), &status)
    );
    let event = &told["presence"]["events"][0];
    assert_eq!(event["sender"], alice.user_id.as_str());
    assert_eq!(event["content"]["presence"], "unavailable");
    assert_eq!(event["content"]["status_msg"], "at lunch");
    assert!(joined(&told, &room).is_null());
    let seen = call(&app, &bob, ("GET", &path), &Value::Null).await;
    assert_eq!(seen["presence"], "unavailable");
    let whole = format!("/_matrix/client/v3{path}");
    let refused = app.raw(("GET", &whole), Some(&carol.token), "").await;
    assert_eq!(refused, expect(403, "M_FORBIDDEN"));
    let body = "{\"presence\":\"online\"}";
    let refused = app.raw(("PUT", &whole), Some(&bob.token), body).await;
    assert_eq!(refused, expect(403, "M_FORBIDDEN"));
    let refused = app.raw(("PUT", &whole), Some(&alice.token), body).await;
    assert_eq!(
        refused,
        expect(429, "M_LIMIT_EXCEEDED"),
        "one in ten seconds"
    );
    let nonsense = "{\"presence\":\"elsewhere\"}";
    let refused = app.raw(("PUT", &whole), Some(&carol.token), nonsense).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}
