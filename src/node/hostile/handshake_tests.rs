//! Joins, leaves, knocks and invites with a server that does not keep to its part.

use std::sync::Arc;

use belfry_api::rate::{Limit, RateOptions};
use serde_json::{Value, json};

use super::{
    peer::Heard,
    realm::Realm,
    scene::{ALICE, BOB, MALLORY, Scene},
};

const VERSIONS: [u32; 3] = [6, 11, 12];

/// Templates that a server might want to have signed, none of which is what it was asked for.
fn traps(realm: &Realm, asked: &str) -> Vec<Value> {
    let of = |field: &str, value: Value| {
        let mut template = realm.template(ALICE, asked);
        template["event"][field] = value;
        template
    };
    let others = ["join", "leave", "knock", "ban", "invite", "xyz"];
    let others = others.iter().filter(|other| **other != asked);
    let mut traps: Vec<_> = others
        .map(|other| of("content", json!({"membership": other})))
        .collect();
    let mut message = realm.template(ALICE, asked);
    message["event"] = realm.draft("m.room.message", None, &json!({"body": "x"}), "@admin:hs1");
    traps.extend([
        message,
        of("type", json!("m.room.power_levels")),
        of("sender", json!("@admin:hs1")),
        of("sender", json!(MALLORY)),
        of("state_key", json!(BOB)),
        of("state_key", Value::Null),
        of("room_id", json!("!other:hs1")),
        of("prev_events", json!([])),
        of("prev_events", json!(["$x:evil.example"])),
        of("auth_events", json!(vec!["$x"; 50])),
        of("depth", json!("1")),
        of("content", json!([])),
    ]);
    traps
}

/// What was sent by `hs1` in a handshake.
fn sent(heard: &[Heard]) -> Vec<&Heard> {
    heard
        .iter()
        .filter(|it| it.path.contains("/send_"))
        .collect()
}

async fn rooms_of(scene: &Scene, kind: &str) -> Value {
    let sync = scene.act("GET", "/sync", &json!({})).await;
    sync["rooms"][kind].clone()
}

