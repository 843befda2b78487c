//! Answers to questions of ours that never end, lead elsewhere, or are too large.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    forge,
    realm::Realm,
    scene::{Fate, MALLORY, Place, Scene},
};

/// Questions that one event may cost until it is given up.
const QUESTIONS_MAX: usize = 500;

/// Events on top of each other whose first one's past nobody has, oldest first.
async fn chain(scene: &Scene, place: &Place, length: usize) -> Vec<(String, Value)> {
    let template = scene.message(place).await;
    let mut prev = forge::event_id(&json!({"content": {}, "depth": 0}), place.version);
    let mut chain = Vec::with_capacity(length);
    for number in 0..length {
        let mut event = template.clone();
        event["prev_events"] = json!([prev]);
        event["content"]["body"] = json!(number.to_string());
        prev = scene.sign(place, &mut event);
        chain.push((prev.clone(), event));
    }
    chain
}

/// Of a chain: up to so many events before the one named.
fn before(chain: &[(String, Value)], latest: &Value, count: usize) -> Vec<Value> {
    let at = chain.iter().position(|(id, _)| *latest == **id);
    let Some(at) = at else { return Vec::new() };
    let part = &chain[at.saturating_sub(count)..at];
    part.iter().map(|(_, event)| event.clone()).collect()
}

/// Waits until an event that came was given up; how many questions that took.
async fn given_up(scene: &Scene, place: &Place, id: &str) -> usize {
    scene.wait(Duration::from_hours(24)).await;
    assert_eq!(scene.fate(place, id).await, Fate::Dropped);
    let asked = scene.net.heard();
    let asked = asked.iter().filter(|it| !it.path.contains("/v1/send/"));
    asked.count()
}

