//! `/sync` about coming and going: invites, knocks, joins, departures, and what is seen of a room by
//! whoever was not in it all along.

use belfry_room::{Change, MemberAct, Membership};
use serde_json::{Value, json};

use crate::fixture::{
    Device, Server, alice, append, bob, carol, each, joined, list, request, text,
};

fn left<'a>(answer: &'a Value, room: &ruma_common::RoomId) -> &'a Value {
    &answer["rooms"]["leave"][room.as_str()]
}

fn bodies(timeline: &Value) -> Vec<String> {
    let events = list(&timeline["events"]).iter();
    let bodies = events.map(|event| text(&event["content"]["body"]));
    bodies.filter(|body| !body.is_empty()).collect()
}

#[tokio::test(start_paused = true)]
async fn invite_comes_with_stripped_state() {
    let server = Server::new();
    let room = server.room().await;
    server.name(&room, "Council").await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.act(&room, alice(), bob(), MemberAct::Invite).await;
    let answer = device.poll(&server).await;
    let events = &answer["rooms"]["invite"][room.as_str()]["invite_state"]["events"];
    let types = each(events, "type");
    assert_eq!(types[0], "m.room.create");
    for kind in ["m.room.name", "m.room.join_rules", "m.room.member"] {
        assert!(types.contains(&kind.to_owned()), "{types:?}");
    }
    let members: Vec<_> = list(events)
        .iter()
        .filter(|event| event["type"] == "m.room.member")
        .collect();
    assert_eq!(members[0]["state_key"], alice().as_str());
    assert_eq!(members[1]["content"]["membership"], "invite");
    let fields: Vec<_> = members[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["content", "sender", "state_key", "type"]);
    server.say(&room, alice(), "not for the invited").await;
    let answer = device.sync(&server).await;
    assert!(
        answer["rooms"].is_null(),
        "told once, and nothing of the room: {answer}"
    );
    let answer = Device::of(bob()).sync(&server).await;
    assert!(
        !answer["rooms"]["invite"].is_null(),
        "initial sync tells it again"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn invites_from_ignored_users_are_not_told() {
    let server = Server::new();
    let room = server.room().await;
    let ignored = json!({"ignored_users": {alice().as_str(): {}}});
    server
        .set_account_data(bob(), "", "m.ignored_user_list", &ignored)
        .await;
    server.act(&room, alice(), bob(), MemberAct::Invite).await;
    assert!(Device::of(bob()).sync(&server).await["rooms"].is_null());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rejected_invite_is_left_without_a_look_inside() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.act(&room, alice(), bob(), MemberAct::Invite).await;
    device.sync(&server).await;
    server.say(&room, alice(), "secret").await;
    let rejection = server.leave(&room, bob()).await;
    let answer = device.sync(&server).await;
    let told = left(&answer, &room);
    assert_eq!(
        each(&told["timeline"]["events"], "event_id"),
        [rejection.as_str()]
    );
    assert_eq!(told["state"], json!({"events": []}));
    assert!(answer["rooms"]["invite"].is_null());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn joining_shows_the_room_from_the_start() {
    let server = Server::new();
    let room = server.room().await;
    server.say(&room, alice(), "before").await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    let join = server.join(&room, bob()).await;
    server.say(&room, alice(), "after").await;
    let answer = device.poll(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(
        bodies(&told["timeline"]),
        ["before", "after"],
        "shared history"
    );
    let event = list(&told["timeline"]["events"])
        .iter()
        .find(|e| e["event_id"] == join.as_str());
    assert_eq!(event.unwrap()["unsigned"]["membership"], "join");
    assert!(
        device.joined[&room]
            .state
            .contains_key(&("m.room.create".into(), String::new()))
    );
    assert_eq!(told["summary"]["m.joined_member_count"], 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn joining_a_room_with_joined_history_shows_nothing_from_before() {
    let server = Server::new();
    let room = server.room_with_history("joined").await;
    server.say(&room, alice(), "before").await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    let join = server.join(&room, bob()).await;
    server.say(&room, alice(), "after").await;
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(bodies(&told["timeline"]), ["after"]);
    let shown = each(&told["timeline"]["events"], "event_id");
    assert!(shown.contains(&join.to_string()), "{shown:?}");
    let create = ("m.room.create".to_owned(), String::new());
    assert!(
        device.joined[&room].state.contains_key(&create),
        "the state is told in full"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leaving_tells_the_room_up_to_the_departure() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.say(&room, alice(), "goodbye").await;
    let name = server.name(&room, "seen").await;
    let leave = server.leave(&room, bob()).await;
    server.say(&room, alice(), "not seen").await;
    server.name(&room, "not seen either").await;
    let answer = device.sync(&server).await;
    let told = left(&answer, &room);
    assert_eq!(bodies(&told["timeline"]), ["goodbye"]);
    let ids = each(&told["timeline"]["events"], "event_id");
    assert_eq!(ids.last(), Some(&leave.to_string()));
    assert!(ids.contains(&name.to_string()));
    assert!(!answer.to_string().contains("not seen"), "{answer}");
    server.say(&room, alice(), "later").await;
    assert!(device.sync(&server).await["rooms"].is_null());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn kicked_user_is_woken_and_told_why() {
    let server = Server::new();
    let room = server.room_with_history("joined").await;
    server.join(&room, bob()).await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    let mut kick = Membership::new(bob(), MemberAct::Kick);
    kick.reason = Some("enough".to_owned());
    let send = async {
        server
            .env
            .clock
            .sleep(std::time::Duration::from_secs(1))
            .await;
        let kick = append(alice(), Change::Member(kick));
        server.rooms.append(&room, kick).await.unwrap();
    };
    let (answer, ()) = tokio::join!(device.poll(&server), send);
    let events = &left(&answer, &room)["timeline"]["events"];
    assert_eq!(events[0]["content"]["reason"], "enough");
    assert_eq!(events[0]["unsigned"]["membership"], "leave");
    assert_eq!(events[0]["unsigned"]["prev_content"]["membership"], "join");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ban_of_a_stranger_and_of_one_who_left_tell_the_ban_only() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, carol()).await;
    let (mut stranger, mut former) = (Device::of(bob()), Device::of(carol()));
    stranger.sync(&server).await;
    former.sync(&server).await;
    server.leave(&room, carol()).await;
    former.sync(&server).await;
    server.say(&room, alice(), "among ourselves").await;
    for (user, device) in [(bob(), &mut stranger), (carol(), &mut former)] {
        let ban = server.act(&room, alice(), user, MemberAct::Ban).await;
        let answer = device.sync(&server).await;
        let told = left(&answer, &room);
        assert_eq!(
            each(&told["timeline"]["events"], "event_id"),
            [ban.as_str()]
        );
        assert_eq!(told["state"], json!({"events": []}));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leaving_and_coming_back_between_two_syncs_is_a_gap_that_state_covers() {
    let server = Server::new();
    let room = server.room_with_history("joined").await;
    server.join(&room, bob()).await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    let leave = server.leave(&room, bob()).await;
    server.say(&room, alice(), "while away").await;
    let name = server.name(&room, "changed while away").await;
    server.join(&room, bob()).await;
    server.say(&room, alice(), "back").await;
    let answer = device.sync(&server).await;
    assert!(left(&answer, &room).is_null());
    let told = joined(&answer, &room);
    assert_eq!(bodies(&told["timeline"]), ["back"]);
    assert_eq!(told["timeline"]["limited"], true);
    let state = each(&told["state"]["events"], "event_id");
    assert_eq!(
        state,
        [leave.as_str(), name.as_str()],
        "what changed meanwhile is told as state"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn coming_back_later_shows_the_room_in_full_again() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.leave(&room, bob()).await;
    device.sync(&server).await;
    assert!(device.left.contains(&room));
    server.join(&room, bob()).await;
    device.sync(&server).await;
    let fresh = {
        let mut fresh = Device::of(bob());
        fresh.sync(&server).await;
        fresh
    };
    assert_eq!(device.joined, fresh.joined);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn joining_and_leaving_between_two_syncs_tells_the_stay() {
    let server = Server::new();
    let room = server.room_with_history("joined").await;
    server.say(&room, alice(), "before").await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.join(&room, bob()).await;
    server.say(&room, alice(), "during").await;
    server.leave(&room, bob()).await;
    server.say(&room, alice(), "after").await;
    let answer = device.sync(&server).await;
    assert_eq!(bodies(&left(&answer, &room)["timeline"]), ["during"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn left_rooms_are_in_the_initial_sync_only_if_wanted() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.name(&room, "then").await;
    server.leave(&room, bob()).await;
    server.name(&room, "now").await;
    assert!(Device::of(bob()).sync(&server).await["rooms"].is_null());
    let filter = json!({"room": {"include_leave": true, "timeline": {"limit": 1}}});
    let answer = Device::with_filter(bob(), &filter).sync(&server).await;
    let state = list(&left(&answer, &room)["state"]["events"]).to_vec();
    let name = state
        .iter()
        .find(|event| event["type"] == "m.room.name")
        .unwrap();
    assert_eq!(name["content"]["name"], "then");
    assert!(!answer.to_string().contains("now"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn knock_is_told_to_who_knocked() {
    let server = Server::new();
    let mut wanted = request(belfry_room::Preset::PublicChat);
    wanted.initial_state.push(belfry_room::InitialState {
        kind: "m.room.join_rules".into(),
        state_key: String::new(),
        content: crate::fixture::content(&json!({"join_rule": "knock"})),
    });
    let room = server.rooms.create(wanted).await.unwrap();
    let mut device = Device::of(bob());
    device.sync(&server).await;
    server.act(&room, bob(), bob(), MemberAct::Knock).await;
    let answer = device.sync(&server).await;
    let events = &answer["rooms"]["knock"][room.as_str()]["knock_state"]["events"];
    assert!(each(events, "type").contains(&"m.room.create".to_owned()));
    server.act(&room, alice(), bob(), MemberAct::Invite).await;
    let answer = device.sync(&server).await;
    assert!(!answer["rooms"]["invite"][room.as_str()].is_null());
    server.join(&room, bob()).await;
    assert!(!joined(&device.sync(&server).await, &room).is_null());
    server.stop().await;
}
