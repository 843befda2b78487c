//! One's own devices through the router.

use serde_json::{Value, json};

use super::keys_fixture::{Device, Pair, device, next};
use crate::fixture::{TestApp, expect};

const DEVICES: (&str, &str) = ("GET", "/devices");

/// Another device of somebody, with keys.
async fn another(app: &TestApp, of: &Device, name: &str, seed: u8) -> Device {
    let login = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": "wordpass",
        "initial_device_display_name": "laptop",
    });
    let answer = of.done(app, ("POST", "/login"), &login).await;
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let device = Device {
        user: of.user.clone(),
        id: text("device_id"),
        token: text("access_token"),
        pair: Pair::new(seed),
    };
    let body = json!({"device_keys": device.keys()});
    device.upload(app, &body).await;
    device
}

/// The names of somebody's devices, in the order of their names.
async fn names(app: &TestApp, of: &Device) -> Vec<Value> {
    let found = of.done(app, DEVICES, &Value::Null).await;
    let found = found["devices"].as_array().unwrap().iter();
    let mut names: Vec<_> = found.map(|one| one["display_name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    names
}

fn proof(challenge: &Value) -> Value {
    json!({
        "type": "m.login.password",
        "session": challenge["session"],
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": "wordpass",
    })
}

#[tokio::test(start_paused = true)]
async fn device_is_renamed_by_its_user_and_others_see_the_name_with_its_keys() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let laptop = another(&app, &alice, "alice", 3).await;
    let bob = device(&app, "bob", 2).await;
    let path = format!("/devices/{}", laptop.id);
    let rename = json!({"display_name": "desk"});
    alice.done(&app, ("PUT", &path), &rename).await;
    let found = alice.done(&app, ("GET", &path), &Value::Null).await;
    assert_eq!(found["display_name"], "desk");
    assert!(names(&app, &laptop).await.contains(&json!("desk")));
    let seen = bob.query(&app, &alice.user).await;
    let seen = &seen["device_keys"][&alice.user][&laptop.id]["unsigned"];
    assert_eq!(seen["device_display_name"], "desk");
    for (who, method) in [(&bob, "PUT"), (&bob, "GET")] {
        let body = if method == "GET" {
            Value::Null
        } else {
            rename.clone()
        };
        let refused = who.refused(&app, (method, &path), &body).await;
        assert_eq!(refused, expect(404, "M_NOT_FOUND"));
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn device_was_last_seen_when_it_last_asked_and_from_where() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let path = format!("/devices/{}", alice.id);
    let seen = async || {
        let found = alice.done(&app, ("GET", &path), &Value::Null).await;
        found["last_seen_ts"].as_u64().unwrap()
    };
    let before = seen().await;
    let day = std::time::Duration::from_hours(24);
    app.env.clock.sleep(day).await;
    alice.done(&app, DEVICES, &Value::Null).await;
    let after = seen().await;
    assert!(after >= before + 23 * 3_600 * 1_000, "{before} {after}");
    let found = alice.done(&app, ("GET", &path), &Value::Null).await;
    assert_eq!(found["last_seen_ip"], "192.0.2.1");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deleted_devices_are_out_and_take_their_keys_and_messages_along() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let room = json!({"preset": "public_chat"});
    let room = alice.done(&app, ("POST", "/createRoom"), &room).await;
    let join = format!("/join/{}", room["room_id"].as_str().unwrap());
    bob.done(&app, ("POST", &join), &json!({})).await;
    let first = another(&app, &alice, "alice", 3).await;
    let second = another(&app, &alice, "alice", 4).await;
    let third = another(&app, &alice, "alice", 5).await;
    let start = bob.sync(&app, None).await;
    let one = format!("/devices/{}", first.id);
    let some = json!({"devices": [second.id, third.id]});
    for (endpoint, mut body) in [
        (("DELETE", &*one), json!({})),
        (("POST", "/delete_devices"), some),
    ] {
        let (status, challenge) = alice.ask(&app, endpoint, &body).await;
        assert_eq!(status, 401, "a proof is asked for: {challenge}");
        body["auth"] = proof(&challenge);
        body["auth"]["password"] = "wrong one".into();
        assert_eq!(alice.ask(&app, endpoint, &body).await.0, 401);
        body["auth"] = proof(&challenge);
        alice.done(&app, endpoint, &body).await;
    }
    for gone in [&first, &second, &third] {
        let refused = gone.refused(&app, DEVICES, &Value::Null).await;
        assert_eq!(refused, expect(401, "M_UNKNOWN_TOKEN"));
        let messages = json!({"messages": {&alice.user: {&gone.id: {"n": 1}}}});
        let path = format!("/sendToDevice/m.test/{}", gone.id);
        bob.done(&app, ("PUT", &path), &messages).await;
    }
    assert_eq!(names(&app, &alice).await.len(), 1);
    let told = bob.sync(&app, Some(next(&start))).await;
    assert_eq!(told["device_lists"]["changed"], json!([alice.user]));
    let seen = bob.query(&app, &alice.user).await;
    let seen = seen["device_keys"][&alice.user].as_object().unwrap();
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&alice.id]);
    app.stop().await;
}
