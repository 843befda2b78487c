//! Push rules that hostile or broken clients make.

use ruma_client_api::{membership::join_room_by_id::v3 as join, room::create_room::v3 as create};
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const RULES: &str = "/_matrix/client/v3/pushrules/global";

async fn put(app: &TestApp, person: &Person, path: &str, body: &Value) -> (u16, String) {
    let path = format!("{RULES}/{path}");
    app.raw(("PUT", &path), Some(&person.token), body.to_string())
        .await
}

/// How many highlights a sync tells of in the only room.
async fn highlights(app: &TestApp, person: &Person) -> u64 {
    let path = "/_matrix/client/v3/sync";
    let answer = app.raw_from(PEER, ("GET", path), Some(&person.token), "");
    let (_, answer, _) = answer.await;
    let rooms = answer["rooms"]["join"].as_object().unwrap();
    let room = rooms.values().next().unwrap();
    room["unread_notifications"]["highlight_count"]
        .as_u64()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn push_002_a_pattern_is_a_glob_and_no_regular_expression() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    let room = app.send(Some(&alice.token), request).await.unwrap().room_id;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let rule = json!({
        "conditions": [{"kind": "event_match", "key": "content.body", "pattern": "(a+)+$"}],
        "actions": ["notify", {"set_tweak": "highlight"}],
    });
    assert_eq!(put(&app, &bob, "override/x", &rule).await.0, 200);
    let say = async |txn: &str, body: &str| {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let content = json!({"msgtype": "m.text", "body": body}).to_string();
        app.raw(("PUT", &path), Some(&alice.token), content).await
    };
    let hostile = format!("{}!", "a".repeat(10_000));
    for (txn, body) in [("1", "aaa"), ("2", &*hostile)] {
        assert_eq!(say(txn, body).await.0, 200);
    }
    assert_eq!(highlights(&app, &bob).await, 0);
    assert_eq!(say("3", "the text (a+)+$ itself").await.0, 200);
    assert_eq!(highlights(&app, &bob).await, 1);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn push_003_ten_thousand_rules_end_at_the_cap() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let pattern = "x".repeat(2_000);
    let rule = json!({"pattern": pattern, "actions": ["notify"]});
    let mut made = 0;
    let refused = loop {
        let path = format!("content/rule{made}");
        let answer = put(&app, &alice, &path, &rule).await;
        if answer.0 != 200 {
            break answer;
        }
        made += 1;
        assert!(made < 10_000, "no end");
    };
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
    let path = format!("{RULES}/content/rule0");
    let kept = app.raw(("GET", &path), Some(&alice.token), "").await;
    assert_eq!(kept.0, 200, "what was made is there");
}

#[tokio::test(start_paused = true)]
async fn push_005_a_kind_that_is_none() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let rule = json!({"actions": ["notify"]});
    let refused = put(&app, &alice, "nokind/x", &rule).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
}

#[tokio::test(start_paused = true)]
async fn push_006_actions_of_a_default_rule_that_is_none() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let actions = json!({"actions": []});
    let path = "override/.m.rule.nothing/actions";
    let refused = put(&app, &alice, path, &actions).await;
    assert_eq!(refused, expect(404, "M_NOT_FOUND"));
}
