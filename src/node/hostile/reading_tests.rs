//! What a server reads of rooms that it has nothing to do with.

use serde_json::{Value, json};

use super::scene::{Place, Scene};

/// The rooms that an answer tells of, and those that it says are not to be seen.
fn told(answer: &Value) -> Vec<String> {
    let children = answer["children"].as_array().unwrap().iter();
    let children = children.map(|child| child["room_id"].as_str().unwrap().to_owned());
    children.collect()
}

async fn ask(scene: &Scene, place: &Place) -> (u16, Value) {
    let path = format!("/_matrix/federation/v1/hierarchy/{}", place.id);
    scene.ask_as(&scene.evil, "GET", &path, None).await
}

#[tokio::test(start_paused = true)]
async fn fetch_015_a_space_and_its_rooms_are_told_to_who_may_enter_them() {
    let scene = Scene::new().await;
    for version in [11, 12] {
        let closed = json!({
            "preset": "private_chat", "creation_content": {"type": "m.space"},
        });
        let closed = scene.room(version, closed).await;
        let (status, answer) = ask(&scene, &closed).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")));
        let nowhere = Place {
            id: "!nowhere:hs1".to_owned(),
            version,
        };
        assert_eq!(ask(&scene, &nowhere).await.0, 404);
        let open = json!({"creation_content": {"type": "m.space"}});
        let space = scene.room(version, open).await;
        let public = scene.room(version, json!({})).await;
        let private = scene.room(version, json!({"preset": "private_chat"})).await;
        let restricted = scene.room(version, json!({"preset": "private_chat"})).await;
        let allow = json!([{"type": "m.room_membership", "room_id": closed.id}]);
        let rule = json!({"join_rule": "restricted", "allow": allow});
        scene.set(&restricted, "m.room.join_rules", "", &rule).await;
        for child in [&public, &private, &restricted, &closed] {
            let via = json!({"via": ["hs1"]});
            scene.set(&space, "m.space.child", &child.id, &via).await;
        }
        scene.settle().await;
        let (status, answer) = ask(&scene, &space).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["room"]["room_id"], json!(space.id));
        assert_eq!(told(&answer), std::slice::from_ref(&public.id), "{answer}");
        // Whoever is in the room that opens the restricted one sees that too.
        let path = format!("/rooms/{}/invite", closed.id);
        let body = json!({"user_id": super::scene::MALLORY});
        scene.sign_invites(version);
        scene.act("POST", &path, &body).await;
        scene.join(&closed, super::scene::MALLORY).await;
        let (status, answer) = ask(&scene, &space).await;
        assert_eq!(status, 200, "{answer}");
        let mut seen = told(&answer);
        seen.sort();
        let mut expected = vec![public.id, restricted.id, closed.id];
        expected.sort();
        assert_eq!(seen, expected, "{answer}");
    }
    scene.settle().await;
    scene.stop().await;
}
