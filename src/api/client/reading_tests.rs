//! Reading rooms through the router: what a client that has just signed in does.

use std::time::Duration;

use ruma_client_api::{
    context::get_context::v3 as context,
    membership::{
        get_member_events::v3 as members, join_room_by_id::v3 as join,
        joined_members::v3 as joined_members,
    },
    message::get_message_events::v3 as messages,
    room::{
        create_room::v3::{self as create, RoomPreset},
        get_room_event::v3 as event,
    },
    state::{get_state_event_for_key::v3 as state_event, get_state_events::v3 as state},
    sync::sync_events::v3 as sync,
};
use ruma_common::{OwnedEventId, OwnedRoomId};
use ruma_events::StateEventType;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, code, expect};

async fn room(app: &TestApp, creator: &Person) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(RoomPreset::PublicChat);
    request.name = Some("Council".to_owned());
    let made = app.send(Some(&creator.token), request).await;
    made.unwrap().room_id
}

async fn say(app: &TestApp, person: &Person, room: &OwnedRoomId, body: &str) -> OwnedEventId {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{body}");
    let content = json!({"msgtype": "m.text", "body": body}).to_string();
    let peer = "192.0.2.1:9";
    let sent = app.raw_from(peer, ("PUT", &path), Some(&person.token), content);
    let id = sent.await.1["event_id"].as_str().unwrap().to_owned();
    id.try_into().unwrap()
}

async fn look(app: &TestApp, person: &Person, since: Option<String>) -> sync::Response {
    let mut request = sync::Request::new();
    request.since = since;
    request.timeout = Some(Duration::from_secs(30));
    app.send(Some(&person.token), request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_sync_tells_the_room_and_then_what_is_new() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let join = join::Request::new(room.clone());
    app.send(Some(&bob.token), join).await.unwrap();
    let first = look(&app, &bob, None).await;
    assert!(!first.rooms.join[&room].timeline.events.is_empty());
    let (second, sent) = tokio::join!(
        look(&app, &bob, Some(first.next_batch)),
        say(&app, &alice, &room, "news"),
    );
    let news: Vec<Value> = second.rooms.join[&room]
        .timeline
        .events
        .iter()
        .map(|event| serde_json::from_str(event.json().get()).unwrap())
        .collect();
    assert_eq!(news.len(), 1);
    assert_eq!(news[0]["event_id"], sent.as_str());
    assert_eq!(news[0]["content"]["body"], "news");
    let third = look(&app, &bob, Some(second.next_batch)).await;
    assert!(third.rooms.join.is_empty(), "nothing new within 30 seconds");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn history_is_read_in_pages_and_around_an_event() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice).await;
    let mut sent = Vec::new();
    for body in ["1", "2", "3", "4"] {
        sent.push(say(&app, &alice, &room, body).await);
    }
    let page = messages::Request::backward(room.clone());
    let page = app.send(Some(&alice.token), page).await.unwrap();
    let newest: Value = serde_json::from_str(page.chunk[0].json().get()).unwrap();
    assert_eq!(newest["event_id"], sent[3].as_str());
    let around = context::Request::new(room.clone(), sent[1].clone());
    let around = app.send(Some(&alice.token), around).await.unwrap();
    let before: Value = serde_json::from_str(around.events_before[0].json().get()).unwrap();
    let after: Value = serde_json::from_str(around.events_after[0].json().get()).unwrap();
    assert_eq!(before["event_id"], sent[0].as_str());
    assert_eq!(after["event_id"], sent[2].as_str());
    let one = event::Request::new(room.clone(), sent[0].clone());
    app.send(Some(&alice.token), one).await.unwrap();
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_and_members_are_for_members() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let all = app
        .send(Some(&alice.token), state::Request::new(room.clone()))
        .await;
    assert!(all.unwrap().room_state.len() >= 6);
    let name = || {
        let kind = StateEventType::RoomName;
        state_event::Request::new(room.clone(), kind, String::new())
    };
    let found = app.send(Some(&alice.token), name()).await.unwrap();
    let found: Value = serde_json::from_str(found.event_or_content.get()).unwrap();
    assert_eq!(found, json!({"name": "Council"}));
    let listed = app
        .send(Some(&alice.token), members::Request::new(room.clone()))
        .await;
    assert_eq!(listed.unwrap().chunk.len(), 1);
    let joined = joined_members::Request::new(room.clone());
    let joined = app.send(Some(&alice.token), joined).await.unwrap();
    assert!(joined.joined.contains_key(&alice.user_id));
    let refused = app.send(Some(&bob.token), name()).await.unwrap_err();
    assert_eq!(code(&refused), expect(403, "M_FORBIDDEN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_has_the_codes_of_the_spec() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice).await;
    let of = |rest: &str| format!("/_matrix/client/v3/rooms/{room}/{rest}");
    let rows = [
        (
            "/_matrix/client/v3/sync?since=banana".to_owned(),
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "/_matrix/client/v3/sync?filter=77".to_owned(),
            expect(400, "M_INVALID_PARAM"),
        ),
        (of("messages?dir=x"), expect(400, "M_INVALID_PARAM")),
        (
            of("messages?dir=b&from=banana"),
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            of("members?membership=banana"),
            expect(400, "M_INVALID_PARAM"),
        ),
        (of("state/m.room.topic"), expect(404, "M_NOT_FOUND")),
        (of("event/$nothing"), expect(404, "M_NOT_FOUND")),
        (
            "/_matrix/client/v3/rooms/!nowhere:hs1/state".to_owned(),
            expect(403, "M_FORBIDDEN"),
        ),
    ];
    for (path, expected) in rows {
        let answer = app.raw(("GET", &path), Some(&alice.token), "").await;
        assert_eq!(answer, expected, "{path}");
    }
    app.stop().await;
}
