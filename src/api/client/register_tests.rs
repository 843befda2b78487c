//! Making accounts through the router.

use belfry_policy::MEMBER;
use belfry_user::{Invitation, Registration};
use ruma_client_api::{
    account::{
        check_registration_token_validity::v1 as validity,
        get_username_availability::v3 as available,
        register::{RegistrationKind, v3 as register},
        whoami::v3 as whoami,
    },
    uiaa::{AuthData, AuthType, Dummy, RegistrationToken},
};
use ruma_common::user_id;
use serde_json::json;

use crate::fixture::{TestApp, challenge, code, expect, refusal};

const REGISTER: (&str, &str) = ("POST", "/_matrix/client/v3/register");

fn wanted(name: &str) -> register::Request {
    let mut request = register::Request::new();
    request.username = Some(name.to_owned());
    request.password = Some("wordpass".to_owned());
    request
}

fn dummy(session: Option<String>) -> AuthData {
    let mut dummy = Dummy::new();
    dummy.session = session;
    AuthData::Dummy(dummy)
}

fn with_token(token: &str) -> AuthData {
    AuthData::RegistrationToken(RegistrationToken::new(token.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn somebody_signs_up_and_is_who_they_are() {
    let app = TestApp::new();
    let info = challenge(app.send(None, wanted("alice")).await);
    assert_eq!(info.flows[0].stages, [AuthType::Dummy]);
    assert_eq!(
        info.params.map(|params| params.get().to_owned()).as_deref(),
        Some("{}")
    );
    let mut request = wanted("alice");
    request.auth = Some(dummy(info.session));
    request.refresh_token = true;
    let answer = app.send(None, request).await.unwrap();
    assert_eq!(answer.user_id, "@alice:hs1");
    assert!(answer.refresh_token.is_some() && answer.expires_in.is_some());
    let token = answer.access_token.unwrap();
    let me = app
        .send(Some(&token), whoami::Request::new())
        .await
        .unwrap();
    assert_eq!(me.user_id, answer.user_id);
    assert_eq!(me.device_id, answer.device_id);
}

#[tokio::test(start_paused = true)]
async fn account_without_a_session_has_no_token() {
    let app = TestApp::new();
    let mut request = wanted("alice");
    request.auth = Some(dummy(None));
    request.inhibit_login = true;
    let answer = app.send(None, request).await.unwrap();
    assert_eq!((answer.access_token, answer.device_id), (None, None));
}

#[tokio::test(start_paused = true)]
async fn session_is_good_for_one_account() {
    let app = TestApp::new();
    let session = challenge(app.send(None, wanted("alice")).await).session;
    let mut request = wanted("alice");
    request.auth = Some(dummy(session.clone()));
    app.send(None, request).await.unwrap();
    let mut request = wanted("bob");
    request.auth = Some(dummy(session.clone()));
    assert_ne!(challenge(app.send(None, request).await).session, session);
}

#[tokio::test(start_paused = true)]
async fn auth_030_unknown_and_huge_sessions_begin_anew() {
    let app = TestApp::new();
    for session in ["unknown".to_owned(), "x".repeat(1 << 20)] {
        let mut request = wanted("alice");
        request.auth = Some(dummy(Some(session.clone())));
        let info = challenge(app.send(None, request).await);
        assert_ne!(info.session, Some(session));
    }
}

#[tokio::test(start_paused = true)]
async fn auth_031_032_033_names_that_cannot_be_had() {
    let app = TestApp::new();
    app.person("alice").await;
    let long = "a".repeat(252);
    for name in ["Ünïcode", "a b", "", "_x", &long] {
        let answer = app.send(None, wanted(name)).await;
        assert_eq!(refusal(answer), expect(400, "M_INVALID_USERNAME"), "{name}");
    }
    let answer = app.send(None, wanted("alice")).await;
    assert_eq!(refusal(answer), expect(400, "M_USER_IN_USE"));
}

#[tokio::test(start_paused = true)]
async fn weak_and_huge_passwords_are_refused_before_any_stage() {
    let app = TestApp::new();
    for (password, errcode) in [
        ("short", "M_WEAK_PASSWORD"),
        (&*"x".repeat(513), "M_INVALID_PARAM"),
    ] {
        let mut request = wanted("alice");
        request.password = Some(password.to_owned());
        assert_eq!(refusal(app.send(None, request).await), expect(400, errcode));
    }
}

#[tokio::test(start_paused = true)]
async fn auth_035_nobody_makes_themselves_an_administrator() {
    let app = TestApp::new();
    let body = json!({
        "username": "alice", "password": "wordpass", "admin": true, "role": "admin",
        "auth": {"type": "m.login.dummy"},
    });
    assert_eq!(app.raw(REGISTER, None, body.to_string()).await.0, 200);
    let alice = app.users.account(user_id!("@alice:hs1")).await.unwrap();
    assert_eq!(alice.role, MEMBER);
}

#[tokio::test(start_paused = true)]
async fn auth_036_closed_registration() {
    let app = TestApp::with(Registration::Closed);
    let answer = app.send(None, wanted("alice")).await;
    assert_eq!(refusal(answer), expect(403, "M_FORBIDDEN"));
    let answer = app
        .send(None, available::Request::new("alice".to_owned()))
        .await;
    assert_eq!(code(&answer.unwrap_err()), expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn auth_037_registration_token_is_needed_and_good_once() {
    let app = TestApp::with(Registration::Token);
    let invitation = Invitation {
        uses_allowed: Some(1),
        ..Invitation::default()
    };
    let token = app.users.create_invitation(&invitation).await.unwrap();
    let info = challenge(app.send(None, wanted("alice")).await);
    let stages = [AuthType::RegistrationToken, AuthType::Dummy];
    assert_eq!(info.flows[0].stages, stages);
    for wrong in ["wrong", "é b", &"x".repeat(65)] {
        let mut request = wanted("alice");
        request.auth = Some(with_token(wrong));
        let info = challenge(app.send(None, request).await);
        assert!(info.completed.is_empty() && info.auth_error.is_some());
    }
    let mut request = wanted("alice");
    request.auth = Some(dummy(None));
    let info = challenge(app.send(None, request).await);
    assert_eq!(info.completed, [AuthType::Dummy]);

    let mut request = wanted("alice");
    request.auth = Some(with_token(&token));
    let info = challenge(app.send(None, request).await);
    assert_eq!(info.completed, [AuthType::RegistrationToken]);
    let mut request = wanted("alice");
    request.auth = Some(dummy(info.session));
    app.send(None, request).await.unwrap();
    let mut request = wanted("bob");
    request.auth = Some(with_token(&token));
    let info = challenge(app.send(None, request).await);
    assert!(info.completed.is_empty() && info.auth_error.is_some());
    assert!(app.users.account(user_id!("@bob:hs1")).await.is_err());
    app.env
        .clock
        .sleep(std::time::Duration::from_secs(10))
        .await;
    let answer = app.send(None, validity::Request::new(token)).await;
    assert!(!answer.unwrap().valid);
}

#[tokio::test(start_paused = true)]
async fn guests_and_application_services_are_not_served() {
    let app = TestApp::new();
    let mut request = wanted("alice");
    request.kind = RegistrationKind::Guest;
    let answer = app.send(None, request).await;
    assert_eq!(refusal(answer), expect(403, "M_GUEST_ACCESS_FORBIDDEN"));
    let body = json!({"username": "alice", "type": "m.login.application_service"});
    let answer = app.raw(REGISTER, None, body.to_string()).await;
    assert_eq!(answer, expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn fourth_account_from_one_network_has_to_wait() {
    let app = TestApp::new();
    for name in ["a", "b", "c"] {
        let mut request = wanted(name);
        request.auth = Some(dummy(None));
        app.send(None, request).await.unwrap();
    }
    let mut request = wanted("d");
    request.auth = Some(dummy(None));
    assert_eq!(
        refusal(app.send(None, request).await),
        expect(429, "M_LIMIT_EXCEEDED")
    );
    app.env.clock.sleep(std::time::Duration::from_secs(6)).await;
    let mut request = wanted("d");
    request.auth = Some(dummy(None));
    app.send(None, request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_can_be_asked_for() {
    let app = TestApp::new();
    app.person("alice").await;
    let ask = async |name: &str| {
        app.send(None, available::Request::new(name.to_owned()))
            .await
    };
    assert!(ask("bob").await.unwrap().available);
    assert_eq!(
        code(&ask("alice").await.unwrap_err()),
        expect(400, "M_USER_IN_USE")
    );
    assert_eq!(
        code(&ask("a b").await.unwrap_err()),
        expect(400, "M_INVALID_USERNAME")
    );
}
