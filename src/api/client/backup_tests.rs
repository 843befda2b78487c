//! Key backups through the router.

use serde_json::{Value, json};

use super::keys_fixture::{Device, PEER};
use crate::fixture::{TestApp, expect};

const VERSION: &str = "/room_keys/version";

fn version_body() -> Value {
    json!({
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": {"public_key": "YWJj", "signatures": {}},
    })
}

fn key(index: u64, verified: bool) -> Value {
    json!({
        "first_message_index": index,
        "forwarded_count": 0,
        "is_verified": verified,
        "session_data": {"ephemeral": "a", "ciphertext": "b", "mac": "c"},
    })
}

async fn alice(app: &TestApp) -> Device {
    Device::of(&app.person("alice").await, 1)
}

async fn make(app: &TestApp, alice: &Device) -> String {
    let made = alice.done(app, ("POST", VERSION), &version_body()).await;
    made["version"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn keys_are_stored_and_read_at_three_levels() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let all = format!("/room_keys/keys?version={version}");
    let room = format!("/room_keys/keys/!a:hs1?version={version}");
    let one = format!("/room_keys/keys/!b:hs1/s3?version={version}");
    let body = json!({"rooms": {"!a:hs1": {"sessions": {"s1": key(1, true)}}}});
    let first = alice.done(&app, ("PUT", &all), &body).await;
    let body = json!({"sessions": {"s2": key(2, true)}});
    alice.done(&app, ("PUT", &room), &body).await;
    let last = alice.done(&app, ("PUT", &one), &key(3, true)).await;
    assert_eq!((&first["count"], &last["count"]), (&json!(1), &json!(3)));
    assert_ne!(first["etag"], last["etag"]);

    let found = alice.done(&app, ("GET", &all), &Value::Null).await;
    let expected = json!({"rooms": {
        "!a:hs1": {"sessions": {"s1": key(1, true), "s2": key(2, true)}},
        "!b:hs1": {"sessions": {"s3": key(3, true)}},
    }});
    assert_eq!(found, expected);
    let found = alice.done(&app, ("GET", &room), &Value::Null).await;
    assert_eq!(found, expected["rooms"]["!a:hs1"]);
    let found = alice.done(&app, ("GET", &one), &Value::Null).await;
    assert_eq!(found, key(3, true));

    let left = alice.done(&app, ("DELETE", &room), &Value::Null).await;
    assert_eq!(left["count"], 1);
    let left = alice.done(&app, ("DELETE", &one), &Value::Null).await;
    assert_eq!(left["count"], 0);
    let gone = alice.refused(&app, ("GET", &one), &Value::Null).await;
    assert_eq!(gone, expect(404, "M_NOT_FOUND"));
    let info = alice.done(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!((&info["count"], &info["etag"]), (&json!(0), &left["etag"]));
    assert_eq!(info["auth_data"], version_body()["auth_data"]);
}

#[tokio::test(start_paused = true)]
async fn better_key_stays() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let one = format!("/room_keys/keys/!b:hs1/s?version={version}");
    alice.done(&app, ("PUT", &one), &key(5, true)).await;
    let worse = alice.done(&app, ("PUT", &one), &key(0, false)).await;
    assert_eq!(worse["etag"], "1");
    let found = alice.done(&app, ("GET", &one), &Value::Null).await;
    assert_eq!(found, key(5, true));
    alice.done(&app, ("PUT", &one), &key(4, true)).await;
    let found = alice.done(&app, ("GET", &one), &Value::Null).await;
    assert_eq!(found, key(4, true));
}

#[tokio::test(start_paused = true)]
async fn e2ee_013_old_version_takes_no_keys_and_names_the_current() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let old = make(&app, &alice).await;
    let new = make(&app, &alice).await;
    let path = format!("/room_keys/keys?version={old}");
    let body = json!({"rooms": {"!a:hs1": {"sessions": {"s1": key(1, true)}}}});
    let (status, answer) = alice.ask(&app, ("PUT", &path), &body).await;
    assert_eq!(status, 403);
    assert_eq!(answer["errcode"], "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(answer["current_version"], new.as_str());
    let path = format!("{VERSION}/{new}");
    alice.done(&app, ("DELETE", &path), &Value::Null).await;
    let info = alice.done(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!(info["version"], old.as_str());
    let gone = alice.refused(&app, ("GET", &path), &Value::Null).await;
    assert_eq!(gone, expect(404, "M_NOT_FOUND"));
    let third = make(&app, &alice).await;
    assert!(third != old && third != new, "numbers are given once");
}

#[tokio::test(start_paused = true)]
async fn version_keeps_its_algorithm() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let path = format!("{VERSION}/{version}");
    let mut body = version_body();
    body["auth_data"]["public_key"] = "ZGVm".into();
    alice.done(&app, ("PUT", &path), &body).await;
    body["algorithm"] = "another".into();
    let refused = alice.refused(&app, ("PUT", &path), &body).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let info = alice.done(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!(info["auth_data"]["public_key"], "ZGVm");
}

#[tokio::test(start_paused = true)]
async fn e2ee_014_uploads_are_bounded() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let path = format!("/_matrix/client/v3/room_keys/keys?version={version}");
    let put = ("PUT", path.as_str());
    let huge = vec![b' '; 20 * 1024 * 1024];
    let (status, answer, _) = app.raw_from(PEER, put, Some(&alice.token), huge).await;
    assert_eq!(status.as_u16(), 413, "{answer}");
    let mut long = key(0, true);
    long["session_data"]["ciphertext"] = "x".repeat(100_000).into();
    let path = format!("/room_keys/keys/!a:hs1/s?version={version}");
    let refused = alice.refused(&app, ("PUT", &path), &long).await;
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
    let info = alice.done(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!(info["count"], 0);
}

#[tokio::test(start_paused = true)]
async fn better_key_stays_at_all_three_levels() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let all = format!("/room_keys/keys?version={version}");
    let room = format!("/room_keys/keys/!a:hs1?version={version}");
    let one = format!("/room_keys/keys/!a:hs1/s?version={version}");
    let forwarded = |count: u64| {
        let mut key = key(5, true);
        key["forwarded_count"] = count.into();
        key
    };
    let put = async |level: usize, key: Value| {
        let (path, body) = match level {
            0 => (&all, json!({"rooms": {"!a:hs1": {"sessions": {"s": key}}}})),
            1 => (&room, json!({"sessions": {"s": key}})),
            _ => (&one, key),
        };
        alice.done(&app, ("PUT", path), &body).await["etag"].clone()
    };
    let stored = async || alice.done(&app, ("GET", &one), &Value::Null).await;
    for level in 0..3 {
        let delete = ("DELETE", all.as_str());
        alice.done(&app, delete, &Value::Null).await;
        // From worse to better: verified, then by the lower index, then by fewer hands.
        let better = [key(3, false), key(7, true), forwarded(2), forwarded(1)];
        for (count, good) in better.iter().enumerate() {
            let etag = put(level, good.clone()).await;
            assert_eq!(stored().await, *good, "level {level}");
            for worse in &better[..=count] {
                let again = put(level, worse.clone()).await;
                assert_eq!(again, etag, "nothing changed at level {level}");
            }
            assert_eq!(stored().await, *good, "level {level}");
        }
    }
    let info = alice.done(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!(info["count"], 1);
}

#[tokio::test(start_paused = true)]
async fn deleted_backup_takes_its_keys_along_and_an_empty_level_is_no_error() {
    let app = TestApp::new();
    let alice = alice(&app).await;
    let version = make(&app, &alice).await;
    let all = format!("/room_keys/keys?version={version}");
    let room = format!("/room_keys/keys/!a:hs1?version={version}");
    let none = alice.done(&app, ("GET", &all), &Value::Null).await;
    assert_eq!(none, json!({"rooms": {}}));
    let none = alice.done(&app, ("GET", &room), &Value::Null).await;
    assert_eq!(none, json!({"sessions": {}}));
    let body = json!({"sessions": {"s": key(1, true)}});
    alice.done(&app, ("PUT", &room), &body).await;
    let path = format!("{VERSION}/{version}");
    for _ in 0..2 {
        let (status, answer) = alice.ask(&app, ("DELETE", &path), &Value::Null).await;
        assert!(
            status == 200 || answer["errcode"] == "M_NOT_FOUND",
            "{answer}"
        );
    }
    let gone = alice.refused(&app, ("GET", VERSION), &Value::Null).await;
    assert_eq!(gone, expect(404, "M_NOT_FOUND"));
    let gone = alice.refused(&app, ("GET", &all), &Value::Null).await;
    assert_eq!(gone, expect(404, "M_NOT_FOUND"));
    let gone = alice.refused(&app, ("PUT", &room), &body).await;
    assert_eq!(gone.0, 404);
}
