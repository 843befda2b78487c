//! Agreements that are changed while servers run, in both directions.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{member::Member, talk::Device, world::World};

const PATH: &str = "/_belfry/admin/v1/partners";

async fn agree(member: &Member, partner: &str, inbound: &[&str], outbound: &[&str]) {
    let body = json!({"inbound": inbound, "outbound": outbound, "note": "by hand"});
    let path = format!("{PATH}/{partner}");
    let (status, answer) = member.ask("PUT", &path, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn end(member: &Member, partner: &str) {
    let path = format!("{PATH}/{partner}");
    let (status, answer) = member.ask("DELETE", &path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn agreements_are_set_by_administrators_and_outlive_a_crash() {
    let mut world = World::new().await;
    let body = json!({"inbound": [], "outbound": []});
    let path = format!("{PATH}/hs2");
    let (status, _) = world.members[0].ask("PUT", &path, body.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    world.members[0].promote().await;
    let one = &world.members[0];
    for (path, body) in [
        (format!("{PATH}/hs1"), body.clone()),
        (format!("{PATH}/not a name"), body),
        (
            path.clone(),
            json!({"inbound": ["xchange"], "outbound": []}),
        ),
        (path, json!({"inbound": []})),
    ] {
        let path = path.replace(' ', "%20");
        let (status, answer) = one.ask("PUT", &path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {answer}");
    }
    agree(one, "hs2", &["profile"], &[]).await;
    world.members[0].crash(0).await;
    let one = &world.members[0];
    let (_, listed) = one.ask("GET", PATH, json!(null)).await;
    let expected = json!({"inbound": ["profile"], "outbound": [], "note": "by hand"});
    assert_eq!(listed, json!({"partners": {"hs2": expected}}));
    let profile = (Method::GET, "query/profile?user_id=@user:hs1");
    let (status, _) = world.signed((1, 0), profile, None).await;
    assert_eq!(status, StatusCode::OK);
    let directory = (Method::GET, "publicRooms");
    let (status, answer) = world.signed((1, 0), directory, None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_shut_out_is_neither_asked_nor_told_until_it_is_let_in() {
    let world = World::new().await;
    let room = world.room_of_two().await;
    let (one, two) = (&world.members[0], &world.members[1]);
    let device = Device::first(two).await;
    device.upload_keys(two).await;
    world.settle().await;
    one.promote().await;
    agree(one, "hs2", &[], &[]).await;
    let asked = world.net.asked("/_matrix/federation/");
    let refusals = [
        ("GET", "/profile/@user:hs2", json!(null)),
        ("GET", "/publicRooms?server=hs2", json!(null)),
        ("GET", "/directory/room/%23hall:hs2", json!(null)),
        ("POST", "/join/%23hall:hs2", json!({})),
    ];
    for (method, path, body) in refusals {
        let (status, answer) = one.ask(method, path, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
    }
    let invite = format!("/rooms/{room}/invite");
    let wanted = json!({"user_id": "@other:hs2"});
    let (status, _) = one.ask("POST", &invite, wanted).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let keys = json!({"device_keys": {"@user:hs2": []}});
    let keys: Value = one.get("POST", "/keys/query", keys).await;
    assert_eq!(keys["failures"]["hs2"]["errcode"], "M_FORBIDDEN");
    one.say(&room, "unheard").await;
    world.settle().await;
    assert_eq!(world.net.asked("/_matrix/federation/"), asked);
    end(one, "hs2").await;
    one.say(&room, "heard").await;
    world.settle().await;
    let texts = two.texts(&room).await;
    assert!(texts.contains(&"heard".to_owned()), "{texts:?}");
    let profile = one.get("GET", "/profile/@user:hs2", json!(null)).await;
    assert_eq!(profile, json!({}));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn administrators_see_how_it_stands_with_a_server_and_have_it_tried_again() {
    let path = "/_belfry/admin/v1/destinations";
    let world = World::new().await;
    let room = world.room_of_two().await;
    let one = &world.members[0];
    one.say(&room, "heard").await;
    world.settle().await;
    let retry = format!("{path}/hs2/retry");
    for (method, path) in [("GET", path), ("POST", retry.as_str())] {
        let (status, _) = one.ask(method, path, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    one.promote().await;
    let standing = async || one.get("GET", path, json!(null)).await["destinations"]["hs2"].clone();
    let before = standing().await;
    assert_eq!(
        (&before["failures"], &before["retry_in_ms"]),
        (&json!(0), &json!(null))
    );
    assert!(before["last_heard_ts"].is_u64(), "{before}");
    world.part(0, 1);
    one.say(&room, "unheard").await;
    world.pass(Duration::from_hours(5)).await;
    let away = standing().await;
    let waits = away["queued"] == 1 || away["catching_up"] == true;
    assert!(waits, "{away}");
    assert!(away["failures"].as_u64() > Some(2), "{away}");
    assert!(away["retry_in_ms"].as_u64() > Some(0), "{away}");
    assert_eq!(away["last_heard_ts"], before["last_heard_ts"]);
    world.net.heal();
    one.get("POST", &retry, json!({})).await;
    world.pass(Duration::from_secs(1)).await;
    let texts = world.members[1].texts(&room).await;
    assert_eq!(texts, ["heard", "unheard"]);
    let after = standing().await;
    assert_eq!(
        (&after["failures"], &after["queued"]),
        (&json!(0), &json!(0))
    );
    world.stop().await;
}
