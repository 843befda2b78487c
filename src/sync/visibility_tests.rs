//! The matrix of history visibility through every reader: what members, the invited, those who left
//! or were banned, and strangers see of a room, for each setting.

use belfry_room::{InitialState, MemberAct, Preset};
use ruma_common::{OwnedEventId, OwnedRoomId, UserId, user_id};
use serde_json::{Value, json};

use crate::{
    Direction, MembersFilter, MembersRequest, StateFormat, ViewError,
    fixture::{Device, Server, alice, content, each, list, parsed, request, text},
    read_tests::page,
};

const VISIBILITIES: [&str; 4] = ["world_readable", "shared", "invited", "joined"];

/// What happened, in order; the bodies of messages name the moment.
const MOMENTS: [&str; 4] = ["before", "invited", "joined", "after"];

fn invited() -> &'static UserId {
    user_id!("@invited:x.example")
}
fn member() -> &'static UserId {
    user_id!("@member:x.example")
}
fn left() -> &'static UserId {
    user_id!("@left:x.example")
}
fn banned() -> &'static UserId {
    user_id!("@banned:x.example")
}
fn rejecter() -> &'static UserId {
    user_id!("@rejecter:x.example")
}
fn stranger() -> &'static UserId {
    user_id!("@stranger:x.example")
}

/// A room in which everybody was invited between «before» and «invited», members came between that
/// and «joined», and those who go went between that and «after».
async fn room(server: &Server, visibility: &str) -> (OwnedRoomId, Vec<OwnedEventId>) {
    let room = server.room_with_history(visibility).await;
    let mut events = vec![server.say(&room, alice(), "before").await];
    for user in [invited(), member(), left(), banned(), rejecter()] {
        server.act(&room, alice(), user, MemberAct::Invite).await;
    }
    events.push(server.say(&room, alice(), "invited").await);
    for user in [member(), left(), banned()] {
        server.join(&room, user).await;
    }
    events.push(server.say(&room, alice(), "joined").await);
    server.name(&room, "then").await;
    server.leave(&room, left()).await;
    server.leave(&room, rejecter()).await;
    server.act(&room, alice(), banned(), MemberAct::Ban).await;
    events.push(server.say(&room, alice(), "after").await);
    server.name(&room, "now").await;
    (room, events)
}

/// The moments that each reader sees.
fn seen(visibility: &str, user: &UserId) -> Vec<&'static str> {
    let from = match (visibility, user) {
        ("world_readable", _) => return MOMENTS.to_vec(),
        (_, user) if user == invited() || user == rejecter() || user == stranger() => 4,
        ("shared", _) => 0,
        ("invited", _) => 1,
        _ => 2,
    };
    let until = if user == member() { 4 } else { 3 };
    MOMENTS.get(from..until).unwrap_or_default().to_vec()
}

