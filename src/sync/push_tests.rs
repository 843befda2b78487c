//! Pushes to a gateway that answers, fails, or rejects.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry_data::{
    BoxFuture, Commit, Engine, InviteRow, Membership,
    pusher::{PusherKey, PusherRow, pushers, put_pusher},
    put_invite,
};
use belfry_event::{Inbound, RoomRules};
use belfry_policy::{Account, MEMBER, Rules, Standing};
use belfry_room::{ReadMark, ReceiptKind};
use ruma_common::{EventId, RoomId, RoomVersionId, UserId, room_id};
use serde_json::{Value, json};

use crate::fixture::{START_MS, Server, alice, bob, carol};
use crate::push::{Gateway, GatewayError, PUSH_AGE_MAX, REFUSALS_MAX};

const URL: &str = "https://push.example/_matrix/push/v1/notify";
const SILENT: &str = "https://silent.example/_matrix/push/v1/notify";

type Answer = Result<Vec<String>, GatewayError>;

/// Answers each request with the next of these, and rejects nothing once they are used up. Never
/// answers for [`SILENT`].
#[derive(Default)]
struct Fake {
    answers: Mutex<Vec<Answer>>,
    got: Mutex<Vec<Value>>,
}

impl Gateway for Fake {
    fn notify<'a>(&'a self, url: &'a str, body: String) -> BoxFuture<'a, Answer> {
        let body = serde_json::from_str(&body).unwrap();
        self.got.lock().unwrap().push(body);
        if url == SILENT {
            return Box::pin(std::future::pending());
        }
        assert_eq!(url, URL);
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async { answer.unwrap_or(Ok(Vec::new())) })
    }
}

impl Fake {
    fn got(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap().clone();
        got.into_iter()
            .map(|mut body| body["notification"].take())
            .collect()
    }

    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        *self.answers.lock().unwrap() = answers;
    }
}

fn unreachable() -> Answer {
    Err(GatewayError::Unreachable("503".to_owned()))
}

fn refused() -> Answer {
    Err(GatewayError::Refused("400".to_owned()))
}

async fn set(server: &Server, user: &UserId, pusher: &Value) {
    let key = PusherKey {
        app_id: "app".to_owned(),
        pushkey: "key".to_owned(),
    };
    let row = PusherRow {
        json: pusher.to_string().into(),
        device: "PHONE".into(),
        set_ts: START_MS,
    };
    let mut commit = Commit::synced();
    put_pusher(&mut commit, user, &key, &row, true);
    server.engine.commit(commit).await.unwrap();
}

async fn add_pusher(server: &Server, format: &str) {
    let pusher = json!({"kind": "http", "data": {"url": URL, "format": format}});
    set(server, bob(), &pusher).await;
}

