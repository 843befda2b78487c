//! Every endpoint of the route table with paths, tokens and bodies that no client sends: whatever
//! the answer is, it is Matrix's words and not the server's fault.
//!
//! The test app itself fails if a handler panics or logs an error.

use http::Method;
use serde_json::Value;

use crate::{fixture::TestApp, routes::table};

/// What stands in a path where an identifier belongs.
const SEGMENTS: [&str; 9] = [
    "!r:hs1",
    "@alice:hs1",
    "%00",
    "%FF",
    "a%2Fb",
    "..",
    "%F0%9F%A6%80",
    "!:",
    "%21%40%3A%3A",
];

const BODIES: [&str; 14] = [
    "",
    "{",
    "{}",
    "[]",
    "null",
    "\"\\ud800\"",
    "{\"a\":1e999}",
    "{\"auth\":5}",
    "{\"auth\":{}}",
    "{\"auth\":{\"type\":\"m.login.password\"}}",
    "{\"auth\":{\"session\":\"x\",\"type\":\"m.login.dummy\"}}",
    "{\"type\":[],\"user\":{},\"password\":null,\"device_id\":\"\"}",
    "{\"username\":\"\\u0000\",\"devices\":[\"\"],\"displayname\":\"\\u0000\",\"refresh_token\":\"\"}",
    "{\"body\":\"\u{202e}\",\"membership\":\"join\",\"membership\":\"leave\",\"room_version\":\"99\"}",
];

/// The path of a template with `segment` in all its places.
fn path(template: &str, segment: &str) -> String {
    let parts = template.split('/').map(|part| {
        let variable = part.starts_with('{');
        if variable { segment } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// An answer is fine if it is one of success, or an error in Matrix's words that is the caller's.
async fn expect_fine(
    app: &TestApp,
    (method, path): (&Method, &str),
    token: Option<&str>,
    body: String,
) {
    let what = format!("{method} {path:.100} {body:.100}");
    let endpoint = (method.as_str(), path);
    let (status, json, _) = app.raw_from("192.0.2.1:9", endpoint, token, body).await;
    assert!(status.as_u16() < 500, "{status} {what}");
    if status.as_u16() >= 400 {
        let named = json["errcode"]
            .as_str()
            .is_some_and(|code| code.starts_with("M_"));
        let challenge = json["flows"].is_array();
        assert!(named || challenge, "{status} {json} {what}");
    } else {
        assert!(json.is_object() || json == Value::Null, "{json} {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_fails_for_what_it_is_sent() {
    let table = table();
    let long = "x".repeat(2_000);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let wide = format!("{{\"a\":\"{}\"}}", "x".repeat(3 << 20));
    for (method, template) in table.served() {
        let app = TestApp::new();
        let alice = app.person("alice").await;
        for token in [None, Some("garbage"), Some(&*alice.token)] {
            for segment in SEGMENTS.into_iter().chain([&*long]) {
                let path = path(template, segment);
                expect_fine(&app, (method, &path), token, "{}".to_owned()).await;
            }
            let path = path(template, "@alice:hs1");
            for body in BODIES.into_iter().chain([&*deep, &*wide]) {
                expect_fine(&app, (method, &path), token, body.to_owned()).await;
            }
        }
        let bob = app.person("bob").await;
        let whoami = ("GET", "/_matrix/client/v3/account/whoami");
        assert_eq!(app.raw(whoami, Some(&bob.token), "").await.0, 200);
        app.stop().await;
    }
}
