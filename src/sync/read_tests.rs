//! History, single events, state and members, as a member reads them.

use belfry_room::MemberAct;
use ruma_common::{OwnedEventId, RoomId, UserId};
use serde_json::{Value, json};

use crate::{
    ContextRequest, Direction, MembersFilter, MembersRequest, Membership, MessagesRequest,
    RoomEventFilter, StateFormat, TokenError, ViewError,
    fixture::{
        Device, START_MS, Server, alice, bob, carol, each, joined, list, parsed, text, user,
    },
};

pub(crate) fn page(user: &UserId, room: &RoomId, direction: Direction) -> MessagesRequest {
    MessagesRequest {
        device_id: None,
        user_id: user.to_owned(),
        room_id: room.to_owned(),
        from: None,
        to: None,
        direction,
        limit: None,
        filter: RoomEventFilter::default(),
    }
}

fn members_of(user: &UserId, room: &RoomId) -> MembersRequest {
    MembersRequest {
        user_id: user.to_owned(),
        room_id: room.to_owned(),
        at: None,
        filter: MembersFilter::default(),
    }
}

fn context_of(user: &UserId, room: &RoomId, event: &OwnedEventId) -> ContextRequest {
    ContextRequest {
        device_id: None,
        user_id: user.to_owned(),
        room_id: room.to_owned(),
        event_id: event.clone(),
        limit: None,
        filter: RoomEventFilter::default(),
    }
}

