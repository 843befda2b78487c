//! Attempts to give a room another past, and with it another state.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    realm::Realm,
    scene::{ALICE, Fate, MALLORY, Place, Scene},
};

/// A create event for a room that there is.
fn second_create(place: &Place) -> Value {
    let mut content = json!({"room_version": place.version.to_string(), "again": true});
    if place.version < 11 {
        content["creator"] = json!(MALLORY);
    }
    json!({
        "auth_events": [], "prev_events": [], "depth": 1, "content": content,
        "origin_server_ts": 1, "sender": MALLORY, "type": "m.room.create", "state_key": "",
        "room_id": place.id,
    })
}

#[tokio::test(start_paused = true)]
async fn authz_020_a_room_id_is_not_used_twice_by_another_server() {
    let scene = Scene::new().await;
    for version in [6, 10, 11] {
        let place = scene.place(version).await;
        let before = scene.state(&place).await;
        let create = second_create(&place);
        scene
            .try_event(&place, "a create event", create, Fate::Rejected)
            .await;
        assert_eq!(scene.state(&place).await, before);
    }
    scene.stop().await;
}

/// Events that rest on a second create event, signed, in order.
fn second_room(realm: &Realm) -> Vec<(String, Value)> {
    let (place, mut made) = (&realm.place, Vec::<(String, Value)>::new());
    let mut add = |kind: &str, key: Option<&str>, content: Value, cited: &[usize]| {
        let mut event = second_create(place);
        event["type"] = json!(kind);
        event["content"] = content;
        event["state_key"] = json!(key.unwrap_or_default());
        if key.is_none() {
            event.as_object_mut().unwrap().remove("state_key");
        }
        let id = |at: usize| made[at].0.clone();
        event["auth_events"] = json!(cited.iter().map(|at| id(*at)).collect::<Vec<_>>());
        event["prev_events"] = json!(
            made.last()
                .map(|(id, _)| id)
                .into_iter()
                .collect::<Vec<_>>()
        );
        event["depth"] = json!(made.len() + 1);
        if kind == "m.room.create" {
            event["content"] = second_create(place)["content"].clone();
        }
        let id = realm.sign(&mut event);
        made.push((id, event));
    };
    add("m.room.create", Some(""), Value::Null, &[]);
    add(
        "m.room.member",
        Some(MALLORY),
        json!({"membership": "join"}),
        &[0],
    );
    let levels = json!({"users": {MALLORY: 100}, "events_default": 100});
    add("m.room.power_levels", Some(""), levels, &[0, 1]);
    add(
        "m.room.topic",
        Some(""),
        json!({"topic": "other"}),
        &[0, 1, 2],
    );
    add("m.room.message", None, json!({"body": "other"}), &[0, 1, 2]);
    made
}

