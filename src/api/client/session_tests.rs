//! Signing in and out through the router.

use std::time::Duration;

use http::header;
use ruma_client_api::{
    account::whoami::v3 as whoami,
    session::{
        get_login_types::v3 as login_types, login::v3 as login, logout::v3 as logout,
        logout_all::v3 as logout_all, refresh_token::v3 as refresh,
    },
    uiaa::{MatrixUserIdentifier, UserIdentifier},
};
use ruma_common::api::error::ErrorKind;
use serde_json::json;

use crate::fixture::{TestApp, code, expect};

const LOGIN: (&str, &str) = ("POST", "/_matrix/client/v3/login");
const WHOAMI: (&str, &str) = ("GET", "/_matrix/client/v3/account/whoami");

fn with_password(name: &str, password: &str) -> login::Request {
    let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(name.to_owned()));
    let password = login::Password::new(identifier, password.to_owned());
    login::Request::new(login::LoginInfo::Password(password))
}

fn body(name: &str, password: &str) -> String {
    let identifier = json!({"type": "m.id.user", "user": name});
    json!({"type": "m.login.password", "identifier": identifier, "password": password}).to_string()
}

#[tokio::test(start_paused = true)]
async fn somebody_signs_in_and_out() {
    let app = TestApp::new();
    app.person("alice").await;
    let types = app.send(None, login_types::Request::new()).await.unwrap();
    assert_eq!(types.flows[0].login_type(), "m.login.password");
    let mut request = with_password("alice", "wordpass");
    request.device_id = Some("PHONE".into());
    let answer = app.send(None, request).await.unwrap();
    assert_eq!(
        (answer.user_id.as_str(), answer.device_id.as_str()),
        ("@alice:hs1", "PHONE")
    );
    assert_eq!(answer.refresh_token, None);
    let token = Some(&*answer.access_token);
    app.send(token, whoami::Request::new()).await.unwrap();
    app.send(token, logout::Request::new()).await.unwrap();
    let error = app.send(token, whoami::Request::new()).await.unwrap_err();
    assert_eq!(code(&error), expect(401, "M_UNKNOWN_TOKEN"));
}