/// Every event, a few at a time.
async fn walk(server: &Server, mut request: MessagesRequest, limit: u64) -> Vec<String> {
    request.limit = Some(limit);
    let mut ids = Vec::new();
    loop {
        let answer = server.views.messages(&request).await.unwrap();
        let chunk = each(&parsed(&answer.chunk), "event_id");
        let ended = chunk.is_empty();
        ids.extend(chunk);
        match answer.end.filter(|_| !ended) {
            Some(end) => request.from = Some(end),
            None => return ids,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn history_is_the_same_in_both_directions_whatever_the_page() {
    let server = Server::new();
    let room = server.room().await;
    for number in 0..25 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    let mut all = walk(&server, page(alice(), &room, Direction::Forward), 1_000).await;
    assert!(all.len() > 25);
    for limit in [1, 2, 7, 30] {
        let forward = page(alice(), &room, Direction::Forward);
        assert_eq!(walk(&server, forward, limit).await, all, "{limit}");
    }
    all.reverse();
    for limit in [1, 2, 7, 30] {
        let backward = page(alice(), &room, Direction::Backward);
        assert_eq!(walk(&server, backward, limit).await, all, "{limit}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn history_goes_on_where_a_timeline_begins_and_where_a_sync_ended() {
    let server = Server::new();
    let room = server.room().await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(
            server
                .say(&room, alice(), &number.to_string())
                .await
                .to_string(),
        );
    }
    let filter = json!({"room": {"timeline": {"limit": 2}}});
    let mut device = Device::with_filter(alice(), &filter);
    let answer = device.sync(&server).await;
    let mut request = page(alice(), &room, Direction::Backward);
    let prev_batch = text(&joined(&answer, &room)["timeline"]["prev_batch"]);
    request.from = Some(prev_batch.clone());
    request.limit = Some(2);
    let earlier = server.views.messages(&request).await.unwrap();
    assert_eq!(
        each(&parsed(&earlier.chunk), "event_id"),
        [&*ids[3], &*ids[2]]
    );
    assert_eq!(earlier.start, prev_batch);
    request.from = device.request.since.clone();
    let latest = server.views.messages(&request).await.unwrap();
    assert_eq!(
        each(&parsed(&latest.chunk), "event_id"),
        [&*ids[5], &*ids[4]]
    );
    let new = server.say(&room, alice(), "new").await;
    request.direction = Direction::Forward;
    let next = server.views.messages(&request).await.unwrap();
    assert_eq!(each(&parsed(&next.chunk), "event_id"), [new.as_str()]);
    let mut between = page(alice(), &room, Direction::Forward);
    between.from = Some(prev_batch);
    between.to = device.request.since.clone();
    let between = server.views.messages(&between).await.unwrap();
    assert_eq!(
        each(&parsed(&between.chunk), "event_id"),
        [&*ids[4], &*ids[5]]
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn page_limits_default_and_are_clamped() {
    let server = Server::new();
    let room = server.room().await;
    for number in 0..12 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    let mut request = page(alice(), &room, Direction::Backward);
    let answer = server.views.messages(&request).await.unwrap();
    assert_eq!(answer.chunk.len(), 10);
    request.limit = Some(1_000_000_000);
    let answer = server.views.messages(&request).await.unwrap();
    assert_eq!(answer.chunk.len(), 18, "VIS-010");
    assert!(answer.end.is_none(), "the room begins here");
    request.limit = Some(0);
    let answer = server.views.messages(&request).await.unwrap();
    assert_eq!(answer.chunk.len(), 0);
    request.from = Some("nonsense".to_owned());
    let refused = server.views.messages(&request).await.unwrap_err();
    assert!(matches!(refused, ViewError::Token(TokenError::Malformed)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pages_are_filtered_and_bring_their_senders() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.join(&room, carol()).await;
    server.say(&room, bob(), "one").await;
    server.say(&room, alice(), "two").await;
    let mut request = page(alice(), &room, Direction::Backward);
    let filter = json!({"types": ["m.room.message"], "lazy_load_members": true});
    request.filter = RoomEventFilter::parse(&filter.to_string()).unwrap();
    let answer = server.views.messages(&request).await.unwrap();
    assert_eq!(answer.chunk.len(), 2);
    let json: Value = serde_json::from_str(&answer.to_json()).unwrap();
    let mut members = each(&json["state"], "state_key");
    members.sort();
    assert_eq!(members, [alice().as_str(), bob().as_str()]);
    assert_eq!(json["chunk"][0]["room_id"], room.as_str());
    request.filter = RoomEventFilter::parse(r#"{"rooms":[]}"#).unwrap();
    assert!(
        server
            .views
            .messages(&request)
            .await
            .unwrap()
            .chunk
            .is_empty()
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn event_says_age_membership_and_what_it_replaced() {
    let server = Server::new();
    let room = server.room().await;
    let first = server.name(&room, "first").await;
    let second = server.name(&room, "second").await;
    server
        .env
        .clock
        .sleep(std::time::Duration::from_secs(5))
        .await;
    let event = server.views.event(alice(), &room, &second).await.unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    let expected = json!({
        "age": 5_000,
        "membership": "join",
        "replaces_state": first,
        "prev_content": {"name": "first"},
    });
    assert_eq!(event["unsigned"], expected);
    assert_eq!(event["origin_server_ts"], START_MS);
    assert_eq!(event["room_id"], room.as_str());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redacted_event_says_by_whom_and_nothing_more() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let target = server.say(&room, bob(), "secret").await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let redaction = server.redact(&room, alice(), &target).await;
    let event = server.views.event(alice(), &room, &target).await.unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["content"], json!({}));
    let because = &event["unsigned"]["redacted_because"];
    assert_eq!(because["event_id"], redaction.as_str());
    assert_eq!(because["content"]["redacts"], target.as_str());
    let answer = device.sync(&server).await;
    let told = list(&joined(&answer, &room)["timeline"]["events"])[0].clone();
    assert_eq!(told["redacts"], target.as_str());
    let mut request = page(alice(), &room, Direction::Backward);
    request.limit = Some(100);
    let all = server.views.messages(&request).await.unwrap();
    assert!(!all.to_json().contains("secret"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redacted_state_is_told_without_what_it_said() {
    let server = Server::new();
    let room = server.room().await;
    let topic = json!({"topic": "secret"});
    let target = server.set(&room, alice(), "m.room.topic", "", &topic).await;
    server.redact(&room, alice(), &target).await;
    server
        .set(&room, alice(), "m.room.topic", "", &json!({"topic": "new"}))
        .await;
    let state = server.views.state(alice(), &room).await.unwrap();
    let messages = server
        .views
        .messages(&page(alice(), &room, Direction::Backward))
        .await;
    assert!(
        !messages.unwrap().to_json().contains("secret"),
        "nor as prev_content"
    );
    assert!(!state.to_json().contains("secret"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_other_rooms_and_unknown_ones_are_not_found() {
    let server = Server::new();
    let (room, other) = (server.room().await, server.room().await);
    let event = server.say(&other, alice(), "here").await;
    for id in [
        event,
        OwnedEventId::try_from(format!("${}", "A".repeat(43))).unwrap(),
        OwnedEventId::try_from("$x:y").unwrap(),
    ] {
        let refused = server.views.event(alice(), &room, &id).await.unwrap_err();
        assert!(matches!(refused, ViewError::NotFound), "VIS-017");
        let context = context_of(alice(), &room, &id);
        let refused = server.views.context(&context).await.unwrap_err();
        assert!(matches!(refused, ViewError::NotFound));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn context_is_halved_and_its_tokens_go_on() {
    let server = Server::new();
    let room = server.room().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(server.say(&room, alice(), &number.to_string()).await);
    }
    server.name(&room, "later").await;
    let mut request = context_of(alice(), &room, &ids[6]);
    request.limit = Some(5);
    let context = server.views.context(&request).await.unwrap();
    let json: Value = serde_json::from_str(&context.to_json()).unwrap();
    assert_eq!(json["event"]["event_id"], ids[6].as_str());
    let before = [&*ids[5], &*ids[4]].map(ToString::to_string);
    let after = [&*ids[7], &*ids[8], &*ids[9]].map(ToString::to_string);
    assert_eq!(each(&json["events_before"], "event_id"), before);
    assert_eq!(each(&json["events_after"], "event_id"), after);
    let types = each(&json["state"], "type");
    assert!(types.contains(&"m.room.create".to_owned()));
    assert!(!types.contains(&"m.room.name".to_owned()), "as it was then");
    let mut onward = page(alice(), &room, Direction::Forward);
    (onward.from, onward.limit) = (Some(context.end), Some(1));
    let next = server.views.messages(&onward).await.unwrap();
    assert_eq!(each(&parsed(&next.chunk), "event_id"), [ids[10].as_str()]);
    let mut back = page(alice(), &room, Direction::Backward);
    (back.from, back.limit) = (Some(context.start), Some(1));
    let previous = server.views.messages(&back).await.unwrap();
    assert_eq!(
        each(&parsed(&previous.chunk), "event_id"),
        [ids[3].as_str()]
    );
    request.limit = Some(0);
    let alone = server.views.context(&request).await.unwrap();
    assert!(alone.events_before.is_empty() && alone.events_after.is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn context_loads_members_lazily() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.join(&room, carol()).await;
    let event = server.say(&room, bob(), "x").await;
    server.name(&room, "later").await;
    let mut request = context_of(alice(), &room, &event);
    request.filter = RoomEventFilter::parse(r#"{"lazy_load_members":true}"#).unwrap();
    request.limit = Some(1);
    let context = server.views.context(&request).await.unwrap();
    let state = parsed(&context.state);
    let members = list(&state)
        .iter()
        .filter(|event| event["type"] == "m.room.member");
    let members: Vec<_> = members.map(|event| text(&event["state_key"])).collect();
    assert_eq!(
        members,
        [alice().as_str(), bob().as_str()],
        "and who named the room"
    );
    assert!(each(&state, "type").contains(&"m.room.join_rules".to_owned()));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_is_read_whole_and_by_name() {
    let server = Server::new();
    let room = server.room().await;
    let id = server
        .set(&room, alice(), "org.x", "k", &json!({"a": [1]}))
        .await;
    let all = parsed(&server.views.state(alice(), &room).await.unwrap());
    assert!(each(&all, "event_id").contains(&id.to_string()));
    let read = async |kind: &str, key: &str, format| {
        server
            .views
            .state_event(alice(), &room, kind, key, format)
            .await
    };
    let content = read("org.x", "k", StateFormat::Content).await.unwrap();
    assert_eq!(content, r#"{"a":[1]}"#);
    let event = read("org.x", "k", StateFormat::Event).await.unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(
        (&event["event_id"], &event["room_id"]),
        (&json!(id), &json!(room))
    );
    for (kind, key) in [("org.x", ""), ("org.y", "k"), (&*"t".repeat(300), "")] {
        let missing = read(kind, key, StateFormat::Content).await.unwrap_err();
        assert!(matches!(missing, ViewError::NotFound));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn members_are_chosen_by_membership_and_by_time() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    server.join(&room, bob()).await;
    server.act(&room, alice(), carol(), MemberAct::Invite).await;
    server.join(&room, &user(1)).await;
    server.leave(&room, &user(1)).await;
    let (join, leave) = (Some(Membership::Join), Some(Membership::Leave));
    let read = async |membership, not_membership, at: Option<String>| {
        let mut request = members_of(alice(), &room);
        request.filter = MembersFilter {
            membership,
            not_membership,
        };
        request.at = at;
        let members = server.views.members(&request).await.unwrap();
        let mut members = each(&parsed(&members), "state_key");
        members.sort();
        members
    };
    let gone = user(1);
    let [a, b, c] = [alice().as_str(), bob().as_str(), carol().as_str()];
    assert_eq!(read(None, None, None).await, [a, b, c, gone.as_str()]);
    assert_eq!(read(join, None, None).await, [a, b]);
    assert_eq!(read(None, leave, None).await, [a, b, c]);
    assert_eq!(
        read(leave, join, None).await,
        [c, gone.as_str()],
        "either is enough"
    );
    let at = device.request.since.clone();
    assert_eq!(read(None, None, at.clone()).await, [a]);
    assert_eq!(read(join, None, at).await, [a]);
    let answer = device.sync(&server).await;
    let prev_batch = text(&joined(&answer, &room)["timeline"]["prev_batch"]);
    assert_eq!(read(None, None, Some(prev_batch)).await, [a]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn joined_members_show_profiles_that_make_sense() {
    let server = Server::new();
    let room = server.room().await;
    for (who, name) in [
        (alice(), json!("A")),
        (bob(), json!(5)),
        (carol(), json!(null)),
    ] {
        if who != alice() {
            server.join(&room, who).await;
        }
        let content = json!({"membership": "join", "displayname": name, "avatar_url": "mxc://x/y"});
        server
            .set(&room, who, "m.room.member", who.as_str(), &content)
            .await;
    }
    server.leave(&room, carol()).await;
    let answer = server.views.joined_members(alice(), &room).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let expected = json!({"joined": {
        alice().as_str(): {"display_name": "A", "avatar_url": "mxc://x/y"},
        bob().as_str(): {"avatar_url": "mxc://x/y"},
    }});
    assert_eq!(answer, expected);
    let refused = server
        .views
        .joined_members(carol(), &room)
        .await
        .unwrap_err();
    assert!(matches!(refused, ViewError::Forbidden));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_members_are_read_in_pages() {
    let server = Server::new();
    let room = server.room().await;
    for number in 0..1_100 {
        server.join(&room, &user(number)).await;
    }
    let answer = server.views.joined_members(alice(), &room).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["joined"].as_object().unwrap().len(), 1_101);
    let members = server
        .views
        .members(&members_of(alice(), &room))
        .await
        .unwrap();
    assert_eq!(members.len(), 1_101);
    let state = server.views.state(alice(), &room).await.unwrap();
    assert!(state.len() > 1_101);
    let lazy = json!({"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 1}}});
    let answer = Device::with_filter(alice(), &lazy).sync(&server).await;
    let told = list(&joined(&answer, &room)["state"]["events"]).len();
    assert!(told < 20, "{told}: not the members");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn joined_rooms_are_those_one_is_in() {
    let server = Server::new();
    let (one, two) = (server.room().await, server.room().await);
    let mut rooms = vec![one.clone(), two.clone()];
    rooms.sort();
    assert_eq!(server.views.joined_rooms(alice()).await.unwrap(), rooms);
    server.join(&one, bob()).await;
    server.join(&two, bob()).await;
    server.leave(&two, bob()).await;
    assert_eq!(server.views.joined_rooms(bob()).await.unwrap(), [one]);
    server.stop().await;
}
