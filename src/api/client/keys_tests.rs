//! Device, one-time and fallback keys, and device lists, through the router.

use serde_json::{Value, json};

use super::keys_fixture::{CLAIM, Device, QUERY, UPLOAD, device, next, texts};
use crate::fixture::{TestApp, expect};

#[tokio::test(start_paused = true)]
async fn keys_are_uploaded_asked_for_and_counted() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let body = json!({"one_time_keys": alice.one_time_keys(0..3)});
    for _ in 0..2 {
        let counts = alice.upload(&app, &body).await;
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);
    }
    let seen = bob.query(&app, &alice.user).await;
    let found = &seen["device_keys"][&alice.user][&alice.id];
    assert_eq!(found["keys"], alice.keys()["keys"]);
    assert_eq!(found["signatures"], alice.keys()["signatures"]);
    let sync = alice.sync(&app, None).await;
    assert_eq!(sync["device_one_time_keys_count"]["signed_curve25519"], 3);
    assert_eq!(sync["device_unused_fallback_key_types"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn e2ee_002_device_keys_of_other_shapes_are_refused() {
    let app = TestApp::new();
    let alice = Device::of(&app.person("alice").await, 1);
    let mut odd_key = alice.keys();
    odd_key["keys"][alice.key_id()] = true.into();
    let mut odd_id = alice.keys();
    odd_id["keys"]["nonsense"] = "x".into();
    let mut no_signature = alice.keys();
    no_signature.as_object_mut().unwrap().remove("signatures");
    for keys in [
        Value::Null,
        json!([]),
        json!(1),
        json!({}),
        odd_key,
        odd_id,
        no_signature,
    ] {
        let refused = alice
            .refused(&app, UPLOAD, &json!({"device_keys": keys}))
            .await;
        assert_eq!(refused, expect(400, "M_BAD_JSON"), "{keys}");
    }
    let mut other_user = alice.keys();
    other_user["user_id"] = "@bob:hs1".into();
    let mut forged = alice.keys();
    forged["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2"]);
    for (keys, errcode) in [
        (other_user, "M_INVALID_PARAM"),
        (forged, "M_INVALID_SIGNATURE"),
    ] {
        let refused = alice
            .refused(&app, UPLOAD, &json!({"device_keys": keys}))
            .await;
        assert_eq!(refused, expect(400, errcode), "{keys}");
    }
    let seen = alice.query(&app, &alice.user).await;
    assert_eq!(seen["device_keys"][&alice.user], json!({}));
}

#[tokio::test(start_paused = true)]
async fn e2ee_003_device_keys_have_a_largest_size() {
    let app = TestApp::new();
    let alice = Device::of(&app.person("alice").await, 1);
    let mut keys = alice.keys();
    keys["padding"] = "x".repeat(1024 * 1024).into();
    let body = json!({"device_keys": alice.sign(&keys)});
    let refused = alice.refused(&app, UPLOAD, &body).await;
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
}

#[tokio::test(start_paused = true)]
async fn e2ee_004_known_key_id_keeps_its_key() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let name = "signed_curve25519:A";
    let body = |number| json!({"one_time_keys": {name: alice.one_time(number)}});
    alice.upload(&app, &body(1)).await;
    let refused = alice.refused(&app, UPLOAD, &body(2)).await;
    assert_eq!(refused, expect(400, "M_UNKNOWN"));
    let wanted = json!({"one_time_keys": {&alice.user: {&alice.id: "signed_curve25519"}}});
    let given = alice.done(&app, CLAIM, &wanted).await;
    let given = &given["one_time_keys"][&alice.user][&alice.id][name];
    assert_eq!(*given, alice.one_time(1));
}

#[tokio::test(start_paused = true)]
async fn e2ee_005_one_time_keys_have_a_largest_number() {
    let app = TestApp::new();
    let alice = Device::of(&app.person("alice").await, 1);
    let keys = (0..10_000).map(|id| (format!("curve25519:{id}"), Value::from("k")));
    let body = json!({"one_time_keys": Value::Object(keys.collect())});
    let refused = alice.refused(&app, UPLOAD, &body).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let counts = alice.upload(&app, &json!({})).await;
    assert_eq!(
        counts["one_time_key_counts"],
        json!({"signed_curve25519": 0})
    );
}

#[tokio::test(start_paused = true)]
async fn one_time_key_must_be_signed_by_its_device() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let mut forged = alice.one_time(1);
    forged["key"] = "another".into();
    let body = json!({"one_time_keys": {"signed_curve25519:A": forged}});
    let refused = alice.refused(&app, UPLOAD, &body).await;
    assert_eq!(refused, expect(400, "M_INVALID_SIGNATURE"));
}

