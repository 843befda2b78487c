//! Requests to rooms that make no sense: each gets the spec's code and changes nothing.

use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";

pub(super) async fn ask(
    app: &TestApp,
    person: &Person,
    endpoint: (&str, &str),
    body: &str,
) -> (u16, Value) {
    let (method, path) = endpoint;
    let path = format!("/_matrix/client/v3/{path}");
    let answer = app.raw_from(PEER, (method, &path), Some(&person.token), body.to_owned());
    let (status, json, _) = answer.await;
    (status.as_u16(), json)
}

pub(super) async fn refused(
    app: &TestApp,
    person: &Person,
    endpoint: (&str, &str),
    body: &Value,
) -> (u16, String) {
    let (status, answer) = ask(app, person, endpoint, &body.to_string()).await;
    (
        status,
        answer["errcode"].as_str().unwrap_or_default().to_owned(),
    )
}

pub(super) async fn room(app: &TestApp, creator: &Person, wanted: &Value) -> String {
    let (_, made) = ask(app, creator, ("POST", "createRoom"), &wanted.to_string()).await;
    made["room_id"].as_str().unwrap().to_owned()
}

pub(super) async fn joined(app: &TestApp, person: &Person, room: &str) {
    let (status, _) = ask(app, person, ("POST", &format!("join/{room}")), "{}").await;
    assert_eq!(status, 200);
}

/// Alice's room, which Bob is in.
async fn room_of_two(app: &TestApp, alice: &Person, bob: &Person, version: &str) -> String {
    let wanted = json!({"preset": "public_chat", "room_version": version});
    let room = room(app, alice, &wanted).await;
    joined(app, bob, &room).await;
    room
}

