//! Pushes to a gateway that answers, fails, or rejects.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry_data::{
    BoxFuture, Commit, Engine,
    pusher::{PusherKey, PusherRow, pushers, put_pusher},
};
use serde_json::{Value, json};

use crate::fixture::{START_MS, Server, alice, bob};
use crate::push::{Gateway, GatewayError, PUSH_AGE_MAX};

/// Answers each request with the next of these, and rejects nothing once they are used up.
#[derive(Default)]
struct Fake {
    answers: Mutex<Vec<Result<Vec<String>, GatewayError>>>,
    got: Mutex<Vec<Value>>,
}

impl Gateway for Fake {
    fn notify<'a>(
        &'a self,
        url: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<String>, GatewayError>> {
        assert_eq!(url, "https://push.example/_matrix/push/v1/notify");
        self.got
            .lock()
            .unwrap()
            .push(serde_json::from_str(&body).unwrap());
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async { answer.unwrap_or(Ok(Vec::new())) })
    }
}

impl Fake {
    fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap().clone()
    }
}

async fn add_pusher(server: &Server, format: &str) {
    let key = PusherKey {
        app_id: "app".to_owned(),
        pushkey: "key".to_owned(),
    };
    let url = "https://push.example/_matrix/push/v1/notify";
    let json = json!({"kind": "http", "data": {"url": url, "format": format}});
    let row = PusherRow {
        json: json.to_string().into(),
        device: "PHONE".into(),
        set_ts: START_MS,
    };
    let mut commit = Commit::synced();
    put_pusher(&mut commit, bob(), &key, &row);
    server.engine.commit(commit).await.unwrap();
}

async fn settle(server: &Server, span: Duration) {
    server.env.clock.sleep(span).await;
}

#[tokio::test(start_paused = true)]
async fn event_is_pushed_once_with_the_badge() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let event = server.say(&room, alice(), "hello").await;
    settle(&server, Duration::from_secs(1)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 1, "{got:?}");
    let told = &got[0]["notification"];
    assert_eq!(told["event_id"], event.as_str());
    assert_eq!(told["counts"]["unread"], 1);
    assert_eq!(told["devices"][0]["pushkey"], "key");
    assert_eq!(
        told["devices"][0]["data"],
        json!({"format": "event_id_only"})
    );
    assert!(told["content"].is_null());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gateway_that_fails_is_asked_again_later_and_after_a_restart() {
    let server = Server::new();
    add_pusher(&server, "full").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    let failure = || Err(GatewayError("503".to_owned()));
    *gateway.answers.lock().unwrap() = vec![failure(), failure()];
    server.views.push_by(gateway.clone());
    server.say(&room, alice(), "hello").await;
    settle(&server, Duration::from_secs(5)).await;
    assert_eq!(gateway.got().len(), 1);
    settle(&server, Duration::from_secs(10)).await;
    assert_eq!(gateway.got().len(), 2);
    settle(&server, Duration::from_mins(1)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 3, "then it answers");
    assert_eq!(got[2]["notification"]["content"]["body"], "hello");
    let server = server.restart().await;
    let fresh = Arc::new(Fake::default());
    server.views.push_by(fresh.clone());
    settle(&server, Duration::from_secs(1)).await;
    assert!(fresh.got().is_empty(), "it is done");
    server.say(&room, alice(), "again").await;
    settle(&server, Duration::from_secs(1)).await;
    assert_eq!(fresh.got().len(), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rejected_key_is_removed() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    *gateway.answers.lock().unwrap() = vec![Ok(vec!["key".to_owned()])];
    server.views.push_by(gateway.clone());
    server.say(&room, alice(), "one").await;
    settle(&server, Duration::from_secs(1)).await;
    server.say(&room, alice(), "two").await;
    settle(&server, Duration::from_secs(1)).await;
    assert_eq!(gateway.got().len(), 1);
    let snapshot = server.engine.snapshot().await.unwrap();
    assert!(pushers(&*snapshot, bob()).await.unwrap().is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_or_is_old_is_not_pushed() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.say(&room, alice(), "old").await;
    settle(&server, PUSH_AGE_MAX + Duration::from_secs(1)).await;
    server.say(&room, alice(), "read").await;
    server.say(&room, bob(), "I have read that").await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    settle(&server, Duration::from_secs(1)).await;
    assert!(gateway.got().is_empty(), "{:?}", gateway.got());
    server.stop().await;
}
