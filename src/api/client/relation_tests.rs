//! Relations through the router: what is bundled, what is listed, and for whom.

use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::fixture::{TestApp, expect};

const CHAT: &str = "public_chat";

#[tokio::test(start_paused = true)]
async fn edits_references_and_threads_are_bundled_on_every_path() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room(CHAT, json!({})).await;
    let event = alice.say(&room, "first").await;
    alice.edit(&room, &event, "second").await;
    let edit = alice.edit(&room, &event, "third").await;
    let reference = alice.relate(&room, "m.reference", &event).await;
    alice.relate(&room, "m.thread", &event).await;
    let latest = alice.relate(&room, "m.thread", &event).await;
    let reply_edit = alice.edit(&room, &latest, "reply").await;
    let found = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        let mut found = list.filter(|one| one["event_id"] == event.as_str());
        found.next().expect("the event is shown").clone()
    };
    let of = |rest: &str| format!("v3/rooms/{room}/{rest}");
    let filter = "%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:7%7D%7D%7D";
    let sync = alice.get(&format!("v3/sync?filter={filter}")).await;
    let timeline = &sync["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["limited"], true);
    let shown = [
        alice.get(&of(&format!("event/{event}"))).await,
        alice.get(&of(&format!("context/{event}"))).await["event"].clone(),
        found(&alice.get(&of("messages?dir=b&limit=50")).await["chunk"]),
        found(&alice.get(&format!("v1/rooms/{room}/threads")).await["chunk"]),
        found(&timeline["events"]),
    ];
    for event in shown {
        assert_eq!(event["content"]["body"], "first", "the content stays");
        let bundle = &event["unsigned"]["m.relations"];
        assert_eq!(bundle["m.replace"]["event_id"], edit.as_str());
        assert_eq!(
            bundle["m.reference"]["chunk"],
            json!([{"event_id": reference}])
        );
        let thread = &bundle["m.thread"];
        assert_eq!(thread["count"], 2);
        assert_eq!(thread["current_user_participated"], true);
        assert_eq!(thread["latest_event"]["event_id"], latest.as_str());
        let nested = &thread["latest_event"]["unsigned"]["m.relations"];
        assert_eq!(nested["m.replace"]["event_id"], reply_edit.as_str());
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_redacted_relates_to_nothing() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room(CHAT, json!({})).await;
    let event = alice.say(&room, "first").await;
    let older = alice.edit(&room, &event, "second").await;
    let newer = alice.edit(&room, &event, "third").await;
    let reply = alice.relate(&room, "m.thread", &event).await;
    let last = alice.relate(&room, "m.thread", &event).await;
    alice.redact(&room, &newer).await;
    alice.redact(&room, &last).await;
    let bundle = alice.bundle(&room, &event).await;
    assert_eq!(bundle["m.replace"]["event_id"], older.as_str());
    assert_eq!(bundle["m.thread"]["count"], 1);
    assert_eq!(
        bundle["m.thread"]["latest_event"]["event_id"],
        reply.as_str()
    );
    let path = format!("v1/rooms/{room}/relations/{event}");
    let listed = each(&alice.get(&path).await["chunk"], "event_id");
    assert_eq!(listed, [reply.as_str(), older.as_str()]);
    // Redacted again it is not taken back twice.
    alice.redact(&room, &last).await;
    let again = alice.bundle(&room, &event).await;
    assert_eq!(again["m.thread"]["count"], 1);
    alice.redact(&room, &reply).await;
    alice.redact(&room, &event).await;
    assert!(alice.bundle(&room, &event).await.is_null());
    let threads = alice.get(&format!("v1/rooms/{room}/threads")).await;
    assert_eq!(threads["chunk"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edits_count_by_sender_type_and_time() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let room = alice.room(CHAT, json!({})).await;
    bob.join(&room).await;
    let event = alice.say(&room, "first").await;
    bob.edit(&room, &event, "not mine").await;
    let relation = json!({"rel_type": "m.replace", "event_id": event});
    let bare = json!({"m.relates_to": relation, "body": "no new content"});
    alice.send(&room, "m.room.message", bare).await;
    let other = json!({"m.relates_to": relation, "m.new_content": {}});
    alice.send(&room, "org.example.other", other).await;
    assert!(alice.bundle(&room, &event).await["m.replace"].is_null());
    let edit = alice.edit(&room, &event, "second").await;
    let of_edit = alice.edit(&room, &edit, "an edit of an edit").await;
    let bundle = bob.bundle(&room, &event).await;
    assert_eq!(bundle["m.replace"]["event_id"], edit.as_str());
    assert!(alice.bundle(&room, &edit).await.is_null(), "{of_edit}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn relations_are_read_in_pages_both_ways() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room(CHAT, json!({})).await;
    let event = alice.say(&room, "first").await;
    let mut sent = Vec::new();
    for rel_type in ["m.thread", "m.reference", "m.thread", "m.thread", "x.y"] {
        sent.push(alice.relate(&room, rel_type, &event).await);
    }
    let path = format!("v1/rooms/{room}/relations/{event}");
    for (dir, expected) in [
        ("b", sent.iter().rev().cloned().collect::<Vec<_>>()),
        ("f", sent.clone()),
    ] {
        let (mut all, mut from, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = alice.get(&format!("{path}?dir={dir}&limit=2{from}")).await;
            all.extend(each(&page["chunk"], "event_id"));
            pages += 1;
            let Some(token) = page["next_batch"].as_str() else {
                break;
            };
            from = format!("&from={token}");
        }
        assert_eq!((all, pages), (expected, 3), "{dir}");
    }
    let threads = alice.get(&format!("{path}/m.thread")).await;
    let expected = [&*sent[3], &*sent[2], &*sent[0]];
    assert_eq!(each(&threads["chunk"], "event_id"), expected);
    let typed = alice.get(&format!("{path}/m.thread/m.room.message")).await;
    assert_eq!(each(&typed["chunk"], "event_id"), expected);
    let none = alice.get(&format!("{path}/m.thread/m.other")).await;
    assert_eq!(none["chunk"], json!([]));
    // Tokens of the timeline are places among relations too.
    let messages = format!("v3/rooms/{room}/messages?dir=b&limit=2");
    let end = alice.get(&messages).await["end"].clone();
    let rest = alice
        .get(&format!("{path}?from={}", end.as_str().unwrap()))
        .await;
    let expected = [&*sent[2], &*sent[1], &*sent[0]];
    assert_eq!(each(&rest["chunk"], "event_id"), expected);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn relations_of_relations_are_followed_if_asked_for() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room(CHAT, json!({})).await;
    let event = alice.say(&room, "first").await;
    let child = alice.relate(&room, "m.thread", &event).await;
    let grandchild = alice.relate(&room, "m.reference", &child).await;
    let great = alice.relate(&room, "m.reference", &grandchild).await;
    let beyond = alice.relate(&room, "m.reference", &great).await;
    let path = format!("v1/rooms/{room}/relations/{event}");
    let direct = alice.get(&path).await;
    assert_eq!(each(&direct["chunk"], "event_id"), [&*child]);
    assert!(direct["recursion_depth"].is_null());
    let all = alice.get(&format!("{path}?recurse=true")).await;
    let expected = [&*great, &*grandchild, &*child];
    assert_eq!(each(&all["chunk"], "event_id"), expected, "{beyond}");
    assert_eq!(all["recursion_depth"], 3);
    let first = alice.get(&format!("{path}?recurse=true&limit=2")).await;
    assert_eq!(each(&first["chunk"], "event_id"), [&*great, &*grandchild]);
    let token = first["next_batch"].as_str().unwrap();
    let second = alice
        .get(&format!("{path}?recurse=true&limit=2&from={token}"))
        .await;
    assert_eq!(each(&second["chunk"], "event_id"), [&*child]);
    assert!(second["next_batch"].is_null());
    let filtered = alice.get(&format!("{path}/m.reference?recurse=true")).await;
    assert_eq!(filtered["chunk"], json!([]), "not through others");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ignored_users_do_not_count() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let room = alice.room(CHAT, json!({})).await;
    bob.join(&room).await;
    let event = alice.say(&room, "first").await;
    let reply = alice.relate(&room, "m.thread", &event).await;
    bob.relate(&room, "m.thread", &event).await;
    bob.relate(&room, "m.reference", &event).await;
    let his = bob.say(&room, "his thread").await;
    alice.relate(&room, "m.thread", &his).await;
    alice.ignore(&bob).await;
    let bundle = alice.bundle(&room, &event).await;
    assert_eq!(bundle["m.thread"]["count"], 1);
    assert_eq!(
        bundle["m.thread"]["latest_event"]["event_id"],
        reply.as_str()
    );
    assert!(bundle["m.reference"].is_null());
    let seen = bob.bundle(&room, &event).await;
    assert_eq!(seen["m.thread"]["count"], 2);
    assert_eq!(seen["m.thread"]["current_user_participated"], true);
    let path = format!("v1/rooms/{room}/relations/{event}");
    let listed = each(&alice.get(&path).await["chunk"], "event_id");
    assert_eq!(listed, [&*reply]);
    let threads = alice.get(&format!("v1/rooms/{room}/threads")).await;
    assert_eq!(each(&threads["chunk"], "event_id"), [&*his, &*event]);
    assert_eq!(threads["chunk"][0]["content"], json!({}), "as if redacted");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn threads_are_listed_by_their_latest_event() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let room = alice.room(CHAT, json!({})).await;
    bob.join(&room).await;
    let mut roots = Vec::new();
    for body in ["1", "2", "3"] {
        let first = alice.say(&room, body).await;
        alice.relate(&room, "m.thread", &first).await;
        roots.push(first);
    }
    bob.relate(&room, "m.thread", &roots[0]).await;
    let path = format!("v1/rooms/{room}/threads");
    let expected = [&*roots[0], &*roots[2], &*roots[1]];
    let all = alice.get(&path).await;
    assert_eq!(each(&all["chunk"], "event_id"), expected);
    assert!(all["next_batch"].is_null());
    let (mut listed, mut from) = (Vec::new(), String::new());
    loop {
        let page = alice.get(&format!("{path}?limit=1{from}")).await;
        listed.extend(each(&page["chunk"], "event_id"));
        let Some(token) = page["next_batch"].as_str() else {
            break;
        };
        from = format!("&from={token}");
    }
    assert_eq!(listed, expected);
    let his = bob.get(&format!("{path}?include=participated")).await;
    assert_eq!(each(&his["chunk"], "event_id"), [&*roots[0]]);
    let hers = alice.get(&format!("{path}?include=participated")).await;
    assert_eq!(each(&hers["chunk"], "event_id"), expected);
    bob.leave(&room).await;
    alice.relate(&room, "m.thread", &roots[1]).await;
    let left = bob.get(&format!("{path}?limit=2")).await;
    assert_eq!(
        each(&left["chunk"], "event_id"),
        [&*roots[0], &*roots[2]],
        "as it was when he left"
    );
    let token = left["next_batch"].as_str().unwrap();
    let rest = bob.get(&format!("{path}?limit=2&from={token}")).await;
    assert_eq!(each(&rest["chunk"], "event_id"), [&*roots[1]]);
    for (query, expected) in [
        ("?from=banana", expect(400, "M_INVALID_PARAM")),
        ("?include=banana", expect(400, "M_INVALID_PARAM")),
        ("?limit=-1", expect(400, "M_INVALID_PARAM")),
    ] {
        assert_eq!(alice.refused(&format!("{path}{query}")).await, expected);
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_020_relations_and_threads_are_for_members() {
    let app = TestApp::new();
    let (alice, eve) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "eve").await,
    );
    let room = alice.room("private_chat", json!({})).await;
    let event = alice.say(&room, "first").await;
    alice.relate(&room, "m.thread", &event).await;
    let relations = format!("v1/rooms/{room}/relations/{event}");
    assert_eq!(eve.refused(&relations).await, expect(404, "M_NOT_FOUND"));
    let threads = format!("v1/rooms/{room}/threads");
    assert_eq!(eve.refused(&threads).await, expect(403, "M_FORBIDDEN"));
    let nowhere = eve.refused("v1/rooms/!nowhere:hs1/threads").await;
    assert_eq!(nowhere, expect(403, "M_FORBIDDEN"));
    let unknown = format!("v1/rooms/{room}/relations/$nothing");
    assert_eq!(alice.refused(&unknown).await, expect(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_relates_is_told_as_far_as_it_is_seen() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let visibility = json!({
        "type": "m.room.history_visibility",
        "state_key": "",
        "content": {"history_visibility": "joined"},
    });
    let room = alice
        .room(CHAT, json!({"initial_state": [visibility]}))
        .await;
    let before = alice.say(&room, "before").await;
    bob.join(&room).await;
    alice.relate(&room, "m.thread", &before).await;
    let event = alice.say(&room, "shown").await;
    let reply = alice.relate(&room, "m.thread", &event).await;
    bob.leave(&room).await;
    let hidden = alice.relate(&room, "m.thread", &event).await;
    alice.edit(&room, &event, "hidden").await;
    let bundle = bob.bundle(&room, &event).await;
    assert_eq!(
        bundle["m.thread"]["latest_event"]["event_id"],
        reply.as_str()
    );
    assert!(bundle["m.replace"].is_null());
    let path = format!("v1/rooms/{room}/relations/{event}");
    let listed = each(&bob.get(&path).await["chunk"], "event_id");
    assert_eq!(listed, [&*reply], "without {hidden}");
    let unseen = format!("v1/rooms/{room}/relations/{before}");
    assert_eq!(bob.refused(&unseen).await, expect(404, "M_NOT_FOUND"));
    let threads = bob.get(&format!("v1/rooms/{room}/threads")).await;
    assert_eq!(each(&threads["chunk"], "event_id"), [&*event]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_event_closest_to_a_moment_is_found() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let room = alice.room(CHAT, json!({})).await;
    let mut sent = Vec::new();
    for body in ["1", "2"] {
        let event = alice.say(&room, body).await;
        sent.push((event, app.env.clock.wall_ms()));
    }
    let [(one, one_ms), (two, two_ms)] = &sent[..] else {
        panic!()
    };
    let path = |ts: u64, dir: &str| format!("v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}");
    for (ts, dir, expected, at) in [
        (*one_ms, "f", one, one_ms),
        (*one_ms, "b", one, one_ms),
        (one_ms + 1, "f", two, two_ms),
        (two_ms - 1, "b", one, one_ms),
        (two_ms + 5, "b", two, two_ms),
    ] {
        let found = alice.get(&path(ts, dir)).await;
        assert_eq!(
            found,
            json!({"event_id": expected, "origin_server_ts": at}),
            "{ts} {dir}"
        );
    }
    let none = alice.refused(&path(two_ms + 1, "f")).await;
    assert_eq!(none, expect(404, "M_NOT_FOUND"));
    assert_eq!(
        alice.refused(&path(0, "b")).await,
        expect(404, "M_NOT_FOUND")
    );
    for query in ["ts=-1&dir=f", "ts=x&dir=f", "ts=1", "ts=1&dir=x", "dir=f"] {
        let path = format!("v1/rooms/{room}/timestamp_to_event?{query}");
        let refused = alice.refused(&path).await;
        assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{query}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_029_moments_are_for_members() {
    let app = TestApp::new();
    let (alice, eve) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "eve").await,
    );
    let room = alice.room("private_chat", json!({})).await;
    let path = format!("v1/rooms/{room}/timestamp_to_event?ts=1&dir=f");
    assert_eq!(eve.refused(&path).await, expect(403, "M_FORBIDDEN"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_are_filtered_by_what_relates_to_them() {
    let app = TestApp::new();
    let (alice, bob) = (
        Talker::new(&app, "alice").await,
        Talker::new(&app, "bob").await,
    );
    let room = alice.room(CHAT, json!({})).await;
    bob.join(&room).await;
    let threaded = alice.say(&room, "threaded").await;
    let referred = alice.say(&room, "referred").await;
    alice.say(&room, "alone").await;
    bob.relate(&room, "m.thread", &threaded).await;
    alice.relate(&room, "m.reference", &referred).await;
    let read = async |filter: Value| {
        let filter = filter.to_string().replace('"', "%22");
        let filter = filter.replace('{', "%7B").replace('}', "%7D");
        let path = format!("v3/rooms/{room}/messages?dir=b&limit=50&filter={filter}");
        each(&alice.get(&path).await["chunk"], "event_id")
    };
    let both = read(json!({"related_by_rel_types": ["m.thread", "m.reference"]})).await;
    assert_eq!(both, [&*referred, &*threaded]);
    let his = read(json!({"related_by_senders": [bob.id()]})).await;
    assert_eq!(his, [&*threaded]);
    let neither = json!({
        "related_by_rel_types": ["m.reference"],
        "related_by_senders": [bob.id(), "nonsense"],
    });
    assert!(read(neither).await.is_empty());
    let types: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    let filter = json!({"related_by_rel_types": types}).to_string();
    let filter = filter.replace('"', "%22").replace('{', "%7B");
    let path = format!(
        "v3/rooms/{room}/messages?dir=b&filter={}",
        filter.replace('}', "%7D")
    );
    let refused = alice.refused(&path).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "too many");
    app.stop().await;
}