#[tokio::test(start_paused = true)]
async fn fetch_017_the_past_that_is_told_is_walked_back_so_far_and_no_further() {
    let scene = Scene::new().await;
    for version in [6, 12] {
        let place = scene.place(version).await;
        let chain = Arc::new(chain(&scene, &place, 2_000).await);
        let (id, event) = chain.last().unwrap().clone();
        let seen = scene.seen(&place).await;
        // Twenty at a time for ever; all at once; always the same; itself.
        for count in [20, 10_000, 0, 1] {
            let (past, last) = (Arc::clone(&chain), event.clone());
            scene.net.answer(move |heard| {
                let asked = heard.path.contains("/get_missing_events/");
                let events = match count {
                    0 => vec![last.clone(); 20],
                    1 => vec![past[0].1.clone(), past[1_000].1.clone()],
                    count => before(&past, &heard.body["latest_events"][0], count),
                };
                asked.then(|| (200, json!({"events": events})))
            });
            scene.net.heard();
            scene.send(std::slice::from_ref(&event)).await;
            assert_eq!(scene.fate(&place, &id).await, Fate::Waits, "{count}");
            let asked = given_up(&scene, &place, &id).await;
            assert!((1..=QUESTIONS_MAX).contains(&asked), "{count}: {asked}");
            assert_eq!(scene.seen(&place).await, seen, "{count}");
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_017_events_of_another_room_come_into_none() {
    let scene = Scene::new().await;
    let (place, other) = (scene.place(11).await, scene.place(11).await);
    let mut foreign = scene.message(&other).await;
    let foreign_id = scene.sign(&other, &mut foreign);
    let mut event = scene.message(&place).await;
    event["prev_events"] = json!([foreign_id]);
    let id = scene.sign(&place, &mut event);
    let told = foreign.clone();
    scene.net.answer(move |heard| {
        let one = [told.clone()];
        match heard.path.split('/').nth(4)? {
            "get_missing_events" => Some((200, json!({"events": one}))),
            "backfill" | "event" => Some((200, json!({"pdus": one}))),
            "event_auth" => Some((200, json!({"auth_chain": one}))),
            "state" => Some((200, json!({"pdus": one, "auth_chain": one}))),
            _ => None,
        }
    });
    let seen = [scene.seen(&place).await, scene.seen(&other).await];
    scene.send(&[event]).await;
    assert_eq!(scene.fate(&place, &id).await, Fate::Waits);
    given_up(&scene, &place, &id).await;
    for it in [&place, &other] {
        assert_eq!(scene.fate(it, &foreign_id).await, Fate::Dropped);
    }
    assert_eq!([scene.seen(&place).await, scene.seen(&other).await], seen);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_017_history_without_end_is_read_page_by_page() {
    let scene = Scene::new().await;
    let realm = Arc::new(Realm::new(&scene.evil, 11, "public"));
    for number in 0..1_000 {
        let content = json!({"msgtype": "m.text", "body": number.to_string()});
        realm.add("m.room.message", None, &content);
    }
    let (honest, asked) = (Arc::clone(&realm), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    scene.net.answer(move |heard| {
        if heard.path.contains("/backfill/") {
            // More than was asked for, with what does not belong there.
            count.fetch_add(1, Ordering::Relaxed);
            return Some((200, json!({"pdus": vec![honest.create(); 10_000]})));
        }
        honest.tell(heard)
    });
    let path = format!("/join/{}?via=evil.example", realm.place.id);
    scene.act("POST", &path, &json!({})).await;
    let (events, state) = (scene.rows("event").await, scene.state(&realm.place).await);
    for _ in 0..5 {
        let path = format!("/rooms/{}/messages?dir=b&limit=100", realm.place.id);
        scene.act("GET", &path, &json!({})).await;
        scene.settle().await;
    }
    assert!(asked.load(Ordering::Relaxed) <= 20, "{asked:?}");
    assert_eq!(scene.rows("event").await, events);
    assert_eq!(scene.state(&realm.place).await, state);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_018_a_state_of_a_million_events_is_not_fetched() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let ids = |from: u32| {
        let ids = (from..from + 500_000).map(|number| format!("$A{number:042}"));
        json!(ids.collect::<Vec<_>>())
    };
    let told = json!({"pdu_ids": ids(0), "auth_chain_ids": ids(500_000)});
    scene
        .net
        .answer(move |heard| match heard.path.split('/').nth(4)? {
            "get_missing_events" => Some((200, json!({"events": []}))),
            "state_ids" => Some((200, told.clone())),
            _ => None,
        });
    let chain = chain(&scene, &place, 1).await;
    let (id, event) = chain[0].clone();
    let seen = scene.seen(&place).await;
    scene.net.heard();
    scene.send(&[event]).await;
    assert_eq!(scene.fate(&place, &id).await, Fate::Waits);
    let heard = scene.net.heard();
    assert!(heard.iter().any(|it| it.path.contains("/state_ids/")));
    assert!(!heard.iter().any(|it| it.path.contains("/v1/state/")));
    // In each round the event before it is asked for alone; those of the state never are.
    let asked = |of: &str| heard.iter().filter(|it| it.path.contains(of)).count();
    assert_eq!(asked("/v1/event/"), asked("/state_ids/"), "{heard:?}");
    let previous = heard.iter().filter(|it| it.path.contains("/v1/event/"));
    let previous: BTreeSet<_> = previous.map(|it| &it.path).collect();
    assert_eq!(previous.len(), 1, "{heard:?}");
    let after = scene.seen(&place).await;
    assert_eq!((after.events, after.state), (seen.events, seen.state));
    scene.say(&place, "we go on").await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_006_auth_events_that_nobody_has_hold_an_event_back_for_a_while() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        let nowhere = forge::event_id(&json!({"content": {}, "depth": 9}), version);
        let mut event = scene.message(&place).await;
        event["auth_events"]
            .as_array_mut()
            .unwrap()
            .push(json!(nowhere));
        let id = scene.sign(&place, &mut event);
        let seen = scene.seen(&place).await;
        for answer in [json!([]), json!([{}, null, 5]), json!({}), Value::Null] {
            scene.net.answer(move |heard| {
                let asked = heard.path.contains("/event_auth/");
                asked.then(|| (200, json!({"auth_chain": answer})))
            });
            scene.net.heard();
            scene.send(std::slice::from_ref(&event)).await;
            assert_eq!(scene.fate(&place, &id).await, Fate::Waits, "{version}");
            let asked = given_up(&scene, &place, &id).await;
            assert!((2..=QUESTIONS_MAX).contains(&asked), "{version}: {asked}");
            assert_eq!(scene.seen(&place).await, seen, "{version}");
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_023_an_auth_chain_without_end_is_followed_so_far_and_no_further() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    // As many links as anybody asks for, the latest first, each made when it is asked for.
    let state = scene.state(&place).await;
    let root = scene
        .event(&place, "m.room.power_levels", Some(""), json!({}))
        .await;
    let (evil, version) = (Arc::clone(&scene.evil), place.version);
    let mut links: Vec<(String, Value)> = Vec::new();
    let mut cited = forge::event_id(&json!({"content": {}, "depth": 7}), version);
    for number in 0..2_000 {
        let mut link = root.clone();
        link["auth_events"] = json!([
            state["m.room.create "],
            state[&format!("m.room.member {MALLORY}")],
            cited
        ]);
        link["content"]["number"] = json!(number);
        cited = evil.sign_event(&mut link, version);
        links.push((cited.clone(), link));
    }
    let mut event = scene.message(&place).await;
    event["auth_events"] = json!([
        state["m.room.create "],
        state[&format!("m.room.member {MALLORY}")],
        cited
    ]);
    let id = scene.sign(&place, &mut event);
    let links = Arc::new(links);
    for whole in [false, true] {
        let told = Arc::clone(&links);
        scene.net.answer(move |heard| {
            let all = || {
                told.iter()
                    .rev()
                    .map(|(_, link)| link.clone())
                    .collect::<Vec<_>>()
            };
            match heard.path.split('/').nth(4)? {
                "event_auth" if whole => Some((200, json!({"auth_chain": all()}))),
                "event" => {
                    let (_, link) = told.iter().find(|(id, _)| heard.path.contains(&**id))?;
                    Some((200, json!({"pdus": [link]})))
                }
                _ => None,
            }
        });
        let seen = scene.seen(&place).await;
        scene.net.heard();
        scene.send(std::slice::from_ref(&event)).await;
        assert_eq!(scene.fate(&place, &id).await, Fate::Waits);
        let asked = given_up(&scene, &place, &id).await;
        assert!((2..=QUESTIONS_MAX).contains(&asked), "{whole}: {asked}");
        assert_eq!(scene.seen(&place).await, seen);
        scene.say(&place, "we go on").await;
    }
    scene.stop().await;
}
