//! Sliding sync through the router, in the accepted shape (MSC4186).

use std::time::Duration;

use ruma_client_api::{
    membership::{join_room_by_id::v3 as join, leave_room::v3 as leave},
    room::create_room::v3 as create,
};
use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const PATH: &str = "/_matrix/client/v4/sync";

async fn room(app: &TestApp, creator: &Person, name: &str) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    request.name = Some(name.to_owned());
    // So that no two rooms have their last event at the same time.
    app.env.clock.sleep(Duration::from_millis(10)).await;
    let made = app.send(Some(&creator.token), request).await;
    made.unwrap().room_id
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

async fn say(app: &TestApp, person: &Person, room: &OwnedRoomId, body: &str) -> String {
    let txn = app.env.random.u64();
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    let content = json!({"msgtype": "m.text", "body": body});
    let sent = call(app, person, ("PUT", &path), &content).await;
    sent["event_id"].as_str().unwrap().to_owned()
}

async fn set(app: &TestApp, person: &Person, room: &OwnedRoomId, kind: &str, content: &Value) {
    let path = format!("/rooms/{room}/state/{kind}/");
    call(app, person, ("PUT", &path), content).await;
}

fn all(include: &Value) -> Value {
    json!({
        "conn_id": "main",
        "lists": {"all": {
            "range": [0, 9], "timeline_limit": 5, "required_state": {"include": include},
        }},
    })
}

/// Asks, and goes on from there the next time.
async fn slide(app: &TestApp, person: &Person, body: &mut Value) -> Value {
    body["set_presence"] = json!("offline");
    body["timeout"] = json!(1_000);
    let answer = app.raw_from(PEER, ("POST", PATH), Some(&person.token), body.to_string());
    let (status, answer, _) = answer.await;
    assert_eq!(status, 200, "{answer}");
    body["pos"] = answer["pos"].clone();
    answer
}

async fn refused(app: &TestApp, person: &Person, body: &Value) -> (u16, String) {
    app.raw(("POST", PATH), Some(&person.token), body.to_string())
        .await
}

fn types(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    let mut types: Vec<_> = events.filter_map(|event| event["type"].as_str()).collect();
    types.sort_unstable();
    types
}

