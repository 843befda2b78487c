//! Events of the right form that the rules of their room do not allow.

use serde_json::{Value, json};

use super::scene::{ALICE, Fate, MALLORY, Place, Scene, TRUDY, encoded};

/// The greatest level that canonical JSON has.
const MAX: i64 = (1 << 53) - 1;

/// A message of Mallory's that cites what is given and what it must, but for what is left out.
async fn citing(scene: &Scene, place: &Place, more: &[String], but: &[&str]) -> Value {
    let mut event = scene.message(place).await;
    let state = scene.state(place).await;
    let left: Vec<_> = but.iter().map(|key| json!(state[*key])).collect();
    let cited = event["auth_events"].as_array_mut().unwrap();
    cited.retain(|id| !left.contains(id));
    cited.extend(more.iter().map(|id| json!(id)));
    event
}

/// Gives users their power and every other action its default.
async fn empower(scene: &Scene, place: &Place, users: &Value) {
    let mut users = users.clone();
    if place.version < 12 {
        users[ALICE] = json!(100);
    }
    let levels = json!({"users": users});
    scene.set(place, "m.room.power_levels", "", &levels).await;
}

#[tokio::test(start_paused = true)]
async fn authz_002_003_and_005_what_is_cited_is_what_the_rules_ask_for() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        let member = format!("m.room.member {MALLORY}");
        let first = scene.state(&place).await;
        scene
            .set(&place, "m.room.topic", "", &json!({"topic": "t"}))
            .await;
        empower(&scene, &place, &json!({})).await;
        let state = scene.state(&place).await;
        let levels = "m.room.power_levels ";
        assert_ne!(first[levels], state[levels]);
        let twice = citing(&scene, &place, &[first[levels].clone()], &[]).await;
        scene
            .try_event(&place, "one key twice", twice, Fate::Rejected)
            .await;
        let again = citing(&scene, &place, &[state[levels].clone()], &[]).await;
        scene
            .try_event(&place, "one event twice", again, Fate::Rejected)
            .await;
        let topic = state["m.room.topic "].clone();
        let idle = citing(&scene, &place, &[topic], &[]).await;
        scene
            .try_event(&place, "irrelevant", idle, Fate::Rejected)
            .await;
        let said = scene.say(&place, "no state").await;
        let idle = citing(&scene, &place, &[said], &[]).await;
        scene
            .try_event(&place, "no state", idle, Fate::Rejected)
            .await;
        let unsaid = citing(&scene, &place, &[], &[&member]).await;
        scene
            .try_event(&place, "no membership", unsaid, Fate::Rejected)
            .await;
        if version < 12 {
            let without = citing(&scene, &place, &[], &["m.room.create "]).await;
            scene
                .try_event(&place, "no create event", without, Fate::Rejected)
                .await;
        }
        let fine = citing(&scene, &place, &[], &[]).await;
        scene
            .try_event(&place, "control", fine, Fate::Accepted)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_004_what_cites_a_rejected_event_is_rejected() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        let levels = json!({"users": {MALLORY: 100, ALICE: 0}});
        let levels = if version < 12 {
            levels
        } else {
            json!({"users": {MALLORY: 100}})
        };
        let mut coup = scene
            .event(&place, "m.room.power_levels", Some(""), levels)
            .await;
        let id = scene.sign(&place, &mut coup);
        scene.send(&[coup]).await;
        assert_eq!(scene.fate(&place, &id).await, Fate::Rejected);
        let event = citing(&scene, &place, &[id], &["m.room.power_levels "]).await;
        scene
            .try_event(&place, "cites a coup", event, Fate::Rejected)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_010_a_membership_that_is_none_is_rejected() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        for content in [
            json!({"membership": "xyz"}),
            json!({"membership": "JOIN"}),
            json!({"membership": 5}),
            json!({"membership": null}),
            json!({"membership": ["join"]}),
            json!({}),
        ] {
            let what = content.to_string();
            let event = scene
                .event(&place, "m.room.member", Some(MALLORY), content)
                .await;
            scene.try_event(&place, &what, event, Fate::Rejected).await;
        }
        let content = json!({"membership": "join"});
        let event = scene
            .event(&place, "m.room.member", Some(ALICE), content)
            .await;
        scene
            .try_event(&place, "for another", event, Fate::Rejected)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_014_power_is_not_given_beyond_ones_own_nor_taken_from_equals() {
    let scene = Scene::new().await;
    for version in [6, 10, 11, 12] {
        let place = scene.place(version).await;
        scene.join(&place, TRUDY).await;
        let before = json!({MALLORY: 50, TRUDY: 50});
        empower(&scene, &place, &before).await;
        let mut users = before.clone();
        if version < 12 {
            users[ALICE] = json!(100);
        }
        let with = |name: &str, value: Value| {
            let mut levels = json!({"users": users});
            levels[name] = value;
            levels
        };
        let user = |user: &str, level: Option<Value>| {
            let mut users = users.clone();
            match level {
                Some(level) => users[user] = level,
                None => drop(users.as_object_mut().unwrap().remove(user)),
            }
            json!({"users": users})
        };
        let mut cases = vec![
            with("users_default", json!(51)),
            with("ban", json!(51)),
            with("events", json!({"m.room.topic": 51})),
            with("users", json!([])),
            user(TRUDY, None),
            user(TRUDY, Some(json!(0))),
            user(MALLORY, Some(json!(51))),
            user("@carol:hs1", Some(json!(51))),
        ];
        // Above her; from version 12 on creators have no level that could be set.
        cases.push(user(ALICE, Some(json!(50))));
        if version >= 10 {
            cases.push(with("users_default", json!("0")));
            cases.push(user("@carol:hs1", Some(json!("7"))));
        }
        for content in cases {
            let what = content.to_string();
            let event = scene
                .event(&place, "m.room.power_levels", Some(""), content)
                .await;
            scene.try_event(&place, &what, event, Fate::Rejected).await;
        }
        for float in [with("kick", json!(1.5)), user(MALLORY, Some(json!(49.5)))] {
            let what = float.to_string();
            let event = scene
                .event(&place, "m.room.power_levels", Some(""), float)
                .await;
            scene.try_event(&place, &what, event, Fate::Dropped).await;
        }
        let event = user("@carol:hs1", Some(json!(50)));
        let event = scene
            .event(&place, "m.room.power_levels", Some(""), event)
            .await;
        scene
            .try_event(&place, "control", event, Fate::Accepted)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_015_the_greatest_and_least_levels_are_compared_as_they_are() {
    let scene = Scene::new().await;
    for version in [6, 10, 11, 12] {
        let place = scene.place(version).await;
        empower(&scene, &place, &json!({MALLORY: 50})).await;
        let levels = |name: &str, level: i64| {
            let mut levels = json!({"users": {MALLORY: 50}});
            if version < 12 {
                levels["users"][ALICE] = json!(100);
            }
            levels[name] = json!(level);
            levels
        };
        for (level, fate) in [
            (MAX, Fate::Rejected),
            (MAX + 1, Fate::Dropped),
            (-MAX - 1, Fate::Dropped),
            (i64::MIN, Fate::Dropped),
            (-MAX, Fate::Accepted),
        ] {
            let content = levels("events_default", level);
            let what = level.to_string();
            let event = scene
                .event(&place, "m.room.power_levels", Some(""), content)
                .await;
            scene.try_event(&place, &what, event, fate).await;
        }
        // The room lives on with the least level that there is.
        let event = scene.message(&place).await;
        scene
            .try_event(&place, "a message", event, Fate::Accepted)
            .await;
        scene
            .set(&place, "m.room.topic", "", &json!({"topic": "t"}))
            .await;
        let content = levels("events_default", 51);
        scene.set(&place, "m.room.power_levels", "", &content).await;
        let event = scene.message(&place).await;
        scene
            .try_event(&place, "silenced", event, Fate::Rejected)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_019_forks_from_before_a_demotion_change_nothing() {
    let scene = Scene::new().await;
    for version in [6, 10, 11, 12] {
        let place = scene.place(version).await;
        scene.join(&place, TRUDY).await;
        empower(&scene, &place, &json!({MALLORY: 50})).await;
        // What Mallory could have done before she was demoted, all of it on the old end.
        let levels = json!({"users": {MALLORY: 50, TRUDY: 50}, "events_default": 50});
        let mut levels = levels;
        if version < 12 {
            levels["users"][ALICE] = json!(100);
        }
        let acts = [
            ("m.room.power_levels", "", levels),
            ("m.room.join_rules", "", json!({"join_rule": "invite"})),
            ("m.room.member", TRUDY, json!({"membership": "ban"})),
            ("m.room.topic", "", json!({"topic": "mine"})),
        ];
        let mut old = Vec::new();
        for (kind, key, content) in acts {
            old.push(scene.event(&place, kind, Some(key), content).await);
        }
        empower(&scene, &place, &json!({})).await;
        scene
            .set(&place, "m.room.topic", "", &json!({"topic": "ours"}))
            .await;
        let before = scene.state(&place).await;
        for event in old {
            let what = event["type"].to_string();
            scene
                .try_event(&place, &what, event, Fate::SoftFailed)
                .await;
        }
        assert_eq!(scene.state(&place).await, before, "{version}");
        scene.say(&place, "we go on").await;
        assert_eq!(scene.state(&place).await, before, "{version}");
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn authz_024_a_redaction_without_power_over_the_event_takes_nothing_away() {
    let scene = Scene::new().await;
    for version in [3, 6, 10, 11, 12] {
        let place = scene.place(version).await;
        let said = scene.say(&place, "stays").await;
        let mut redaction = scene
            .event(&place, "m.room.redaction", None, json!({}))
            .await;
        redaction["redacts"] = json!(said);
        redaction["content"]["redacts"] = json!(said);
        let id = scene.sign(&place, &mut redaction);
        scene.send(&[redaction]).await;
        assert_eq!(scene.fate(&place, &id).await, Fate::Accepted, "{version}");
        let path = format!("/rooms/{}/event/{}", place.id, encoded(&said));
        let kept = scene.act("GET", &path, &json!({})).await;
        assert_eq!(kept["content"]["body"], "stays", "{version}");
        assert_eq!(
            kept["unsigned"]["redacted_because"],
            Value::Null,
            "{version}"
        );
        // Her own she may.
        let mut own = scene.message(&place).await;
        let own_id = scene.sign(&place, &mut own);
        scene.send(&[own]).await;
        let mut redaction = scene
            .event(&place, "m.room.redaction", None, json!({}))
            .await;
        redaction["redacts"] = json!(own_id);
        redaction["content"]["redacts"] = json!(own_id);
        scene.sign(&place, &mut redaction);
        scene.send(&[redaction]).await;
        let path = format!("/rooms/{}/event/{}", place.id, encoded(&own_id));
        let gone = scene.act("GET", &path, &json!({})).await;
        assert_eq!(gone["content"], json!({}), "{version}");
    }
    scene.stop().await;
}
