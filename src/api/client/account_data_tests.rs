//! Removing account data, and what becomes of it in a sync.

use http::StatusCode;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp};

const PEER: &str = "192.0.2.1:9";

async fn ask(
    app: &TestApp,
    person: &Person,
    (method, path): (&str, &str),
    body: &Value,
) -> (StatusCode, Value) {
    let (status, answer, _) = app
        .raw_from(PEER, (method, path), Some(&person.token), body.to_string())
        .await;
    (status, answer)
}

async fn sync(app: &TestApp, person: &Person, since: Option<&Value>) -> Value {
    let since = since.map(|answer| format!("&since={}", answer["next_batch"].as_str().unwrap()));
    let path = format!(
        "/_matrix/client/v3/sync?timeout=0{}",
        since.unwrap_or_default()
    );
    let (status, answer) = ask(app, person, ("GET", &path), &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// The contents of this type among the events.
fn told(events: &Value) -> Vec<Value> {
    let events = events.as_array().cloned().unwrap_or_default();
    let of_type = |event: &Value| (event["type"] == "org.test").then(|| event["content"].clone());
    events.iter().filter_map(of_type).collect()
}

/// Sets, removes by this request, and looks from everywhere.
async fn remove_by(request: (&str, &str), in_room: bool) {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let (_, room) = ask(
        &app,
        &alice,
        ("POST", "/_matrix/client/v3/createRoom"),
        &json!({}),
    )
    .await;
    let room = room["room_id"].as_str().unwrap();
    let at = if in_room {
        format!("user/@alice:hs1/rooms/{room}/account_data/org.test")
    } else {
        "user/@alice:hs1/account_data/org.test".to_owned()
    };
    let path = format!("/_matrix/client/v3/{at}");
    let (method, prefix) = request;
    let removal = format!("{prefix}/{at}");
    let events = |answer: &Value| {
        let own = &answer["rooms"]["join"][room]["account_data"]["events"];
        told(if in_room {
            own
        } else {
            &answer["account_data"]["events"]
        })
    };

    let (status, _) = ask(&app, &alice, ("PUT", &path), &json!({"a": 1})).await;
    assert_eq!(status, StatusCode::OK);
    let before = sync(&app, &alice, None).await;
    assert_eq!(events(&before), [json!({"a": 1})]);
    for _ in 0..2 {
        let removed = ask(&app, &alice, (method, &removal), &json!({})).await;
        assert_eq!(removed, (StatusCode::OK, json!({})));
    }
    let (status, answer) = ask(&app, &alice, ("GET", &path), &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["errcode"], "M_NOT_FOUND");
    let after = sync(&app, &alice, Some(&before)).await;
    assert_eq!(events(&after), [json!({})]);
    assert_eq!(events(&sync(&app, &alice, None).await), [json!(null); 0]);
    app.stop().await;
}

const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.msc3391";
const STABLE: &str = "/_matrix/client/v3";

#[tokio::test(start_paused = true)]
async fn what_is_deleted_globally_is_gone() {
    remove_by(("DELETE", UNSTABLE), false).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_in_a_room_is_gone() {
    remove_by(("DELETE", UNSTABLE), true).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_emptied_is_gone() {
    remove_by(("PUT", STABLE), false).await;
    remove_by(("PUT", STABLE), true).await;
}

#[tokio::test(start_paused = true)]
async fn neither_others_data_nor_the_servers_own_can_be_deleted() {
    let app = TestApp::new();
    let (alice, _bob) = (app.person("alice").await, app.person("bob").await);
    for (user, event_type, status) in [
        ("@bob:hs1", "org.test", 403),
        ("@alice:hs1", "m.push_rules", 405),
        ("alice", "org.test", 400),
    ] {
        let path = format!("{UNSTABLE}/user/{user}/account_data/{event_type}");
        let (answered, answer) = ask(&app, &alice, ("DELETE", &path), &json!({})).await;
        assert_eq!(answered.as_u16(), status, "{answer}");
    }
}
