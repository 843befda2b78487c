//! Who reads what of a room through the router: members, former ones, strangers.

use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::fixture::{TestApp, expect};

const CHAT: &str = "public_chat";

async fn two(app: &TestApp) -> [Talker<'_>; 2] {
    [
        Talker::new(app, "alice").await,
        Talker::new(app, "bob").await,
    ]
}

/// A room with this history visibility.
async fn room(by: &Talker<'_>, visibility: &str) -> String {
    let visibility = json!({
        "type": "m.room.history_visibility",
        "state_key": "",
        "content": {"history_visibility": visibility},
    });
    by.room(CHAT, json!({"initial_state": [visibility]})).await
}

fn messages(room: &str) -> String {
    format!("v3/rooms/{room}/messages?dir=b&limit=100")
}

#[tokio::test(start_paused = true)]
async fn vis_010_pages_of_history_have_limits() {
    let app = TestApp::new();
    let [alice, _] = two(&app).await;
    let room = room(&alice, "shared").await;
    alice.say(&room, "one").await;
    for limit in ["-1", "abc", "1.5", "", "99999999999999999999"] {
        let path = format!("v3/rooms/{room}/messages?dir=b&limit={limit}");
        let refused = alice.refused(&path).await;
        assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{limit}");
    }
    let path = format!("v3/rooms/{room}/messages?dir=b&limit=1000000000");
    assert!(alice.get(&path).await["chunk"].as_array().unwrap().len() > 5);
    let none = format!("v3/rooms/{room}/messages?dir=b&limit=0");
    assert_eq!(alice.get(&none).await["chunk"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_013_history_is_not_for_strangers() {
    let app = TestApp::new();
    let [alice, eve] = two(&app).await;
    for visibility in ["shared", "invited", "joined"] {
        let room = room(&alice, visibility).await;
        let event = alice.say(&room, "one").await;
        for path in [
            messages(&room),
            format!("v3/rooms/{room}/state"),
            format!("v3/rooms/{room}/state/m.room.create"),
            format!("v3/rooms/{room}/members"),
            format!("v3/rooms/{room}/joined_members"),
        ] {
            let refused = eve.refused(&path).await;
            assert_eq!(refused, expect(403, "M_FORBIDDEN"), "{visibility} {path}");
        }
        let context = eve
            .refused(&format!("v3/rooms/{room}/context/{event}"))
            .await;
        assert_eq!(context, expect(403, "M_FORBIDDEN"));
        let event = eve.refused(&format!("v3/rooms/{room}/event/{event}")).await;
        assert_eq!(event, expect(404, "M_NOT_FOUND"));
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_open_to_the_world_is_read_by_strangers_on_every_path() {
    let app = TestApp::new();
    let [alice, eve] = two(&app).await;
    let room = room(&alice, "world_readable").await;
    let event = alice.say(&room, "one").await;
    alice.relate(&room, "m.thread", &event).await;
    let shown = each(&eve.get(&messages(&room)).await["chunk"], "event_id");
    assert!(shown.contains(&event));
    eve.get(&format!("v3/rooms/{room}/context/{event}")).await;
    eve.get(&format!("v3/rooms/{room}/state")).await;
    eve.get(&format!("v3/rooms/{room}/members")).await;
    let bundle = eve.bundle(&room, &event).await;
    assert_eq!(bundle["m.thread"]["count"], 1);
    let threads = eve.get(&format!("v1/rooms/{room}/threads")).await;
    assert_eq!(each(&threads["chunk"], "event_id"), [&*event]);
    eve.get(&format!("v1/rooms/{room}/relations/{event}")).await;
    let moment = format!("v1/rooms/{room}/timestamp_to_event?ts=0&dir=f");
    eve.get(&moment).await;
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_014_history_for_the_joined_begins_with_the_join() {
    let app = TestApp::new();
    let [alice, bob] = two(&app).await;
    let room = room(&alice, "joined").await;
    let hidden = alice.say(&room, "before").await;
    let then_ms = app.env.clock.wall_ms();
    bob.join(&room).await;
    let shown = alice.say(&room, "after").await;
    let page = bob.get(&messages(&room)).await;
    let found = each(&page["chunk"], "event_id");
    assert!(found.contains(&shown) && !found.contains(&hidden));
    // What came before history was closed is as open as rooms are without a word.
    let moment = format!("v1/rooms/{room}/timestamp_to_event?ts={then_ms}&dir=f");
    let next = bob.get(&moment).await;
    assert_eq!(next["event_id"], found[1].as_str(), "the join");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_015_surroundings_of_what_is_not_seen_are_not_found() {
    let app = TestApp::new();
    let [alice, bob] = two(&app).await;
    let room = room(&alice, "joined").await;
    let hidden = alice.say(&room, "before").await;
    bob.join(&room).await;
    for event in [
        &*hidden,
        "$nothing",
        "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let path = format!("v3/rooms/{room}/context/{event}");
        assert_eq!(
            bob.refused(&path).await,
            expect(404, "M_NOT_FOUND"),
            "{event}"
        );
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_017_events_are_found_in_their_own_room_only() {
    let app = TestApp::new();
    let [alice, _] = two(&app).await;
    let (one, other) = (room(&alice, "shared").await, room(&alice, "shared").await);
    let event = alice.say(&other, "elsewhere").await;
    for path in [
        format!("v3/rooms/{one}/event/{event}"),
        format!("v3/rooms/{one}/context/{event}"),
        format!("v1/rooms/{one}/relations/{event}"),
    ] {
        let refused = alice.refused(&path).await;
        assert_eq!(refused, expect(404, "M_NOT_FOUND"), "{path}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_018_members_at_a_moment_are_not_for_strangers() {
    let app = TestApp::new();
    let [alice, eve] = two(&app).await;
    let room = room(&alice, "shared").await;
    let page = alice.get(&messages(&room)).await;
    let at = page["start"].as_str().unwrap();
    let path = format!("v3/rooms/{room}/members?at={at}");
    assert_eq!(eve.refused(&path).await, expect(403, "M_FORBIDDEN"));
    alice.get(&path).await;
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_019_whoever_left_reads_the_state_of_their_departure() {
    let app = TestApp::new();
    let [alice, bob] = two(&app).await;
    let room = room(&alice, "shared").await;
    alice
        .set(&room, "m.room.name", "", json!({"name": "then"}))
        .await;
    bob.join(&room).await;
    bob.leave(&room).await;
    let event = alice
        .set(&room, "m.room.name", "", json!({"name": "now"}))
        .await;
    let name = bob.get(&format!("v3/rooms/{room}/state/m.room.name")).await;
    assert_eq!(name, json!({"name": "then"}));
    let found = each(&bob.get(&messages(&room)).await["chunk"], "event_id");
    assert!(!found.contains(&event));
    let hidden = bob.refused(&format!("v3/rooms/{room}/event/{event}")).await;
    assert_eq!(hidden, expect(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn members_are_listed_as_they_were_at_a_place() {
    let app = TestApp::new();
    let [alice, bob] = two(&app).await;
    let room = room(&alice, "shared").await;
    let next = alice.get("v3/sync").await["next_batch"].clone();
    bob.join(&room).await;
    let listed = async |query: String| {
        let found = alice.get(&format!("v3/rooms/{room}/members{query}")).await;
        each(&found["chunk"], "state_key")
    };
    let at = |token: &Value| format!("?at={}", token.as_str().unwrap());
    assert_eq!(listed(String::new()).await, [alice.id(), bob.id()]);
    // A place behind the newest event stays there: what comes later is behind it.
    assert_eq!(listed(at(&next)).await, [alice.id()]);
    bob.leave(&room).await;
    for (query, expected) in [
        ("?membership=join", vec![alice.id()]),
        ("?membership=leave", vec![bob.id()]),
        ("?not_membership=leave", vec![alice.id()]),
        ("?not_membership=join", vec![bob.id()]),
    ] {
        assert_eq!(listed(query.to_owned()).await, expected, "{query}");
    }
    let then = format!("{}&membership=join", at(&next));
    assert_eq!(listed(then).await, [alice.id()]);
    let refused = alice
        .refused(&format!("v3/rooms/{room}/members?at=banana"))
        .await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}

fn escaped(filter: &Value) -> String {
    let text = filter.to_string().replace('"', "%22");
    let text = text.replace('{', "%7B").replace('}', "%7D");
    text.replace('[', "%5B").replace(']', "%5D")
}

#[tokio::test(start_paused = true)]
async fn history_is_filtered_by_all_that_filters_have() {
    let app = TestApp::new();
    let [alice, bob] = two(&app).await;
    let room = room(&alice, "shared").await;
    bob.join(&room).await;
    let plain = alice.say(&room, "plain").await;
    let content = json!({"msgtype": "m.image", "body": "i", "url": "mxc://hs1/i"});
    let image = alice.send(&room, "m.room.message", content).await;
    let other = bob.send(&room, "org.example.kind", json!({})).await;
    for (filter, expected) in [
        (json!({"types": ["m.room.mess*"]}), vec![&image, &plain]),
        (json!({"types": ["*"], "not_types": ["m.*"]}), vec![&other]),
        (json!({"contains_url": true}), vec![&image]),
        (
            json!({"contains_url": false, "types": ["m.room.message"]}),
            vec![&plain],
        ),
        (
            json!({"senders": [bob.id()], "not_types": ["m.room.member"]}),
            vec![&other],
        ),
        (
            json!({"not_senders": [alice.id()], "types": ["org.*"]}),
            vec![&other],
        ),
        (json!({"rooms": ["!x:hs1"]}), vec![]),
        (json!({"not_rooms": [room]}), vec![]),
    ] {
        let path = format!("{}&filter={}", messages(&room), escaped(&filter));
        let found = each(&alice.get(&path).await["chunk"], "event_id");
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
    let lazy = json!({"lazy_load_members": true, "types": ["org.*"]});
    let path = format!("{}&filter={}", messages(&room), escaped(&lazy));
    let page = alice.get(&path).await;
    assert_eq!(each(&page["state"], "state_key"), [bob.id()]);
    let around = format!(
        "v3/rooms/{room}/context/{image}?filter={}",
        escaped(&json!({"types": ["org.*"]}))
    );
    let around = alice.get(&around).await;
    assert_eq!(around["events_before"], json!([]));
    assert_eq!(each(&around["events_after"], "event_id"), [&*other]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_059_rooms_named_by_a_hash_have_no_other_name() {
    let app = TestApp::new();
    let [alice, _] = two(&app).await;
    let room = room(&alice, "world_readable").await;
    let event = alice.say(&room, "one").await;
    for rest in [
        "v3/rooms/R:hs1/state",
        "v3/rooms/R:hs1/messages?dir=b",
        "v1/rooms/R:hs1/threads",
        "v1/rooms/R:hs1/hierarchy",
        "v1/room_summary/R:hs1",
        "v3/rooms/R:hs1/event/E",
        "v1/rooms/R:hs1/relations/E",
    ] {
        let path = rest.replace('R', &room).replace('E', &event);
        let (status, _) = alice.refused(&path).await;
        assert!([400, 403, 404].contains(&status), "{path}: {status}");
    }
    app.stop().await;
}