/// Bob reads up to this event.
async fn read(server: &Server, room: &RoomId, event: &EventId) {
    let account = Account {
        id: bob(),
        role: MEMBER,
        standing: Standing::Active,
    };
    let mark = ReadMark {
        kind: ReceiptKind::Private,
        event_id: event,
        thread: None,
    };
    let rules = Rules::default();
    let marked = server.rooms.read_as(&rules, account, room, mark);
    marked.await.unwrap();
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
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 1, "{got:?}");
    let told = &got[0];
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
    gateway.answer([unreachable(), unreachable()]);
    server.views.push_by(gateway.clone());
    server.say(&room, alice(), "hello").await;
    settle(&server, Duration::from_secs(5)).await;
    assert_eq!(gateway.got().len(), 1);
    settle(&server, Duration::from_secs(10)).await;
    assert_eq!(gateway.got().len(), 2);
    settle(&server, Duration::from_mins(1)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 3, "then it answers");
    assert_eq!(got[2]["content"]["body"], "hello");
    let server = server.restart().await;
    let fresh = Arc::new(Fake::default());
    server.views.push_by(fresh.clone());
    settle(&server, Duration::from_secs(3)).await;
    assert!(fresh.got().is_empty(), "it is done");
    server.say(&room, alice(), "again").await;
    settle(&server, Duration::from_secs(3)).await;
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
    gateway.answer([Ok(vec!["key".to_owned()])]);
    server.views.push_by(gateway.clone());
    server.say(&room, alice(), "one").await;
    settle(&server, Duration::from_secs(3)).await;
    server.say(&room, alice(), "two").await;
    settle(&server, Duration::from_secs(3)).await;
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
    settle(&server, Duration::from_secs(3)).await;
    assert!(gateway.got().is_empty(), "{:?}", gateway.got());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gateway_that_says_nothing_holds_up_nobody_else() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let silent = json!({"kind": "http", "data": {"url": SILENT}});
    set(&server, alice(), &silent).await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.join(&room, carol()).await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    for text in ["one", "two"] {
        server.say(&room, carol(), text).await;
    }
    settle(&server, Duration::from_secs(3)).await;
    let of_bob = gateway.got().into_iter();
    let of_bob = of_bob.filter(|told| told["devices"][0]["data"]["format"] == "event_id_only");
    assert_eq!(of_bob.count(), 2, "{:?}", gateway.got());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn badge_counts_all_rooms_and_falls_when_something_is_read() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let rooms = [server.room().await, server.room().await];
    for room in &rooms {
        server.join(room, bob()).await;
    }
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let first = server.say(&rooms[0], alice(), "one").await;
    settle(&server, Duration::from_secs(3)).await;
    let second = server.say(&rooms[1], alice(), "two").await;
    settle(&server, Duration::from_secs(3)).await;
    read(&server, &rooms[0], &first).await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    let counts: Vec<_> = got.iter().map(|told| &told["counts"]["unread"]).collect();
    assert_eq!(counts, [1, 2, 1]);
    assert!(got[2]["event_id"].is_null(), "the badge alone");
    assert_eq!(got[2]["devices"][0]["pushkey"], "key");
    server.redact(&rooms[1], alice(), &second).await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 4, "{got:?}");
    assert_eq!(got[3]["counts"]["unread"], 0, "told, so that it goes");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn badge_that_fell_while_the_server_was_stopped_is_told_at_start() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let event = server.say(&room, alice(), "one").await;
    settle(&server, Duration::from_secs(3)).await;
    gateway.answer([unreachable()]);
    read(&server, &room, &event).await;
    settle(&server, Duration::from_secs(3)).await;
    assert_eq!(gateway.got().len(), 2);
    let server = server.restart().await;
    let fresh = Arc::new(Fake::default());
    server.views.push_by(fresh.clone());
    settle(&server, Duration::from_secs(3)).await;
    let counts: Vec<_> = fresh
        .got()
        .iter()
        .map(|told| told["counts"].clone())
        .collect();
    assert_eq!(counts, [json!({"unread": 0})]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_that_counts_for_itself_is_told_no_badge() {
    let server = Server::new();
    let pusher = json!({
        "kind": "http", "data": {"url": URL, "format": "event_id_only"},
        "org.matrix.msc4076.disable_badge_count": true,
    });
    set(&server, bob(), &pusher).await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let event = server.say(&room, alice(), "one").await;
    settle(&server, Duration::from_secs(3)).await;
    read(&server, &room, &event).await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(got[0]["counts"].is_null());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn push_that_is_refused_again_and_again_is_given_up_and_the_next_comes() {
    let server = Server::new();
    add_pusher(&server, "event_id_only").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    gateway.answer((0..REFUSALS_MAX).map(|_| refused()));
    server.views.push_by(gateway.clone());
    let one = server.say(&room, alice(), "one").await;
    let two = server.say(&room, alice(), "two").await;
    settle(&server, Duration::from_mins(5)).await;
    let got = gateway.got().into_iter();
    let events: Vec<_> = got.map(|told| told["event_id"].clone()).collect();
    assert_eq!(events, [json!(one), json!(one), json!(one), json!(two)]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whole_push_says_what_a_notification_shows() {
    let server = Server::new();
    add_pusher(&server, "full").await;
    let room = server.room().await;
    server.name(&room, "Council").await;
    server.join(&room, bob()).await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let content = json!({
        "msgtype": "m.text", "body": "bob: hello", "m.mentions": {"user_ids": [bob()]},
    });
    server
        .send(&room, alice(), "m.room.message", &content)
        .await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    let told = &got[0];
    assert_eq!(told["room_name"], "Council");
    assert_eq!(told["sender"], alice().as_str());
    assert_eq!(told["type"], "m.room.message");
    assert_eq!(told["content"]["body"], "bob: hello");
    assert_eq!(told["user_is_target"], false);
    assert_eq!(told["prio"], "high");
    assert_eq!(told["devices"][0]["pushkey_ts"], START_MS / 1_000);
    let tweaks = &told["devices"][0]["tweaks"];
    assert_eq!(tweaks["highlight"], true);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_028_nothing_is_pushed_of_a_room_that_was_left() {
    let server = Server::new();
    add_pusher(&server, "full").await;
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.say(&room, alice(), "one").await;
    server.leave(&room, bob()).await;
    server.say(&room, alice(), "two").await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    settle(&server, Duration::from_secs(3)).await;
    assert!(gateway.got().is_empty(), "{:?}", gateway.got());
    server.stop().await;
}

/// Another server tells of Bob's membership of a room that nobody here is in.
async fn hear(server: &Server, membership: Membership) -> String {
    let room = room_id!("!far:far.example");
    let event = json!({
        "type": "m.room.member",
        "room_id": room,
        "sender": "@eve:far.example",
        "state_key": bob(),
        "content": {"membership": membership.name()},
        "origin_server_ts": START_MS,
        "depth": 7,
        "auth_events": ["$wWcj_zdZ1Sa0zv9X3l3lUF9Y1ipqFBvoPVr56N7ps3s"],
        "prev_events": ["$wWcj_zdZ1Sa0zv9X3l3lUF9Y1ipqFBvoPVr56N7ps3s"],
        "hashes": {"sha256": "uwYnVGxDNWaGfwIBCP8OVcdqKzG+CFdi1u6kHc3sLnI"},
        "signatures": {"far.example": {"ed25519:1": "c2lnbmVk"}},
    });
    let event = event.to_string();
    let rules = RoomRules::new(&RoomVersionId::V11).unwrap();
    let inbound = Inbound::parse(rules, event.as_bytes()).unwrap();
    let own = inbound.unverified();
    let state = |kind: &str, key: &str, content: Value| {
        let event = json!({
            "type": kind, "state_key": key, "sender": "@eve:far.example", "content": content,
        });
        event.to_string().into()
    };
    let row = InviteRow {
        room_version: "11".into(),
        event: event.as_str().into(),
        state: vec![
            state("m.room.name", "", json!({"name": "Far"})),
            state(
                "m.room.member",
                "@eve:far.example",
                json!({"displayname": "Eve"}),
            ),
        ],
    };
    let mut commit = Commit::synced();
    put_invite(&mut commit, bob(), room, membership, own.hash(), &row);
    server.engine.commit(commit).await.unwrap();
    own.event_id().to_string()
}

#[tokio::test(start_paused = true)]
async fn invitation_from_another_server_notifies_until_it_is_declined() {
    let server = Server::new();
    add_pusher(&server, "full").await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    let event = hear(&server, Membership::Invite).await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 1, "{got:?}");
    let told = &got[0];
    assert_eq!(told["event_id"], event);
    assert_eq!(told["room_id"], "!far:far.example");
    assert_eq!(
        (&told["prio"], &told["counts"]["unread"]),
        (&json!("high"), &json!(1))
    );
    assert_eq!(told["content"]["membership"], "invite");
    assert_eq!(told["user_is_target"], true);
    assert_eq!(told["room_name"], "Far");
    assert_eq!(told["sender_display_name"], "Eve");
    hear(&server, Membership::Leave).await;
    settle(&server, Duration::from_secs(3)).await;
    let got = gateway.got();
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(got[1]["counts"]["unread"], 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invitation_from_somebody_ignored_notifies_nobody() {
    let server = Server::new();
    add_pusher(&server, "full").await;
    let ignored = json!({"ignored_users": {"@eve:far.example": {}}});
    server
        .set_account_data(bob(), "", "m.ignored_user_list", &ignored)
        .await;
    let gateway = Arc::new(Fake::default());
    server.views.push_by(gateway.clone());
    hear(&server, Membership::Invite).await;
    settle(&server, Duration::from_secs(3)).await;
    assert!(gateway.got().is_empty());
    server.stop().await;
}