async fn bodies(
    server: &Server,
    user: &UserId,
    room: &OwnedRoomId,
    direction: Direction,
) -> Vec<String> {
    let mut request = page(user, room, direction);
    request.limit = Some(100);
    match server.views.messages(&request).await {
        Ok(answer) => {
            let chunk = parsed(&answer.chunk);
            let bodies = list(&chunk)
                .iter()
                .map(|event| text(&event["content"]["body"]));
            bodies.filter(|body| !body.is_empty()).collect()
        }
        Err(ViewError::Forbidden) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

fn users() -> [&'static UserId; 6] {
    [
        invited(),
        member(),
        left(),
        banned(),
        rejecter(),
        stranger(),
    ]
}

#[tokio::test(start_paused = true)]
async fn messages_follow_the_matrix_in_both_directions() {
    for visibility in VISIBILITIES {
        let server = Server::new();
        let (room, _) = room(&server, visibility).await;
        for user in users() {
            let mut expected = seen(visibility, user);
            let forward = bodies(&server, user, &room, Direction::Forward).await;
            assert_eq!(forward, expected, "{visibility} {user}");
            let backward = bodies(&server, user, &room, Direction::Backward).await;
            expected.reverse();
            assert_eq!(backward, expected, "{visibility} {user}");
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn single_events_and_contexts_follow_the_matrix() {
    for visibility in VISIBILITIES {
        let server = Server::new();
        let (room, events) = room(&server, visibility).await;
        for user in users() {
            let expected = seen(visibility, user);
            for (moment, event) in MOMENTS.iter().zip(&events) {
                // An outsider enters a room by its present setting; once a member, always let in.
                let sees = expected.contains(moment);
                let found = server.views.event(user, &room, event).await;
                assert_eq!(found.is_ok(), sees, "{visibility} {user} {moment}");
                let context = crate::ContextRequest {
                    device_id: None,
                    user_id: user.to_owned(),
                    room_id: room.clone(),
                    event_id: event.clone(),
                    limit: Some(100),
                    filter: crate::RoomEventFilter::default(),
                };
                match server.views.context(&context).await {
                    Err(ViewError::NotFound | ViewError::Forbidden) => assert!(!sees),
                    Err(error) => panic!("{error}"),
                    Ok(context) => {
                        let json = context.to_json();
                        for other in MOMENTS {
                            let body = format!("\"body\":\"{other}\"");
                            let shown = json.contains(&body);
                            assert_eq!(shown, expected.contains(&other), "{visibility} {user}");
                        }
                    }
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sync_shows_former_members_what_messages_do() {
    for visibility in VISIBILITIES {
        let server = Server::new();
        let (room, _) = room(&server, visibility).await;
        for user in [member(), left(), banned()] {
            let filter = json!({"room": {"include_leave": true, "timeline": {"limit": 100}}});
            let answer = Device::with_filter(user, &filter).sync(&server).await;
            let rooms = &answer["rooms"];
            let section = if user == member() { "join" } else { "leave" };
            let timeline = &rooms[section][room.as_str()]["timeline"];
            let bodies = list(&timeline["events"])
                .iter()
                .map(|e| text(&e["content"]["body"]));
            let bodies: Vec<_> = bodies.filter(|body| !body.is_empty()).collect();
            let mut expected = seen(visibility, user);
            if user != member() {
                expected.retain(|moment| *moment != "after");
            }
            assert_eq!(bodies, expected, "{visibility} {user}");
        }
        server.stop().await;
    }
}

async fn name_of(server: &Server, user: &UserId, room: &OwnedRoomId) -> Option<String> {
    let format = StateFormat::Content;
    let found = server
        .views
        .state_event(user, room, "m.room.name", "", format)
        .await;
    let content: Value = serde_json::from_str(&found.ok()?).unwrap();
    Some(text(&content["name"]))
}

#[tokio::test(start_paused = true)]
async fn state_is_that_of_the_departure_for_those_who_left() {
    for visibility in VISIBILITIES {
        let server = Server::new();
        let (room, _) = room(&server, visibility).await;
        let open = visibility == "world_readable";
        for user in users() {
            let expected = match user {
                user if user == member() => Some("now"),
                user if user == left() || user == banned() => Some("then"),
                _ => open.then_some("now"),
            };
            let name = name_of(&server, user, &room).await;
            assert_eq!(name.as_deref(), expected, "VIS-019: {visibility} {user}");
            let state = server.views.state(user, &room).await;
            assert_eq!(state.is_ok(), expected.is_some(), "{visibility} {user}");
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn member_lists_are_those_of_the_departure_for_those_who_left() {
    for visibility in VISIBILITIES {
        let server = Server::new();
        let (room, _) = room(&server, visibility).await;
        let late = user_id!("@late:x.example");
        server.join(&room, late).await;
        let at = {
            let mut device = Device::of(member());
            device.sync(&server).await;
            device.request.since
        };
        for user in users() {
            for at in [None, at.clone()] {
                let request = MembersRequest {
                    user_id: user.to_owned(),
                    room_id: room.clone(),
                    at,
                    filter: MembersFilter::default(),
                };
                match server.views.members(&request).await {
                    Ok(members) => {
                        let shown = each(&parsed(&members), "state_key");
                        let knows = shown.contains(&late.to_string());
                        let former = user == left() || user == banned();
                        assert_eq!(knows, !former, "{visibility} {user}");
                    }
                    Err(ViewError::Forbidden) => {
                        let outside = [invited(), rejecter(), stranger()].contains(&user);
                        assert!(outside && visibility != "world_readable", "VIS-018: {user}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let joined = server.views.joined_members(user, &room).await;
            assert_eq!(joined.is_ok(), user == member(), "{visibility} {user}");
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_that_do_not_exist_are_forbidden_as_those_that_do() {
    let server = Server::new();
    let (room, _) = room(&server, "shared").await;
    let unknown = OwnedRoomId::try_from("!unknown:x.example").unwrap();
    for room in [room, unknown] {
        let request = page(stranger(), &room, Direction::Backward);
        let refused = server.views.messages(&request).await.unwrap_err();
        assert!(matches!(refused, ViewError::Forbidden), "VIS-013");
        let refused = server.views.state(stranger(), &room).await.unwrap_err();
        assert!(matches!(refused, ViewError::Forbidden));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replaced_content_that_the_reader_may_not_see_is_left_out() {
    let server = Server::new();
    let room = server.room_with_history("joined").await;
    let hidden = server.name(&room, "hidden").await;
    server.join(&room, member()).await;
    let event = server.name(&room, "shown").await;
    let read = async |user: &UserId| {
        let event = server.views.event(user, &room, &event).await.unwrap();
        serde_json::from_str::<Value>(&event).unwrap()["unsigned"].clone()
    };
    let unsigned = read(member()).await;
    assert_eq!(unsigned["replaces_state"], hidden.as_str());
    assert!(unsigned["prev_content"].is_null());
    assert_eq!(read(alice()).await["prev_content"]["name"], "hidden");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn summaries_are_for_those_who_could_come_in() {
    let server = Server::new();
    let hall = server.room().await;
    server.join(&hall, member()).await;
    let rule = |rule: Value| InitialState {
        kind: "m.room.join_rules".into(),
        state_key: String::new(),
        content: content(&rule),
    };
    let allow = json!([{"type": "m.room_membership", "room_id": hall}, {"type": 5}]);
    let rules = [
        (json!({"join_rule": "public"}), [true, true, true]),
        (json!({"join_rule": "knock"}), [true, true, true]),
        (json!({"join_rule": "invite"}), [true, false, false]),
        (
            json!({"join_rule": "restricted", "allow": allow}),
            [true, true, false],
        ),
        (
            json!({"join_rule": "restricted", "allow": 5}),
            [true, false, false],
        ),
    ];
    for (join_rule, expected) in rules {
        let mut wanted = request(Preset::PublicChat);
        wanted.name = Some("Secret".to_owned());
        wanted.initial_state.push(rule(join_rule.clone()));
        let room = server.rooms.create(wanted).await.unwrap();
        for (user, expected) in [alice(), member(), stranger()].into_iter().zip(expected) {
            let summary = server.views.room_summary(Some(user), &room).await;
            assert_eq!(summary.is_ok(), expected, "VIS-021: {join_rule} {user}");
            if let Ok(summary) = summary {
                assert_eq!(summary.name.as_deref(), Some("Secret"));
                assert_eq!(summary.num_joined_members, Some(1));
                assert_eq!(summary.room_version, "11");
            }
        }
        let anybody = server.views.room_summary(None, &room).await;
        assert_eq!(anybody.is_ok(), expected == [true; 3]);
    }
    server.stop().await;
}
