//! Rooms whose events the third server is to sign before the others send them.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use belfry_env::Clock;
use belfry_room::HELD_OF_ROOM_MAX;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    net::Weather,
    world::{World, shared_room},
};
use crate::hostile::forge;

const SIGN: &str = "/_matrix/policy/v1/sign";
const KEY_ID: &str = "ed25519:policy_server";
const VERSION: &str = "11";
/// How long the policy server takes where it takes its time.
const SLOW: Duration = Duration::from_secs(15);

/// What the policy server thinks of an event.
fn verdict(key: &SigningKey, event: &Value) -> (StatusCode, Value) {
    let refuse = |status, errcode: &str, error: &str| {
        let answer = json!({"errcode": errcode, "error": error});
        (status, answer)
    };
    let said = event["content"].to_string();
    if said.contains("spam") {
        return refuse(
            StatusCode::BAD_REQUEST,
            "M_FORBIDDEN",
            "This looks like spam",
        );
    }
    if said.contains("flood") {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "Slowly");
    }
    if said.contains("stranger") {
        return refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND", "Unknown room");
    }
    let mut event = event.clone();
    let version = VERSION.parse().unwrap();
    forge::add_event_signature(&mut event, version, "hs3", (KEY_ID, key));
    if said.contains("muddle") {
        event["signatures"]["hs3"][KEY_ID] = json!("AAAA");
    }
    let signature = event["signatures"]["hs3"][KEY_ID].clone();
    (StatusCode::OK, json!({"hs3": {KEY_ID: signature}}))
}

/// Before the third server stands what signs events.
fn employ(world: &World) -> Arc<SigningKey> {
    let key = Arc::new(SigningKey::from_bytes(&[77; 32]));
    let (signs, clock): (_, Clock) = (Arc::clone(&key), world.clock.clone());
    let sign = move |body: Bytes| async move {
        let event: Value = serde_json::from_slice(&body).unwrap();
        if event["content"].to_string().contains("slow") {
            clock.sleep(SLOW).await;
        }
        let (status, answer) = verdict(&signs, &event);
        (status, answer.to_string())
    };
    let third = world.members[2].server();
    let before = |rest| Router::new().route(SIGN, post(sign)).fallback_service(rest);
    world.net.change(&third, before);
    key
}

async fn guard(world: &World, room: &str, key: &SigningKey) {
    let path = format!("/rooms/{room}/state/m.room.policy");
    let keys = json!({"ed25519": forge::public(key)});
    let content = json!({"via": "hs3", "public_keys": keys});
    world.members[0].get("PUT", &path, content).await;
    world.settle().await;
}

/// A room of all three that the third guards.
async fn guarded() -> (World, String) {
    let world = World::new().await;
    let room = shared_room(&world, VERSION).await;
    let key = employ(&world);
    guard(&world, &room, &key).await;
    assert_eq!(world.net.asked(SIGN), 0);
    (world, room)
}

fn message(room: &str, txn: &str, text: &str) -> (String, Value) {
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    (path, json!({"msgtype": "m.text", "body": text}))
}