#[tokio::test(start_paused = true)]
async fn room_says_membership_lists_and_no_counts() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, "Room").await;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    say(&app, &bob, &room, "hello").await;
    let mut body = all(&json!([{"type": "m.room.create", "state_key": ""}]));
    let told = slide(&app, &alice, &mut body).await;
    let shown = &told["rooms"][room.as_str()];
    assert_eq!(told["lists"]["all"]["count"], 1);
    assert_eq!(
        (&shown["initial"], &shown["name"]),
        (&json!(true), &json!("Room"))
    );
    assert_eq!(
        (&shown["membership"], &shown["lists"]),
        (&json!("join"), &json!(["all"]))
    );
    assert!(shown["notification_count"].is_null() && shown["highlight_count"].is_null());
    assert_eq!(types(&shown["required_state"]), ["m.room.create"]);
    assert_eq!(shown["joined_count"], 2);
    let quiet = slide(&app, &alice, &mut body).await;
    assert_eq!((&quiet["rooms"], &quiet["pos"]), (&json!({}), &told["pos"]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn required_state_is_included_and_excluded_by_patterns() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, "Room").await;
    let ask = async |required: Value| {
        let mut body = all(&json!([]));
        body["lists"]["all"]["required_state"] = required;
        body.as_object_mut().unwrap().remove("pos");
        let told = slide(&app, &alice, &mut body).await;
        let told = told["rooms"][room.as_str()]["required_state"].clone();
        types(&told)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let everything = ask(json!({"include": [{}]})).await;
    assert!(
        everything.contains(&"m.room.create".to_owned()),
        "{everything:?}"
    );
    let mut but_create = everything.clone();
    but_create.retain(|kind| kind != "m.room.create");
    let exclude = json!([{"type": "m.room.create", "state_key": ""}]);
    assert_eq!(
        ask(json!({"include": [{}], "exclude": exclude})).await,
        but_create
    );
    let own = json!({"include": [{"state_key": alice.user_id}]});
    assert_eq!(ask(own).await, ["m.room.member"], "of any type");
    assert_eq!(ask(json!({})).await, [""; 0]);
    assert_eq!(
        ask(json!({"include": [{"type": "*"}]})).await,
        [""; 0],
        "no wildcard"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lazy_members_are_those_who_speak_and_those_who_change() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let carol = app.person("carol").await;
    let room = room(&app, &alice, "Room").await;
    for person in [&bob, &carol] {
        let join = join::Request::new(room.clone());
        app.send(Some(&person.token), join).await.unwrap();
    }
    for number in 0..5 {
        say(&app, &bob, &room, &number.to_string()).await;
    }
    let mut body = all(&json!([]));
    body["lists"]["all"]["required_state"] = json!({"include": [{}], "lazy_members": true});
    let members = |told: &Value| {
        let state = told["rooms"][room.as_str()]["required_state"].clone();
        let state = state.as_array().cloned().unwrap_or_default().into_iter();
        let members = state.filter(|event| event["type"] == "m.room.member");
        let mut keys: Vec<_> = members.map(|event| event["state_key"].clone()).collect();
        keys.sort_by_key(ToString::to_string);
        keys
    };
    let told = slide(&app, &alice, &mut body).await;
    assert_eq!(members(&told), [json!(bob.user_id)], "who spoke");
    let leave = leave::Request::new(room.clone());
    app.send(Some(&carol.token), leave).await.unwrap();
    let told = slide(&app, &alice, &mut body).await;
    assert_eq!(members(&told), [json!(carol.user_id)], "who changed");
    say(&app, &bob, &room, "more").await;
    let told = slide(&app, &alice, &mut body).await;
    assert_eq!(members(&told), [Value::Null; 0], "told before");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn name_that_is_taken_away_is_null() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, "Room").await;
    let mut body = all(&json!([]));
    slide(&app, &alice, &mut body).await;
    set(&app, &alice, &room, "m.room.topic", &json!({"topic": "x"})).await;
    let told = slide(&app, &alice, &mut body).await;
    let shown = told["rooms"][room.as_str()].as_object().unwrap();
    assert!(!shown.contains_key("name"), "unchanged: {shown:?}");
    set(&app, &alice, &room, "m.room.name", &json!({"name": ""})).await;
    let told = slide(&app, &alice, &mut body).await;
    let shown = told["rooms"][room.as_str()].as_object().unwrap();
    assert_eq!(shown.get("name"), Some(&Value::Null));
    assert!(
        !shown.contains_key("avatar"),
        "there never was one: {shown:?}"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_by_activity_of_any_kind() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let old = room(&app, &alice, "Old").await;
    let new = room(&app, &alice, "New").await;
    let mut body = all(&json!([]));
    body["lists"]["all"]["range"] = json!([0, 0]);
    let told = slide(&app, &alice, &mut body).await;
    assert!(told["rooms"][new.as_str()].is_object(), "{told}");
    // No message, but an event all the same.
    set(&app, &alice, &old, "m.room.topic", &json!({"topic": "x"})).await;
    let told = slide(&app, &alice, &mut body).await;
    let rooms: Vec<_> = told["rooms"].as_object().unwrap().keys().collect();
    assert_eq!(rooms, [old.as_str()]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_put_out_is_told_also_on_a_new_connection_and_who_left_is_not() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let (kicked, left) = (room(&app, &alice, "A").await, room(&app, &alice, "B").await);
    let banned = room(&app, &alice, "C").await;
    for room in [&kicked, &left] {
        let join = join::Request::new(room.clone());
        app.send(Some(&bob.token), join).await.unwrap();
    }
    let mut old = all(&json!([]));
    slide(&app, &bob, &mut old).await;
    let target = json!({"user_id": bob.user_id});
    call(
        &app,
        &alice,
        ("POST", &format!("/rooms/{kicked}/kick")),
        &target,
    )
    .await;
    call(
        &app,
        &alice,
        ("POST", &format!("/rooms/{banned}/ban")),
        &target,
    )
    .await;
    let request = leave::Request::new(left.clone());
    app.send(Some(&bob.token), request).await.unwrap();
    let told = slide(&app, &bob, &mut old).await;
    assert_eq!(told["rooms"][kicked.as_str()]["membership"], "leave");
    assert_eq!(told["rooms"][left.as_str()]["membership"], "leave");
    assert!(
        told["rooms"][banned.as_str()].is_null(),
        "never there: {told}"
    );
    say(&app, &alice, &kicked, "among us").await;
    let told = slide(&app, &bob, &mut old).await;
    assert_eq!(told["rooms"], json!({}), "nothing of what came later");
    let mut fresh = all(&json!([{}]));
    let told = slide(&app, &bob, &mut fresh).await;
    let rooms: Vec<_> = told["rooms"].as_object().unwrap().keys().collect();
    assert_eq!(rooms, [kicked.as_str()]);
    let shown = &told["rooms"][kicked.as_str()];
    let last = shown["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"]["membership"], "leave");
    let told = slide(&app, &bob, &mut fresh).await;
    assert_eq!(told["rooms"], json!({}));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invites_are_stripped_and_filters_know_spaces_and_tags() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let (one, two) = (
        room(&app, &alice, "One").await,
        room(&app, &alice, "Two").await,
    );
    let space = json!({"creation_content": {"type": "m.space"}, "preset": "public_chat"});
    let space = call(&app, &alice, ("POST", "/createRoom"), &space).await;
    let space = OwnedRoomId::try_from(space["room_id"].as_str().unwrap()).unwrap();
    let path = format!("/rooms/{space}/state/m.space.child/{one}");
    call(&app, &alice, ("PUT", &path), &json!({"via": ["hs1"]})).await;
    let path = format!("/rooms/{space}/state/m.space.child/{two}");
    call(&app, &alice, ("PUT", &path), &json!({})).await;
    let path = format!("/user/{}/rooms/{two}/tags/m.favourite", alice.user_id);
    call(&app, &alice, ("PUT", &path), &json!({"order": 0.5})).await;
    for (filters, expected) in [
        (json!({"spaces": [space]}), vec![one.as_str()]),
        (json!({"spaces": ["!none:hs1"]}), vec![]),
        (json!({"tags": ["m.favourite", "u.x"]}), vec![two.as_str()]),
        (
            json!({"not_tags": ["m.favourite"], "room_types": [null]}),
            vec![one.as_str()],
        ),
        (
            json!({"tags": ["m.favourite"], "not_tags": ["m.favourite"]}),
            vec![],
        ),
    ] {
        let mut body = all(&json!([]));
        body["lists"]["all"]["filters"] = filters.clone();
        let told = slide(&app, &alice, &mut body).await;
        let rooms: Vec<_> = told["rooms"].as_object().unwrap().keys().collect();
        assert_eq!(rooms, expected, "{filters}");
    }
    let path = format!("/rooms/{one}/invite");
    call(
        &app,
        &alice,
        ("POST", &path),
        &json!({"user_id": bob.user_id}),
    )
    .await;
    let mut body = all(&json!([{}]));
    body["lists"]["all"]["filters"] = json!({"is_invited": true});
    let told = slide(&app, &bob, &mut body).await;
    let shown = &told["rooms"][one.as_str()];
    assert_eq!(shown["membership"], "invite");
    assert!(types(&shown["stripped_state"]).contains(&"m.room.create"));
    assert!(shown["required_state"].is_null() && shown["timeline"].is_null());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn direct_chat_that_is_one_no_more_is_told() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, "Room").await;
    let path = format!("/user/{}/account_data/m.direct", alice.user_id);
    let direct = json!({"@bob:hs1": [room]});
    call(&app, &alice, ("PUT", &path), &direct).await;
    let mut body = all(&json!([]));
    let told = slide(&app, &alice, &mut body).await;
    assert_eq!(told["rooms"][room.as_str()]["is_dm"], true);
    call(&app, &alice, ("PUT", &path), &json!({"@bob:hs1": []})).await;
    say(&app, &alice, &room, "hello").await;
    let told = slide(&app, &alice, &mut body).await;
    assert_eq!(told["rooms"][room.as_str()]["is_dm"], false);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pos_is_a_place_for_messages_and_nobody_elses() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, "Room").await;
    let event = say(&app, &alice, &room, "one").await;
    let mut body = all(&json!([]));
    let told = slide(&app, &alice, &mut body).await;
    let pos = told["pos"].as_str().unwrap();
    say(&app, &alice, &room, "two").await;
    let path = format!("/rooms/{room}/messages?dir=b&limit=1&from={pos}");
    let page = call(&app, &alice, ("GET", &path), &json!({})).await;
    assert_eq!(page["chunk"][0]["event_id"], json!(event));
    let stolen = json!({"conn_id": "main", "pos": pos});
    assert_eq!(
        refused(&app, &bob, &stolen).await,
        expect(400, "M_UNKNOWN_POS")
    );
    let other = json!({"conn_id": "other", "pos": pos});
    assert_eq!(
        refused(&app, &alice, &other).await,
        expect(400, "M_UNKNOWN_POS")
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_008_requests_beyond_what_may_be_asked_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let list = json!({"timeline_limit": 1, "required_state": {}});
    let lists: serde_json::Map<_, _> = (0..101)
        .map(|number| (number.to_string(), list.clone()))
        .collect();
    let rooms: serde_json::Map<_, _> = (0..101)
        .map(|number| (format!("!{number}:hs1"), list.clone()))
        .collect();
    let mut backward = list.clone();
    backward["range"] = json!([5, 1]);
    for body in [
        json!({ "lists": lists }),
        json!({ "room_subscriptions": rooms }),
        json!({"lists": {"a": backward}}),
        json!({"lists": {"a b": list}}),
        json!({"set_presence": "elsewhere"}),
        json!({"conn_id": "x".repeat(65)}),
    ] {
        assert_eq!(
            refused(&app, &alice, &body).await,
            expect(400, "M_INVALID_PARAM"),
            "{body}"
        );
    }
    let incomplete = json!({"lists": {"a": {"timeline_limit": 1}}});
    assert_eq!(
        refused(&app, &alice, &incomplete).await,
        expect(400, "M_BAD_JSON")
    );
    let huge = json!({"lists": {"a": {"range": [0, u64::MAX], "timeline_limit": 1,
        "required_state": {}}}});
    assert_eq!(refused(&app, &alice, &huge).await.0, 200);
    app.stop().await;
}