/// How many events the room has, as its creator sees them.
async fn events(app: &TestApp, person: &Person, room: &str) -> usize {
    let path = format!("rooms/{room}/messages?dir=b&limit=100");
    let (_, page) = ask(app, person, ("GET", &path), "").await;
    page["chunk"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn room_001_an_event_has_a_largest_size_to_the_byte() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let sized = |letters: usize| json!({"body": "x".repeat(letters)});
    let path = |txn: usize| format!("rooms/{room}/send/m.room.message/{txn}");
    // The largest that fits, by halving: what else is in an event is as long for all of them.
    let (mut fits, mut too_large) = (60_000, 66_000);
    let mut txn = 0;
    while too_large - fits > 1 {
        let letters = usize::midpoint(fits, too_large);
        txn += 1;
        let told = refused(&app, &alice, ("PUT", &path(txn)), &sized(letters)).await;
        if told.0 == 200 {
            fits = letters;
        } else {
            assert_eq!(told, expect(413, "M_TOO_LARGE"), "{letters}");
            too_large = letters;
        }
        app.env.clock.sleep(std::time::Duration::from_mins(1)).await;
    }
    let last = format!("rooms/{room}/messages?dir=b&limit=20");
    let (_, page) = ask(&app, &alice, ("GET", &last), "").await;
    let bodies = page["chunk"].as_array().unwrap().iter();
    let longest = bodies
        .filter_map(|event| event["content"]["body"].as_str())
        .map(str::len)
        .max();
    assert_eq!(longest, Some(fits), "stored whole");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_003_043_long_types_and_transactions_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let before = events(&app, &alice, &room).await;
    let kind = format!("rooms/{room}/send/{}/1", "t".repeat(256));
    let txn = format!("rooms/{room}/send/m.x/{}", "t".repeat(10_000));
    for path in [kind, txn] {
        let (status, _) = ask(&app, &alice, ("PUT", &path), "{}").await;
        assert!([400, 413, 414].contains(&status), "{status}");
    }
    assert_eq!(events(&app, &alice, &room).await, before);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_007_numbers_that_events_cannot_hold_are_refused_or_written_as_they_can() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let told = |txn: usize, body: &'static str| {
        let path = format!("rooms/{room}/send/m.x/{txn}");
        let (app, alice) = (&app, &alice);
        async move { ask(app, alice, ("PUT", &path), body).await }
    };
    for (txn, body) in [r#"{"n":-0}"#, r#"{"n":1e2}"#].into_iter().enumerate() {
        let (status, sent) = told(txn, body).await;
        if status == 200 {
            let event = sent["event_id"].as_str().unwrap();
            let path = format!("rooms/{room}/event/{event}");
            let (_, event) = ask(&app, &alice, ("GET", &path), "").await;
            assert!(event["content"]["n"].is_i64(), "{event}");
        } else {
            assert_eq!((status, &sent["errcode"]), (400, &json!("M_BAD_JSON")));
        }
    }
    for (txn, body) in [r#"{"n":1.5}"#, r#"{"n":9007199254740992}"#]
        .into_iter()
        .enumerate()
    {
        let (status, sent) = told(txn + 10, body).await;
        assert_eq!((status, &sent["errcode"]), (400, &json!("M_BAD_JSON")));
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_008_045_nobody_acts_for_another_or_from_outside() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room_of_two(&app, &alice, &bob, "12").await;
    let carol = app.person("carol").await;
    let member = format!("rooms/{room}/state/m.room.member/{}", carol.user_id);
    let forbidden = expect(403, "M_FORBIDDEN");
    let told = refused(
        &app,
        &alice,
        ("PUT", &member),
        &json!({"membership": "join"}),
    )
    .await;
    assert_eq!(told, forbidden);
    let send = format!("rooms/{room}/send/m.room.message/1");
    assert_eq!(
        refused(&app, &carol, ("PUT", &send), &json!({})).await,
        forbidden
    );
    ask(&app, &bob, ("POST", &format!("rooms/{room}/leave")), "{}").await;
    assert_eq!(
        refused(&app, &bob, ("PUT", &send), &json!({})).await,
        forbidden
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_011_013_014_015_power_has_its_rules() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room_of_two(&app, &alice, &bob, "11").await;
    let path = format!("rooms/{room}/state/m.room.power_levels/");
    let levels = |users: Value| json!({"users": users, "state_default": 50, "events_default": 0});
    let (a, b) = (alice.user_id.as_str(), bob.user_id.as_str());
    let set = |users: Value| (("PUT", &*path), levels(users));
    let (endpoint, equals) = set(json!({a: 100, b: 100}));
    assert_eq!(refused(&app, &alice, endpoint, &equals).await.0, 200);
    for users in [
        json!({a: 101, b: 100}),
        json!({a: 100, b: 50}),
        json!({a: 100}),
    ] {
        let (endpoint, body) = set(users);
        let told = refused(&app, &alice, endpoint, &body).await;
        assert_eq!(told, expect(403, "M_FORBIDDEN"), "{body}");
    }
    for users in [
        json!({a: 100, b: 100, "notauserid": 50}),
        json!({a: 100, b: 9_007_199_254_740_992_u64}),
    ] {
        let (endpoint, body) = set(users);
        let told = refused(&app, &alice, endpoint, &body).await;
        assert_eq!(told, expect(400, "M_BAD_JSON"), "{body}");
    }
    let mut quiet = levels(json!({a: 100, b: 0}));
    quiet["events_default"] = 100.into();
    let modern = room_of_two(&app, &alice, &bob, "12").await;
    let path = format!("rooms/{modern}/state/m.room.power_levels/");
    let told = refused(&app, &alice, ("PUT", &path), &quiet).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"), "a creator has no level");
    quiet["users"] = json!({b: 0});
    assert_eq!(refused(&app, &alice, ("PUT", &path), &quiet).await.0, 200);
    let send = format!("rooms/{modern}/send/m.room.message/1");
    let told = refused(&app, &bob, ("PUT", &send), &json!({})).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_016_031_032_state_that_would_break_the_room_is_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({"room_alias_name": "own"})).await;
    let other = self::room(&app, &alice, &json!({"room_alias_name": "other"})).await;
    let before = events(&app, &alice, &room).await;
    let rows = [
        (
            "m.room.server_acl",
            json!({"allow": ["*"], "deny": ["hs1"]}),
            "M_BAD_JSON",
        ),
        (
            "m.room.server_acl",
            json!({"allow": ["elsewhere"]}),
            "M_BAD_JSON",
        ),
        (
            "m.room.tombstone",
            json!({"body": "", "replacement_room": room}),
            "M_BAD_JSON",
        ),
        (
            "m.room.canonical_alias",
            json!({"alias": "#other:hs1"}),
            "M_BAD_ALIAS",
        ),
        (
            "m.room.canonical_alias",
            json!({"alt_aliases": ["#none:hs1"]}),
            "M_BAD_ALIAS",
        ),
        (
            "m.room.canonical_alias",
            json!({"alias": "own"}),
            "M_INVALID_PARAM",
        ),
    ];
    for (kind, body, errcode) in rows {
        let path = format!("rooms/{room}/state/{kind}/");
        let told = refused(&app, &alice, ("PUT", &path), &body).await;
        assert_eq!(told, expect(400, errcode), "{kind} {body}");
    }
    assert_eq!(events(&app, &alice, &room).await, before);
    let path = format!("rooms/{other}/state/m.room.canonical_alias/");
    let fine = json!({"alias": "#other:hs1"});
    assert_eq!(refused(&app, &alice, ("PUT", &path), &fine).await.0, 200);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_018_what_a_room_rests_on_is_not_redacted() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({"room_version": "11"})).await;
    let acl = json!({"allow": ["*"], "deny": ["evil.example"], "note": "x"});
    let path = format!("rooms/{room}/state/m.room.server_acl/");
    let (_, sent) = ask(&app, &alice, ("PUT", &path), &acl.to_string()).await;
    let (_, state) = ask(&app, &alice, ("GET", &format!("rooms/{room}/state")), "").await;
    let mut state = state.as_array().unwrap().iter();
    let create = state.find(|event| event["type"] == "m.room.create");
    let create = create.unwrap()["event_id"].clone();
    for (txn, event) in [&create, &sent["event_id"]].into_iter().enumerate() {
        let target = event.as_str().unwrap();
        let path = format!("rooms/{room}/redact/{target}/{txn}");
        let told = refused(&app, &alice, ("PUT", &path), &json!({})).await;
        assert_eq!(told, expect(403, "M_FORBIDDEN"));
        let path = format!("rooms/{room}/send/m.room.redaction/{txn}");
        let told = refused(&app, &alice, ("PUT", &path), &json!({"redacts": target})).await;
        assert_eq!(told, expect(403, "M_FORBIDDEN"));
    }
    let (_, kept) = ask(&app, &alice, ("GET", &path), "").await;
    assert_eq!(kept, acl, "it still applies");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_021_redactions_of_each_other_end() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({"room_version": "11"})).await;
    let first = format!("rooms/{room}/send/m.x/1");
    let (_, sent) = ask(&app, &alice, ("PUT", &first), "{}").await;
    let mut last = sent["event_id"].as_str().unwrap().to_owned();
    for txn in 0..4 {
        let path = format!("rooms/{room}/redact/{last}/{txn}");
        let (status, redaction) = ask(&app, &alice, ("PUT", &path), "{}").await;
        assert_eq!(status, 200, "a redaction of a redaction");
        last = redaction["event_id"].as_str().unwrap().to_owned();
    }
    let path = format!(
        "rooms/{room}/redact/{}/back",
        sent["event_id"].as_str().unwrap()
    );
    assert_eq!(
        ask(&app, &alice, ("PUT", &path), "{}").await.0,
        200,
        "and again of the first"
    );
    assert!(events(&app, &alice, &room).await > 5);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_023_024_025_028_rooms_of_a_kind_that_cannot_be_are_not_made() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let long = "a".repeat(300);
    let rows = [
        (json!({"room_version": 1}), "M_BAD_JSON"),
        (
            json!({"room_version": "nope"}),
            "M_UNSUPPORTED_ROOM_VERSION",
        ),
        (
            json!({"creation_content": {"m.federate": "yes"}}),
            "M_BAD_JSON",
        ),
        (
            json!({"creation_content": {"predecessor": "!r:hs1"}}),
            "M_BAD_JSON",
        ),
        (
            json!({"creation_content": {"additional_creators": ["x", 5]}}),
            "M_INVALID_PARAM",
        ),
        (
            json!({"creation_content": {"additional_creators": "@x:y"}}),
            "M_INVALID_PARAM",
        ),
        (json!({"room_alias_name": "a:b"}), "M_INVALID_PARAM"),
        (json!({"room_alias_name": "a\u{0}b"}), "M_INVALID_PARAM"),
        (json!({"room_alias_name": long}), "M_INVALID_PARAM"),
    ];
    for (body, errcode) in rows {
        let told = refused(&app, &alice, ("POST", "createRoom"), &body).await;
        assert_eq!(told, expect(400, errcode), "{body}");
        app.env.clock.sleep(std::time::Duration::from_mins(2)).await;
    }
    let (_, rooms) = ask(&app, &alice, ("GET", "joined_rooms"), "").await;
    assert_eq!(rooms, json!({"joined_rooms": []}));
    let sly = json!({"creation_content": {"room_version": "1", "creator": "@x:y"}});
    let room = room(&app, &alice, &sly).await;
    let path = format!("rooms/{room}/state/m.room.create/");
    let (_, create) = ask(&app, &alice, ("GET", &path), "").await;
    assert_eq!(
        create,
        json!({"room_version": "12"}),
        "what is the server's is overridden"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_026_a_room_is_not_made_with_thousands_of_invites() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let invite: Vec<_> = (0..10_000)
        .map(|number| format!("@u{number}:hs1"))
        .collect();
    let told = refused(
        &app,
        &alice,
        ("POST", "createRoom"),
        &json!({"invite": invite}),
    )
    .await;
    assert_eq!(told, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_030_an_alias_of_others_is_not_removed() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    room(
        &app,
        &alice,
        &json!({"room_alias_name": "hall", "preset": "public_chat"}),
    )
    .await;
    let path = "directory/room/%23hall:hs1";
    joined(&app, &bob, "%23hall:hs1").await;
    let told = refused(&app, &bob, ("DELETE", path), &Value::Null).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
    assert_eq!(ask(&app, &bob, ("GET", path), "").await.0, 200);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_035_invites_have_a_pace() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let path = format!("rooms/{room}/invite");
    let mut told = Vec::new();
    for number in 0..30 {
        let body = json!({"user_id": format!("@u{number}:hs1")});
        told.push(refused(&app, &alice, ("POST", &path), &body).await);
    }
    assert_eq!(told.first(), Some(&expect(200, "")));
    assert_eq!(told.last(), Some(&expect(429, "M_LIMIT_EXCEEDED")));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_038_whoever_has_no_more_power_moderates_nobody() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let carol = app.person("carol").await;
    let room = room_of_two(&app, &alice, &bob, "11").await;
    joined(&app, &carol, &room).await;
    let path = format!("rooms/{room}/state/m.room.power_levels/");
    let (_, mut levels) = ask(&app, &alice, ("GET", &path), "").await;
    levels["users"] = json!({
        alice.user_id.as_str(): 100, bob.user_id.as_str(): 50, carol.user_id.as_str(): 50,
    });
    assert_eq!(refused(&app, &alice, ("PUT", &path), &levels).await.0, 200);
    for act in ["kick", "ban"] {
        let path = format!("rooms/{room}/{act}");
        for target in [&carol, &alice] {
            let body = json!({"user_id": target.user_id});
            let told = refused(&app, &bob, ("POST", &path), &body).await;
            assert_eq!(told, expect(403, "M_FORBIDDEN"), "{act} {}", target.user_id);
        }
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_040_a_transaction_is_one_event() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let before = events(&app, &alice, &room).await;
    let path = format!("rooms/{room}/send/m.room.message/once");
    let (_, one) = ask(&app, &alice, ("PUT", &path), r#"{"body":"1"}"#).await;
    let (_, two) = ask(&app, &alice, ("PUT", &path), r#"{"body":"2"}"#).await;
    assert_eq!(one, two);
    assert_eq!(events(&app, &alice, &room).await, before + 1);
    app.stop().await;
}
