//! What `/sync` tells beside events: what a room is called, and what the user keeps for themselves.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Device, START_MS, Server, alice, bob, carol, each, joined, user};

#[tokio::test(start_paused = true)]
async fn account_data_is_told_globally_and_in_rooms_and_wakes() {
    let server = Server::new();
    let room = server.room().await;
    server
        .set_account_data(alice(), "", "m.direct", &json!({"a": 1}))
        .await;
    server
        .set_account_data(alice(), room.as_str(), "m.tag", &json!({"tags": {}}))
        .await;
    server
        .set_account_data(bob(), "", "m.direct", &json!({"b": 1}))
        .await;
    let mut device = Device::of(alice());
    let answer = device.sync(&server).await;
    let direct = json!({"type": "m.direct", "content": {"a": 1}});
    assert_eq!(answer["account_data"]["events"], json!([direct]));
    let tag = json!({"type": "m.tag", "content": {"tags": {}}});
    assert_eq!(
        joined(&answer, &room)["account_data"]["events"],
        json!([tag])
    );
    let change = async {
        server.env.clock.sleep(Duration::from_secs(1)).await;
        server
            .set_account_data(bob(), "", "m.direct", &json!({"b": 2}))
            .await;
        server
            .set_account_data(alice(), room.as_str(), "m.tag", &json!({"tags": {"u": {}}}))
            .await;
    };
    let (answer, ()) = tokio::join!(device.poll(&server), change);
    assert!(answer["account_data"].is_null());
    let told = joined(&answer, &room);
    assert_eq!(
        told["account_data"]["events"][0]["content"]["tags"],
        json!({"u": {}})
    );
    assert_eq!(told["timeline"], json!({"events": [], "limited": false}));
    assert_eq!(server.env.clock.wall_ms(), START_MS + 1_000);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ignored_users_are_not_heard_but_their_state_is() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let ignored = json!({"ignored_users": {bob().as_str(): {}}});
    server
        .set_account_data(alice(), "", "m.ignored_user_list", &ignored)
        .await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    server.say(&room, bob(), "spam").await;
    let named = json!({"membership": "join", "displayname": "B"});
    let member = server
        .set(&room, bob(), "m.room.member", bob().as_str(), &named)
        .await;
    let answer = device.sync(&server).await;
    let ids = each(&joined(&answer, &room)["timeline"]["events"], "event_id");
    assert_eq!(ids, [member.as_str()]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nameless_room_is_called_by_its_first_members() {
    let server = Server::new();
    let room = server.room().await;
    for number in [5, 3, 9, 1, 7, 2] {
        server.join(&room, &user(number)).await;
    }
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let known = &device.joined[&room];
    let heroes: Vec<_> = [5, 3, 9, 1, 7].map(user).to_vec();
    assert_eq!(
        known.summary["m.heroes"],
        json!(heroes),
        "in the order they came"
    );
    assert_eq!(known.summary["m.joined_member_count"], 7);
    server.name(&room, "Town hall").await;
    server.leave(&room, &user(9)).await;
    let answer = device.sync(&server).await;
    let summary = &joined(&answer, &room)["summary"];
    assert!(summary["m.heroes"].is_null(), "it has a name now");
    assert_eq!(summary["m.joined_member_count"], 6);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deserted_room_is_called_by_those_who_left() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.leave(&room, bob()).await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    assert_eq!(device.joined[&room].summary["m.heroes"], json!([bob()]));
    server
        .act(&room, alice(), carol(), belfry_room::MemberAct::Invite)
        .await;
    device.sync(&server).await;
    let summary = &device.joined[&room].summary;
    assert_eq!(
        summary["m.heroes"],
        json!([carol()]),
        "the invited count as members"
    );
    assert_eq!(summary["m.invited_member_count"], 1);
    server.stop().await;
}
