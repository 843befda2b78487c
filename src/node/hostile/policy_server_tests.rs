//! Rooms whose events a policy server is to recommend, and servers that do without.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    forge,
    scene::{Fate, MALLORY, Place, Scene},
};

const POLICY: &str = "@policy:accomplice.example";
const KEY_ID: &str = "ed25519:policy_server";

/// The room names the accomplice, who has a user there only if one joined.
async fn name_server(scene: &Scene, place: &Place) {
    let key = scene.accomplice.public_key().replace('+', "-");
    let content = json!({
        "via": "accomplice.example",
        "public_keys": {"ed25519": key.replace('/', "_")},
    });
    scene.set(place, "m.room.policy", "", &content).await;
}

/// The accomplice's user joins.
async fn policy_joins(scene: &Scene, place: &Place) {
    let (status, answer) = scene.try_join_by(&scene.accomplice, place, POLICY).await;
    assert_eq!(status, 200, "{answer}");
}

/// What is signed of an event, with another's key beside what it has.
fn recommend(scene: &Scene, place: &Place, event: &mut Value) {
    scene.accomplice.sign_event_as(event, place.version, KEY_ID);
}

async fn try_signed(
    scene: &Scene,
    place: &Place,
    what: &str,
    fate: Fate,
    spoil: impl Fn(&mut Value),
) {
    let mut event = scene.message(place).await;
    let id = scene.sign(place, &mut event);
    recommend(scene, place, &mut event);
    spoil(&mut event);
    let before = scene.seen(place).await;
    scene.send(&[event]).await;
    assert_eq!(
        scene.fate(place, &id).await,
        fate,
        "{what} in {}",
        place.version
    );
    let after = scene.seen(place).await;
    assert_eq!(
        before.extremities == after.extremities,
        fate != Fate::Accepted,
        "{what}"
    );
    assert_eq!(after.shown.contains(&id), fate == Fate::Accepted, "{what}");
}

#[tokio::test(start_paused = true)]
async fn authz_025_what_the_rooms_policy_server_did_not_sign_is_soft_failed() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = scene.place(version).await;
        name_server(&scene, &place).await;
        // Without a user in the room it has no say.
        let event = scene.message(&place).await;
        scene
            .try_event(&place, "no user in the room", event, Fate::Accepted)
            .await;
        policy_joins(&scene, &place).await;
        let without = |event: &mut Value| {
            let all = event["signatures"].as_object_mut().unwrap();
            all.remove("accomplice.example");
        };
        try_signed(&scene, &place, "no signature", Fate::SoftFailed, without).await;
        try_signed(&scene, &place, "a wrong one", Fate::SoftFailed, |event| {
            let other = event["signatures"]["evil.example"]["ed25519:evil"].clone();
            event["signatures"]["accomplice.example"][KEY_ID] = other;
        })
        .await;
        try_signed(&scene, &place, "another key's", Fate::SoftFailed, |event| {
            let of = &mut event["signatures"]["accomplice.example"];
            *of = json!({"ed25519:evil": of[KEY_ID]});
        })
        .await;
        try_signed(
            &scene,
            &place,
            "another server's",
            Fate::SoftFailed,
            |event| {
                let of = event["signatures"]["accomplice.example"].take();
                event["signatures"] = json!({
                    "evil.example": event["signatures"]["evil.example"], "hs1": of,
                });
            },
        )
        .await;
        try_signed(&scene, &place, "control", Fate::Accepted, |_| ()).await;
        // It is asked about what comes without; a wrong answer helps nobody.
        let asked = Arc::clone(&scene.accomplice);
        for (what, fate) in [("gives", Fate::Accepted), ("mocks", Fate::SoftFailed)] {
            let asked = Arc::clone(&asked);
            scene.net.answer(move |heard| {
                let mut event = heard.body.clone();
                heard.path.contains("/policy/v1/sign").then(|| {
                    if what == "mocks" {
                        event["depth"] = json!(1);
                    }
                    asked.sign_event_as(&mut event, version, KEY_ID);
                    let given = event["signatures"]["accomplice.example"].clone();
                    (200, json!({"accomplice.example": given}))
                })
            });
            try_signed(&scene, &place, what, fate, without).await;
        }
        scene.net.answer(|_| None);
        // The state that names it goes without its signature; nothing else does.
        let topic = json!({"via": "evil.example", "public_keys": {"ed25519": "AAAA"}});
        let mut event = scene.event(&place, "m.room.policy", Some("x"), topic).await;
        event["sender"] = json!(MALLORY);
        scene
            .try_event(&place, "no power over policy", event, Fate::Rejected)
            .await;
        // Alice takes it away, and everybody may speak again.
        scene.set(&place, "m.room.policy", "", &json!({})).await;
        let event = scene.message(&place).await;
        scene
            .try_event(&place, "no policy", event, Fate::Accepted)
            .await;
    }
    scene.settle().await;
    scene.stop().await;
}

#[test]
fn a_recommendation_leaves_the_event_as_it_is() {
    let mut event = json!({
        "auth_events": [], "prev_events": ["$a"], "content": {"body": "x"}, "depth": 1,
        "origin_server_ts": 1, "room_id": "!r:x", "sender": MALLORY, "type": "m.room.message",
    });
    let peer = super::peer::Peer::new("evil.example");
    let id = peer.sign_event(&mut event, 11);
    peer.sign_event_as(&mut event, 11, KEY_ID);
    assert_eq!(forge::event_id(&event, 11), id);
}
