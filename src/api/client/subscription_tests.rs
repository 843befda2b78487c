//! Subscriptions of threads through the router.

use http::Method;
use serde_json::{Value, json};

use super::talk::Talker;
use crate::fixture::TestApp;

async fn ask(talker: &Talker<'_>, method: Method, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = talker.ask(method, path, &body).await;
    let errcode = answer["errcode"].as_str().unwrap_or_default();
    (status, errcode.to_owned())
}

fn code(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_thread_is_subscribed_and_left() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let thread = alice.say(&room, "thread").await;
    let path = format!("v1/rooms/{room}/thread/{thread}/subscription");
    let unstable = format!("unstable/io.element.msc4306/rooms/{room}/thread/{thread}/subscription");
    assert_eq!(alice.refused(&path).await, code(404, "M_NOT_FOUND"));
    alice.put(&path, json!({})).await;
    assert_eq!(alice.get(&unstable).await, json!({"automatic": false}));
    let reply = alice.relate(&room, "m.thread", &thread).await;
    alice.put(&path, json!({"automatic": reply})).await;
    assert_eq!(
        alice.get(&path).await,
        json!({"automatic": false}),
        "it stays the user's own"
    );
    for _ in 0..2 {
        assert_eq!(
            ask(&alice, Method::DELETE, &path, Value::Null).await,
            code(200, "")
        );
    }
    assert_eq!(alice.refused(&path).await, code(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_automatic_subscription_comes_after_its_cause() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let thread = alice.say(&room, "thread").await;
    let first = alice.relate(&room, "m.thread", &thread).await;
    let elsewhere = alice.say(&room, "elsewhere").await;
    let path = format!("v1/rooms/{room}/thread/{thread}/subscription");
    alice.put(&path, json!({"automatic": first})).await;
    assert_eq!(alice.get(&path).await, json!({"automatic": true}));
    for cause in [&elsewhere, &thread] {
        let refused = ask(&alice, Method::PUT, &path, json!({"automatic": cause})).await;
        assert_eq!(refused, code(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"));
    }
    assert_eq!(ask(&alice, Method::DELETE, &path, Value::Null).await.0, 200);
    let late = ask(&alice, Method::PUT, &path, json!({"automatic": first})).await;
    assert_eq!(
        late,
        code(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION")
    );
    let second = alice.relate(&room, "m.thread", &thread).await;
    alice.put(&path, json!({"automatic": second})).await;
    assert_eq!(alice.get(&path).await, json!({"automatic": true}));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn threads_that_one_cannot_see_are_not_there() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("private_chat", json!({})).await;
    let thread = alice.say(&room, "thread").await;
    let path = format!("v1/rooms/{room}/thread/{thread}/subscription");
    for method in [Method::PUT, Method::DELETE, Method::GET] {
        let refused = ask(&bob, method.clone(), &path, json!({})).await;
        assert_eq!(refused, code(404, "M_NOT_FOUND"), "{method}");
    }
    let nowhere = format!("v1/rooms/{room}/thread/$none/subscription");
    let refused = ask(&alice, Method::PUT, &nowhere, json!({})).await;
    assert_eq!(refused, code(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscribed_thread_notifies_and_another_one_does_not() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let (one, other) = (
        alice.say(&room, "one").await,
        alice.say(&room, "other").await,
    );
    let unread = async || {
        let synced = bob.get("v3/sync").await;
        synced["rooms"]["join"][&room]["unread_notifications"]["notification_count"].clone()
    };
    assert_eq!(unread().await, 2);
    alice.relate(&room, "m.thread", &other).await;
    assert_eq!(
        unread().await,
        3,
        "whoever subscribes nothing hears of every thread"
    );
    bob.put(
        &format!("v1/rooms/{room}/thread/{one}/subscription"),
        json!({}),
    )
    .await;
    alice.relate(&room, "m.thread", &other).await;
    assert_eq!(unread().await, 3, "not subscribed");
    alice.relate(&room, "m.thread", &one).await;
    assert_eq!(unread().await, 4, "subscribed");
    alice.say(&room, "in the room").await;
    assert_eq!(unread().await, 5);
    let mention = json!({"msgtype": "m.text", "body": "you",
        "m.mentions": {"user_ids": [bob.id()]},
        "m.relates_to": {"rel_type": "m.thread", "event_id": other}});
    alice.send(&room, "m.room.message", mention).await;
    assert_eq!(
        unread().await,
        6,
        "mentioned in a thread that is not subscribed"
    );
    app.stop().await;
}
