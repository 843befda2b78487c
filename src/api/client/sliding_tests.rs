//! Sliding sync through the router, in the draft's shape, as Element X asks.

use ruma_client_api::{
    membership::{join_room_by_id::v3 as join, leave_room::v3 as leave},
    room::create_room::v3 as create,
};
use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

async fn room(app: &TestApp, creator: &Person, name: &str) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    request.name = Some(name.to_owned());
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

/// What Element X asks at first.
fn all_rooms(last: u64, limit: u64) -> Value {
    json!({
        "conn_id": "room-list",
        "lists": {"all": {
            "ranges": [[0, last]],
            "timeline_limit": limit,
            "required_state": [
                ["m.room.name", ""], ["m.room.create", ""], ["m.room.member", "$LAZY"],
                ["m.room.member", "$ME"], ["m.room.encryption", ""],
            ],
            "filters": {"not_room_types": ["m.space"]},
        }},
        "extensions": {
            "account_data": {"enabled": true}, "receipts": {"enabled": true},
            "typing": {"enabled": true}, "e2ee": {"enabled": true}, "to_device": {"enabled": true},
        },
    })
}

/// Asks, and goes on from there the next time.
async fn slide(app: &TestApp, person: &Person, pos: &mut String, body: &Value) -> Value {
    let path = if pos.is_empty() {
        format!("{PATH}?timeout=0&set_presence=offline")
    } else {
        format!("{PATH}?timeout=30000&pos={pos}&set_presence=offline")
    };
    let endpoint = ("POST", &*path);
    let (status, answer, _) = app
        .raw_from(PEER, endpoint, Some(&person.token), body.to_string())
        .await;
    assert_eq!(status, 200, "{answer}");
    *pos = answer["pos"].as_str().unwrap().to_owned();
    answer
}

