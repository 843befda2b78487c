//! Events that do not have the form of their room's version, or numbers beyond sense.

use std::time::Duration;

use belfry_event::EVENT_BYTES_MAX;
use serde_json::{Value, json};

use super::{
    forge,
    scene::{Fate, MALLORY, Place, Scene, TRUDY, encoded},
};

/// The versions of which each has something of its own in the form of events.
const VERSIONS: [u32; 4] = [5, 6, 11, 12];

/// Events with one field changed, none of which may leave anything.
async fn all_are_dropped(scene: &Scene, place: &Place, field: &str, values: &[Value]) {
    for value in values {
        let mut event = scene.message(place).await;
        event[field] = value.clone();
        let text = value.to_string();
        let what = format!("{field} = {}", text.get(..40).unwrap_or(&text));
        scene.try_event(place, &what, event, Fate::Dropped).await;
    }
}

/// The same without a field.
async fn none_goes_without(scene: &Scene, place: &Place, fields: &[&str]) {
    for field in fields {
        let mut event = scene.message(place).await;
        event.as_object_mut().unwrap().remove(*field);
        let what = format!("no {field}");
        scene.try_event(place, &what, event, Fate::Dropped).await;
    }
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn pdu_005_a_depth_that_is_none_is_not_taken() {
    let scene = Scene::new().await;
    for version in [6, 10, 11, 12] {
        let place = scene.place(version).await;
        let depths = [
            json!(-1),
            json!(1_u64 << 53),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1.5),
            json!("7"),
            Value::Null,
        ];
        all_are_dropped(&scene, &place, "depth", &depths).await;
        none_goes_without(&scene, &place, &["depth"]).await;
        let event = scene.message(&place).await;
        scene
            .try_event(&place, "control", event, Fate::Accepted)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_006_large_numbers_of_old_rooms_break_nothing() {
    let scene = Scene::new().await;
    let place = scene.place(5).await;
    let large = [
        "9007199254740992",
        "-9007199254740993",
        "123456789012345678901234567890",
        "1e3",
    ];
    for text in large {
        let mut event = scene.message(&place).await;
        event["content"]["number"] = number(text);
        let id = scene.sign(&place, &mut event);
        scene.send(&[event]).await;
        let fate = scene.fate(&place, &id).await;
        assert!(
            matches!(fate, Fate::Accepted | Fate::Dropped),
            "{text}: {fate:?}"
        );
    }
    for depth in [
        "9007199254740992",
        "9223372036854775807",
        "9223372036854775808",
        "-1",
    ] {
        let mut event = scene.message(&place).await;
        event["depth"] = number(depth);
        let id = scene.sign(&place, &mut event);
        scene.send(&[event]).await;
        let fate = scene.fate(&place, &id).await;
        assert!(
            matches!(fate, Fate::Accepted | Fate::Dropped),
            "{depth}: {fate:?}"
        );
    }
    scene
        .set(&place, "m.room.topic", "", &json!({"topic": "still here"}))
        .await;
    // The room is told to others as before, with everything in it, and to newcomers.
    scene.net.heard();
    let said = scene.say(&place, "after all that").await;
    scene.settle().await;
    let told = scene.net.heard();
    let mut pdus = told
        .iter()
        .flat_map(|it| it.body["pdus"].as_array().unwrap());
    assert!(pdus.any(|pdu| forge::event_id(pdu, 5) == said), "{told:?}");
    scene.join(&place, TRUDY).await;
    let path = format!(
        "/_matrix/federation/v1/backfill/{}?v={said}&limit=100",
        place.id
    );
    let (status, page) = scene.ask_as(&scene.evil, "GET", &path, None).await;
    assert_eq!(status, 200, "{page}");
    assert!(page["pdus"].as_array().unwrap().len() > 5);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_007_more_references_than_an_event_has_are_not_taken() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let place = scene.place(version).await;
        let some = |count: u8| {
            let hash =
                |number: u8| forge::event_id(&json!({"content": {}, "depth": number}), version);
            json!((0..count).map(hash).collect::<Vec<_>>())
        };
        all_are_dropped(&scene, &place, "prev_events", &[some(21)]).await;
        all_are_dropped(&scene, &place, "auth_events", &[some(11)]).await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_009_references_of_another_form_are_not_taken() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let place = scene.place(version).await;
        let event = scene.message(&place).await;
        let prev = event["prev_events"][0].as_str().unwrap();
        let odd = [
            json!([["$a", {}]]),
            json!([["$a:evil.example", {"sha256": "AAAA"}]]),
            json!([[prev, {}]]),
            json!(["$a:evil.example"]),
            json!([prev.trim_start_matches('$')]),
            json!([format!("{prev}A")]),
            json!([5]),
            json!([null]),
            json!({"0": prev}),
            json!(prev),
            Value::Null,
        ];
        all_are_dropped(&scene, &place, "prev_events", &odd).await;
        all_are_dropped(&scene, &place, "auth_events", &odd).await;
        none_goes_without(&scene, &place, &["prev_events", "auth_events"]).await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_011_an_event_is_as_long_as_its_limit_and_no_longer() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let place = scene.place(version).await;
        for (over, fate) in [(1, Fate::Dropped), (0, Fate::Accepted)] {
            let mut event = scene.message(&place).await;
            scene.sign(&place, &mut event);
            let bytes = forge::canonical(&event).len();
            let more = EVENT_BYTES_MAX - bytes + over;
            event["content"]["body"] = json!(format!("hello{}", "x".repeat(more)));
            for field in ["hashes", "signatures"] {
                event.as_object_mut().unwrap().remove(field);
            }
            let what = format!("{over} bytes too many");
            scene.try_event(&place, &what, event, fate).await;
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_014_an_event_has_the_id_of_its_hash_whatever_it_says() {
    let scene = Scene::new().await;
    for version in [3, 4, 11, 12] {
        let place = scene.place(version).await;
        for said in [
            json!("$wrong:evil.example"),
            json!(7),
            json!(format!("${}", "a".repeat(255))),
        ] {
            let victim = scene.say(&place, "mine").await;
            let mut event = scene.message(&place).await;
            let named = if said == 7 { json!(victim) } else { said };
            event["event_id"] = named.clone();
            let id = scene.sign(&place, &mut event);
            let answer = scene.send(&[event]).await;
            assert_eq!(
                answer["pdus"],
                json!({id.as_str(): {}}),
                "{version} {named}"
            );
            let path = format!("/rooms/{}/event/{}", place.id, encoded(&id));
            let shown = scene.act("GET", &path, &json!({})).await;
            assert_eq!(shown["event_id"], json!(id), "{version} {named}");
            let path = format!("/rooms/{}/event/{}", place.id, encoded(&victim));
            let kept = scene.act("GET", &path, &json!({})).await;
            assert_eq!(kept["content"]["body"], "mine", "{version} {named}");
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_015_fields_of_another_type_are_not_taken() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let place = scene.place(version).await;
        let odd = [Value::Null, json!(5), json!(["x"]), json!({}), json!(true)];
        all_are_dropped(&scene, &place, "type", &odd).await;
        all_are_dropped(&scene, &place, "state_key", &odd).await;
        all_are_dropped(&scene, &place, "sender", &odd).await;
        all_are_dropped(&scene, &place, "room_id", &odd).await;
        let lists = [Value::Null, json!(5), json!([]), json!("x")];
        all_are_dropped(&scene, &place, "content", &lists).await;
        let users = [
            json!("mallory"),
            json!("@mallory"),
            json!(""),
            json!("@:"),
            json!("!m:evil.example"),
        ];
        all_are_dropped(&scene, &place, "sender", &users).await;
        none_goes_without(&scene, &place, &["type", "sender", "room_id", "content"]).await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_016_identifiers_of_256_bytes_are_not_taken() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let place = scene.place(version).await;
        let long = |start: &str, end: &str| {
            let bytes = 256 - start.len() - end.len();
            json!(format!("{start}{}{end}", "x".repeat(bytes)))
        };
        let odd = [long("@", ":evil.example")];
        all_are_dropped(&scene, &place, "sender", &odd).await;
        all_are_dropped(&scene, &place, "room_id", &[long("!", ":evil.example")]).await;
        // Bytes, not characters.
        let wide = json!("ä".repeat(128));
        all_are_dropped(&scene, &place, "type", &[long("m.", ""), wide.clone()]).await;
        all_are_dropped(&scene, &place, "state_key", &[long("", ""), wide]).await;
        let named = json!([long("$", ":evil.example")]);
        all_are_dropped(&scene, &place, "prev_events", &[named]).await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_017_times_beyond_sense_order_nothing() {
    let scene = Scene::new().await;
    // From version 5 on keys must have been valid then; before, the time says nothing at all.
    for (version, fate) in [(4, Fate::Accepted), (6, Fate::Waits), (12, Fate::Waits)] {
        let place = scene.place(version).await;
        let first = scene.say(&place, "first").await;
        let mut late = scene.message(&place).await;
        late["origin_server_ts"] = json!((1_u64 << 53) - 1);
        let id = scene.sign(&place, &mut late);
        scene.send(&[late]).await;
        assert_eq!(scene.fate(&place, &id).await, fate, "{version}");
        let last = scene.say(&place, "last").await;
        let shown = scene.seen(&place).await.shown;
        assert_eq!(shown.first(), Some(&last), "{version}");
        let mut order = shown.iter().filter(|it| [&first, &id].contains(it));
        let expected = if fate == Fate::Accepted { &id } else { &first };
        assert_eq!(order.next(), Some(expected), "{version}");
        let odd = [
            json!(-1),
            number("9223372036854775807"),
            json!("1"),
            json!(1.5),
            Value::Null,
        ];
        all_are_dropped(&scene, &place, "origin_server_ts", &odd).await;
        none_goes_without(&scene, &place, &["origin_server_ts"]).await;
        let sync = scene.act("GET", "/sync", &json!({})).await;
        let timeline = &sync["rooms"]["join"][&place.id]["timeline"]["events"];
        let newest = timeline.as_array().unwrap().last().unwrap();
        assert_eq!(newest["event_id"], json!(last), "{version}");
        // What waits for a key is given up one day.
        scene.wait(Duration::from_hours(24)).await;
        assert_eq!(scene.seen(&place).await.staged, 0, "{version}");
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_020_in_version_12_create_events_alone_name_no_room() {
    let scene = Scene::new().await;
    let place = scene.place(12).await;
    none_goes_without(&scene, &place, &["room_id"]).await;
    let seen = scene.seen(&place).await;
    for room in [json!(place.id), json!("!own:evil.example"), Value::Null] {
        let mut create = json!({
            "auth_events": [], "prev_events": [], "depth": 1,
            "content": {"room_version": "12"}, "origin_server_ts": 1, "sender": MALLORY,
            "type": "m.room.create", "state_key": "",
        });
        if !room.is_null() {
            create["room_id"] = room.clone();
        }
        let id = scene.sign(&place, &mut create);
        scene.send(&[create]).await;
        assert_eq!(scene.fate(&place, &id).await, Fate::Dropped, "{room}");
        assert_eq!(scene.seen(&place).await, seen, "{room}");
    }
    // Nor may others be named after what is no create event, or is cited where the ID says it.
    let create = place.id.replace('!', "$");
    let mut event = scene.message(&place).await;
    event["auth_events"]
        .as_array_mut()
        .unwrap()
        .push(json!(create));
    scene
        .try_event(&place, "cites the create event", event, Fate::Dropped)
        .await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_022_a_room_that_is_not_federated_takes_no_events_of_others() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let closed = json!({"creation_content": {"m.federate": false}});
        let place = scene.room(version, closed).await;
        let (status, answer) = scene.try_join(&place, MALLORY).await;
        assert_eq!((status, &answer["errcode"]), (403, &json!("M_FORBIDDEN")));
        let join = json!({"membership": "join"});
        let join = scene
            .event(&place, "m.room.member", Some(MALLORY), join)
            .await;
        scene
            .try_event(&place, "a join", join, Fate::Rejected)
            .await;
        let message = scene.message(&place).await;
        scene
            .try_event(&place, "a message", message, Fate::Rejected)
            .await;
    }
    scene.stop().await;
}
