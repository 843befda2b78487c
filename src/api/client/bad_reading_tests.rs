//! Bad requests to read, and reading what is bad, through the router.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::talk::Talker;
use crate::fixture::TestApp;

const SLIDE: &str = "unstable/org.matrix.simplified_msc3575/sync";

async fn code(talker: &Talker<'_>, endpoint: (Method, &str), body: Value) -> (u16, String) {
    let (status, answer) = talker.ask(endpoint.0, endpoint.1, &body).await;
    let errcode = answer["errcode"].as_str().unwrap_or_default();
    (status, errcode.to_owned())
}

fn refusal(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

fn list(ranges: &Value) -> Value {
    json!({"lists": {"all": {"ranges": ranges, "timeline_limit": 10, "required_state": []}}})
}

#[tokio::test(start_paused = true)]
async fn vis_003_a_poll_ends_after_minutes_whatever_it_asks_for() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let first = alice.get("v3/sync").await;
    let since = first["next_batch"].as_str().unwrap();
    let before = app.env.clock.now();
    let path = format!("v3/sync?since={since}&timeout=999999999999");
    alice.get(&path).await;
    let waited = app.env.clock.now().since(before);
    assert!(waited <= Duration::from_secs(301), "{waited:?}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_004_005_filters_have_limits_and_are_known() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    for number in 0..110 {
        alice.say(&room, &number.to_string()).await;
    }
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:1000000000%7D%7D%7D";
    let synced = alice.get(&format!("v3/sync?filter={filter}")).await;
    let timeline = &synced["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["events"].as_array().unwrap().len(), 100);
    assert_eq!(timeline["limited"], true);
    let unknown = alice.refused("v3/sync?filter=unknownid").await;
    assert_eq!(unknown, refusal(400, "M_INVALID_PARAM"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_006_many_polls_of_one_user_are_served_or_refused() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let first = alice.get("v3/sync").await;
    let since = first["next_batch"].as_str().unwrap();
    let path = format!("v3/sync?since={since}&timeout=30000");
    let all = (0..200).map(|_| alice.ask(Method::GET, &path, &Value::Null));
    let before = app.env.clock.now();
    let answers = join_all(all).await;
    assert!(
        answers
            .iter()
            .all(|(status, _)| [200, 429].contains(status))
    );
    assert!(app.env.clock.now().since(before) <= Duration::from_secs(31));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_007_008_sliding_requests_that_make_no_sense_are_refused() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let unknown = format!("{SLIDE}?pos=unknown");
    let told = code(&alice, (Method::POST, &unknown), list(&json!([[0, 9]]))).await;
    assert_eq!(told, refusal(400, "M_UNKNOWN_POS"));
    let endless = list(&json!([[0, 9_223_372_036_854_775_808_u64]]));
    assert_eq!(
        code(&alice, (Method::POST, SLIDE), endless).await.0,
        200,
        "clamped"
    );
    let one = list(&json!([[0, 9]]))["lists"]["all"].clone();
    let lists: serde_json::Map<_, _> = (0..1_000)
        .map(|number| (number.to_string(), one.clone()))
        .collect();
    let told = code(&alice, (Method::POST, SLIDE), json!({"lists": lists})).await;
    assert_eq!(told.0, 400);
    let details = json!({"timeline_limit": 1, "required_state": []});
    let rooms: serde_json::Map<_, _> = (0..10_000)
        .map(|number| (format!("!r{number}:hs1"), details.clone()))
        .collect();
    let told = code(
        &alice,
        (Method::POST, SLIDE),
        json!({"room_subscriptions": rooms}),
    )
    .await;
    assert_eq!(told.0, 400);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_009_whoever_is_banned_is_told_nothing_later() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let first = bob.post(SLIDE, list(&json!([[0, 9]]))).await;
    alice
        .post(
            &format!("v3/rooms/{room}/ban"),
            json!({"user_id": bob.id()}),
        )
        .await;
    alice.say(&room, "secret").await;
    alice
        .set(&room, "m.room.topic", "", json!({"topic": "secret"}))
        .await;
    let mut wanted = list(&json!([[0, 9]]));
    let state = json!({"timeline_limit": 10, "required_state": [["*", "*"]]});
    wanted["room_subscriptions"] = json!({&room: state});
    let path = format!("{SLIDE}?pos={}", first["pos"].as_str().unwrap());
    let told = bob.post(&path, wanted.clone()).await;
    assert!(!told.to_string().contains("secret"), "{told}");
    let anew = bob.post(SLIDE, wanted).await;
    assert!(!anew.to_string().contains("secret"), "{anew}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_027_a_room_with_nonsense_in_it_keeps_nobody_from_syncing() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bad = alice
        .room("private_chat", json!({"room_version": "11"}))
        .await;
    let good = alice.room("private_chat", json!({})).await;
    let member = json!({"membership": "join", "displayname": null, "avatar_url": 5});
    alice.set(&bad, "m.room.member", alice.id(), member).await;
    alice
        .set(
            &bad,
            "m.room.join_rules",
            "",
            json!({"join_rule": "org.own.rule"}),
        )
        .await;
    alice
        .set(
            &bad,
            "m.room.history_visibility",
            "",
            json!({"history_visibility": 7}),
        )
        .await;
    for (kind, content) in [
        ("m.room.name", json!({"name": {"a": []}})),
        ("m.room.encryption", json!({"algorithm": null})),
        ("m.room.avatar", json!({"url": 9_007_199_254_740_991_u64})),
    ] {
        alice.set(&bad, kind, "", content).await;
    }
    alice.say(&good, "fine").await;
    let synced = alice.get("v3/sync").await;
    assert!(synced["rooms"]["join"][&bad].is_object());
    assert!(synced["rooms"]["join"][&good].to_string().contains("fine"));
    let slid = alice.post(SLIDE, list(&json!([[0, 9]]))).await;
    assert!(slid["rooms"][&good].to_string().contains("fine"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_028_whoever_left_is_notified_of_nothing_new() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("private_chat", json!({})).await;
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    alice.say(&room, "for both").await;
    bob.get("v3/sync").await;
    bob.leave(&room).await;
    alice.say(&room, "secret").await;
    bob.get("v3/sync").await;
    let told = bob.get("v3/notifications").await;
    assert!(!told.to_string().contains("secret"), "{told}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_refused_in_the_words_of_the_specification() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let guest = code(&alice, (Method::POST, "v3/register?kind=guest"), json!({})).await;
    assert_eq!(guest, refusal(403, "M_GUEST_ACCESS_FORBIDDEN"));
    let peek = alice.refused("v3/events").await;
    assert_eq!(peek, refusal(404, "M_UNRECOGNIZED"));
    app.stop().await;
}
