//! Lazy-loaded members: those who are needed, each as often as needed.

use ruma_common::UserId;
use serde_json::{Value, json};

use crate::fixture::{Device, Server, alice, bob, carol, joined, list, text, user};

fn lazy() -> Value {
    json!({"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 2}}})
}

/// Whose member events the room's state holds.
fn members(told: &Value) -> Vec<String> {
    let section = told.get("state_after").unwrap_or(&told["state"]);
    let members = list(&section["events"]).iter();
    let members = members.filter(|event| event["type"] == "m.room.member");
    members.map(|event| text(&event["state_key"])).collect()
}

async fn crowd(server: &Server) -> ruma_common::OwnedRoomId {
    let room = server.room().await;
    server.name(&room, "named, so that it has no heroes").await;
    for number in 0..9 {
        server.join(&room, &user(number)).await;
    }
    server.join(&room, bob()).await;
    server.join(&room, carol()).await;
    server.say(&room, bob(), "one").await;
    server.say(&room, bob(), "two").await;
    room
}

#[tokio::test(start_paused = true)]
async fn initial_sync_has_the_senders_and_oneself() {
    for use_state_after in [false, true] {
        let server = Server::new();
        let room = crowd(&server).await;
        let mut device = Device::with_filter(alice(), &lazy());
        device.request.use_state_after = use_state_after;
        let answer = device.sync(&server).await;
        let told = joined(&answer, &room);
        assert_eq!(members(told), [alice().as_str(), bob().as_str()]);
        let section = told.get("state_after").unwrap_or(&told["state"]);
        let types: Vec<_> = list(&section["events"])
            .iter()
            .map(|e| text(&e["type"]))
            .collect();
        for kind in ["m.room.create", "m.room.name", "m.room.power_levels"] {
            assert!(types.contains(&kind.to_owned()), "{types:?}");
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn heroes_come_with_their_member_events() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.say(&room, alice(), "one").await;
    server.say(&room, alice(), "two").await;
    let answer = Device::with_filter(alice(), &lazy()).sync(&server).await;
    assert_eq!(
        members(joined(&answer, &room)),
        [alice().as_str(), bob().as_str()]
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn known_members_are_not_sent_again_and_changed_ones_are() {
    let server = Server::new();
    let room = crowd(&server).await;
    let mut device = Device::with_filter(alice(), &lazy());
    device.sync(&server).await;
    server.say(&room, bob(), "known").await;
    assert!(members(joined(&device.sync(&server).await, &room)).is_empty());
    server.say(&room, carol(), "new").await;
    let answer = device.sync(&server).await;
    assert_eq!(members(joined(&answer, &room)), [carol().as_str()]);
    rename(&server, &room, bob(), "B").await;
    server.say(&room, bob(), "renamed").await;
    let answer = device.sync(&server).await;
    assert!(
        members(joined(&answer, &room)).is_empty(),
        "the change is in the timeline"
    );
    server.stop().await;
}

async fn rename(server: &Server, room: &ruma_common::RoomId, user: &UserId, name: &str) {
    let content = json!({"membership": "join", "displayname": name});
    server
        .set(room, user, "m.room.member", user.as_str(), &content)
        .await;
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_made_good() {
    let server = Server::new();
    let room = crowd(&server).await;
    let mut device = Device::with_filter(alice(), &lazy());
    device.sync(&server).await;
    server.say(&room, carol(), "new").await;
    let before = device.clone();
    for _ in 0..2 {
        device = before.clone();
        let answer = device.sync(&server).await;
        assert_eq!(
            members(joined(&answer, &room)),
            [carol().as_str()],
            "asked again"
        );
    }
    server.say(&room, carol(), "acknowledged").await;
    assert!(members(joined(&device.sync(&server).await, &room)).is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redundant_members_come_if_wanted_and_devices_are_told_apart() {
    let server = Server::new();
    let room = crowd(&server).await;
    let mut filter = lazy();
    filter["room"]["state"]["include_redundant_members"] = json!(true);
    let mut device = Device::with_filter(alice(), &filter);
    let mut other = Device::named(alice(), "OTHER");
    other.request.filter = Device::with_filter(alice(), &lazy()).request.filter;
    device.sync(&server).await;
    other.sync(&server).await;
    for _ in 0..2 {
        server.say(&room, bob(), "again").await;
        let answer = device.sync(&server).await;
        assert_eq!(members(joined(&answer, &room)), [bob().as_str()]);
    }
    server.say(&room, carol(), "new").await;
    device.sync(&server).await;
    let answer = other.sync(&server).await;
    assert_eq!(members(joined(&answer, &room)), [carol().as_str()]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn members_who_changed_in_a_gap_are_told_also_if_they_said_nothing() {
    let server = Server::new();
    let room = crowd(&server).await;
    let mut device = Device::with_filter(alice(), &lazy());
    device.sync(&server).await;
    rename(&server, &room, &user(3), "Three").await;
    server.leave(&room, &user(4)).await;
    for _ in 0..3 {
        server.say(&room, bob(), "filling").await;
    }
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(told["timeline"]["limited"], true);
    assert_eq!(members(told), [user(3).as_str(), user(4).as_str()]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sender_who_changes_within_the_timeline_is_told_as_before_it() {
    let server = Server::new();
    let room = crowd(&server).await;
    let mut device = Device::with_filter(alice(), &lazy());
    device.sync(&server).await;
    server.say(&room, carol(), "as Carol").await;
    rename(&server, &room, carol(), "C").await;
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(members(told), [carol().as_str()]);
    let member = &list(&told["state"]["events"])[0];
    assert!(member["content"]["displayname"].is_null(), "{member}");
    server.stop().await;
}
