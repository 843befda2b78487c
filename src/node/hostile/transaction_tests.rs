//! Transactions with what does not belong into them.

use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{Fate, MALLORY, Scene, transaction};

#[tokio::test(start_paused = true)]
async fn fauth_009_who_sends_is_said_by_the_signature_not_by_the_body() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let acl = json!({"allow": ["*"], "deny": ["evil.example"]});
    scene.set(&place, "m.room.server_acl", "", &acl).await;
    let mut event = scene.message(&place).await;
    let id = scene.sign(&place, &mut event);
    let typing = json!({"edu_type": "m.typing", "content": {
        "room_id": place.id, "user_id": "@alice:hs1", "typing": true,
    }});
    let before = scene.seen(&place).await;
    let mut body = transaction(&[event], &[typing]);
    for origin in [json!("hs1"), json!("accomplice.example"), json!(7)] {
        body["origin"] = origin;
        let (status, answer) = scene.transact(&body).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["pdus"][&id]["error"].is_string(), "{answer}");
        scene.settle().await;
    }
    assert_eq!(scene.seen(&place).await, before);
    assert_eq!(scene.fate(&place, &id).await, Fate::Dropped);
    let sync = scene.act("GET", "/sync", &json!({})).await;
    let passing = &sync["rooms"]["join"][&place.id]["ephemeral"];
    assert!(!passing.to_string().contains("@alice:hs1"), "{passing}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_not_heard_of_a_server_that_the_room_shuts_out() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let said = scene.say(&place, "hello").await;
    for deny in ["evil.example", "EVIL.*", "*.EXAMPLE", "e?il.example"] {
        let acl = json!({"allow": ["*"], "deny": [deny]});
        scene.set(&place, "m.room.server_acl", "", &acl).await;
        let read = json!({"event_ids": [said], "data": {"ts": 1}});
        let told = [
            json!({"edu_type": "m.typing", "content": {
                "room_id": place.id, "user_id": MALLORY, "typing": true,
            }}),
            json!({"edu_type": "m.receipt", "content": {
                place.id.as_str(): {"m.read": {MALLORY: read}},
            }}),
        ];
        let (status, _) = scene.transact(&transaction(&[], &told)).await;
        assert_eq!(status, 200);
        let sync = scene.act("GET", "/sync", &json!({})).await;
        let passing = &sync["rooms"]["join"][&place.id]["ephemeral"];
        assert!(!passing.to_string().contains(MALLORY), "{deny}: {passing}");
    }
    scene
        .set(&place, "m.room.server_acl", "", &json!({"allow": ["*"]}))
        .await;
    let typing = json!({"edu_type": "m.typing", "content": {
        "room_id": place.id, "user_id": MALLORY, "typing": true,
    }});
    scene.transact(&transaction(&[], &[typing])).await;
    let sync = scene.act("GET", "/sync", &json!({})).await;
    let passing = &sync["rooms"]["join"][&place.id]["ephemeral"];
    assert!(passing.to_string().contains(MALLORY), "{passing}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn txn_002_more_edus_than_a_transaction_has_are_refused() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let mut event = scene.message(&place).await;
    let id = scene.sign(&place, &mut event);
    let edu = json!({"edu_type": "m.typing", "content": {}});
    let (status, answer) = scene
        .transact(&transaction(&[event.clone()], &vec![edu.clone(); 101]))
        .await;
    assert_eq!(status, 400, "{answer}");
    scene.settle().await;
    assert_eq!(scene.fate(&place, &id).await, Fate::Dropped);
    let (status, _) = scene
        .transact(&transaction(&[event], &vec![edu; 100]))
        .await;
    scene.settle().await;
    assert_eq!(status, 200);
    assert_eq!(scene.fate(&place, &id).await, Fate::Accepted);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn txn_005_what_is_no_list_is_refused_and_what_is_no_event_is_left_out() {
    let scene = Scene::new().await;
    let place = scene.place(12).await;
    let before = scene.seen(&place).await;
    for pdus in [json!({}), json!("x"), json!(5), json!(true)] {
        let (status, answer) = scene.transact(&json!({"pdus": pdus})).await;
        let errcode = answer["errcode"].as_str();
        assert_eq!((status, errcode), (400, Some("M_BAD_JSON")), "{pdus}");
    }
    for body in [json!({}), json!({"pdus": []}), json!({"edus": []})] {
        let answer = scene.transact(&body).await;
        assert_eq!(answer, (200, json!({"pdus": {}})));
    }
    assert_eq!(scene.seen(&place).await, before);
    let mut event = scene.message(&place).await;
    let id = scene.sign(&place, &mut event);
    let odd = [
        Value::Null,
        json!(5),
        json!("x"),
        json!([]),
        json!({}),
        event,
        json!({"room_id": 5}),
        json!({"room_id": place.id}),
        json!({"room_id": "!nowhere:evil.example"}),
    ];
    let answer = scene.send(&odd).await;
    assert_eq!(answer, json!({"pdus": {id.as_str(): {}}}));
    assert_eq!(scene.fate(&place, &id).await, Fate::Accepted);
    assert_eq!(scene.seen(&place).await.staged, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn txn_006_the_time_of_a_transaction_says_nothing() {
    let scene = Scene::new().await;
    let place = scene.place(12).await;
    for ts in [Value::Null, json!(-1), json!("now"), json!(1e300)] {
        let mut event = scene.message(&place).await;
        let id = scene.sign(&place, &mut event);
        let mut body = transaction(&[event], &[]);
        body["origin_server_ts"] = ts.clone();
        let (status, answer) = scene.transact(&body).await;
        scene.settle().await;
        assert_eq!((status, &answer["pdus"][&id]), (200, &json!({})), "{ts}");
        assert_eq!(scene.fate(&place, &id).await, Fate::Accepted, "{ts}");
    }
    scene.stop().await;
}

/// Questions that one transaction may cost before the room's task rests.
const QUESTIONS_MAX: usize = 100;

#[tokio::test(start_paused = true)]
async fn txn_010_fifty_events_that_lack_ancestors_cost_a_bounded_number_of_questions() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let (mut pdus, mut ids) = (Vec::new(), Vec::new());
    for number in 0..50 {
        let mut lost = scene.message(&place).await;
        lost["content"]["body"] = json!(format!("lost {number}"));
        let lost_id = scene.sign(&place, &mut lost);
        let mut event = scene.message(&place).await;
        event["prev_events"] = json!([lost_id]);
        ids.push(scene.sign(&place, &mut event));
        pdus.push(event);
    }
    let before = scene.seen(&place).await;
    scene.net.heard();
    scene.send(&pdus).await;
    let asked = scene.net.heard();
    let asked: Vec<_> = asked
        .iter()
        .filter(|it| !it.path.contains("/send/"))
        .collect();
    assert!(asked.len() <= QUESTIONS_MAX, "{}", asked.len());
    assert!(!asked.is_empty());
    // The room goes on.
    let said = scene.say(&place, "meanwhile").await;
    assert_eq!(scene.fate(&place, &said).await, Fate::Accepted);
    assert_eq!(scene.seen(&place).await.state, before.state);
    // It is tried less and less often, and in the end given up.
    scene.wait(Duration::from_hours(24)).await;
    for id in &ids {
        assert_eq!(scene.fate(&place, id).await, Fate::Dropped);
    }
    let asked = scene.net.heard().len();
    assert!(asked <= 20 * QUESTIONS_MAX, "{asked}");
    assert_eq!(scene.seen(&place).await.staged, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_one_server_has_waiting_is_bounded() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let model = scene.message(&place).await;
    // What came before is not to be had, so all of them wait.
    let waiting = |number: u32| {
        let mut event = model.clone();
        event["prev_events"] = json!([format!("${}", "A".repeat(43))]);
        event["content"]["body"] = json!(format!("{number}{}", "x".repeat(60_000)));
        scene.sign(&place, &mut event);
        event
    };
    let mut taken = 0;
    loop {
        let events: Vec<_> = (taken * 50..(taken + 1) * 50).map(waiting).collect();
        let (status, answer) = scene.transact(&transaction(&events, &[])).await;
        if status != 200 {
            assert_eq!(
                (status, &answer["errcode"]),
                (429, &json!("M_LIMIT_EXCEEDED"))
            );
            break;
        }
        taken += 1;
        assert!(taken < 20, "there is no bound");
    }
    assert!(taken > 5, "{taken}");
    // What fits is taken, and the room goes on.
    assert_eq!(scene.transact(&transaction(&[], &[])).await.0, 200);
    scene.say(&place, "hello").await;
    scene.stop().await;
}
