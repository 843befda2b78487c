//! What rooms are to do as a whole, through the router: invites and who wants them, upgrades, rooms
//! that are broken, what is told of the server.

use std::time::Duration;

use belfry_kv::{Commit, Engine, Write};
use belfry_user::SharedSecret;
use http::Method;
use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::{
    Turn, WellKnown,
    fixture::{TestApp, expect},
};

async fn rest(app: &TestApp, seconds: u64) {
    app.env.clock.sleep(Duration::from_secs(seconds)).await;
}

/// Status and `errcode`.
async fn code(talker: &Talker<'_>, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = talker.ask(Method::POST, path, &body).await;
    let errcode = answer["errcode"].as_str().unwrap_or_default();
    (status, errcode.to_owned())
}

#[tokio::test(start_paused = true)]
async fn invites_are_refused_or_hidden_by_who_sends_them() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let path = format!(
        "v3/user/{}/account_data/org.matrix.msc4155.invite_permission_config",
        bob.id()
    );
    for (config, status, shown) in [
        (json!({"blocked_users": ["@alice:*"]}), 403, false),
        (json!({"blocked_servers": ["hs?"]}), 403, false),
        (json!({"ignored_users": [alice.id()]}), 200, false),
        (json!({"ignored_servers": ["*"]}), 200, false),
        (
            json!({"allowed_users": ["@alice:hs1"], "blocked_servers": ["*"]}),
            200,
            true,
        ),
        (json!({"blocked_users": ["@carol:*"]}), 200, true),
        (json!({"enabled": false, "blocked_users": ["*"]}), 200, true),
    ] {
        rest(&app, 600).await;
        bob.put(&path, config.clone()).await;
        let room = alice.room("private_chat", json!({})).await;
        let invite = format!("v3/rooms/{room}/invite");
        let told = code(&alice, &invite, json!({"user_id": bob.id()})).await;
        let errcode = if status == 403 {
            "M_INVITE_BLOCKED"
        } else {
            ""
        };
        assert_eq!(told, expect(status, errcode), "{config}");
        let synced = bob.get("v3/sync").await;
        let told = synced["rooms"]["invite"].get(&room);
        assert_eq!(told.is_some(), shown, "{config}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invites_say_why_and_whether_they_are_direct() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let wanted = json!({"invite": [bob.id()], "is_direct": true});
    let direct = alice.room("trusted_private_chat", wanted).await;
    let room = alice.room("private_chat", json!({})).await;
    let invite = json!({"user_id": bob.id(), "reason": "we meet"});
    alice.post(&format!("v3/rooms/{room}/invite"), invite).await;
    let synced = bob.get("v3/sync").await;
    let own = |room: &str| {
        let events = &synced["rooms"]["invite"][room]["invite_state"]["events"];
        let mut events = events.as_array().unwrap().iter();
        let own = events.find(|event| event["state_key"] == bob.id()).unwrap();
        own["content"].clone()
    };
    assert_eq!(own(&direct)["is_direct"], true);
    assert_eq!(own(&room)["reason"], "we meet");
    bob.join(&room).await;
    let said = alice.say(&room, "welcome").await;
    let event = bob.get(&format!("v3/rooms/{room}/event/{said}")).await;
    assert_eq!(event["unsigned"]["membership"], "join");
    for (act, membership) in [("kick", "leave"), ("ban", "ban"), ("unban", "leave")] {
        let body = json!({"user_id": bob.id(), "reason": act});
        alice.post(&format!("v3/rooms/{room}/{act}"), body).await;
        let member = format!("v3/rooms/{room}/state/m.room.member/{}", bob.id());
        let member = alice.get(&member).await;
        assert_eq!(
            (&member["membership"], &member["reason"]),
            (&json!(membership), &json!(act))
        );
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invites_by_mail_address_have_nobody_to_look_it_up() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let closed = json!({"power_level_content_override": {"invite": 50}});
    let room = alice.room("public_chat", closed).await;
    bob.join(&room).await;
    let invite = json!({"id_server": "id.example", "id_access_token": "x",
        "medium": "email", "address": "carol@example.org"});
    let path = format!("v3/rooms/{room}/invite");
    let told = code(&alice, &path, invite.clone()).await;
    assert_eq!(told, expect(400, "M_INVALID_PARAM"));
    let told = code(&alice, "v3/createRoom", json!({"invite_3pid": [invite]})).await;
    assert_eq!(told.0, 400, "{told:?}");
    // What a room with an identity server says of such an invite is state like any other.
    let offer = json!({"display_name": "c…", "key_validity_url": "https://id.example/valid",
        "public_key": "dG9rZW4", "public_keys": []});
    let kind = "m.room.third_party_invite";
    alice.set(&room, kind, "tok", offer.clone()).await;
    let path = format!("v3/rooms/{room}/state/{kind}/tok");
    assert_eq!(bob.get(&path).await, offer);
    let (status, answer) = bob.ask(Method::PUT, &path, &json!({})).await;
    assert_eq!(status, 403, "who may not invite: {answer}");
    alice.put(&path, json!({})).await;
    assert_eq!(bob.get(&path).await, json!({}), "taken back");
    // Nobody vouches for a token that there is not.
    let signed = json!({"mxid": bob.id(), "token": "tok", "signatures": {"id.example": {}}});
    let forged = json!({"membership": "invite",
        "third_party_invite": {"display_name": "c…", "signed": signed}});
    let path = format!("v3/rooms/{room}/state/m.room.member/@carol:hs1");
    let (status, answer) = alice.ask(Method::PUT, &path, &forged).await;
    assert_eq!(status, 403, "{answer}");
    app.stop().await;
}

/// What a room is to take along when it is replaced.
const CARRIED: [(&str, &str); 8] = [
    ("m.room.name", r#"{"name":"Hall"}"#),
    ("m.room.topic", r#"{"topic":"Talk"}"#),
    ("m.room.avatar", r#"{"url":"mxc://hs1/a"}"#),
    (
        "m.room.encryption",
        r#"{"algorithm":"m.megolm.v1.aes-sha2"}"#,
    ),
    ("m.room.guest_access", r#"{"guest_access":"forbidden"}"#),
    (
        "m.room.history_visibility",
        r#"{"history_visibility":"invited"}"#,
    ),
    ("m.room.join_rules", r#"{"join_rule":"public"}"#),
    (
        "m.room.server_acl",
        r#"{"allow":["*"],"deny":["evil.example"]}"#,
    ),
];

/// What is there once flows have brought it.
async fn until(app: &TestApp, there: impl AsyncFn() -> bool, what: &str) {
    for _ in 0..1_000 {
        if there().await {
            return;
        }
        rest(app, 1).await;
    }
    panic!("{what} did not come along");
}

/// A room with all that is carried over, in the space, with an alias, in the directory.
async fn furnished(alice: &Talker<'_>, space: &str, version: &str) -> String {
    let wanted = json!({"room_version": version, "room_alias_name": format!("hall{version}"),
        "visibility": "public", "power_level_content_override": {"events_default": 7}});
    let room = alice.room("public_chat", wanted).await;
    for (kind, content) in CARRIED {
        let content = serde_json::from_str(content).unwrap();
        rest(alice.app, 10).await;
        alice.set(&room, kind, "", content).await;
    }
    let via = json!({"via": ["hs1"]});
    alice.set(space, "m.space.child", &room, via.clone()).await;
    alice.set(&room, "m.space.parent", space, via).await;
    let ban = json!({"user_id": "@spam:hs1"});
    alice.post(&format!("v3/rooms/{room}/ban"), ban).await;
    room
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_takes_along_all_that_is_to_come() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let space = json!({"creation_content": {"type": "m.space"}});
    let space = alice.room("public_chat", space).await;
    for (version, to) in [("6", "11"), ("10", "12")] {
        rest(&app, 3_600).await;
        let old = furnished(&alice, &space, version).await;
        bob.join(&old).await;
        let rule = |room: &str| format!("v3/pushrules/global/room/{room}");
        bob.put(&rule(&old), json!({"actions": []})).await;
        let tag = |room: &str| format!("v3/user/@bob:hs1/rooms/{room}/tags");
        bob.put(&format!("{}/u.work", tag(&old)), json!({})).await;
        let wanted = json!({"new_version": to});
        let made = alice.post(&format!("v3/rooms/{old}/upgrade"), wanted).await;
        let new = made["replacement_room"].as_str().unwrap().to_owned();
        let state = |room: &str, kind: &str| format!("v3/rooms/{room}/state/{kind}");
        let tombstone = alice.get(&state(&old, "m.room.tombstone/")).await;
        assert_eq!(tombstone["replacement_room"], new);
        let create = alice.get(&state(&new, "m.room.create/")).await;
        assert_eq!(create["predecessor"]["room_id"], old);
        for (kind, content) in CARRIED {
            let content: Value = serde_json::from_str(content).unwrap();
            let found = alice.get(&state(&new, &format!("{kind}/"))).await;
            assert_eq!(found, content, "{kind}");
        }
        let levels = alice.get(&state(&new, "m.room.power_levels/")).await;
        assert_eq!(levels["events_default"], 7);
        let alias = format!("v3/directory/room/%23hall{version}:hs1");
        let moved = async || alice.get(&alias).await["room_id"] == new;
        until(&app, moved, "the alias").await;
        let listed = format!("v3/directory/list/room/{new}");
        let public = async || alice.get(&listed).await["visibility"] == "public";
        until(&app, public, "the place in the directory").await;
        let child = state(&space, &format!("m.space.child/{new}"));
        let there = async || alice.ask(Method::GET, &child, &Value::Null).await.0 == 200;
        until(&app, there, "the place in the space").await;
        let banned = state(&new, "m.room.member/@spam:hs1");
        let there = async || alice.ask(Method::GET, &banned, &Value::Null).await.0 == 200;
        until(&app, there, "the ban").await;
        let quiet = state(&old, "m.room.power_levels/");
        let quiet = async || alice.get(&quiet).await["events_default"] == 50;
        until(&app, quiet, "the silence of the old room").await;
        bob.join(&new).await;
        let tagged = async || bob.get(&tag(&new)).await["tags"]["u.work"] == json!({});
        until(&app, tagged, "the tag").await;
        let quiet = async || bob.ask(Method::GET, &rule(&new), &Value::Null).await.0 == 200;
        until(&app, quiet, "the push rule").await;
        assert_eq!(bob.get(&rule(&new)).await["actions"], json!([]));
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_room_is_left_all_the_same() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let sound = alice.room("public_chat", json!({})).await;
    bob.join(&sound).await;
    for version in ["11", "12"] {
        let room = alice
            .room("public_chat", json!({"room_version": version}))
            .await;
        app.engine.record();
        bob.join(&room).await;
        let mut damage = Commit::synced();
        let recorded = app.engine.take_record();
        let writes = recorded.into_iter().flat_map(|it| it.commit.writes);
        for write in writes {
            // The row of the join itself becomes one that nobody can read.
            if let Write::Stamp { key, value } = write
                && String::from_utf8_lossy(&value).contains("\"membership\":\"join\"")
            {
                damage.writes.push(Write::Put(key, vec![0xff; 9].into()));
            }
        }
        assert!(!damage.writes.is_empty(), "the join was found");
        // Once the room rests, nobody remembers how it was.
        rest(&app, 3_600).await;
        app.engine.commit(damage).await.unwrap();
        let say = format!("v3/rooms/{room}/send/m.room.message/1");
        let (status, _) = bob.ask(Method::PUT, &say, &json!({"body": "x"})).await;
        assert_eq!(status, 500);
        let before = bob.get("v3/sync").await;
        let since = before["next_batch"].as_str().unwrap().to_owned();
        let leave = format!("v3/rooms/{room}/leave");
        for _ in 0..2 {
            bob.post(&leave, json!({"reason": "it is broken"})).await;
        }
        assert!(app.take_alarms() > 0, "the administrators are told");
        let news = bob.get(&format!("v3/sync?since={since}")).await;
        let left = &news["rooms"]["leave"][&room]["timeline"]["events"][0];
        assert_eq!(left["content"]["membership"], "leave", "{news}");
        assert_eq!(left["content"]["reason"], "it is broken");
        let joined = bob.get("v3/joined_rooms").await;
        assert_eq!(joined["joined_rooms"], json!([sound]));
        bob.post(&format!("v3/rooms/{room}/forget"), json!({}))
            .await;
        app.take_alarms();
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_and_people_who_help_are_told_as_they_are_configured() {
    let turn = Turn {
        uris: vec!["turn:turn.hs1?transport=udp".to_owned()],
        secret: SharedSecret::new("north").unwrap(),
        credentials_life: Duration::from_hours(24),
    };
    let well_known = WellKnown {
        client_base_url: Some("https://matrix.hs1".to_owned()),
        server: Some("matrix.hs1:443".try_into().unwrap()),
        support_page: Some("https://hs1/help".to_owned()),
        support_email: Some("help@hs1".to_owned()),
        support_user: Some("@help:other".try_into().unwrap()),
    };
    let app = TestApp::telling(turn, well_known);
    let alice = Talker::new(&app, "alice").await;
    let told = alice.get("v3/voip/turnServer").await;
    assert_eq!(told["uris"], json!(["turn:turn.hs1?transport=udp"]));
    assert_eq!(told["ttl"], 86_400);
    let (until_s, user) = told["username"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(user, alice.id());
    let left_s = until_s.parse::<u64>().unwrap() - app.env.clock.wall_ms() / 1_000;
    assert_eq!(left_s, 86_400);
    assert_eq!(
        told["password"].as_str().unwrap().len(),
        28,
        "SHA-1, base64"
    );
    let peer = "192.0.2.1:9";
    let path = "/.well-known/matrix/client";
    let (status, told, _) = app.raw_from(peer, ("GET", path), None, "").await;
    assert_eq!(status, 200);
    assert_eq!(told["m.homeserver"]["base_url"], "https://matrix.hs1");
    let path = "/.well-known/matrix/server";
    let (status, told, _) = app.raw_from(peer, ("GET", path), None, "").await;
    assert_eq!(status, 200);
    assert_eq!(told, json!({"m.server": "matrix.hs1:443"}));
    let path = "/.well-known/matrix/support";
    let (status, told, _) = app.raw_from(peer, ("GET", path), None, "").await;
    assert_eq!(status, 200);
    assert_eq!(told["support_page"], "https://hs1/help");
    assert_eq!(each(&told["contacts"], "role"), ["m.role.admin"; 2]);
    app.stop().await;
}