#[tokio::test(start_paused = true)]
async fn authz_020_of_two_create_events_for_one_room_id_the_first_stays() {
    let scene = Scene::new().await;
    for version in [6, 11] {
        let realm = Arc::new(Realm::new(&scene.evil, version, "public"));
        let second = Arc::new(second_room(&realm));
        let (honest, other) = (Arc::clone(&realm), Arc::clone(&second));
        scene.net.answer(move |heard| {
            let all = || {
                other
                    .iter()
                    .map(|(_, event)| event.clone())
                    .collect::<Vec<_>>()
            };
            match heard.path.split('/').nth(4)? {
                "get_missing_events" => Some((200, json!({"events": all()}))),
                "event_auth" => Some((200, json!({"auth_chain": all()}))),
                "state" => Some((200, json!({"pdus": all(), "auth_chain": all()}))),
                "state_ids" => {
                    let ids: Vec<_> = other.iter().take(4).map(|(id, _)| id).collect();
                    Some((200, json!({"pdu_ids": ids, "auth_chain_ids": ids})))
                }
                "event" => {
                    let (_, event) = other.iter().find(|(id, _)| heard.path.contains(&**id))?;
                    Some((200, json!({"pdus": [event]})))
                }
                _ => honest.tell(heard),
            }
        });
        let place = realm.place.clone();
        let path = format!("/join/{}?via=evil.example", place.id);
        scene.act("POST", &path, &json!({})).await;
        scene.settle().await;
        let before = (scene.state(&place).await, scene.seen(&place).await);
        // In order, backwards, and only the last.
        let events: Vec<_> = second.iter().map(|(_, event)| event.clone()).collect();
        let backwards: Vec<_> = events.iter().rev().cloned().collect();
        for some in [&events[4..], &events[..], &backwards[..]] {
            scene.send(some).await;
            assert_eq!(scene.state(&place).await, before.0);
        }
        for (id, event) in &*second {
            let fate = scene.fate(&place, id).await;
            let kept = matches!(fate, Fate::Accepted | Fate::SoftFailed);
            assert!(!kept, "{version} {}: {fate:?}", event["type"]);
        }
        let seen = scene.seen(&place).await;
        assert_eq!(seen.extremities, before.1.extremities);
        assert_eq!(seen.shown, before.1.shown);
        // Nor does it count for what is in the room that is known.
        let mut coup = scene.message(&place).await;
        let levels = second[2].0.clone();
        let state = scene.state(&place).await;
        let cited = coup["auth_events"].as_array_mut().unwrap();
        cited.retain(|id| *id != json!(state["m.room.power_levels "]));
        cited.push(json!(levels));
        scene
            .try_event(&place, "another room's levels", coup, Fate::Rejected)
            .await;
        scene.say(&place, "we go on").await;
        let leave = format!("/rooms/{}/leave", place.id);
        scene.act("POST", &leave, &json!({})).await;
        scene.settle().await;
        // Whoever comes back comes back to the same room.
        let (honest, other) = (Arc::clone(&realm), Arc::clone(&second));
        scene.net.answer(move |heard| {
            let all: Vec<_> = other
                .iter()
                .take(4)
                .map(|(_, event)| event.clone())
                .collect();
            if heard.path.contains("/make_join/") {
                let mut told = honest.tell(heard)?;
                let ids: Vec<_> = other.iter().take(3).map(|(id, _)| id).collect();
                told.1["event"]["auth_events"] = json!([ids[0], ids[2]]);
                told.1["event"]["prev_events"] = json!([other[4].0]);
                return Some(told);
            }
            if heard.path.contains("/send_join/") {
                return Some((200, json!({"state": all, "auth_chain": all})));
            }
            honest.tell(heard)
        });
        let (status, answer) = scene.ask("POST", &path, &json!({})).await;
        assert!(status >= 400, "{version}: {answer}");
        let joined = scene.act("GET", "/joined_rooms", &json!({})).await;
        assert!(!joined.to_string().contains(&place.id), "{joined}");
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_021_a_past_with_less_state_takes_nothing_away() {
    let scene = Scene::new().await;
    for version in [6, 10, 11, 12] {
        let place = scene.place(version).await;
        let old = scene.state(&place).await;
        let users = if version < 12 {
            json!({ALICE: 100})
        } else {
            json!({})
        };
        let levels = json!({"users": users, "events_default": 0, "ban": 60});
        scene.set(&place, "m.room.power_levels", "", &levels).await;
        scene
            .set(&place, "m.room.topic", "", &json!({"topic": "ours"}))
            .await;
        let before = scene.state(&place).await;
        let member = format!("m.room.member {MALLORY}");
        let create = place.id.replace('!', "$");
        let create = before.get("m.room.create ").unwrap_or(&create).clone();
        // What Mallory says was the state: without Alice, without levels, with old ones.
        let pasts = [
            vec![create.clone(), before[&member].clone()],
            vec![
                create.clone(),
                before[&member].clone(),
                old["m.room.power_levels "].clone(),
            ],
            vec![
                create.clone(),
                before[&member].clone(),
                before["m.room.power_levels "].clone(),
            ],
            vec![create.clone()],
            vec![],
        ];
        for (number, past) in pasts.into_iter().enumerate() {
            let told = past.clone();
            scene
                .net
                .answer(move |heard| match heard.path.split('/').nth(4)? {
                    "get_missing_events" => Some((200, json!({"events": []}))),
                    "state_ids" => Some((200, json!({"pdu_ids": told, "auth_chain_ids": told}))),
                    _ => None,
                });
            let mut lost = scene.message(&place).await;
            lost["content"]["body"] = json!(format!("lost {number}"));
            let lost = scene.sign(&place, &mut lost);
            let mut event = scene.message(&place).await;
            event["prev_events"] = json!([lost]);
            let cited = past.iter().filter(|id| version < 12 || **id != create);
            event["auth_events"] = json!(cited.collect::<Vec<_>>());
            let id = scene.sign(&place, &mut event);
            scene.send(&[event]).await;
            let fate = scene.fate(&place, &id).await;
            let name = format!("{version} {number} {fate:?}");
            assert_eq!(scene.state(&place).await, before, "{name}");
            scene.say(&place, "we go on").await;
            assert_eq!(scene.state(&place).await, before, "{name}");
        }
        let coup = json!({"users": {MALLORY: 100}});
        let event = scene
            .event(&place, "m.room.power_levels", Some(""), coup)
            .await;
        scene
            .try_event(&place, "a coup", event, Fate::Rejected)
            .await;
    }
    scene.stop().await;
}
