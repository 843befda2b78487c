//! Invites, knocks, and their ends, by way of other servers.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{member::Member, world::World};

/// A room that one may enter only when asked in.
async fn closed_room(member: &Member, join_rule: &str) -> String {
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": join_rule}});
    let body = json!({
        "preset": "private_chat",
        "room_version": "11",
        "name": "Back room",
        "initial_state": [rule],
    });
    let room = member.get("POST", "/createRoom", body).await;
    room["room_id"].as_str().unwrap().to_owned()
}

async fn invite(member: &Member, room: &str, user: &str) {
    let path = format!("/rooms/{room}/invite");
    member.get("POST", &path, json!({"user_id": user})).await;
}

async fn act(member: &Member, room: &str, act: &str, body: Value) -> StatusCode {
    let path = format!("/rooms/{room}/{act}");
    member.ask("POST", &path, body).await.0
}

/// What a sync tells of an invite or a knock.
fn stripped<'v>(sync: &'v Value, section: &str, room: &str) -> &'v Value {
    let inside = format!("{section}_state");
    &sync["rooms"][section][room][&inside]["events"]
}

fn has(events: &Value, kind: &str) -> bool {
    let mut events = events.as_array().into_iter().flatten();
    events.any(|event| event["type"] == kind)
}

fn left<'v>(sync: &'v Value, room: &str) -> &'v Value {
    &sync["rooms"]["leave"][room]["timeline"]["events"][0]["content"]
}

async fn whole_sync(member: &mut Member) -> Value {
    member.since = None;
    member.sync().await
}

