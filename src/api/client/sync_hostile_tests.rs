//! What clients ask of `/sync` and sliding sync that they should not.

use std::time::Duration;

use ruma_client_api::{membership::join_room_by_id::v3 as join, room::create_room::v3 as create};
use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const SLIDING: [&str; 2] = [
    "/_matrix/client/v4/sync",
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
];

async fn call(app: &TestApp, person: &Person, endpoint: (&str, &str), body: &Value) -> Value {
    let path = format!("/_matrix/client/v3{}", endpoint.1);
    let asked = app.raw_from(
        PEER,
        (endpoint.0, &path),
        Some(&person.token),
        body.to_string(),
    );
    let (status, answer, _) = asked.await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn sync(app: &TestApp, person: &Person, query: &str) -> Value {
    call(app, person, ("GET", &format!("/sync?{query}")), &json!({})).await
}

async fn refused(app: &TestApp, person: &Person, query: &str) -> (u16, String) {
    let path = format!("/_matrix/client/v3/sync?{query}");
    app.raw(("GET", &path), Some(&person.token), "").await
}

async fn room(app: &TestApp, creator: &Person) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    let made = app.send(Some(&creator.token), request).await;
    made.unwrap().room_id
}

async fn say(app: &TestApp, person: &Person, room: &OwnedRoomId, body: &str) {
    let path = format!("/rooms/{room}/send/m.room.message/{}", app.env.random.u64());
    let content = json!({"msgtype": "m.text", "body": body});
    call(app, person, ("PUT", &path), &content).await;
}

#[tokio::test(start_paused = true)]
async fn vis_002_token_of_another_history_is_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let told = sync(&app, &alice, "").await;
    // The bytes behind the first name the history.
    let token = told["next_batch"].as_str().unwrap();
    let (head, tail) = token.split_at(3);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    let query = format!("since={head}{other}{}", tail.split_at(1).1);
    assert_eq!(refused(&app, &alice, &query).await.0, 400);
    assert_eq!(refused(&app, &alice, "since=banana").await.0, 400);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_003_nobody_waits_longer_than_five_minutes() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let told = sync(&app, &alice, "set_presence=offline").await;
    let since = told["next_batch"].as_str().unwrap();
    let begun = app.env.clock.now();
    let query = format!("since={since}&timeout=999999999999&set_presence=offline");
    sync(&app, &alice, &query).await;
    let waited = app.env.clock.now().since(begun);
    assert!(
        waited <= Duration::from_mins(5) + Duration::from_secs(1),
        "{waited:?}"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_004_limits_of_timelines_are_clamped() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice).await;
    for number in 0..150 {
        // As fast as anybody may speak.
        app.env.clock.sleep(Duration::from_secs(5)).await;
        say(&app, &alice, &room, &number.to_string()).await;
    }
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:1000000000%7D%7D%7D";
    let told = sync(&app, &alice, &format!("filter={filter}")).await;
    let timeline = &told["rooms"]["join"][room.as_str()]["timeline"];
    assert_eq!(timeline["events"].as_array().unwrap().len(), 100);
    assert_eq!(timeline["limited"], true);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_005_filter_that_nobody_stored() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let answer = refused(&app, &alice, "filter=unknownid").await;
    assert!(matches!(answer.0, 400 | 404), "{answer:?}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_006_two_hundred_requests_of_one_user_are_served_or_told_to_wait() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let told = sync(&app, &alice, "set_presence=offline").await;
    let since = told["next_batch"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/sync?since={since}&timeout=1000&set_presence=offline");
    let asked = (0..200).map(|_| app.raw_from(PEER, ("GET", &path), Some(&alice.token), ""));
    let answers = futures_util::future::join_all(asked).await;
    let (mut served, mut told_to_wait) = (0, 0);
    for (status, answer, _) in answers {
        match status.as_u16() {
            200 => served += 1,
            429 => told_to_wait += 1,
            other => panic!("{other}: {answer}"),
        }
    }
    assert_eq!(served + told_to_wait, 200);
    assert!((1..=64).contains(&served), "{served}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_007_position_that_is_not_known() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for path in SLIDING {
        let path = format!("{path}?pos=banana");
        let body = json!({"pos": "banana"}).to_string();
        let answer = app.raw(("POST", &path), Some(&alice.token), body).await;
        assert_eq!(answer, expect(400, "M_UNKNOWN_POS"), "{path}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_009_nothing_comes_after_a_departure() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let mut places = Vec::new();
    for path in SLIDING {
        let state = if path.contains("v4") {
            json!({"include": [{}]})
        } else {
            json!([["*", "*"]])
        };
        let list = json!({"timeline_limit": 9, "required_state": state});
        let body = json!({"lists": {"a": list}});
        let asked = app.raw_from(PEER, ("POST", path), Some(&bob.token), body.to_string());
        let (status, told, _) = asked.await;
        assert_eq!(status, 200, "{told}");
        places.push((path, body, told["pos"].as_str().unwrap().to_owned()));
    }
    let target = json!({"user_id": bob.user_id});
    call(
        &app,
        &alice,
        ("POST", &format!("/rooms/{room}/ban")),
        &target,
    )
    .await;
    let topic = json!({"topic": "secret"});
    call(
        &app,
        &alice,
        ("PUT", &format!("/rooms/{room}/state/m.room.topic/")),
        &topic,
    )
    .await;
    say(&app, &alice, &room, "secret").await;
    for (path, mut body, mut pos) in places {
        for _ in 0..2 {
            body["pos"] = json!(pos);
            let asked = format!("{path}?timeout=0&pos={pos}");
            let asked = app.raw_from(PEER, ("POST", &asked), Some(&bob.token), body.to_string());
            let (status, told, _) = asked.await;
            assert_eq!(status, 200, "{told}");
            assert!(!told.to_string().contains("secret"), "{path}: {told}");
            pos = told["pos"].as_str().unwrap().to_owned();
        }
    }
    app.stop().await;
}