#[tokio::test(start_paused = true)]
async fn join_013_an_invite_is_declined_by_nothing_but_a_leave() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let realm = Arc::new(Realm::new(&scene.evil, version, "invite"));
        for trap in traps(&realm, "leave") {
            let (path, body) = realm.invite(ALICE);
            let answer = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
            assert_eq!(answer.0, 200, "{}", answer.1);
            assert!(rooms_of(&scene, "invite").await[&realm.place.id].is_object());
            let (told, honest) = (trap.clone(), Arc::clone(&realm));
            scene.net.answer(move |heard| {
                let asked = heard.path.contains("/make_leave/");
                let trap = asked.then(|| (200, told.clone()));
                trap.or_else(|| honest.tell(heard))
            });
            scene.net.heard();
            let leave = format!("/rooms/{}/leave", realm.place.id);
            scene.act("POST", &leave, &json!({})).await;
            let heard = scene.net.heard();
            assert!(sent(&heard).is_empty(), "{version} {trap}: {heard:?}");
            let left = rooms_of(&scene, "invite").await;
            assert!(left[&realm.place.id].is_null(), "{version} {trap}: {left}");
        }
        // Asked for what it is, the leave is signed and sent.
        let (path, body) = realm.invite(ALICE);
        scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
        let honest = Arc::clone(&realm);
        scene.net.answer(move |heard| honest.tell(heard));
        let leave = format!("/rooms/{}/leave", realm.place.id);
        scene.act("POST", &leave, &json!({})).await;
        let heard = scene.net.heard();
        let [left] = sent(&heard)[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(left.body["content"], json!({"membership": "leave"}));
        assert_eq!(left.body["sender"], ALICE);
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn join_014_a_knock_that_would_be_something_else_fails_unsigned() {
    let scene = Scene::new().await;
    for version in [7, 11, 12] {
        let realm = Arc::new(Realm::new(&scene.evil, version, "knock"));
        let path = format!("/knock/{}?via=evil.example", realm.place.id);
        for trap in traps(&realm, "knock") {
            let (told, honest) = (trap.clone(), Arc::clone(&realm));
            scene.net.answer(move |heard| {
                let asked = heard.path.contains("/make_knock/");
                let trap = asked.then(|| (200, told.clone()));
                trap.or_else(|| honest.tell(heard))
            });
            scene.net.heard();
            let (status, answer) = scene.ask("POST", &path, &json!({})).await;
            assert!(status >= 400, "{version} {trap}: {answer}");
            let heard = scene.net.heard();
            assert!(sent(&heard).is_empty(), "{version} {trap}: {heard:?}");
            let knocks = rooms_of(&scene, "knock").await;
            assert!(
                knocks[&realm.place.id].is_null(),
                "{version} {trap}: {knocks}"
            );
        }
        let honest = Arc::clone(&realm);
        scene.net.answer(move |heard| honest.tell(heard));
        scene.act("POST", &path, &json!({})).await;
        let knocks = rooms_of(&scene, "knock").await;
        assert!(knocks[&realm.place.id].is_object(), "{knocks}");
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_join_that_would_be_something_else_fails_unsigned() {
    let scene = Scene::new().await;
    for version in VERSIONS {
        let realm = Arc::new(Realm::new(&scene.evil, version, "public"));
        let path = format!("/join/{}?via=evil.example", realm.place.id);
        for trap in traps(&realm, "join") {
            let (told, honest) = (trap.clone(), Arc::clone(&realm));
            scene.net.answer(move |heard| {
                let asked = heard.path.contains("/make_join/");
                let trap = asked.then(|| (200, told.clone()));
                trap.or_else(|| honest.tell(heard))
            });
            scene.net.heard();
            let (status, answer) = scene.ask("POST", &path, &json!({})).await;
            assert!(status >= 400, "{version} {trap}: {answer}");
            let heard = scene.net.heard();
            assert!(sent(&heard).is_empty(), "{version} {trap}: {heard:?}");
        }
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn join_018_a_join_comes_back_as_it_was_signed_or_not_at_all() {
    type Spoil = fn(&mut Value);
    let spoils: [(&str, Spoil); 6] = [
        ("a name", |event| {
            event["content"]["displayname"] = json!("Eve");
        }),
        ("a field", |event| event["more"] = json!(1)),
        ("a depth", |event| event["depth"] = json!(1)),
        ("a sender", |event| event["sender"] = json!(MALLORY)),
        ("a time", |event| event["origin_server_ts"] = json!(1)),
        ("a ban", |event| {
            event["content"]["membership"] = json!("ban");
        }),
    ];
    let scene = Scene::new().await;
    for version in VERSIONS {
        let realm = Arc::new(Realm::new(&scene.evil, version, "public"));
        let path = format!("/join/{}?via=evil.example", realm.place.id);
        for hashed_anew in [false, true] {
            for (what, spoil) in spoils {
                let honest = Arc::clone(&realm);
                scene.net.answer(move |heard| {
                    let mut told = honest.tell(heard)?;
                    if heard.path.contains("/send_join/") {
                        let mut event = heard.body.clone();
                        spoil(&mut event);
                        let hashes = event["hashes"].clone();
                        honest.sign(&mut event);
                        if !hashed_anew {
                            event["hashes"] = hashes;
                        }
                        told.1["event"] = event;
                    }
                    Some(told)
                });
                let (status, answer) = scene.ask("POST", &path, &json!({})).await;
                assert!(status >= 400, "{version} {what} {hashed_anew}: {answer}");
                let joined = scene.act("GET", "/joined_rooms", &json!({})).await;
                assert_eq!(joined, json!({"joined_rooms": []}), "{version} {what}");
            }
        }
        // With nothing but one more signature it is the same event.
        let honest = Arc::clone(&realm);
        scene.net.answer(move |heard| {
            let mut told = honest.tell(heard)?;
            if heard.path.contains("/send_join/") {
                let mut event = heard.body.clone();
                honest.sign(&mut event);
                told.1["event"] = event;
            }
            Some(told)
        });
        scene.act("POST", &path, &json!({})).await;
        let leave = format!("/rooms/{}/leave", realm.place.id);
        scene.act("POST", &leave, &json!({})).await;
    }
    scene.settle().await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn join_020_a_million_servers_said_to_be_in_a_room_do_no_harm() {
    let scene = Scene::new().await;
    let realm = Arc::new(Realm::new(&scene.evil, 11, "public"));
    let names: Vec<_> = (0..1_000_000)
        .map(|number| format!("s{number}.example"))
        .collect();
    let (names, honest) = (json!(names), Arc::clone(&realm));
    scene.net.answer(move |heard| {
        let mut told = honest.tell(heard)?;
        if heard.path.contains("/send_join/") {
            told.1["servers_in_room"] = names.clone();
        }
        Some(told)
    });
    let path = format!("/join/{}?via=evil.example", realm.place.id);
    scene.act("POST", &path, &json!({})).await;
    // Who is in a room is said by its members, nobody else.
    scene.say(&realm.place, "hello").await;
    scene.settle().await;
    assert_eq!(scene.rows("destination").await, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn join_011_a_room_takes_so_many_joins_of_other_servers_and_then_asks_to_wait() {
    let mut rates = RateOptions::field_defaults();
    for limit in Limit::ALL.iter().filter(|limit| **limit != Limit::JoinRoom) {
        rates.set(*limit, None);
    }
    let scene = Scene::with(rates).await;
    let (place, other) = (
        scene.room(11, json!({})).await,
        scene.room(11, json!({})).await,
    );
    let mut refused = Vec::new();
    for number in 0..50 {
        let user = format!("@m{number}:evil.example");
        let (status, answer) = scene.try_join(&place, &user).await;
        if status != 200 {
            let errcode = answer["errcode"].as_str();
            assert_eq!(
                (status, errcode),
                (429, Some("M_LIMIT_EXCEEDED")),
                "{answer}"
            );
            refused.push(user);
        }
    }
    assert!(refused.len() >= 30, "{}", refused.len());
    let members = scene.seen(&place).await.members;
    assert!(refused.iter().all(|user| members["joined"][user].is_null()));
    // Other rooms are not concerned.
    let (status, answer) = scene.try_join(&other, MALLORY).await;
    assert_eq!(status, 200, "{answer}");
    scene.settle().await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_is_invited_so_often_by_other_servers_and_then_they_are_to_wait() {
    let mut rates = RateOptions::field_defaults();
    for limit in Limit::ALL
        .iter()
        .filter(|limit| **limit != Limit::InviteUser)
    {
        rates.set(*limit, None);
    }
    let scene = Scene::with(rates).await;
    let mut answers = Vec::new();
    for number in 0..100 {
        let realm = Realm::new(&scene.evil, 11, "invite");
        realm.add("m.room.topic", Some(""), &json!({"topic": number}));
        let (path, body) = realm.invite(ALICE);
        let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
        assert!(matches!(status, 200 | 429), "{answer}");
        answers.push(status);
    }
    assert_eq!(answers.first(), Some(&200));
    assert_eq!(answers.last(), Some(&429));
    let realm = Realm::new(&scene.evil, 11, "invite");
    let (path, body) = realm.invite(BOB);
    let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_010_who_wants_no_invites_gets_none() {
    let scene = Scene::new().await;
    let realm = Realm::new(&scene.evil, 11, "invite");
    let ignored = json!({"ignored_users": {MALLORY: {}}});
    let blocked = json!({"default_action": "block"});
    for (kind, content) in [
        ("m.invite_permission_config", blocked),
        ("m.ignored_user_list", ignored),
    ] {
        let account_data = format!("/user/{ALICE}/account_data/{kind}");
        scene.act("PUT", &account_data, &content).await;
        let (path, body) = realm.invite(ALICE);
        let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
        let errcode = answer["errcode"].as_str();
        assert_eq!(
            (status, errcode),
            (403, Some("M_INVITE_BLOCKED")),
            "{kind}: {answer}"
        );
        assert!(!answer.to_string().contains("signatures"), "{answer}");
        let invites = rooms_of(&scene, "invite").await;
        assert!(invites[&realm.place.id].is_null(), "{kind}: {invites}");
        scene.act("PUT", &account_data, &json!({})).await;
    }
    let (path, body) = realm.invite("@nobody:hs1");
    let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
    assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")));
    let (path, body) = realm.invite(ALICE);
    let (status, answer) = scene.ask_as(&scene.evil, "PUT", &path, Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["event"]["signatures"]["hs1"].is_object(), "{answer}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_014_a_token_that_says_who_somebody_is_must_be_one() {
    let scene = Scene::new().await;
    let path = "/_matrix/federation/v1/openid/userinfo";
    let ask = async |query: &str| {
        let path = format!("{path}{query}");
        scene.ask_as(&scene.evil, "GET", &path, None).await
    };
    let (status, answer) = ask("").await;
    assert_eq!(
        (status, &answer["errcode"]),
        (401, &json!("M_MISSING_TOKEN"))
    );
    for token in ["", "nonsense", "%00", "a%20b"] {
        let (status, answer) = ask(&format!("?access_token={token}")).await;
        assert_eq!(
            (status, &answer["errcode"]),
            (401, &json!("M_UNKNOWN_TOKEN")),
            "{token}"
        );
    }
    let given = format!("/user/{ALICE}/openid/request_token");
    let given = scene.act("POST", &given, &json!({})).await;
    let (token, life_s) = (
        given["access_token"].as_str().unwrap(),
        &given["expires_in"],
    );
    let query = format!("?access_token={token}");
    assert_eq!(ask(&query).await, (200, json!({"sub": ALICE})));
    let life = std::time::Duration::from_secs(life_s.as_u64().unwrap());
    scene.wait(life + std::time::Duration::from_secs(1)).await;
    let (status, answer) = ask(&query).await;
    assert_eq!(
        (status, &answer["errcode"]),
        (401, &json!("M_UNKNOWN_TOKEN"))
    );
    scene.stop().await;
}