#[tokio::test(start_paused = true)]
async fn what_we_send_is_signed_by_the_rooms_policy_server_first() {
    let (world, room) = guarded().await;
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let said = one.say(&room, "hello").await;
    world.settle().await;
    assert_eq!(two.texts(&room).await, ["hello"]);
    // Nobody had to ask again: it came with the signature.
    assert_eq!(world.net.asked(SIGN), 1);
    assert_eq!(one.say(&room, "hello").await, said);
    assert_eq!(world.net.asked(SIGN), 1);
    let edit = format!("/rooms/{room}/send/m.reaction/1");
    let relates = json!({"rel_type": "m.annotation", "event_id": said, "key": "+"});
    let reaction = json!({"m.relates_to": relates});
    one.get("PUT", &edit, reaction.clone()).await;
    let (status, answer) = one.ask("PUT", &edit.replace("/1", "/2"), reaction).await;
    assert_eq!(answer["errcode"], "M_DUPLICATE_ANNOTATION", "{status}");
    one.set_topic(&room, "guarded").await;
    one.set_topic(&room, "guarded").await;
    let name = json!({"displayname": "One"});
    one.get("PUT", "/profile/@user:hs1/displayname", name).await;
    let redact = format!("/rooms/{room}/redact/{said}/3");
    one.get("PUT", &redact, json!({})).await;
    let leave = format!("/rooms/{room}/leave");
    two.get("POST", &leave, json!({})).await;
    world.settle().await;
    // Reaction, topic, name, redaction and leave: once each.
    assert_eq!(world.net.asked(SIGN), 6);
    assert!(three.texts(&room).await.is_empty());
    assert_eq!(three.topic(&room).await.as_deref(), Some("guarded"));
    world.assert_converged_of(&room, 1).await;
    assert_eq!(one.state(&room).await, three.state(&room).await);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_at_once_keeps_its_order_and_is_said_once() {
    let (world, room) = guarded().await;
    world.net.set_weather(Weather {
        lost_permille: 0,
        delay_ms: 300,
    });
    let (one, two) = (&world.members[0], &world.members[1]);
    let (path, content) = message(&room, "same", "same");
    let same = join_all((0..3).map(|_| one.get("PUT", &path, content.clone()))).await;
    assert!(same.iter().all(|sent| *sent == same[0]), "{same:?}");
    let texts: Vec<_> = (0..8).map(|n| format!("n{n}")).collect();
    let ours = join_all(texts.iter().map(|text| one.say(&room, text)));
    let theirs = join_all((0..8).map(|n| two.say(&room, ["a", "b"][n % 2])));
    futures_util::future::join(ours, theirs).await;
    world.settle().await;
    world.assert_converged(&room).await;
    for member in &world.members {
        let said = member.texts(&room).await;
        let ours: Vec<_> = said.iter().filter(|text| text.starts_with('n')).collect();
        assert_eq!(ours, texts.iter().collect::<Vec<_>>(), "{}", member.name);
        assert_eq!(said.len(), 11, "{}: {said:?}", member.name);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_server_refuses_is_refused_in_its_words_and_not_stored() {
    let (world, room) = guarded().await;
    let one = &world.members[0];
    let events = one.rows("event").await;
    for (text, status, errcode, error) in [
        ("spam", 403, "M_FORBIDDEN", "This looks like spam"),
        ("flood", 429, "M_LIMIT_EXCEEDED", "Slowly"),
        ("stranger", 404, "M_NOT_FOUND", "Unknown room"),
    ] {
        let (path, content) = message(&room, text, text);
        let (told, answer) = one.ask("PUT", &path, content).await;
        assert_eq!(told.as_u16(), status, "{answer}");
        assert_eq!(answer, json!({"errcode": errcode, "error": error}));
    }
    let (path, content) = message(&room, "muddle", "muddle");
    let (status, answer) = one.ask("PUT", &path, content).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{answer}");
    let path = format!("/rooms/{room}/state/m.room.topic");
    let (status, _) = one.ask("PUT", &path, json!({"topic": "spam"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(one.rows("event").await, events);
    let (path, content) = message(&room, "spam", "fine");
    one.get("PUT", &path, content).await;
    world.settle().await;
    assert_eq!(world.members[1].texts(&room).await, ["fine"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_its_policy_server_a_room_says_nothing_but_that_it_has_none() {
    let (world, room) = guarded().await;
    let (one, two) = (&world.members[0], &world.members[1]);
    world.part(0, 2);
    let events = one.rows("event").await;
    let (path, content) = message(&room, "unsigned", "unsigned");
    let (status, answer) = one.ask("PUT", &path, content).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{answer}");
    assert_eq!(answer["errcode"], "M_UNKNOWN");
    assert_eq!(one.rows("event").await, events);
    // Rooms without one are no concern of its.
    let other = one.create(VERSION).await;
    one.say(&other, "free").await;
    let policy = format!("/rooms/{room}/state/m.room.policy");
    one.get("PUT", &policy, json!({})).await;
    one.say(&room, "open").await;
    world.settle().await;
    assert_eq!(two.texts(&room).await, ["open"]);
    world.net.heal();
    world.assert_converged(&room).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_events_wait_for_a_slow_policy_server_and_no_more() {
    let (world, room) = guarded().await;
    let one = &world.members[0];
    let sends = (0..HELD_OF_ROOM_MAX + 6).map(|n| {
        let (path, content) = message(&room, &format!("slow{n}"), "slow");
        async move { one.ask("PUT", &path, content).await }
    });
    let told = join_all(sends).await;
    let of = |status| told.iter().filter(|(told, _)| *told == status).count();
    // One after the other, for as long as the rest may wait.
    let signed = of(StatusCode::OK);
    assert!((2..=3).contains(&signed), "{signed}");
    assert_eq!(of(StatusCode::TOO_MANY_REQUESTS), told.len() - signed);
    assert_eq!(one.texts(&room).await.len(), signed);
    one.say(&room, "on").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invite_is_signed_before_the_other_server_hears_of_it() {
    let world = World::new().await;
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create(VERSION).await;
    three.join(&room, one).await;
    let key = employ(&world);
    guard(&world, &room, &key).await;
    let invite = format!("/rooms/{room}/invite");
    let body = json!({"user_id": two.user(), "reason": "spam"});
    let (status, answer) = one.ask("POST", &invite, body).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert_eq!(world.net.asked("/v2/invite/"), 0);
    let body = json!({"user_id": two.user()});
    one.get("POST", &invite, body).await;
    assert_eq!(world.net.asked(SIGN), 2);
    two.join(&room, one).await;
    two.say(&room, "here").await;
    world.settle().await;
    assert_eq!(one.texts(&room).await, ["here"]);
    world.stop().await;
}
