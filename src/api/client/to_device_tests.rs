//! Messages to devices through the router.

use serde_json::{Value, json};

use super::keys_fixture::{Device, device, next};
use crate::fixture::{TestApp, expect};

fn path(txn: &str) -> String {
    format!("/sendToDevice/m.test/{txn}")
}

async fn send(app: &TestApp, from: &Device, txn: &str, messages: &Value) -> (u16, Value) {
    let body = json!({"messages": messages});
    from.ask(app, ("PUT", &path(txn)), &body).await
}

fn bodies(sync: &Value) -> Vec<u64> {
    let events = sync["to_device"]["events"].as_array();
    let events = events.into_iter().flatten();
    events
        .map(|event| event["content"]["n"].as_u64().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn e2ee_016_message_is_delivered_once_until_the_client_has_passed_it() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let start = bob.sync(&app, None).await;
    for txn in ["a", "a", "b"] {
        let number = u64::from(txn == "b");
        let messages = json!({&bob.user: {&bob.id: {"n": number}}});
        assert_eq!(send(&app, &alice, txn, &messages).await.0, 200);
    }
    let first = bob.sync(&app, Some(next(&start))).await;
    assert_eq!(bodies(&first), [0, 1]);
    let event = &first["to_device"]["events"][0];
    assert_eq!(event["sender"], alice.user.as_str());
    assert_eq!(event["type"], "m.test");
    let again = bob.sync(&app, Some(next(&start))).await;
    assert_eq!(bodies(&again), [0, 1], "the answer may have been lost");
    let after = bob.sync(&app, Some(next(&again))).await;
    assert!(bodies(&after).is_empty());
    let anew = bob.sync(&app, None).await;
    assert!(bodies(&anew).is_empty(), "what was passed is gone");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn message_to_all_devices_reaches_each() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let login = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bob"},
        "password": "wordpass",
    });
    let other = bob.done(&app, ("POST", "/login"), &login).await;
    let other = Device {
        user: bob.user.clone(),
        id: other["device_id"].as_str().unwrap().to_owned(),
        token: other["access_token"].as_str().unwrap().to_owned(),
        pair: super::keys_fixture::Pair::new(3),
    };
    let long = "x".repeat(1_000);
    let messages = json!({&bob.user: {"*": {"n": 7, "long": long}}});
    assert_eq!(send(&app, &alice, "a", &messages).await.0, 200);
    for device in [&bob, &other] {
        assert_eq!(bodies(&device.sync(&app, None).await), [7]);
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_messages_come_in_order_over_several_answers() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    for number in 0..250 {
        let messages = json!({&bob.user: {&bob.id: {"n": number}}});
        let sent = send(&app, &alice, &number.to_string(), &messages).await;
        assert_eq!(sent.0, 200, "{}", sent.1);
    }
    let mut found = Vec::new();
    let mut since: Option<String> = None;
    for _ in 0..4 {
        let sync = bob.sync(&app, since.as_deref()).await;
        found.extend(bodies(&sync));
        since = Some(next(&sync).to_owned());
    }
    assert_eq!(found, (0..250).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_sync_is_woken_by_a_message() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let start = bob.sync(&app, None).await;
    let path = format!("/sync?timeout=30000&since={}", next(&start));
    let waiting = bob.done(&app, ("GET", &path), &Value::Null);
    let messages = json!({&bob.user: {&bob.id: {"n": 1}}});
    let sending = async {
        tokio::task::yield_now().await;
        send(&app, &alice, "a", &messages).await
    };
    let before = app.env.clock.now();
    let (sync, sent) = tokio::join!(waiting, sending);
    assert_eq!((bodies(&sync), sent.0), (vec![1], 200));
    assert!(app.env.clock.now().since(before).as_secs() < 1);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn e2ee_015_message_has_a_largest_size() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let body = "x".repeat(64 * 1024);
    let messages = json!({&alice.user: {"*": {"body": body}}});
    let body = json!({"messages": messages});
    let refused = alice.refused(&app, ("PUT", &path("a")), &body).await;
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
    for content in [json!([]), json!(1), Value::Null] {
        let body = json!({"messages": {&alice.user: {"*": content}}});
        let (status, _) = alice.refused(&app, ("PUT", &path("a")), &body).await;
        assert_eq!(status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn e2ee_017_devices_of_one_request_are_limited() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let devices = (0..10_000).map(|id| (format!("D{id}"), json!({"n": 1})));
    let devices: serde_json::Map<_, _> = devices.collect();
    let body = json!({"messages": {&alice.user: devices}});
    let refused = alice.refused(&app, ("PUT", &path("a")), &body).await;
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
}

#[tokio::test(start_paused = true)]
async fn dehydrated_device_gets_messages_until_it_is_taken_up() {
    const DEHYDRATED: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let sleeper = Device {
        user: alice.user.clone(),
        id: "SLEEPER".to_owned(),
        token: alice.token.clone(),
        pair: super::keys_fixture::Pair::new(30),
    };
    let body = json!({
        "device_id": sleeper.id,
        "device_data": {"algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n"},
        "device_keys": sleeper.keys(),
        "one_time_keys": sleeper.one_time_keys(0..2),
    });
    for _ in 0..2 {
        let put = ("PUT", DEHYDRATED);
        let answer = app.raw(put, Some(&alice.token), body.to_string()).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    let seen = bob.query(&app, &alice.user).await;
    assert!(seen["device_keys"][&alice.user]["SLEEPER"].is_object());
    let wanted = json!({"one_time_keys": {&alice.user: {"SLEEPER": "signed_curve25519"}}});
    let given = bob.done(&app, super::keys_fixture::CLAIM, &wanted).await;
    assert!(given["one_time_keys"][&alice.user]["SLEEPER"].is_object());
    let messages = json!({&alice.user: {"*": {"n": 5}}});
    assert_eq!(send(&app, &bob, "a", &messages).await.0, 200);
    let events = format!("{DEHYDRATED}/SLEEPER/events");
    let post = ("POST", events.as_str());
    let peer = super::keys_fixture::PEER;
    let (_, found, _) = app.raw_from(peer, post, Some(&alice.token), "{}").await;
    assert_eq!(found["events"][0]["content"], json!({"n": 5}));
    let more = json!({"next_batch": found["next_batch"]}).to_string();
    let (_, rest, _) = app.raw_from(peer, post, Some(&alice.token), more).await;
    assert_eq!(rest["events"], json!([]));
    let delete = ("DELETE", DEHYDRATED);
    assert_eq!(app.raw(delete, Some(&alice.token), "").await.0, 200);
    let get = ("GET", DEHYDRATED);
    let gone = app.raw(get, Some(&alice.token), "").await;
    assert_eq!(gone, expect(404, "M_NOT_FOUND"));
    let seen = bob.query(&app, &alice.user).await;
    assert!(seen["device_keys"][&alice.user]["SLEEPER"].is_null());
}

#[tokio::test(start_paused = true)]
async fn new_dehydrated_device_replaces_the_former_with_all_that_was_its() {
    const DEHYDRATED: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let peer = super::keys_fixture::PEER;
    for (id, seed) in [("FIRST", 30), ("SECOND", 31)] {
        let sleeper = Device {
            user: alice.user.clone(),
            id: id.to_owned(),
            token: alice.token.clone(),
            pair: super::keys_fixture::Pair::new(seed),
        };
        let body = json!({
            "device_id": id,
            "device_data": {"algorithm": "org.matrix.msc3814.v2", "device_pickle": id, "nonce": "n"},
            "device_keys": sleeper.keys(),
            "one_time_keys": sleeper.one_time_keys(0..1),
        });
        let put = ("PUT", DEHYDRATED);
        let answer = app.raw(put, Some(&alice.token), body.to_string()).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        let messages = json!({&alice.user: {id: {"n": seed}}});
        assert_eq!(send(&app, &bob, id, &messages).await.0, 200);
    }
    let get = ("GET", DEHYDRATED);
    let (_, found, _) = app.raw_from(peer, get, Some(&alice.token), "").await;
    assert_eq!(found["device_id"], "SECOND");
    assert_eq!(found["device_data"]["device_pickle"], "SECOND");
    let seen = bob.query(&app, &alice.user).await;
    let seen = &seen["device_keys"][&alice.user];
    assert!(
        seen["FIRST"].is_null() && seen["SECOND"].is_object(),
        "{seen}"
    );
    let wanted = json!({"one_time_keys": {&alice.user: {"FIRST": "signed_curve25519"}}});
    let given = bob.done(&app, super::keys_fixture::CLAIM, &wanted).await;
    assert_eq!(given["one_time_keys"], json!({}));
    for (id, expected) in [("FIRST", None), ("SECOND", Some(31))] {
        let events = format!("{DEHYDRATED}/{id}/events");
        let post = ("POST", events.as_str());
        let (status, found, _) = app.raw_from(peer, post, Some(&alice.token), "{}").await;
        assert_eq!(status == 200, expected.is_some(), "{found}");
        let number = found["events"][0]["content"]["n"].as_u64();
        assert_eq!(number, expected, "{found}");
    }
    // Nobody signs in on it, and it is not among the devices that are.
    let devices = alice.done(&app, ("GET", "/devices"), &Value::Null).await;
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
    app.stop().await;
}
