//! Subscriptions of threads as an extension of sliding sync, and the page of older ones (MSC4308).

use ruma_client_api::room::create_room::v3 as create;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const NAME: &str = "io.element.msc4308.thread_subscriptions";
const PAGE: &str = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions";

async fn call(app: &TestApp, person: &Person, endpoint: (&str, &str), body: &Value) -> Value {
    let asked = app.raw_from(PEER, endpoint, Some(&person.token), body.to_string());
    let (status, answer, _) = asked.await;
    assert_eq!(status, 200, "{endpoint:?}: {answer}");
    answer
}

/// Asks with the extension alone, and goes on from there.
async fn slide(app: &TestApp, person: &Person, body: &mut Value) -> Value {
    let told = call(app, person, ("POST", "/_matrix/client/v4/sync"), body).await;
    body["pos"] = told["pos"].clone();
    told["extensions"][NAME].clone()
}

#[tokio::test(start_paused = true)]
async fn changed_subscriptions_are_told_and_older_ones_by_the_page() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let request = create::Request::new();
    let room = app.send(Some(&alice.token), request).await.unwrap().room_id;
    let mut threads = Vec::new();
    for txn in ["1", "2", "3"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let said = json!({"msgtype": "m.text", "body": txn});
        let said = call(&app, &alice, ("PUT", &path), &said).await;
        let thread = said["event_id"].as_str().unwrap().to_owned();
        let path = format!(
            "/_matrix/client/unstable/io.element.msc4306/rooms/{room}/thread/{thread}/subscription"
        );
        call(&app, &alice, ("PUT", &path), &json!({})).await;
        threads.push((thread, path));
    }
    let mut body = json!({"extensions": {NAME: {"enabled": true, "limit": 2}}});
    let told = slide(&app, &alice, &mut body).await;
    let subscribed = told["subscribed"][room.as_str()].as_object().unwrap();
    assert_eq!(subscribed.len(), 2, "the latest: {told}");
    assert_eq!(subscribed[&threads[2].0]["automatic"], false);
    let from = told["prev_batch"].as_str().unwrap();
    let page = format!("{PAGE}?dir=b&from={from}");
    let older = call(&app, &alice, ("GET", &page), &json!({})).await;
    let older_threads = older["subscribed"][room.as_str()].as_object().unwrap();
    let older_threads: Vec<_> = older_threads.keys().collect();
    assert_eq!(older_threads, [&threads[0].0]);
    assert!(older["end"].is_null(), "{older}");
    assert!(
        slide(&app, &alice, &mut body).await.is_null(),
        "nothing new"
    );
    call(&app, &alice, ("DELETE", &threads[1].1), &json!({})).await;
    let told = slide(&app, &alice, &mut body).await;
    assert!(told["unsubscribed"][room.as_str()][&threads[1].0]["bump_stamp"].is_u64());
    assert!(told["subscribed"].is_null(), "{told}");
    for path in [
        PAGE.to_owned(),
        format!("{PAGE}?dir=f"),
        format!("{PAGE}?dir=b&limit=0"),
    ] {
        let refused = app.raw(("GET", &path), Some(&alice.token), "").await;
        assert_eq!(refused, expect(400, "M_BAD_JSON"), "{path}");
    }
    let path = format!("{PAGE}?dir=b&from=banana");
    let refused = app.raw(("GET", &path), Some(&alice.token), "").await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}
