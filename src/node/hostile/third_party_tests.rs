//! Invites by way of an identity server, whose part the accomplice plays.

use serde_json::{Value, json};

use super::scene::{ALICE, BOB, Fate, MALLORY, Place, Scene, TRUDY};

/// What `m.room.third_party_invite` says, with the accomplice's key.
fn offer(scene: &Scene) -> Value {
    let key = scene.accomplice.public_key();
    json!({
        "display_name": "b…", "key_validity_url": "https://accomplice.example/valid",
        "public_key": key, "public_keys": [{"public_key": key}],
    })
}

/// What the accomplice signs of somebody.
fn signed(scene: &Scene, mxid: &str, token: &str) -> Value {
    let mut signed = json!({"mxid": mxid, "token": token});
    scene.accomplice.sign(&mut signed);
    signed
}

fn content(signed: &Value) -> Value {
    let invite = json!({"display_name": "b…", "signed": signed});
    json!({"membership": "invite", "third_party_invite": invite})
}

/// A room where everybody may invite.
async fn open_room(scene: &Scene, version: u32) -> Place {
    let place = scene.place(version).await;
    let users = if version < 12 {
        json!({ALICE: 100})
    } else {
        json!({})
    };
    let levels = json!({"users": users, "invite": 0});
    scene.set(&place, "m.room.power_levels", "", &levels).await;
    place
}

#[tokio::test(start_paused = true)]
async fn authz_011_an_invite_by_a_third_party_needs_its_word_about_this_very_user() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let place = open_room(&scene, version).await;
        scene.join(&place, TRUDY).await;
        let given = scene.event(
            &place,
            "m.room.third_party_invite",
            Some("tok"),
            offer(&scene),
        );
        let given = given.await;
        scene
            .try_event(&place, "an offer", given, Fate::Accepted)
            .await;
        let mut wrong_key = json!({"mxid": BOB, "token": "tok"});
        scene.evil.sign(&mut wrong_key);
        let good = signed(&scene, BOB, "tok");
        let mut moved = signed(&scene, TRUDY, "tok");
        moved["mxid"] = json!(BOB);
        let mut renamed = signed(&scene, BOB, "tic");
        renamed["token"] = json!("tok");
        let mut unsigned = good.clone();
        unsigned["signatures"] = json!({});
        let mut other_key_id = good.clone();
        let signatures = &mut other_key_id["signatures"]["accomplice.example"];
        *signatures = json!({"rsa:1": signatures["ed25519:evil"]});
        for (what, signed) in [
            ("a wrong key", wrong_key),
            ("an unknown token", self::signed(&scene, BOB, "tic")),
            ("another's word", self::signed(&scene, TRUDY, "tok")),
            ("another's name on it", moved),
            ("another's token on it", renamed),
            ("no signature", unsigned),
            ("another algorithm", other_key_id),
            ("no token", json!({"mxid": BOB})),
            ("nothing", json!({})),
        ] {
            let event = scene.event(&place, "m.room.member", Some(BOB), content(&signed));
            scene
                .try_event(&place, what, event.await, Fate::Rejected)
                .await;
        }
        // By another user than the one who made the offer.
        let mut event = scene
            .event(&place, "m.room.member", Some(BOB), content(&good))
            .await;
        let state = scene.state(&place).await;
        event["sender"] = json!(TRUDY);
        let cited = event["auth_events"].as_array_mut().unwrap();
        cited.retain(|id| *id != json!(state[&format!("m.room.member {MALLORY}")]));
        cited.push(json!(state[&format!("m.room.member {TRUDY}")]));
        scene
            .try_event(&place, "another inviter", event, Fate::Rejected)
            .await;
        // Taken back, it is no offer.
        let back = scene.event(&place, "m.room.third_party_invite", Some("tok"), json!({}));
        scene
            .try_event(&place, "taken back", back.await, Fate::Accepted)
            .await;
        let event = scene
            .event(&place, "m.room.member", Some(BOB), content(&good))
            .await;
        scene
            .try_event(&place, "a revoked key", event, Fate::Rejected)
            .await;
        let again = scene.event(
            &place,
            "m.room.third_party_invite",
            Some("tok"),
            offer(&scene),
        );
        scene
            .try_event(&place, "an offer", again.await, Fate::Accepted)
            .await;
        let event = scene
            .event(&place, "m.room.member", Some(BOB), content(&good))
            .await;
        scene
            .try_event(&place, "control", event, Fate::Accepted)
            .await;
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_011_an_exchange_is_of_its_room_its_token_and_its_signature() {
    let scene = Scene::new().await;
    for version in [6, 11, 12] {
        let (place, other) = (
            open_room(&scene, version).await,
            open_room(&scene, version).await,
        );
        scene
            .set(&place, "m.room.third_party_invite", "tok", &offer(&scene))
            .await;
        scene.sign_invites(version);
        let exchange = |signed: &Value| {
            json!({
                "type": "m.room.member", "room_id": place.id, "sender": ALICE,
                "state_key": TRUDY, "content": content(signed),
            })
        };
        let good = signed(&scene, TRUDY, "tok");
        let with = |field: &str, value: Value| {
            let mut body = exchange(&good);
            body[field] = value;
            body
        };
        let mut wrong_key = json!({"mxid": TRUDY, "token": "tok"});
        scene.evil.sign(&mut wrong_key);
        let mut unsigned = good.clone();
        unsigned.as_object_mut().unwrap().remove("signatures");
        let cases = [
            ("another room", with("room_id", json!(other.id)), 400),
            ("no room", with("room_id", Value::Null), 400),
            ("another type", with("type", json!("m.room.message")), 400),
            (
                "no invite",
                with("content", json!({"membership": "join"})),
                400,
            ),
            ("no token", exchange(&json!({"mxid": TRUDY})), 400),
            ("nothing", json!({}), 400),
            (
                "an unknown token",
                exchange(&signed(&scene, TRUDY, "tic")),
                403,
            ),
            ("another user", exchange(&signed(&scene, BOB, "tok")), 403),
            ("another invited", with("state_key", json!(MALLORY)), 403),
            ("another inviter", with("sender", json!(BOB)), 403),
            ("an inviter elsewhere", with("sender", json!(MALLORY)), 403),
            ("no signature", exchange(&unsigned), 403),
            ("a wrong key", exchange(&wrong_key), 403),
        ];
        let before = scene.seen(&place).await;
        scene.net.heard();
        let path = format!(
            "/_matrix/federation/v1/exchange_third_party_invite/{}",
            place.id
        );
        for (what, body, status) in cases {
            let answer = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
            assert_eq!(answer.0, status, "{what} in {version}: {}", answer.1);
            assert_eq!(scene.seen(&place).await, before, "{what} in {version}");
        }
        let asked = scene.net.heard();
        assert!(
            !asked.iter().any(|it| it.path.contains("invite")),
            "{asked:?}"
        );
        let nowhere = path.replace(&place.id, "!nowhere:hs1");
        let answer = scene
            .ask_as(&scene.evil, "PUT", &nowhere, Some(&exchange(&good)))
            .await;
        assert_eq!(
            (answer.0, &answer.1["errcode"]),
            (404, &json!("M_NOT_FOUND"))
        );
        let answer = scene
            .ask_as(&scene.evil, "PUT", &path, Some(&exchange(&good)))
            .await;
        assert_eq!(answer, (200, json!({})));
        let state = format!("/rooms/{}/state/m.room.member/{TRUDY}", place.id);
        let member = scene.act("GET", &state, &json!({})).await;
        assert_eq!(member["membership"], "invite");
    }
    scene.settle().await;
    scene.stop().await;
}
