//! What clients are told when the database does not do as it should.

use belfry_kv::{Fault, Unavailable};
use serde_json::json;

use crate::fixture::TestApp;

const LOGIN: (&str, &str) = ("POST", "/_matrix/client/v3/login");

fn body() -> String {
    json!({"type": "m.login.password", "user": "alice", "password": "wordpass"}).to_string()
}

#[tokio::test(start_paused = true)]
async fn database_that_takes_no_changes_is_a_503_and_an_alarm_without_its_text() {
    let app = TestApp::new();
    app.person("alice").await;
    for fault in [
        Fault::Unavailable(Unavailable::DiskFull),
        Fault::UnknownLost,
        Fault::UnknownApplied,
    ] {
        let injected = fault.clone();
        app.engine.set_faults(move |_| injected.clone());
        let (status, json, _) = app.raw_from("192.0.2.1:1", LOGIN, None, body()).await;
        assert_eq!(
            (status.as_u16(), &json["errcode"]),
            (503, &json!("M_UNKNOWN"))
        );
        assert!(
            json["error"]
                .as_str()
                .is_some_and(|text| text.contains("log")),
            "{json}"
        );
        assert_eq!(app.take_alarms(), 1, "{fault:?}");
    }
    app.engine.set_faults(|_| Fault::None);
    assert_eq!(app.raw(LOGIN, None, body()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn too_much_at_once_is_a_429_and_no_alarm() {
    let app = TestApp::new();
    app.person("alice").await;
    app.engine.set_faults(|_| Fault::Conflict);
    let (status, json, headers) = app.raw_from("192.0.2.1:1", LOGIN, None, body()).await;
    assert_eq!(
        (status.as_u16(), &json["errcode"]),
        (429, &json!("M_LIMIT_EXCEEDED"))
    );
    assert_eq!(headers["retry-after"], "1");
}
