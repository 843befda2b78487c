//! Registration by a shared secret, as administrators' tools use it.

use belfry_user::{NONCE_LIFE, SharedSecret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use ruma_client_api::account::whoami::v3 as whoami;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::fixture::TestApp;

const PATH: &str = "/_synapse/admin/v1/register";
const PEER: &str = "192.0.2.7:9";

fn app() -> TestApp {
    TestApp::with_shared_secret(SharedSecret::new("complement"))
}

fn wanted(nonce: &Value, username: &str) -> Value {
    let nonce = nonce["nonce"].as_str().unwrap();
    let mut mac = Hmac::<Sha1>::new_from_slice(b"complement").unwrap();
    mac.update(format!("{nonce}\0{username}\0wordpass\0admin").as_bytes());
    let mac = mac.finalize().into_bytes();
    let mac = mac
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    json!({"nonce": nonce, "username": username, "password": "wordpass", "admin": true,
           "displayname": "Ada", "mac": mac})
}

async fn ask(app: &TestApp, method: &str, body: &Value) -> (StatusCode, Value) {
    let (status, answer, _) = app
        .raw_from(PEER, (method, PATH), None, body.to_string())
        .await;
    (status, answer)
}

#[tokio::test(start_paused = true)]
async fn a_proof_becomes_an_account_whose_token_works() {
    let app = app();
    let (status, nonce) = ask(&app, "GET", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, made) = ask(&app, "POST", &wanted(&nonce, "ada")).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(
        (&made["user_id"], &made["home_server"]),
        (&json!("@ada:hs1"), &json!("hs1"))
    );
    let answer = app
        .send(made["access_token"].as_str(), whoami::Request::new())
        .await
        .unwrap();
    assert_eq!(
        answer.device_id.unwrap().as_str(),
        made["device_id"].as_str().unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_has_its_code() {
    let app = app();
    let (_, nonce) = ask(&app, "GET", &json!({})).await;
    let good = wanted(&nonce, "ada");
    let mut wrong = good.clone();
    wrong["mac"] = json!("00");
    let mut unnamed = good.clone();
    unnamed["username"].take();
    for (body, status, errcode) in [
        (unnamed, 400, "M_BAD_JSON"),
        (wrong, 403, "M_FORBIDDEN"),
        (good, 400, "M_UNKNOWN"),
    ] {
        let (answered, answer) = ask(&app, "POST", &body).await;
        assert_eq!(
            (answered.as_u16(), &answer["errcode"]),
            (status, &json!(errcode))
        );
    }
    app.env.clock.sleep(NONCE_LIFE).await;
    let (_, nonce) = ask(&app, "GET", &json!({})).await;
    app.env.clock.sleep(NONCE_LIFE).await;
    let (status, _) = ask(&app, "POST", &wanted(&nonce, "ada")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn tries_are_limited_like_registrations() {
    let app = app();
    let (_, nonce) = ask(&app, "GET", &json!({})).await;
    let mut body = wanted(&nonce, "ada");
    body["mac"] = json!("00");
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(ask(&app, "POST", &body).await.0.as_u16());
    }
    assert_eq!(answers, [403, 400, 400, 429]);
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_there_is_no_such_path() {
    let app = TestApp::new();
    for (method, body) in [("GET", json!({})), ("POST", json!({})), ("POST", json!([]))] {
        let (status, answer) = ask(&app, method, &body).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(answer["errcode"], "M_UNRECOGNIZED");
    }
}