#[tokio::test(start_paused = true)]
async fn one_forged_key_among_a_hundred_is_named_and_none_is_taken() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let mut body = json!({"one_time_keys": alice.one_time_keys(0..100)});
    let name = "signed_curve25519:000042";
    body["one_time_keys"][name]["key"] = "another".into();
    let (status, answer) = alice.ask(&app, UPLOAD, &body).await;
    assert_eq!(
        (status, &answer["errcode"]),
        (400, &json!("M_INVALID_SIGNATURE"))
    );
    assert!(answer["error"].as_str().unwrap().contains(name), "{answer}");
    let counts = alice.upload(&app, &json!({})).await;
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
    body["one_time_keys"][name] = alice.one_time(42);
    let counts = alice.upload(&app, &body).await;
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 100);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn e2ee_006_claims_are_limited_and_each_key_is_given_once() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let fallback = alice.sign(&json!({"key": "last", "fallback": true}));
    let body = json!({
        "one_time_keys": alice.one_time_keys(0..5),
        "fallback_keys": {"signed_curve25519:F": fallback},
    });
    alice.upload(&app, &body).await;
    let before = alice.sync(&app, None).await;
    let unused = &before["device_unused_fallback_key_types"];
    assert_eq!(*unused, json!(["signed_curve25519"]));
    let wanted = json!({"one_time_keys": {&alice.user: {&alice.id: "signed_curve25519"}}});
    let mut given = Vec::new();
    loop {
        let (status, answer) = bob.ask(&app, CLAIM, &wanted).await;
        if status == 429 {
            break;
        }
        let keys = &answer["one_time_keys"][&alice.user][&alice.id];
        given.extend(keys.as_object().unwrap().keys().cloned());
    }
    assert!((100..200).contains(&given.len()), "{}", given.len());
    let (last, once) = (given.split_off(5), given);
    let expected: Vec<_> = (0..5)
        .map(|id| format!("signed_curve25519:{id:06}"))
        .collect();
    assert_eq!(once, expected);
    assert!(last.iter().all(|name| name == "signed_curve25519:F"));
    let after = alice.sync(&app, None).await;
    assert_eq!(after["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(after["device_unused_fallback_key_types"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn e2ee_008_queries_are_bounded_and_failures_are_named() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let users = (0..100_000).map(|id| (format!("@u{id}:b"), json!([])));
    let body = json!({"device_keys": Value::Object(users.collect())});
    let (status, _) = alice.ask(&app, QUERY, &body).await;
    assert!(status == 400 || status == 413, "{status}");
    let body = json!({"timeout": 1_000_000_000_000_u64, "device_keys": {"@bob:hs2": []}});
    let answer = alice.done(&app, QUERY, &body).await;
    assert!(answer["failures"]["hs2"].is_object(), "{answer}");
    let wanted = json!({"one_time_keys": {"@bob:hs2": {"D": "signed_curve25519"}}});
    let answer = alice.done(&app, CLAIM, &wanted).await;
    assert!(answer["failures"]["hs2"].is_object(), "{answer}");
}

/// Alice makes a room and bob joins it.
async fn room(app: &TestApp, alice: &Device, bob: &Device) -> String {
    let body = json!({"preset": "public_chat"});
    let made = alice.done(app, ("POST", "/createRoom"), &body).await;
    let room = made["room_id"].as_str().unwrap().to_owned();
    bob.done(app, ("POST", &format!("/join/{room}")), &json!({}))
        .await;
    room
}

#[tokio::test(start_paused = true)]
async fn device_lists_tell_keys_joins_and_departures() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    let carol = device(&app, "carol", 3).await;
    let start = alice.sync(&app, None).await;
    let room = room(&app, &alice, &bob).await;
    let joined = alice.sync(&app, Some(next(&start))).await;
    assert_eq!(texts(&joined["device_lists"]["changed"]), [&*bob.user]);
    let for_bob = bob.sync(&app, Some(next(&start))).await;
    assert_eq!(texts(&for_bob["device_lists"]["changed"]), [&*alice.user]);

    let mut keys = bob.keys();
    keys["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2"]);
    keys.as_object_mut().unwrap().remove("signatures");
    bob.upload(&app, &json!({"device_keys": bob.sign(&keys)}))
        .await;
    carol
        .upload(&app, &json!({"device_keys": carol.keys()}))
        .await;
    let changed = alice.sync(&app, Some(next(&joined))).await;
    assert_eq!(texts(&changed["device_lists"]["changed"]), [&*bob.user]);
    let quiet = alice.sync(&app, Some(next(&changed))).await;
    assert!(quiet["device_lists"].is_null(), "{quiet}");

    bob.done(&app, ("POST", &format!("/rooms/{room}/leave")), &json!({}))
        .await;
    let left = alice.sync(&app, Some(next(&quiet))).await;
    assert_eq!(texts(&left["device_lists"]["left"]), [&*bob.user]);
    let (from, to) = (next(&start), next(&changed));
    let path = format!("/keys/changes?from={from}&to={to}");
    let told = alice.done(&app, ("GET", &path), &Value::Null).await;
    assert_eq!(texts(&told["left"]), [&*bob.user], "as of now");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deleted_device_has_no_keys_and_is_told() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let bob = device(&app, "bob", 2).await;
    room(&app, &alice, &bob).await;
    let start = alice.sync(&app, None).await;
    bob.done(&app, ("POST", "/logout"), &json!({})).await;
    let after = alice.sync(&app, Some(next(&start))).await;
    assert_eq!(texts(&after["device_lists"]["changed"]), [&*bob.user]);
    let seen = alice.query(&app, &bob.user).await;
    assert_eq!(seen["device_keys"][&bob.user], json!({}));
    app.stop().await;
}
