//! Agreements that are changed while servers run, in both directions.

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
