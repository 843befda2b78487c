//! Rooms through the router.

use ruma_client_api::{
    membership::{
        ban_user::v3 as ban, invite_user::v3 as invite, join_room_by_id::v3 as join,
        join_room_by_id_or_alias::v3 as join_any, kick_user::v3 as kick, leave_room::v3 as leave,
    },
    redact::redact_event::v3 as redact,
    room::create_room::v3::{self as create, RoomPreset},
};
use ruma_common::{OwnedRoomId, RoomVersionId};
use serde_json::json;

use crate::fixture::{Person, TestApp, code, expect};

async fn room(app: &TestApp, creator: &Person, preset: RoomPreset) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(preset);
    app.send(Some(&creator.token), request)
        .await
        .unwrap()
        .room_id
}

/// Sends a message; status and errcode.
async fn say(app: &TestApp, person: &Person, room: &OwnedRoomId, txn: &str) -> (u16, String) {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
    let body = json!({"msgtype": "m.text", "body": "hello"}).to_string();
    app.raw(("PUT", &path), Some(&person.token), body).await
}

#[tokio::test(start_paused = true)]
async fn two_people_meet_and_talk() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, RoomPreset::PrivateChat).await;
    assert_eq!(
        say(&app, &bob, &room, "1").await,
        expect(403, "M_FORBIDDEN")
    );
    let refused = app
        .send(Some(&bob.token), join::Request::new(room.clone()))
        .await;
    assert_eq!(code(&refused.unwrap_err()), expect(403, "M_FORBIDDEN"));
    let recipient = invite::InviteUserId::new(bob.user_id.clone()).into();
    app.send(
        Some(&alice.token),
        invite::Request::new(room.clone(), recipient),
    )
    .await
    .unwrap();
    let request = join_any::Request::new(room.clone().into());
    assert_eq!(
        app.send(Some(&bob.token), request).await.unwrap().room_id,
        room
    );
    assert_eq!(say(&app, &bob, &room, "1").await, (200, String::new()));
    app.send(Some(&bob.token), leave::Request::new(room.clone()))
        .await
        .unwrap();
    assert_eq!(
        say(&app, &bob, &room, "2").await,
        expect(403, "M_FORBIDDEN")
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sent_twice_is_one_event() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, RoomPreset::PrivateChat).await;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/once");
    let mut ids = Vec::new();
    for body in ["one", "two"] {
        let body = json!({"body": body}).to_string();
        let peer = "192.0.2.1:9";
        let (status, json, _) = app
            .raw_from(peer, ("PUT", &path), Some(&alice.token), body)
            .await;
        assert_eq!(status, 200);
        ids.push(json["event_id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_kicked_may_return_and_the_banned_may_not() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, RoomPreset::PublicChat).await;
    let join = || join::Request::new(room.clone());
    app.send(Some(&bob.token), join()).await.unwrap();
    let kick = kick::Request::new(room.clone(), bob.user_id.clone());
    app.send(Some(&alice.token), kick).await.unwrap();
    app.send(Some(&bob.token), join()).await.unwrap();
    let ban = || ban::Request::new(room.clone(), bob.user_id.clone());
    app.send(Some(&alice.token), ban()).await.unwrap();
    let refused = app.send(Some(&bob.token), join()).await.unwrap_err();
    assert_eq!(code(&refused), expect(403, "M_FORBIDDEN"));
    let refused = app.send(Some(&bob.token), ban()).await.unwrap_err();
    assert_eq!(code(&refused), expect(403, "M_FORBIDDEN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_of_a_version_that_is_not_served_is_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for version in ["1", "banana"] {
        let mut request = create::Request::new();
        request.room_version = Some(RoomVersionId::try_from(version).unwrap());
        let refused = app.send(Some(&alice.token), request).await.unwrap_err();
        assert_eq!(code(&refused), expect(400, "M_UNSUPPORTED_ROOM_VERSION"));
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_rooms_refuse_has_the_codes_of_the_spec() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, RoomPreset::PrivateChat).await;
    let token = Some(alice.token.as_str());
    let put = |rest: &str| format!("/_matrix/client/v3/rooms/{room}/{rest}");
    let large = json!({"body": "x".repeat(66_000)}).to_string();
    let key = "k".repeat(256);
    let rows = [
        (
            put("send/m.x/a"),
            "[]".to_owned(),
            expect(400, "M_BAD_JSON"),
        ),
        (
            put("send/m.x/b"),
            "{\"body\":\"a".to_owned(),
            expect(400, "M_NOT_JSON"),
        ),
        (put("send/m.x/c"), large, expect(413, "M_TOO_LARGE")),
        (
            put("send/m.x/d"),
            "{\"n\":1.5}".to_owned(),
            expect(400, "M_BAD_JSON"),
        ),
        (
            put(&format!("state/m.x/{key}")),
            "{}".to_owned(),
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            put("state/m.room.create"),
            "{}".to_owned(),
            expect(403, "M_FORBIDDEN"),
        ),
        (
            "/_matrix/client/v3/rooms/!nowhere:hs1/send/m.x/e".to_owned(),
            "{}".to_owned(),
            expect(404, "M_NOT_FOUND"),
        ),
    ];
    for (path, body, expected) in rows {
        assert_eq!(
            app.raw(("PUT", &path), token, body).await,
            expected,
            "{path}"
        );
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ones_own_event_can_be_redacted_both_ways() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, RoomPreset::PrivateChat).await;
    let peer = "192.0.2.1:9";
    let mut sent = Vec::new();
    for txn in ["1", "2"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let answer = app.raw_from(peer, ("PUT", &path), Some(&alice.token), "{\"body\":\"x\"}");
        sent.push(answer.await.1["event_id"].as_str().unwrap().to_owned());
    }
    let target = sent[0].as_str().try_into().unwrap();
    let request = redact::Request::new(room.clone(), target, "r1".into());
    app.send(Some(&alice.token), request).await.unwrap();
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.redaction/r2");
    let body = json!({"redacts": sent[1]}).to_string();
    let answer = app.raw(("PUT", &path), Some(&alice.token), body).await;
    assert_eq!(answer, (200, String::new()));
    let body = json!({"redacts": "$nothing:hs1"}).to_string();
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.redaction/r3");
    let answer = app.raw(("PUT", &path), Some(&alice.token), body).await;
    assert_eq!(answer, expect(404, "M_NOT_FOUND"));
    app.stop().await;
}