#[tokio::test(start_paused = true)]
async fn old_clients_name_the_user_without_an_identifier() {
    let app = TestApp::new();
    app.person("alice").await;
    let body = json!({"type": "m.login.password", "user": "alice", "password": "wordpass"});
    assert_eq!(app.raw(LOGIN, None, body.to_string()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn signing_out_everywhere() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let other = app
        .send(None, with_password("alice", "wordpass"))
        .await
        .unwrap();
    app.send(Some(&alice.token), logout_all::Request::new())
        .await
        .unwrap();
    assert_eq!(app.raw(WHOAMI, Some(&other.access_token), "").await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn auth_002_garbage_is_an_unknown_token() {
    let app = TestApp::new();
    let error = app
        .send(Some("garbage"), whoami::Request::new())
        .await
        .unwrap_err();
    match error.error_kind() {
        Some(ErrorKind::UnknownToken(data)) => assert!(!data.soft_logout),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn auth_003_expired_token_is_refreshed() {
    let app = TestApp::new();
    app.person("alice").await;
    let mut request = with_password("alice", "wordpass");
    request.refresh_token = true;
    let session = app.send(None, request).await.unwrap();
    app.env.clock.sleep(session.expires_in.unwrap()).await;
    let error = app
        .send(Some(&session.access_token), whoami::Request::new())
        .await
        .unwrap_err();
    match error.error_kind() {
        Some(ErrorKind::UnknownToken(data)) => assert!(data.soft_logout),
        other => panic!("{other:?}"),
    }
    let token = session.refresh_token.unwrap();
    let fresh = app
        .send(None, refresh::Request::new(token.clone()))
        .await
        .unwrap();
    assert!(fresh.refresh_token.is_some() && fresh.expires_in_ms.is_some());
    app.send(Some(&fresh.access_token), whoami::Request::new())
        .await
        .unwrap();
    let error = app
        .send(None, refresh::Request::new(token))
        .await
        .unwrap_err();
    assert_eq!(code(&error), expect(401, "M_UNKNOWN_TOKEN"));
}

#[tokio::test(start_paused = true)]
async fn auth_005_token_in_the_query_works_and_is_not_logged() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = format!("{}?access_token={}", WHOAMI.1, alice.token);
    assert_eq!(app.raw(("GET", &path), None, "").await.0, 200);
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 200);
    assert_eq!(app.raw(LOGIN, None, body("alice", "wordpass")).await.0, 200);
    let logged = app.logged();
    assert!(
        logged.contains("/_matrix/client/v3/account/whoami"),
        "{logged}"
    );
    for secret in [&*alice.token, "access_token", "wordpass"] {
        assert!(!logged.contains(secret), "{logged}");
    }
}

#[tokio::test(start_paused = true)]
async fn auth_011_and_012_wrong_password_and_unknown_user_get_one_answer() {
    let app = TestApp::new();
    app.person("alice").await;
    let mut answers = Vec::new();
    for name in ["alice", "nobody", "@alice:hs2", "Ünï"] {
        let (status, json, _) = app
            .raw_from("192.0.2.9:1", LOGIN, None, body(name, "wrong one"))
            .await;
        answers.push((status, json));
    }
    assert_eq!(answers[0].0, 403);
    assert_eq!(answers[0].1["errcode"], "M_FORBIDDEN");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test(start_paused = true)]
async fn auth_013_huge_password_is_not_hashed() {
    let app = TestApp::new();
    app.person("alice").await;
    let huge = body("alice", &"x".repeat(1 << 20));
    assert_eq!(
        app.raw(LOGIN, None, huge).await,
        expect(400, "M_INVALID_PARAM")
    );
}

#[tokio::test(start_paused = true)]
async fn auth_014_sixth_sign_in_in_a_row_has_to_wait() {
    let app = TestApp::new();
    app.person("alice").await;
    for _ in 0..5 {
        assert_eq!(app.raw(LOGIN, None, body("alice", "wordpass")).await.0, 200);
    }
    let (status, json, headers) = app
        .raw_from("192.0.2.1:1", LOGIN, None, body("alice", "wordpass"))
        .await;
    assert_eq!(
        (status.as_u16(), json["errcode"].as_str()),
        (429, Some("M_LIMIT_EXCEEDED"))
    );
    let wait: u64 = headers[header::RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(json["retry_after_ms"], wait * 1000);
    app.env.clock.sleep(Duration::from_secs(wait)).await;
    assert_eq!(app.raw(LOGIN, None, body("alice", "wordpass")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn network_that_guesses_has_to_wait_whatever_the_header_says() {
    let app = TestApp::new();
    for guess in 0..5 {
        let name = format!("user{guess}");
        assert_eq!(app.raw(LOGIN, None, body(&name, "wrong one")).await.0, 403);
    }
    assert_eq!(
        app.raw(LOGIN, None, body("user6", "wrong one")).await.0,
        429
    );
    let (elsewhere, _, _) = app
        .raw_from("192.0.2.77:1", LOGIN, None, body("user6", "wrong one"))
        .await;
    assert_eq!(elsewhere, 403);
}

#[tokio::test(start_paused = true)]
async fn town_hall_behind_one_address_is_not_locked_out() {
    let app = TestApp::new();
    for number in 0..50 {
        let name = format!("agent{number}");
        app.person(&name).await;
        assert_eq!(app.raw(LOGIN, None, body(&name, "wordpass")).await.0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn auth_015_account_is_guarded_against_guesses_from_everywhere() {
    let app = TestApp::new();
    app.person("alice").await;
    let mut refused = 0;
    for guess in 0..200 {
        let peer = format!("198.51.{guess}.1:1");
        let (status, _, _) = app
            .raw_from(&peer, LOGIN, None, body("alice", "wrong one"))
            .await;
        refused += usize::from(status == 429);
    }
    assert_eq!(refused, 197);
}

#[tokio::test(start_paused = true)]
async fn auth_016_and_019_other_ways_to_sign_in() {
    let app = TestApp::new();
    for (body, answer) in [
        (
            r#"{"type":"m.login.doesnotexist"}"#,
            expect(400, "M_UNKNOWN"),
        ),
        (
            r#"{"type":"m.login.token","token":"old"}"#,
            expect(403, "M_FORBIDDEN"),
        ),
        (
            r#"{"type":"m.login.application_service"}"#,
            expect(403, "M_FORBIDDEN"),
        ),
    ] {
        assert_eq!(app.raw(LOGIN, None, body).await, answer, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_004_and_malformed_sign_ins() {
    let app = TestApp::new();
    for (body, errcode) in [
        ("", "M_NOT_JSON"),
        ("{", "M_NOT_JSON"),
        ("[]", "M_BAD_JSON"),
        ("{}", "M_BAD_JSON"),
        (r#"{"type":1}"#, "M_BAD_JSON"),
        (r#"{"type":"m.login.password"}"#, "M_BAD_JSON"),
        (r#"{"type":"m.login.password","password":1}"#, "M_BAD_JSON"),
    ] {
        assert_eq!(
            app.raw(LOGIN, None, body).await,
            expect(400, errcode),
            "{body}"
        );
    }
    let by_mail = json!({
        "type": "m.login.password", "password": "wordpass",
        "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "a@b"},
    });
    let answer = app.raw(LOGIN, None, by_mail.to_string()).await;
    assert_eq!(answer, expect(403, "M_FORBIDDEN"));
}
