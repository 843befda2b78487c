//! What becomes of rooms' names, of what clients sent, and of who is gone, through the router.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::fixture::TestApp;

async fn rest(app: &TestApp, seconds: u64) {
    app.env.clock.sleep(Duration::from_secs(seconds)).await;
}

async fn code(talker: &Talker<'_>, endpoint: (Method, &str), body: Value) -> (u16, String) {
    let (status, answer) = talker.ask(endpoint.0, endpoint.1, &body).await;
    let errcode = answer["errcode"].as_str().unwrap_or_default();
    (status, errcode.to_owned())
}

fn refusal(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_room_is_not_called_by_an_alias_that_is_gone() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice
        .room("public_chat", json!({"room_alias_name": "main"}))
        .await;
    let named = |name: &str| format!("v3/directory/room/%23{name}%3Ahs1");
    alice.put(&named("other"), json!({"room_id": room})).await;
    let state = format!("v3/rooms/{room}/state/m.room.canonical_alias/");
    alice
        .put(
            &state,
            json!({"alias": "#main:hs1", "alt_aliases": ["#other:hs1"]}),
        )
        .await;
    assert_eq!(
        code(&alice, (Method::DELETE, &named("main")), Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(
        alice.get(&state).await,
        json!({"alt_aliases": ["#other:hs1"]})
    );
    bob.join(&room).await;
    bob.put(&named("bobs"), json!({"room_id": room})).await;
    alice.put(&state, json!({"alias": "#bobs:hs1"})).await;
    let gone = code(&bob, (Method::DELETE, &named("bobs")), Value::Null).await;
    assert_eq!(
        gone,
        refusal(200, ""),
        "its creator removes it, but may not change the room"
    );
    assert_eq!(alice.get(&state).await, json!({"alias": "#bobs:hs1"}));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn canonical_aliases_and_levels_that_cannot_be_are_refused() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let other = alice
        .room("private_chat", json!({"room_alias_name": "other"}))
        .await;
    assert_ne!(room, other);
    let alias = format!("v3/rooms/{room}/state/m.room.canonical_alias/");
    let levels = format!("v3/rooms/{room}/state/m.room.power_levels/");
    for (path, content, told) in [
        (
            &alias,
            json!({"alias": "#other:hs1"}),
            refusal(400, "M_BAD_ALIAS"),
        ),
        (
            &alias,
            json!({"alias": "#none:hs1"}),
            refusal(400, "M_BAD_ALIAS"),
        ),
        (
            &alias,
            json!({"alt_aliases": ["#none:hs1"]}),
            refusal(400, "M_BAD_ALIAS"),
        ),
        (
            &alias,
            json!({"alias": "none"}),
            refusal(400, "M_INVALID_PARAM"),
        ),
        (&alias, json!({"alias": 5}), refusal(400, "M_INVALID_PARAM")),
        (
            &alias,
            json!({"alt_aliases": "#none:hs1"}),
            refusal(400, "M_INVALID_PARAM"),
        ),
        (
            &alias,
            json!({"alt_aliases": ["@none:hs1"]}),
            refusal(400, "M_INVALID_PARAM"),
        ),
        (
            &levels,
            json!({"users_default": "x"}),
            refusal(400, "M_BAD_JSON"),
        ),
        (
            &levels,
            json!({"users": {"@a:hs1": null}}),
            refusal(400, "M_BAD_JSON"),
        ),
        (
            &levels,
            json!({"events": {"m.room.name": "50"}}),
            refusal(400, "M_BAD_JSON"),
        ),
    ] {
        rest(&app, 5).await;
        assert_eq!(
            code(&alice, (Method::PUT, path), content.clone()).await,
            told,
            "{content}"
        );
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_knows_what_it_sent_itself() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let said = alice.say(&room, "mine").await;
    let told = |event: &Value| event["unsigned"]["transaction_id"].clone();
    let paths = [
        format!("v3/rooms/{room}/event/{said}"),
        format!("v3/rooms/{room}/context/{said}?limit=0"),
        format!("v3/rooms/{room}/messages?dir=b&limit=1"),
    ];
    let event = |answer: Value| match answer {
        Value::Object(ref fields) if fields.contains_key("event") => answer["event"].clone(),
        Value::Object(ref fields) if fields.contains_key("chunk") => answer["chunk"][0].clone(),
        event => event,
    };
    for path in paths {
        assert_eq!(told(&event(alice.get(&path).await)), "t1", "{path}");
        assert_eq!(told(&event(bob.get(&path).await)), Value::Null, "{path}");
    }
    let synced = alice.get("v3/sync").await;
    let events = &synced["rooms"]["join"][&room]["timeline"]["events"];
    let last = events.as_array().unwrap().last().unwrap();
    assert_eq!(told(last), "t1");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn history_is_filtered_by_the_relations_of_events() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room("private_chat", json!({})).await;
    let thread = alice.say(&room, "thread").await;
    alice.relate(&room, "m.thread", &thread).await;
    alice.relate(&room, "m.reference", &thread).await;
    let read = async |filter: &str| {
        let filter = filter.replace('{', "%7B").replace('}', "%7D");
        let filter = filter
            .replace('"', "%22")
            .replace('[', "%5B")
            .replace(']', "%5D");
        let path = format!("v3/rooms/{room}/messages?dir=b&limit=50&filter={filter}");
        let page = alice.get(&path).await;
        let events = page["chunk"].as_array().unwrap().iter();
        let said = events.filter_map(|event| event["content"]["body"].as_str());
        said.map(str::to_owned).collect::<Vec<_>>()
    };
    for prefix in ["", "org.matrix.msc3874."] {
        let of = |name: &str, kind: &str| format!("{{\"{prefix}{name}\":[\"{kind}\"]}}");
        assert_eq!(read(&of("rel_types", "m.thread")).await, ["m.thread"]);
        let rest = read(&of("not_rel_types", "m.thread")).await;
        assert_eq!(rest, ["m.reference", "thread"]);
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_of_every_version_are_made_and_used() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    for version in 3..=12_u32 {
        rest(&app, 70).await;
        let wanted = json!({"room_version": version.to_string()});
        let room = alice.room("public_chat", wanted).await;
        assert_eq!(room.contains(':'), version < 12, "{room}");
        let create = alice
            .get(&format!("v3/rooms/{room}/state/m.room.create/"))
            .await;
        assert_eq!(create["room_version"], version.to_string());
        assert_eq!(create.get("creator").is_some(), version < 11, "{create}");
        bob.join(&room).await;
        let said = bob.say(&room, "hello").await;
        alice.redact(&room, &said).await;
        let event = bob.get(&format!("v3/rooms/{room}/event/{said}")).await;
        assert_eq!(event["content"], json!({}), "version {version}");
    }
    let unknown = json!({"room_version": "13"});
    let told = code(&alice, (Method::POST, "v3/createRoom"), unknown).await;
    assert_eq!(told, refusal(400, "M_UNSUPPORTED_ROOM_VERSION"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_takes_what_was_written_with_it_if_it_says_so() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let spam = bob.say(&room, "spam").await;
    let kept = alice.say(&room, "kept").await;
    let path = format!("v3/rooms/{room}/ban");
    let ban = json!({"user_id": bob.id(), "reason": "spam", "redact_events": true});
    alice.post(&path, ban).await;
    let mut event = Value::Null;
    for _ in 0..100 {
        rest(&app, 1).await;
        event = alice.get(&format!("v3/rooms/{room}/event/{spam}")).await;
        if event["content"] == json!({}) {
            break;
        }
    }
    let because = &event["unsigned"]["redacted_because"];
    assert_eq!(because["type"], "m.room.member", "{event}");
    assert_eq!(because["content"]["redact_events"], true);
    assert_eq!(because["content"]["reason"], "spam");
    let other = alice.get(&format!("v3/rooms/{room}/event/{kept}")).await;
    assert_eq!(other["content"]["body"], "kept");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_does_not_read_what_the_erased_wrote() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    let carol = Talker::new(&app, "carol").await;
    let room = alice.room("public_chat", json!({})).await;
    bob.join(&room).await;
    let said = bob.say(&room, "erase me").await;
    let thread = alice.say(&room, "thread").await;
    bob.relate(&room, "m.thread", &thread).await;
    let user_id = bob.person.user_id.clone();
    app.users.close_account(&user_id, true).await.unwrap();
    rest(&app, 70).await;
    carol.join(&room).await;
    let body = async |talker: &Talker<'_>, path: String| {
        let answer = talker.get(&path).await;
        let event = answer.get("event").cloned().unwrap_or(answer);
        event["content"]["body"].clone()
    };
    for path in [
        format!("v3/rooms/{room}/event/{said}"),
        format!("v3/rooms/{room}/context/{said}?limit=0"),
    ] {
        assert_eq!(body(&alice, path.clone()).await, "erase me", "{path}");
        assert_eq!(body(&carol, path.clone()).await, Value::Null, "{path}");
    }
    for path in [
        format!("v3/rooms/{room}/messages?dir=b&limit=50"),
        format!("v1/rooms/{room}/relations/{thread}"),
        format!("v1/rooms/{room}/threads"),
        "v3/sync".to_owned(),
    ] {
        let answer = carol.get(&path).await.to_string();
        assert!(!answer.contains("erase me"), "{path}: {answer}");
        assert!(
            !answer.contains("\"body\":\"m.thread\""),
            "{path}: {answer}"
        );
    }
    let page = alice
        .get(&format!("v3/rooms/{room}/messages?dir=b&limit=50"))
        .await;
    assert!(each(&page["chunk"], "sender").contains(&bob.id().to_owned()));
    assert!(page.to_string().contains("erase me"));
    app.stop().await;
}
