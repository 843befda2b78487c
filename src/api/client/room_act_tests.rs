//! What people do in rooms and to rooms beside talking, through the router.

use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp};

const PEER: &str = "192.0.2.1:9";

/// Asks as this person; status and body.
async fn ask(
    app: &TestApp,
    person: &Person,
    (method, path): (&str, &str),
    body: Value,
) -> (u16, Value) {
    let path = format!("/_matrix/client/v3/{path}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = app.raw_from(PEER, (method, &path), Some(&person.token), body);
    let (status, json, _) = answer.await;
    (status.as_u16(), json)
}

/// Asks for what is granted.
async fn granted(app: &TestApp, person: &Person, endpoint: (&str, &str), body: Value) -> Value {
    let (status, answer) = ask(app, person, endpoint, body).await;
    assert_eq!(status, 200, "{endpoint:?}: {answer}");
    answer
}

/// Asks for what is refused; status and errcode.
async fn refused(
    app: &TestApp,
    person: &Person,
    endpoint: (&str, &str),
    body: Value,
) -> (u16, String) {
    let (status, answer) = ask(app, person, endpoint, body).await;
    let errcode = answer["errcode"].as_str().unwrap_or_default();
    (status, errcode.to_owned())
}

fn code(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

async fn room(app: &TestApp, creator: &Person, wanted: Value) -> OwnedRoomId {
    let made = granted(app, creator, ("POST", "createRoom"), wanted).await;
    made["room_id"].as_str().unwrap().try_into().unwrap()
}

async fn join(app: &TestApp, person: &Person, room: &OwnedRoomId) {
    granted(app, person, ("POST", &format!("join/{room}")), json!({})).await;
}

async fn leave(app: &TestApp, person: &Person, room: &OwnedRoomId) {
    let path = format!("rooms/{room}/leave");
    granted(app, person, ("POST", &path), json!({})).await;
}

async fn state(app: &TestApp, person: &Person, room: &OwnedRoomId, rest: &str) -> Value {
    let path = format!("rooms/{room}/state/{rest}");
    granted(app, person, ("GET", &path), Value::Null).await
}

/// The state's content once flows have brought it there.
async fn state_when(
    app: &TestApp,
    person: &Person,
    (room, rest): (&OwnedRoomId, &str),
    there: impl Fn(&Value) -> bool,
) -> Value {
    for _ in 0..1_000 {
        let path = format!("rooms/{room}/state/{rest}");
        let (_, content) = ask(app, person, ("GET", &path), Value::Null).await;
        if there(&content) {
            return content;
        }
        app.env
            .clock
            .sleep(std::time::Duration::from_millis(10))
            .await;
    }
    panic!("{rest} did not come to be as it should");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_room_is_gone_until_one_comes_back() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, json!({"preset": "public_chat"})).await;
    join(&app, &bob, &room).await;
    let since = granted(&app, &bob, ("GET", "sync"), Value::Null).await;
    let forget = format!("rooms/{room}/forget");
    let told = refused(&app, &bob, ("POST", &forget), json!({})).await;
    assert_eq!(told, code(400, "M_UNKNOWN"), "still in the room");
    leave(&app, &bob, &room).await;
    let messages = format!("rooms/{room}/messages?dir=b");
    granted(&app, &bob, ("GET", &messages), Value::Null).await;
    for _ in 0..2 {
        granted(&app, &bob, ("POST", &forget), json!({})).await;
    }
    for rest in ["messages?dir=b", "state", "members"] {
        let path = format!("rooms/{room}/{rest}");
        let told = refused(&app, &bob, ("GET", &path), Value::Null).await;
        assert_eq!(told, code(403, "M_FORBIDDEN"), "{rest}");
    }
    let with_left = r#"sync?filter={"room":{"include_leave":true}}"#;
    let with_left = with_left
        .replace('"', "%22")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let synced = granted(&app, &bob, ("GET", &with_left), Value::Null).await;
    assert!(synced["rooms"]["leave"].get(room.as_str()).is_none());
    let since = since["next_batch"].as_str().unwrap();
    let path = format!("sync?since={since}");
    let synced = granted(&app, &bob, ("GET", &path), Value::Null).await;
    assert!(
        synced["rooms"]["leave"].get(room.as_str()).is_some(),
        "told to who syncs on"
    );
    join(&app, &bob, &room).await;
    granted(&app, &bob, ("GET", &messages), Value::Null).await;
    leave(&app, &bob, &room).await;
    granted(&app, &bob, ("GET", &messages), Value::Null).await;
    let told = refused(&app, &bob, ("POST", "rooms/!none:hs1/forget"), json!({})).await;
    assert_eq!(told, code(400, "M_UNKNOWN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_knock_is_heard_where_the_room_has_a_knocker() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let knocked = json!({
        "room_alias_name": "door",
        "initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}],
    });
    let room = room(&app, &alice, knocked).await;
    let knock = json!({"reason": "let me in"});
    let answer = granted(&app, &bob, ("POST", "knock/%23door:hs1"), knock.clone()).await;
    assert_eq!(answer["room_id"], room.as_str());
    let member = format!("m.room.member/{}", bob.user_id);
    let content = state(&app, &alice, &room, &member).await;
    assert_eq!(
        (&content["membership"], &content["reason"]),
        (&json!("knock"), &json!("let me in"))
    );
    let synced = granted(&app, &bob, ("GET", "sync"), Value::Null).await;
    assert!(synced["rooms"]["knock"].get(room.as_str()).is_some());
    let invite = json!({"user_id": bob.user_id, "reason": "come"});
    granted(
        &app,
        &alice,
        ("POST", &format!("rooms/{room}/invite")),
        invite,
    )
    .await;
    join(&app, &bob, &room).await;
    let told = refused(
        &app,
        &bob,
        ("POST", &format!("knock/{room}")),
        knock.clone(),
    )
    .await;
    assert_eq!(told, code(403, "M_FORBIDDEN"), "they are in");
    let ban = json!({"user_id": bob.user_id});
    granted(&app, &alice, ("POST", &format!("rooms/{room}/ban")), ban).await;
    let told = refused(&app, &bob, ("POST", &format!("knock/{room}")), knock).await;
    assert_eq!(told, code(403, "M_FORBIDDEN"), "they are banned");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_058_a_room_that_takes_no_knocks_refuses_them() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let closed = room(&app, &alice, json!({"preset": "private_chat"})).await;
    let old = json!({
        "room_version": "6",
        "initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}],
    });
    let old = room(&app, &alice, old).await;
    for room in [closed, old] {
        let told = refused(&app, &bob, ("POST", &format!("knock/{room}")), json!({})).await;
        assert_eq!(told, code(403, "M_FORBIDDEN"));
    }
    for unknown in ["knock/!none:hs1", "knock/%23none:hs1"] {
        let told = refused(&app, &bob, ("POST", unknown), json!({})).await;
        assert_eq!(told, code(404, "M_NOT_FOUND"), "{unknown}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_039_a_restricted_room_lets_in_who_is_in_the_other_room() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    for (version, rule) in [
        ("8", "restricted"),
        ("10", "knock_restricted"),
        ("12", "restricted"),
    ] {
        let hall = room(&app, &alice, json!({"preset": "public_chat"})).await;
        let allow = json!([{"type": "m.room_membership", "room_id": hall}, 5, {"type": "x"}]);
        let rules = json!({"join_rule": rule, "allow": allow});
        let office = json!({
            "room_version": version,
            "initial_state": [{"type": "m.room.join_rules", "content": rules}],
        });
        let office = room(&app, &alice, office).await;
        let told = refused(&app, &bob, ("POST", &format!("join/{office}")), json!({})).await;
        assert_eq!(told, code(403, "M_FORBIDDEN"), "not in the hall");
        join(&app, &bob, &hall).await;
        join(&app, &bob, &office).await;
        let content = state(
            &app,
            &alice,
            &office,
            &format!("m.room.member/{}", bob.user_id),
        )
        .await;
        let voucher = &content["join_authorised_via_users_server"];
        assert_eq!(*voucher, alice.user_id.as_str(), "version {version}");
        leave(&app, &bob, &hall).await;
        leave(&app, &bob, &office).await;
        let told = refused(&app, &bob, ("POST", &format!("join/{office}")), json!({})).await;
        assert_eq!(told, code(403, "M_FORBIDDEN"), "left the hall");
        app.env
            .clock
            .sleep(std::time::Duration::from_mins(10))
            .await;
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restricted_room_in_which_nobody_may_invite_lets_nobody_in() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let hall = room(&app, &alice, json!({"preset": "public_chat"})).await;
    let allow = json!([{"type": "m.room_membership", "room_id": hall}]);
    let office = json!({
        "room_version": "10",
        "power_level_content_override": {"invite": 101},
        "initial_state": [{
            "type": "m.room.join_rules",
            "content": {"join_rule": "restricted", "allow": allow},
        }],
    });
    let office = room(&app, &alice, office).await;
    join(&app, &bob, &hall).await;
    let told = refused(&app, &bob, ("POST", &format!("join/{office}")), json!({})).await;
    assert_eq!(told, code(403, "M_FORBIDDEN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_is_upgraded_and_people_take_their_settings_along() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let wanted = json!({"preset": "public_chat", "room_version": "9", "name": "Hall"});
    let old = room(&app, &alice, wanted).await;
    join(&app, &bob, &old).await;
    let tag = format!("user/{}/rooms/{old}/tags/u.work", bob.user_id);
    granted(&app, &bob, ("PUT", &tag), json!({"order": 0.5})).await;
    let upgrade = format!("rooms/{old}/upgrade");
    for (person, version, expected) in [
        (&bob, "12", code(403, "M_FORBIDDEN")),
        (&alice, "banana", code(400, "M_UNSUPPORTED_ROOM_VERSION")),
    ] {
        let told = refused(
            &app,
            person,
            ("POST", &upgrade),
            json!({"new_version": version}),
        );
        assert_eq!(told.await, expected);
    }
    let told = refused(
        &app,
        &alice,
        ("POST", "rooms/!none:hs1/upgrade"),
        json!({"new_version": "12"}),
    );
    assert_eq!(told.await, code(404, "M_NOT_FOUND"));
    let wanted = json!({"new_version": "12", "additional_creators": [bob.user_id]});
    let made = granted(&app, &alice, ("POST", &upgrade), wanted).await;
    let new: OwnedRoomId = made["replacement_room"]
        .as_str()
        .unwrap()
        .try_into()
        .unwrap();
    let tombstone = state(&app, &bob, &old, "m.room.tombstone/").await;
    assert_eq!(tombstone["replacement_room"], new.as_str());
    join(&app, &bob, &new).await;
    let create = state(&app, &bob, &new, "m.room.create/").await;
    assert_eq!(create["predecessor"]["room_id"], old.as_str());
    assert_eq!(create["additional_creators"], json!([bob.user_id]));
    let tags = format!("user/{}/rooms/{new}/tags", bob.user_id);
    for _ in 0..1_000 {
        let (_, told) = ask(&app, &bob, ("GET", &tags), Value::Null).await;
        if told["tags"]["u.work"]["order"] == 0.5 {
            return app.stop().await;
        }
        app.env
            .clock
            .sleep(std::time::Duration::from_millis(10))
            .await;
    }
    panic!("the tag did not come along");
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_shown_in_all_rooms() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, json!({})).await;
    let path = format!("profile/{}/displayname", alice.user_id);
    granted(
        &app,
        &alice,
        ("PUT", &path),
        json!({"displayname": "Alice"}),
    )
    .await;
    let member = format!("m.room.member/{}", alice.user_id);
    let shown = |content: &Value| content["displayname"] == "Alice";
    let content = state_when(&app, &alice, (&room, &member), shown).await;
    assert_eq!(content["membership"], "join");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_account_is_out_of_all_rooms() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, json!({"preset": "public_chat"})).await;
    join(&app, &bob, &room).await;
    let auth = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bob"},
        "password": "wordpass",
    });
    let (status, challenge) = ask(&app, &bob, ("POST", "account/deactivate"), json!({})).await;
    assert_eq!(status, 401);
    let mut auth = auth;
    auth["session"] = challenge["session"].clone();
    granted(
        &app,
        &bob,
        ("POST", "account/deactivate"),
        json!({"auth": auth}),
    )
    .await;
    let member = format!("m.room.member/{}", bob.user_id);
    let left = |content: &Value| content["membership"] == "leave";
    state_when(&app, &alice, (&room, &member), left).await;
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_036_who_blocks_invites_gets_none() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, json!({})).await;
    let config = format!(
        "user/{}/account_data/m.invite_permission_config",
        bob.user_id
    );
    granted(
        &app,
        &bob,
        ("PUT", &config),
        json!({"default_action": "block"}),
    )
    .await;
    let blocked = code(403, "M_INVITE_BLOCKED");
    let invite = ("POST", &*format!("rooms/{room}/invite"));
    let whom = json!({"user_id": bob.user_id});
    assert_eq!(refused(&app, &alice, invite, whom.clone()).await, blocked);
    let member = format!("rooms/{room}/state/m.room.member/{}", bob.user_id);
    let raw = refused(
        &app,
        &alice,
        ("PUT", &member),
        json!({"membership": "invite"}),
    );
    assert_eq!(raw.await, blocked);
    let create = refused(
        &app,
        &alice,
        ("POST", "createRoom"),
        json!({"invite": [bob.user_id]}),
    );
    assert_eq!(create.await, blocked);
    granted(&app, &bob, ("PUT", &config), json!({})).await;
    granted(&app, &alice, invite, whom).await;
    let synced = granted(&app, &bob, ("GET", "sync"), Value::Null).await;
    assert!(synced["rooms"]["invite"].get(room.as_str()).is_some());
    granted(
        &app,
        &bob,
        ("PUT", &config),
        json!({"default_action": "block"}),
    )
    .await;
    let synced = granted(&app, &bob, ("GET", "sync"), Value::Null).await;
    assert!(
        synced["rooms"]["invite"].get(room.as_str()).is_none(),
        "hidden while blocked"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_034_invites_that_make_no_sense_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let (bob, carol) = (app.person("bob").await, app.person("carol").await);
    let room = room(&app, &alice, json!({"preset": "public_chat"})).await;
    join(&app, &bob, &room).await;
    let ban = json!({"user_id": carol.user_id});
    granted(&app, &alice, ("POST", &format!("rooms/{room}/ban")), ban).await;
    let invite = format!("rooms/{room}/invite");
    for user in [&alice.user_id, &bob.user_id, &carol.user_id] {
        let told = refused(&app, &alice, ("POST", &invite), json!({"user_id": user})).await;
        assert_eq!(told, code(403, "M_FORBIDDEN"), "{user}");
    }
    let (status, _) = refused(
        &app,
        &alice,
        ("POST", &invite),
        json!({"user_id": "notamxid"}),
    )
    .await;
    assert_eq!(status, 400);
    app.stop().await;
}
