//! Tags, reports, and what else stands beside rooms, through the router.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";

async fn ask(app: &TestApp, person: &Person, endpoint: (&str, &str), body: &str) -> (u16, Value) {
    let (method, path) = endpoint;
    let path = format!("/_matrix/client/v3/{path}");
    let answer = app.raw_from(PEER, (method, &path), Some(&person.token), body.to_owned());
    let (status, json, _) = answer.await;
    (status.as_u16(), json)
}

async fn refused(
    app: &TestApp,
    person: &Person,
    endpoint: (&str, &str),
    body: &str,
) -> (u16, String) {
    let (status, answer) = ask(app, person, endpoint, body).await;
    (
        status,
        answer["errcode"].as_str().unwrap_or_default().to_owned(),
    )
}

async fn room(app: &TestApp, creator: &Person) -> String {
    let (_, made) = ask(app, creator, ("POST", "createRoom"), "{}").await;
    made["room_id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_listed_synced_and_removed() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice).await;
    let tags = format!("user/{}/rooms/{room}/tags", alice.user_id);
    assert_eq!(
        ask(&app, &alice, ("GET", &tags), "").await,
        (200, json!({"tags": {}}))
    );
    let (one, two) = (format!("{tags}/m.favourite"), format!("{tags}/u.work"));
    assert_eq!(
        ask(&app, &alice, ("PUT", &one), r#"{"order":0.25}"#)
            .await
            .0,
        200
    );
    assert_eq!(ask(&app, &alice, ("PUT", &two), "").await.0, 200);
    let both = json!({"tags": {"m.favourite": {"order": 0.25}, "u.work": {}}});
    assert_eq!(
        ask(&app, &alice, ("GET", &tags), "").await,
        (200, both.clone())
    );
    let (_, synced) = ask(&app, &alice, ("GET", "sync"), "").await;
    let events = &synced["rooms"]["join"][&room]["account_data"]["events"];
    let of_type = |event: &&Value| event["type"] == "m.tag";
    let event = events.as_array().unwrap().iter().find(of_type).unwrap();
    assert_eq!(event["content"], both);
    for _ in 0..2 {
        assert_eq!(ask(&app, &alice, ("DELETE", &one), "").await.0, 200);
    }
    let left = json!({"tags": {"u.work": {}}});
    assert_eq!(ask(&app, &alice, ("GET", &tags), "").await, (200, left));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_055_impossible_tags_are_refused() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let tags = format!("user/{}/rooms/{room}/tags", alice.user_id);
    let long = format!("{tags}/{}", "t".repeat(256));
    let plain = format!("{tags}/u.a");
    let invalid = expect(400, "M_INVALID_PARAM");
    for (path, body) in [
        (&long, "{}"),
        (&plain, r#"{"order":5}"#),
        (&plain, r#"{"order":-1}"#),
    ] {
        assert_eq!(
            refused(&app, &alice, ("PUT", path), body).await,
            invalid,
            "{body}"
        );
    }
    let told = refused(&app, &alice, ("PUT", &plain), r#"{"order":"x"}"#).await;
    assert_eq!(told, expect(400, "M_BAD_JSON"));
    for (method, path) in [("GET", &tags), ("PUT", &plain), ("DELETE", &plain)] {
        let told = refused(&app, &bob, (method, path), "{}").await;
        assert_eq!(told, expect(403, "M_FORBIDDEN"), "{method}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reports_are_kept_once_each() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let path = format!("rooms/{room}/send/m.room.message/1");
    let (_, sent) = ask(&app, &alice, ("PUT", &path), "{}").await;
    let event = format!("rooms/{room}/report/{}", sent["event_id"].as_str().unwrap());
    let whole = format!("rooms/{room}/report");
    let user = format!("users/{}/report", bob.user_id);
    for reason in ["spam", "worse"] {
        for path in [&event, &whole, &user] {
            let body = json!({"reason": reason}).to_string();
            assert_eq!(
                ask(&app, &alice, ("POST", path), &body).await,
                (200, json!({}))
            );
        }
        app.env.clock.sleep(Duration::from_secs(5)).await;
    }
    // Five at once, and no more.
    let body = json!({"reason": "worse"}).to_string();
    for status in [200, 200, 200, 200, 200, 429] {
        assert_eq!(ask(&app, &alice, ("POST", &user), &body).await.0, status);
    }
    let kept = app.users.reports_by(&alice.user_id).await.unwrap();
    let reasons: Vec<_> = kept.iter().map(|report| &*report.reason).collect();
    assert_eq!(reasons, ["worse"; 3]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_057_reports_of_what_one_cannot_see_and_long_reasons_are_refused() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let path = format!("rooms/{room}/send/m.room.message/1");
    let (_, sent) = ask(&app, &alice, ("PUT", &path), "{}").await;
    let event = format!("rooms/{room}/report/{}", sent["event_id"].as_str().unwrap());
    let body = json!({"reason": "x".repeat(2_001)}).to_string();
    let told = refused(&app, &alice, ("POST", &event), &body).await;
    assert_eq!(told, expect(400, "M_INVALID_PARAM"));
    let body = json!({"reason": "x".repeat(2_000)}).to_string();
    assert_eq!(ask(&app, &alice, ("POST", &event), &body).await.0, 200);
    let unknown = "rooms/!none:hs1/report";
    for path in [&*event, unknown, "users/@nobody:hs1/report"] {
        let told = refused(&app, &bob, ("POST", path), r#"{"reason":""}"#).await;
        assert_eq!(told, expect(404, "M_NOT_FOUND"), "{path}");
    }
    assert!(app.users.reports_by(&bob.user_id).await.unwrap().is_empty());
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_for_other_services_vouches_for_its_user_alone() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let path = format!("user/{}/openid/request_token", alice.user_id);
    let (status, told) = ask(&app, &alice, ("POST", &path), "{}").await;
    assert_eq!(status, 200);
    assert_eq!(
        (&told["token_type"], &told["matrix_server_name"]),
        (&json!("Bearer"), &json!("hs1"))
    );
    assert_eq!(told["expires_in"], 3_600);
    let whose = app
        .users
        .openid_user(told["access_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(whose, Some(alice.user_id.clone()));
    let told = refused(&app, &bob, ("POST", &path), "{}").await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_configured_is_told_as_clients_expect() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    assert_eq!(
        ask(&app, &alice, ("GET", "voip/turnServer"), "").await,
        (200, json!({}))
    );
    assert_eq!(
        ask(&app, &alice, ("GET", "thirdparty/protocols"), "").await,
        (200, json!({}))
    );
    for path in [
        "thirdparty/protocol/irc",
        "thirdparty/location/irc",
        "thirdparty/user/irc",
        "thirdparty/location?alias=%23a:hs1",
        "thirdparty/user?userid=@a:hs1",
    ] {
        let told = refused(&app, &alice, ("GET", path), "").await;
        assert_eq!(told, expect(404, "M_NOT_FOUND"), "{path}");
    }
    for path in ["client", "server", "support"] {
        let path = format!("/.well-known/matrix/{path}");
        let told = app.raw(("GET", &path), None, "").await;
        assert_eq!(told, expect(404, "M_NOT_FOUND"), "{path}");
    }
}