fn bodies(room: &Value) -> Vec<&str> {
    let timeline = room["timeline"].as_array();
    let bodies = timeline.into_iter().flatten();
    bodies
        .filter_map(|event| event["content"]["body"].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn first_answer_tells_the_window_and_the_next_what_is_new() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let old = room(&app, &alice, "Old").await;
    app.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let new = room(&app, &alice, "New").await;
    let join = join::Request::new(new.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    say(&app, &bob, &new, "hello").await;
    let mut pos = String::new();
    let one = all_rooms(0, 1);
    let told = slide(&app, &alice, &mut pos, &one).await;
    assert_eq!(told["lists"]["all"]["count"], 2);
    let shown = &told["rooms"][new.as_str()];
    assert!(told["rooms"][old.as_str()].is_null(), "out of the window");
    assert_eq!(shown["initial"], true);
    assert_eq!(shown["name"], "New");
    assert_eq!(shown["joined_count"], 2);
    assert_eq!(shown["notification_count"], 1);
    assert_eq!(shown["limited"], true);
    assert_eq!(bodies(shown), ["hello"]);
    assert!(shown["bump_stamp"].is_u64() && shown["prev_batch"].is_string());
    let state: Vec<_> = shown["required_state"].as_array().unwrap().iter().collect();
    let of = |kind: &str, key: &str| {
        let found = state.iter();
        found
            .filter(|event| event["type"] == kind && event["state_key"] == key)
            .count()
    };
    assert_eq!(of("m.room.member", bob.user_id.as_str()), 1, "who spoke");
    assert_eq!(of("m.room.member", alice.user_id.as_str()), 1, "oneself");
    assert_eq!(
        (of("m.room.create", ""), of("m.room.join_rules", "")),
        (1, 0)
    );
    let (told, _) = tokio::join!(
        slide(&app, &alice, &mut pos, &one),
        say(&app, &bob, &new, "again")
    );
    let shown = &told["rooms"][new.as_str()];
    assert!(shown["initial"].is_null());
    assert_eq!(bodies(shown), ["again"]);
    assert_eq!(
        (&shown["num_live"], &shown["limited"]),
        (&json!(1), &Value::Null)
    );
    assert!(shown["required_state"].is_null(), "{shown}");
    assert_eq!(shown["notification_count"], 2);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn window_that_grows_tells_the_rooms_that_come_in() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let old = room(&app, &alice, "Old").await;
    app.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let new = room(&app, &alice, "New").await;
    let mut pos = String::new();
    slide(&app, &alice, &mut pos, &all_rooms(0, 1)).await;
    let told = slide(&app, &alice, &mut pos, &all_rooms(9, 1)).await;
    assert_eq!(told["rooms"][old.as_str()]["initial"], true);
    assert!(told["rooms"][new.as_str()].is_null(), "told before: {told}");
    let told = slide(&app, &alice, &mut pos, &all_rooms(9, 1)).await;
    assert_eq!(told["rooms"], json!({}), "nothing new within 30 seconds");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn subscription_with_a_greater_limit_tells_more_of_the_timeline() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, "Room").await;
    for body in ["1", "2", "3"] {
        say(&app, &alice, &room, body).await;
    }
    let mut pos = String::new();
    let mut body = all_rooms(0, 1);
    let told = slide(&app, &alice, &mut pos, &body).await;
    assert_eq!(bodies(&told["rooms"][room.as_str()]), ["3"]);
    body["room_subscriptions"] = json!({room.as_str(): {"timeline_limit": 3}});
    let told = slide(&app, &alice, &mut pos, &body).await;
    let shown = &told["rooms"][room.as_str()];
    assert_eq!(bodies(shown), ["1", "2", "3"]);
    assert_eq!(shown["unstable_expanded_timeline"], true);
    assert!(shown["initial"].is_null());
    assert_eq!(shown["num_live"], 0);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_told_again_and_an_unknown_position_is_told() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, "Room").await;
    let body = all_rooms(0, 5);
    let mut pos = String::new();
    slide(&app, &alice, &mut pos, &body).await;
    say(&app, &alice, &room, "news").await;
    let mut lost = pos.clone();
    slide(&app, &alice, &mut lost, &body).await;
    let told = slide(&app, &alice, &mut pos, &body).await;
    assert_eq!(bodies(&told["rooms"][room.as_str()]), ["news"]);
    slide(&app, &alice, &mut pos, &body).await;
    let ask = async |pos: &str| {
        let path = format!("{PATH}?pos={pos}");
        let token = Some(&*alice.token);
        app.raw(("POST", &path), token, body.to_string()).await
    };
    assert_eq!(ask("banana").await, expect(400, "M_UNKNOWN_POS"));
    let mut other = String::new();
    slide(&app, &alice, &mut other, &body).await;
    assert_eq!(ask(&pos).await, expect(400, "M_UNKNOWN_POS"), "begun anew");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invites_are_told_stripped_and_a_room_that_was_left_for_the_last_time() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, "Room").await;
    let (body, mut pos) = (all_rooms(9, 5), String::new());
    slide(&app, &bob, &mut pos, &body).await;
    let path = format!("/rooms/{room}/invite");
    call(
        &app,
        &alice,
        ("POST", &path),
        &json!({"user_id": bob.user_id}),
    )
    .await;
    let told = slide(&app, &bob, &mut pos, &body).await;
    let shown = &told["rooms"][room.as_str()];
    assert!(
        shown["invite_state"]
            .as_array()
            .is_some_and(|state| !state.is_empty())
    );
    assert!(shown["timeline"].is_null() && shown["required_state"].is_null());
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let told = slide(&app, &bob, &mut pos, &body).await;
    assert_eq!(told["rooms"][room.as_str()]["initial"], true);
    let leave = leave::Request::new(room.clone());
    app.send(Some(&bob.token), leave).await.unwrap();
    say(&app, &alice, &room, "among us").await;
    let told = slide(&app, &bob, &mut pos, &body).await;
    let shown = &told["rooms"][room.as_str()];
    let last = shown["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"]["membership"], "leave", "{shown}");
    assert_eq!(bodies(shown), Vec::<&str>::new());
    say(&app, &alice, &room, "and more").await;
    let told = slide(&app, &bob, &mut pos, &body).await;
    assert_eq!(told["rooms"], json!({}));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn extensions_tell_account_data_receipts_and_typing() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, "Room").await;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let event = say(&app, &bob, &room, "one").await;
    let (body, mut pos) = (all_rooms(9, 5), String::new());
    let told = slide(&app, &alice, &mut pos, &body).await;
    let global = told["extensions"]["account_data"]["global"].as_array();
    let rules = |event: &Value| event["type"] == "m.push_rules";
    assert!(global.unwrap().iter().any(rules));
    let path = format!("/rooms/{room}/receipt/m.read/{event}");
    call(&app, &alice, ("POST", &path), &json!({})).await;
    let told = slide(&app, &alice, &mut pos, &body).await;
    let receipts = &told["extensions"]["receipts"]["rooms"][room.as_str()];
    assert!(receipts["content"][&event]["m.read"][alice.user_id.as_str()].is_object());
    assert_eq!(told["rooms"][room.as_str()]["notification_count"], 0);
    let path = format!("/rooms/{room}/typing/{}", bob.user_id);
    let typing = json!({"typing": true});
    let (told, _) = tokio::join!(
        slide(&app, &alice, &mut pos, &body),
        call(&app, &bob, ("PUT", &path), &typing)
    );
    let typing = &told["extensions"]["typing"]["rooms"][room.as_str()]["content"];
    assert_eq!(typing["user_ids"], json!([bob.user_id]));
    assert_eq!(told["rooms"], json!({}), "nothing but typing");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn filters_choose_rooms_by_what_they_are() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let plain = room(&app, &alice, "Plain").await;
    let space = json!({"creation_content": {"type": "m.space"}});
    let space = call(&app, &alice, ("POST", "/createRoom"), &space).await;
    let secret = json!({"initial_state": [{"type": "m.room.encryption",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]});
    let secret = call(&app, &alice, ("POST", "/createRoom"), &secret).await;
    let direct = json!({"@bob:hs1": [plain]});
    let path = format!("/user/{}/account_data/m.direct", alice.user_id);
    call(&app, &alice, ("PUT", &path), &direct).await;
    let (space, secret) = (&space["room_id"], &secret["room_id"]);
    for (filters, expected) in [
        (json!({"room_types": ["m.space"]}), vec![space]),
        (json!({"is_encrypted": true}), vec![secret]),
        (json!({"is_dm": true}), vec![&json!(plain)]),
        (
            json!({"is_dm": false, "not_room_types": ["m.space"]}),
            vec![secret],
        ),
        (json!({"is_invite": true}), vec![]),
        (
            json!({"room_types": [null], "is_encrypted": false}),
            vec![&json!(plain)],
        ),
    ] {
        let mut body = all_rooms(9, 1);
        body["lists"]["all"]["filters"] = filters.clone();
        let told = slide(&app, &alice, &mut String::new(), &body).await;
        let rooms = told["rooms"].as_object().unwrap().keys();
        let rooms: Vec<_> = rooms.map(|room| json!(room)).collect();
        assert_eq!(rooms.iter().collect::<Vec<_>>(), expected, "{filters}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_what_may_be_asked_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let lists: serde_json::Map<_, _> = (0..101)
        .map(|number| {
            (
                number.to_string(),
                json!({"ranges": [], "timeline_limit": 1}),
            )
        })
        .collect();
    for body in [
        json!({ "lists": lists }),
        json!({"lists": {"a": {"ranges": [[5, 1]], "timeline_limit": 1}}}),
        json!({"conn_id": "x".repeat(65)}),
    ] {
        let answer = app
            .raw(("POST", PATH), Some(&alice.token), body.to_string())
            .await;
        assert_eq!(answer, expect(400, "M_INVALID_PARAM"));
    }
    let answer = app
        .raw(("POST", PATH), Some(&alice.token), "{\"lists\":[]}")
        .await;
    assert_eq!(answer, expect(400, "M_BAD_JSON"));
    app.stop().await;
}
