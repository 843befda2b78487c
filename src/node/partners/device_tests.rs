//! Devices and presence across servers: lists that are tracked, keys, messages.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{member::Member, talk::Device, world::World};

const USER: &str = "@user:hs1";

async fn query(member: &Member) -> Value {
    let body = json!({"device_keys": {USER: []}, "timeout": 5000});
    member.get("POST", "/keys/query", body).await
}

/// The devices of the first server's user, as this one knows them.
async fn devices(member: &Member) -> Vec<String> {
    let answer = query(member).await;
    let devices = answer["device_keys"][USER].as_object();
    let devices = devices.into_iter().flat_map(|devices| devices.keys());
    devices.cloned().collect()
}

fn ids(devices: &[&Device]) -> Vec<String> {
    let mut ids: Vec<_> = devices.iter().map(|device| device.id.clone()).collect();
    ids.sort_unstable();
    ids
}

async fn changed(world: &mut World) -> Value {
    world.members[1].sync().await["device_lists"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_device_list_is_tracked_while_a_room_is_shared() {
    let mut world = World::new().await;
    let room = world.room_of_two().await;
    world.members[1].sync().await;
    let first = Device::first(&world.members[0]).await;
    first.upload_keys(&world.members[0]).await;
    world.settle().await;
    assert_eq!(changed(&mut world).await["changed"], json!([USER]));
    assert_eq!(devices(&world.members[1]).await, ids(&[&first]));
    let second = Device::sign_in(&world.members[0]).await;
    second.upload_keys(&world.members[0]).await;
    world.settle().await;
    assert_eq!(changed(&mut world).await["changed"], json!([USER]));
    assert_eq!(devices(&world.members[1]).await, ids(&[&first, &second]));
    // From here on the list is followed without asking.
    let asked = world.net.asked("/user/");
    let third = Device::sign_in(&world.members[0]).await;
    third.upload_keys(&world.members[0]).await;
    second.act(&world.members[0], "/logout", json!({})).await;
    world.settle().await;
    world.isolate(0);
    assert_eq!(changed(&mut world).await["changed"], json!([USER]));
    assert_eq!(devices(&world.members[1]).await, ids(&[&first, &third]));
    assert_eq!(world.net.asked("/user/"), asked);
    world.net.heal();
    let leave = format!("/rooms/{room}/leave");
    world.members[1].get("POST", &leave, json!({})).await;
    world.settle().await;
    assert_eq!(changed(&mut world).await["left"], json!([USER]));
    world.isolate(0);
    let answer = query(&world.members[1]).await;
    assert!(answer["device_keys"].get(USER).is_none(), "{answer}");
    assert!(answer["failures"]["hs1"].is_object(), "{answer}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn device_lists_that_changed_during_an_outage_and_a_crash_are_told_after_it() {
    let mut world = World::new().await;
    world.room_of_two().await;
    let first = Device::first(&world.members[0]).await;
    first.upload_keys(&world.members[0]).await;
    world.settle().await;
    devices(&world.members[1]).await;
    world.members[1].sync().await;
    world.part(0, 1);
    let mut all = vec![first];
    for _ in 0..3 {
        let device = Device::sign_in(&world.members[0]).await;
        device.upload_keys(&world.members[0]).await;
        all.push(device);
        world.settle().await;
    }
    assert_eq!(world.members[0].rows("device_due").await, 3, "one a device");
    world.members[0].crash(0).await;
    world.settle().await;
    world.net.heal();
    world.pass(super::member::RETRY_MAX * 2).await;
    assert_eq!(changed(&mut world).await["changed"], json!([USER]));
    let all: Vec<_> = all.iter().collect();
    assert_eq!(devices(&world.members[1]).await, ids(&all));
    assert_eq!(world.members[0].rows("device_due").await, 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_of_a_device_list_is_asked_for_once() {
    let mut world = World::new().await;
    world.room_of_two().await;
    let first = Device::first(&world.members[0]).await;
    first.upload_keys(&world.members[0]).await;
    world.settle().await;
    devices(&world.members[1]).await;
    world.members[1].sync().await;
    let update = |stream: u64, previous: Value| {
        json!({"edu_type": "m.device_list_update", "content": {
            "user_id": USER, "device_id": "EVIL", "stream_id": stream, "prev_id": previous,
        }})
    };
    world.edus((2, 1), vec![update(9, json!([1]))]).await;
    let quiet = changed(&mut world).await;
    assert!(quiet.is_null(), "not its user: {quiet}");
    let gaps = (0..100).map(|number| update(100 + number, json!([90 + number])));
    world.edus((0, 1), gaps.collect()).await;
    let asked = world.net.asked("/user/devices");
    assert_eq!(changed(&mut world).await["changed"], json!([USER]));
    for _ in 0..3 {
        assert_eq!(devices(&world.members[1]).await, ids(&[&first]));
    }
    assert_eq!(world.net.asked("/user/devices"), asked + 1);
    world.edus((0, 1), vec![update(0, json!([]))]).await;
    let quiet = changed(&mut world).await;
    assert!(quiet.is_null(), "known already: {quiet}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_a_server_that_does_not_know_them_tells_it_of_their_devices() {
    let world = World::new().await;
    let room = world.room_of_two().await;
    let three = &world.members[2];
    Device::first(three).await.upload_keys(three).await;
    // So that the third one has the second one's key.
    let path = (Method::GET, "query/profile?user_id=@user:hs3");
    world.signed((1, 2), path, None).await;
    world.part(1, 2);
    three.join(&room, &world.members[0]).await;
    world.settle().await;
    assert_eq!(
        three.rows("device_due").await,
        1,
        "hs1 is told, hs2 is away"
    );
    let other = three.create("12").await;
    world.members[0].join(&other, three).await;
    world.settle().await;
    world.net.heal();
    world.pass(super::member::RETRY_MAX * 2).await;
    assert_eq!(three.rows("device_due").await, 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn e2ee_018_only_keys_of_a_servers_own_users_are_served() {
    let world = World::new().await;
    world.room_of_two().await;
    let first = Device::first(&world.members[0]).await;
    first.upload_keys(&world.members[0]).await;
    world.settle().await;
    assert_eq!(devices(&world.members[1]).await, ids(&[&first]));
    let body = json!({"device_keys": {USER: [], "@user:hs2": []}});
    let path = (Method::POST, "user/keys/query");
    let (_, answer) = world.signed((2, 1), path, Some(body)).await;
    assert!(answer["device_keys"].get(USER).is_none(), "{answer}");
    let path = || (Method::GET, "user/devices/@user:hs1");
    let (status, _) = world.signed((2, 1), path(), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, list) = world.signed((2, 0), path(), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(list["devices"][0]["device_id"], json!(first.id));
    assert!(list["devices"][0].get("device_display_name").is_none());
    assert!(list["stream_id"].as_u64() >= Some(1), "{list}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_time_keys_of_other_servers_are_claimed_and_failures_told() {
    let world = World::new().await;
    let (one, two) = (&world.members[0], &world.members[1]);
    let first = Device::first(one).await;
    first.upload_keys(one).await;
    let body = json!({"one_time_keys": {
        USER: {&first.id: "signed_curve25519"},
        "@user:gone.example": {"D": "signed_curve25519"},
    }});
    let mut given = Vec::new();
    for _ in 0..2 {
        let answer = two.get("POST", "/keys/claim", body.clone()).await;
        assert!(answer["failures"]["gone.example"].is_object(), "{answer}");
        let keys = &answer["one_time_keys"][USER][&first.id];
        given.extend(keys.as_object().unwrap().keys().cloned());
    }
    given.sort_unstable();
    assert_eq!(given, ["signed_curve25519:1", "signed_curve25519:2"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_to_devices_of_another_server_arrive_once() {
    let mut world = World::new().await;
    world.room_of_two().await;
    world.members[1].sync().await;
    let device = Device::first(&world.members[1]).await;
    let messages = json!({"messages": {"@user:hs2": {&device.id: {"a": 1}}}});
    world.part(0, 1);
    for _ in 0..2 {
        let path = "/sendToDevice/m.test/1";
        world.members[0].get("PUT", path, messages.clone()).await;
    }
    world.settle().await;
    world.members[0].crash(0).await;
    world.net.heal();
    world.pass(super::member::RETRY_MAX * 2).await;
    let synced = world.members[1].sync().await;
    let events = synced["to_device"]["events"].as_array().unwrap().iter();
    let contents: Vec<_> = events.map(|event| event["content"].clone()).collect();
    assert_eq!(contents, [json!({"a": 1})]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_to_servers_that_share_a_room() {
    let world = World::new().await;
    world.room_of_two().await;
    let status = json!({"presence": "unavailable", "status_msg": "at lunch"});
    let path = "/presence/@user:hs1/status";
    world.members[0].get("PUT", path, status).await;
    world.settle().await;
    let seen = world.members[1].get("GET", path, json!(null)).await;
    assert_eq!(seen["presence"], "unavailable", "{seen}");
    assert_eq!(seen["status_msg"], "at lunch");
    assert_eq!(world.members[2].rows("presence").await, 0);
    world.stop().await;
}