#[tokio::test(start_paused = true)]
async fn an_invite_from_elsewhere_wakes_its_user_and_survives_a_crash() {
    let mut world = World::new().await;
    let room = closed_room(&world.members[0], "invite").await;
    let [one, two, _] = &mut world.members[..] else {
        panic!("three members");
    };
    two.sync().await;
    let begun = world.clock.now();
    let (news, ()) = tokio::join!(two.sync_within(300_000), invite(one, &room, "@user:hs2"));
    assert!(world.clock.now().since(begun) < Duration::from_secs(1));
    for kind in ["m.room.member", "m.room.name", "m.room.create"] {
        assert!(
            has(stripped(&news, "invite", &room), kind),
            "{kind}: {news}"
        );
    }
    assert!(two.sync().await["rooms"].is_null(), "it is told once");
    two.crash(0).await;
    let found = whole_sync(two).await;
    assert!(has(stripped(&found, "invite", &room), "m.room.name"));
    two.join(&room, one).await;
    let found = two.sync().await;
    assert!(found["rooms"]["join"][&room].is_object(), "{found}");
    let found = whole_sync(two).await;
    assert!(stripped(&found, "invite", &room).is_null(), "{found}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invite_from_elsewhere_vanishes_when_it_is_declined() {
    let mut world = World::new().await;
    let room = closed_room(&world.members[0], "invite").await;
    for reachable in [true, false] {
        let [one, two, _] = &mut world.members[..] else {
            panic!("three members");
        };
        invite(one, &room, "@user:hs2").await;
        assert!(has(
            stripped(&two.sync().await, "invite", &room),
            "m.room.name"
        ));
        if !reachable {
            world.part(0, 1);
        }
        let two = &mut world.members[1];
        assert_eq!(act(two, &room, "leave", json!({})).await, StatusCode::OK);
        let news = two.sync().await;
        assert_eq!(left(&news, &room)["membership"], "leave", "{news}");
        let found = whole_sync(two).await;
        assert!(stripped(&found, "invite", &room).is_null(), "{found}");
        assert_eq!(act(two, &room, "leave", json!({})).await, StatusCode::OK);
        world.net.heal();
        world.settle().await;
        let one = &world.members[0];
        let path = format!("/rooms/{room}/state/m.room.member/@user:hs2");
        let member = one.get("GET", &path, json!({})).await;
        let expected = if reachable { "leave" } else { "invite" };
        assert_eq!(member["membership"], expected);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invite_that_is_taken_back_vanishes() {
    let mut world = World::new().await;
    let room = closed_room(&world.members[0], "invite").await;
    for (end, membership) in [("kick", "leave"), ("ban", "ban")] {
        let [one, two, _] = &mut world.members[..] else {
            panic!("three members");
        };
        invite(one, &room, "@user:hs2").await;
        assert!(has(
            stripped(&two.sync().await, "invite", &room),
            "m.room.name"
        ));
        let target = json!({"user_id": "@user:hs2"});
        assert_eq!(act(one, &room, end, target).await, StatusCode::OK);
        let news = two.sync_within(300_000).await;
        assert_eq!(left(&news, &room)["membership"], membership, "{news}");
        let found = whole_sync(two).await;
        assert!(stripped(&found, "invite", &room).is_null(), "{found}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_knock_elsewhere_is_shown_and_answered_by_an_invite_or_a_refusal() {
    let mut world = World::new().await;
    let room = closed_room(&world.members[0], "knock").await;
    let [one, two, _] = &mut world.members[..] else {
        panic!("three members");
    };
    two.get("POST", &format!("/knock/{room}?via=hs1"), json!({}))
        .await;
    assert!(has(
        stripped(&two.sync().await, "knock", &room),
        "m.room.name"
    ));
    let target = json!({"user_id": "@user:hs2"});
    assert_eq!(act(one, &room, "kick", target).await, StatusCode::OK);
    let news = two.sync_within(300_000).await;
    assert_eq!(left(&news, &room)["membership"], "leave", "{news}");
    two.get("POST", &format!("/knock/{room}?via=hs1"), json!({}))
        .await;
    two.sync().await;
    invite(one, &room, "@user:hs2").await;
    let news = two.sync().await;
    assert!(
        has(stripped(&news, "invite", &room), "m.room.name"),
        "{news}"
    );
    two.join(&room, one).await;
    world.assert_converged_of(&room, 2).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restricted_room_is_entered_by_way_of_a_server_that_vouches() {
    let mut world = World::new().await;
    let [one, two, three] = &mut world.members[..] else {
        panic!("three members");
    };
    let lobby = one.create("12").await;
    for member in [&*two, &*three] {
        member.join(&lobby, one).await;
    }
    let allow = json!([{"type": "m.room_membership", "room_id": lobby}]);
    let rule = json!({
        "type": "m.room.join_rules",
        "content": {"join_rule": "restricted", "allow": allow},
    });
    let body = json!({
        "preset": "private_chat",
        "room_version": "12",
        "power_level_content_override": {"invite": 50},
        "initial_state": [rule],
    });
    let room = one.get("POST", "/createRoom", body).await;
    let room = room["room_id"].as_str().unwrap().to_owned();
    two.join(&room, one).await;
    world.settle().await;
    let [one, two, three] = &mut world.members[..] else {
        panic!("three members");
    };
    // The second is in the room, but its user may not invite; the first may.
    let path = format!("/join/{room}?via=hs2&via=hs1");
    three.get("POST", &path, json!({})).await;
    let path = format!("/rooms/{room}/state/m.room.member/@user:hs3");
    let member = two.get("GET", &path, json!({})).await;
    assert_eq!(member["join_authorised_via_users_server"], one.user());
    world.assert_converged(&room).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_put_out_hears_of_it_and_of_nothing_after() {
    let mut world = World::new().await;
    let room = super::world::shared_room(&world, "12").await;
    let target = json!({"user_id": "@user:hs3"});
    let [one, _, three] = &mut world.members[..] else {
        panic!("three members");
    };
    three.sync().await;
    assert_eq!(act(one, &room, "ban", target).await, StatusCode::OK);
    let news = three.sync_within(300_000).await;
    let events = &news["rooms"]["leave"][&room]["timeline"]["events"];
    assert_eq!(events[0]["content"]["membership"], "ban", "{news}");
    one.say(&room, "gone").await;
    world.settle().await;
    let three = &mut world.members[2];
    assert!(three.sync().await["rooms"].is_null());
    world.assert_converged_of(&room, 2).await;
    world.stop().await;
}
