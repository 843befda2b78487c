//! Rooms that other servers have made hard to live in, and what these are told of who is gone.

use serde_json::{Value, json};

use super::forge;
use super::realm::Realm;
use super::scene::{ALICE, Fate, MALLORY, Place, Scene};

#[tokio::test(start_paused = true)]
async fn vis_026_an_invite_that_tells_nonsense_of_its_room_is_shown_without() {
    let scene = Scene::new().await;
    scene.act("GET", "/sync", &json!({})).await;
    for version in [6, 11] {
        for nonsense in [
            Value::Null,
            json!(5),
            json!({}),
            json!("x"),
            json!([null, 5, {}, {"type": 5, "state_key": [], "content": "x"}]),
        ] {
            let realm = Realm::new(&scene.evil, version, "invite");
            let (path, mut body) = realm.invite(ALICE);
            body["invite_room_state"] = nonsense.clone();
            let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
            assert!([200, 400].contains(&status), "{nonsense}: {answer}");
            let synced = scene.act("GET", "/sync", &json!({})).await;
            let invite = &synced["rooms"]["invite"][&realm.place.id];
            assert_eq!(invite.is_object(), status == 200, "{nonsense}: {synced}");
            if status == 200 {
                let told = invite["invite_state"]["events"].as_array().unwrap();
                let own = |event: &Value| event["state_key"] == ALICE;
                assert!(told.iter().all(own), "{nonsense}: {told:?}");
                let leave = format!("/rooms/{}/leave", realm.place.id);
                scene.act("POST", &leave, &json!({})).await;
            }
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_state_cannot_be_had_is_left() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        let nowhere = forge::event_id(&json!({"content": {}, "depth": 9}), version);
        let mut event = scene.message(&place).await;
        event["prev_events"] = json!([nowhere]);
        let id = scene.sign(&place, &mut event);
        scene.send(std::slice::from_ref(&event)).await;
        assert_eq!(scene.fate(&place, &id).await, Fate::Waits, "{version}");
        let synced = scene.act("GET", "/sync", &json!({})).await;
        let since = synced["next_batch"].as_str().unwrap().to_owned();
        let leave = format!("/rooms/{}/leave", place.id);
        scene.act("POST", &leave, &json!({"reason": "stuck"})).await;
        let path = format!("/sync?since={since}");
        let news = scene.act("GET", &path, &json!({})).await;
        let left = news["rooms"]["leave"][&place.id].clone();
        let last = left["timeline"]["events"].as_array().unwrap().last();
        assert_eq!(last.unwrap()["content"]["membership"], "leave", "{news}");
        assert_eq!(last.unwrap()["content"]["reason"], "stuck");
    }
    scene.stop().await;
}

/// What the hostile server is told of an event and of what was before it.
async fn told(scene: &Scene, place: &Place, event: &str) -> [String; 2] {
    let of = |path: String| async move {
        let answer = scene.ask_as(&scene.evil, "GET", &path, None).await;
        assert_eq!(answer.0, 200, "{path}: {}", answer.1);
        answer.1.to_string()
    };
    let event = event.replace('$', "%24");
    let (one, past) = (
        format!("/_matrix/federation/v1/event/{event}"),
        format!(
            "/_matrix/federation/v1/backfill/{}?v={event}&limit=20",
            place.id
        ),
    );
    [of(one).await, of(past).await]
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_is_not_told_what_the_erased_wrote() {
    let scene = Scene::new().await;
    for version in [6, 12] {
        let name = format!("dave{version}");
        let dave = scene.newcomer(&name).await;
        let (met, unmet) = (
            scene.place(version).await,
            scene.room(version, json!({})).await,
        );
        let mut said = Vec::new();
        for place in [&met, &unmet] {
            let join = format!("/join/{}", place.id);
            scene.act_with(&dave, ("POST", &join), &json!({})).await;
            let say = format!("/rooms/{}/send/m.room.message/1", place.id);
            let content = json!({"msgtype": "m.text", "body": "erase me"});
            let sent = scene.act_with(&dave, ("PUT", &say), &content).await;
            said.push(sent["event_id"].as_str().unwrap().to_owned());
        }
        scene.wait(std::time::Duration::from_hours(1)).await;
        scene.erase(&format!("@{name}:hs1")).await;
        scene.wait(std::time::Duration::from_hours(1)).await;
        scene.join(&unmet, MALLORY).await;
        for answer in told(&scene, &met, &said[0]).await {
            assert!(answer.contains("erase me"), "{version}: {answer}");
        }
        for answer in told(&scene, &unmet, &said[1]).await {
            assert!(answer.contains("m.room.message"), "{version}: {answer}");
            assert!(!answer.contains("erase me"), "{version}: {answer}");
        }
    }
    scene.stop().await;
}
