//! `/sync` in a room that one is in: initial and incremental, cut timelines, state, filters.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Device, START_MS, Server, alice, bob, each, joined, list, text};
use crate::{SyncRequest, TokenError, ViewError};

#[tokio::test(start_paused = true)]
async fn initial_sync_shows_room_state_and_timeline() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let last = server.say(&room, alice(), "hello").await;
    let answer = Device::of(alice()).sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(told["timeline"]["limited"], false);
    let types = each(&told["timeline"]["events"], "type");
    assert_eq!(types.first().map(String::as_str), Some("m.room.create"));
    assert_eq!(types.last().map(String::as_str), Some("m.room.message"));
    assert_eq!(
        list(&told["state"]["events"]).len(),
        0,
        "all is in the timeline"
    );
    let event = list(&told["timeline"]["events"]).last().unwrap();
    assert_eq!(event["event_id"], last.as_str());
    assert_eq!(event["content"]["body"], "hello");
    assert_eq!(event["unsigned"]["membership"], "join");
    assert!(
        event["room_id"].is_null(),
        "the answer says it around the event"
    );
    assert_eq!(told["summary"]["m.joined_member_count"], 2);
    assert_eq!(told["summary"]["m.invited_member_count"], 0);
    assert_eq!(told["summary"]["m.heroes"], json!([bob()]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limited_timeline_has_the_state_before_it_and_a_token_to_go_back() {
    let server = Server::new();
    let room = server.room().await;
    server.name(&room, "one").await;
    for number in 0..3 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    server.name(&room, "two").await;
    let filter = json!({"room": {"timeline": {"limit": 3}}});
    let answer = Device::with_filter(alice(), &filter).sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(told["timeline"]["limited"], true);
    assert_eq!(list(&told["timeline"]["events"]).len(), 3);
    assert!(told["timeline"]["prev_batch"].is_string());
    let state = list(&told["state"]["events"]);
    let name = state.iter().find(|event| event["type"] == "m.room.name");
    assert_eq!(
        name.unwrap()["content"]["name"],
        "one",
        "as before the timeline"
    );
    let member = state.iter().find(|event| event["type"] == "m.room.member");
    assert!(member.is_some());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_after_shows_the_state_at_the_end_and_omits_state() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(alice());
    device.request.use_state_after = true;
    let answer = device.sync(&server).await;
    assert!(joined(&answer, &room)["state"].is_null());
    assert!(!list(&joined(&answer, &room)["state_after"]["events"]).is_empty());
    let name = server.name(&room, "one").await;
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(
        each(&told["state_after"]["events"], "event_id"),
        [name.as_str()]
    );
    assert_eq!(
        each(&told["timeline"]["events"], "event_id"),
        [name.as_str()]
    );
    server.say(&room, alice(), "nothing changed").await;
    let answer = device.sync(&server).await;
    assert_eq!(joined(&answer, &room)["state_after"], json!({"events": []}));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn incremental_sync_shows_what_is_new_and_nothing_else() {
    let server = Server::new();
    let (room, quiet) = (server.room().await, server.room().await);
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let one = server.say(&room, alice(), "one").await;
    let two = server.say(&room, alice(), "two").await;
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    let ids = each(&told["timeline"]["events"], "event_id");
    assert_eq!(ids, [one.as_str(), two.as_str()]);
    assert_eq!(told["timeline"]["limited"], false);
    assert_eq!(told["state"], json!({"events": []}));
    assert!(told["summary"].is_null());
    assert!(joined(&answer, &quiet).is_null());
    let answer = device.sync(&server).await;
    assert!(answer["rooms"].is_null(), "{answer}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gap_tells_what_changed_inside_it() {
    let server = Server::new();
    let room = server.room().await;
    let filter = json!({"room": {"timeline": {"limit": 2}}});
    let mut device = Device::with_filter(alice(), &filter);
    device.sync(&server).await;
    let name = server.name(&room, "in the gap").await;
    let joined_in_gap = server.join(&room, bob()).await;
    for number in 0..5 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    let answer = device.sync(&server).await;
    let told = joined(&answer, &room);
    assert_eq!(told["timeline"]["limited"], true);
    let state = each(&told["state"]["events"], "event_id");
    assert_eq!(state, [joined_in_gap.as_str(), name.as_str()]);
    assert_eq!(told["summary"]["m.joined_member_count"], 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn full_state_tells_everything_again_at_once() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    device.request.full_state = true;
    let answer = device.poll(&server).await;
    assert_eq!(server.env.clock.wall_ms(), START_MS, "it does not wait");
    let told = joined(&answer, &room);
    assert_eq!(list(&told["timeline"]["events"]).len(), 0);
    let types = each(&told["state"]["events"], "type");
    assert!(types.contains(&"m.room.create".to_owned()), "{types:?}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn long_poll_ends_with_the_next_event() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let send = async {
        server.env.clock.sleep(Duration::from_secs(7)).await;
        server.say(&room, alice(), "at last").await
    };
    let (answer, event) = tokio::join!(device.poll(&server), send);
    let ids = each(&joined(&answer, &room)["timeline"]["events"], "event_id");
    assert_eq!(ids, [event.as_str()]);
    assert_eq!(server.env.clock.wall_ms(), START_MS + 7_000);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn long_poll_ends_at_its_timeout_with_nothing_but_a_token() {
    let server = Server::new();
    server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let answer = device.poll(&server).await;
    let told = answer.as_object().unwrap().keys();
    let told: Vec<_> = told.filter(|name| !name.starts_with("device_")).collect();
    assert_eq!(told, ["next_batch"], "{answer}");
    assert_eq!(server.env.clock.wall_ms(), START_MS + 30_000);
    device.request.timeout = Duration::from_millis(999_999_999_999);
    device.sync(&server).await;
    assert_eq!(
        server.env.clock.wall_ms(),
        START_MS + 30_000 + 5 * 60_000,
        "VIS-003: five minutes at most"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn long_poll_ends_when_the_server_stops() {
    let server = Server::new();
    server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let stop = async {
        server.env.clock.sleep(Duration::from_secs(1)).await;
        server.env.shutdown.begin();
    };
    let (answer, ()) = tokio::join!(device.poll(&server), stop);
    assert!(answer["rooms"].is_null());
    assert_eq!(server.env.clock.wall_ms(), START_MS + 1_000);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn long_poll_sleeps_on_when_the_filter_hides_what_happened() {
    let server = Server::new();
    let room = server.room().await;
    let filter = json!({"room": {"timeline": {"types": ["m.room.message"]}}});
    let mut device = Device::with_filter(alice(), &filter);
    device.sync(&server).await;
    let send = async {
        for number in 0..20 {
            server.env.clock.sleep(Duration::from_secs(1)).await;
            server
                .send(&room, alice(), "org.x", &json!({"n": number}))
                .await;
        }
        server.say(&room, alice(), "seen").await
    };
    let (answer, event) = tokio::join!(device.poll(&server), send);
    let timeline = &joined(&answer, &room)["timeline"];
    assert_eq!(each(&timeline["events"], "event_id"), [event.as_str()]);
    assert_eq!(timeline["limited"], false);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tokens_of_other_histories_and_nonsense_are_refused() {
    let server = Server::new();
    server.room().await;
    let mut device = Device::of(alice());
    device.request.since = Some("s72594_4483_1934".to_owned());
    let refused = server.views.sync(&device.request).await.unwrap_err();
    assert!(matches!(refused, ViewError::Token(TokenError::Malformed)));
    let foreign = crate::token::Tokens::new([8; 16]).sync(belfry_data::Stamp::default());
    device.request.since = Some(foreign);
    let refused = server.views.sync(&device.request).await.unwrap_err();
    assert!(matches!(
        refused,
        ViewError::Token(TokenError::OtherDatabase)
    ));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn restart_between_two_polls_loses_nothing() {
    let server = Server::new();
    let (room, _quiet) = (server.room().await, server.room().await);
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let event = server.say(&room, alice(), "before").await;
    let server = server.restart().await;
    let answer = device.poll(&server).await;
    let rooms = answer["rooms"]["join"].as_object().unwrap();
    assert_eq!(rooms.len(), 1, "quiet rooms are not told");
    let ids = each(&joined(&answer, &room)["timeline"]["events"], "event_id");
    assert_eq!(ids, [event.as_str()]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn filters_choose_rooms_types_senders_and_fields() {
    let server = Server::new();
    let (room, other) = (server.room().await, server.room().await);
    server.join(&room, bob()).await;
    server.say(&room, alice(), "one").await;
    server.say(&room, bob(), "two").await;
    let link = json!({"msgtype": "m.image", "body": "three", "url": "mxc://x/y"});
    server.send(&room, alice(), "m.room.message", &link).await;
    let bodies = async |timeline: Value| {
        let filter = json!({"room": {"not_rooms": [other], "timeline": timeline}});
        let answer = Device::with_filter(alice(), &filter).sync(&server).await;
        assert!(joined(&answer, &other).is_null());
        let events = list(&joined(&answer, &room)["timeline"]["events"]).to_vec();
        let bodies = events.iter().map(|event| text(&event["content"]["body"]));
        bodies.filter(|body| !body.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(
        bodies(json!({"senders": [alice()]})).await,
        ["one", "three"]
    );
    assert_eq!(bodies(json!({"not_senders": [alice()]})).await, ["two"]);
    assert_eq!(bodies(json!({"contains_url": true})).await, ["three"]);
    assert_eq!(bodies(json!({"contains_url": false})).await, ["one", "two"]);
    assert_eq!(
        bodies(json!({"types": ["m.room.mess*"], "limit": 1})).await,
        ["three"]
    );
    assert!(bodies(json!({"not_types": ["m.room.*"]})).await.is_empty());
    assert!(bodies(json!({"not_rooms": [room]})).await.is_empty());
    assert!(bodies(json!({"rooms": []})).await.is_empty());
    let filter = json!({"event_fields": ["type", "content.body"]});
    let answer = Device::with_filter(alice(), &filter).sync(&server).await;
    let last = list(&joined(&answer, &room)["timeline"]["events"])
        .last()
        .cloned();
    let expected = json!({"type": "m.room.message", "content": {"body": "three"}});
    assert_eq!(last, Some(expected));
    let filter = json!({"event_format": "federation"});
    let answer = Device::with_filter(alice(), &filter).sync(&server).await;
    let last = list(&joined(&answer, &room)["timeline"]["events"])
        .last()
        .cloned();
    assert!(last.unwrap()["auth_events"].is_array());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn timeline_filter_knows_urls_relations_and_their_types() {
    let server = Server::new();
    let room = server.room().await;
    let plain = server.say(&room, alice(), "one").await;
    let picture = json!({"msgtype": "m.image", "body": "x", "url": "mxc://x.example/a"});
    let picture = server
        .send(&room, alice(), "m.room.message", &picture)
        .await;
    let reaction = json!({"m.relates_to": {
        "rel_type": "m.annotation", "event_id": plain, "key": "x",
    }});
    let reaction = server.send(&room, alice(), "m.reaction", &reaction).await;
    for (filter, expected) in [
        (json!({"contains_url": true}), vec![&picture]),
        (
            json!({"contains_url": false, "types": ["m.room.mess*"]}),
            vec![&plain],
        ),
        (
            json!({"related_by_rel_types": ["m.annotation"]}),
            vec![&plain],
        ),
        (json!({"related_by_rel_types": ["m.thread"]}), vec![]),
        (
            json!({"related_by_senders": [alice()], "types": ["m.room.message"]}),
            vec![&plain],
        ),
        (json!({"rel_types": ["m.annotation"]}), vec![&reaction]),
        (
            json!({"not_rel_types": ["m.annotation"], "types": ["m.re*", "m.room.message"]}),
            vec![&plain, &picture],
        ),
    ] {
        let wanted = json!({"room": {"timeline": filter}});
        let told = Device::with_filter(alice(), &wanted).sync(&server).await;
        let shown = each(&joined(&told, &room)["timeline"]["events"], "event_id");
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{filter}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_filter_leaves_types_out() {
    let server = Server::new();
    let room = server.room().await;
    server.say(&room, alice(), "x").await;
    let filter = json!({"room": {
        "timeline": {"limit": 1},
        "state": {"not_types": ["m.room.member", "m.room.c*"]},
    }});
    let answer = Device::with_filter(alice(), &filter).sync(&server).await;
    let types = each(&joined(&answer, &room)["state"]["events"], "type");
    assert!(types.contains(&"m.room.join_rules".to_owned()), "{types:?}");
    assert!(
        !types
            .iter()
            .any(|kind| kind == "m.room.member" || kind.starts_with("m.room.c"))
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn filters_are_found_by_id() {
    let server = Server::new();
    server
        .store_filter(alice(), "f1", &json!({"room": {"rooms": []}}))
        .await;
    let stored = server.views.filter(alice(), Some("f1")).await.unwrap();
    let room = server.room().await;
    let mut device = Device::of(alice());
    device.request.filter = stored;
    assert!(joined(&device.sync(&server).await, &room).is_null());
    let unknown = server.views.filter(bob(), Some("f1")).await.unwrap_err();
    assert!(matches!(unknown, ViewError::UnknownFilter), "VIS-005");
    let malformed = server.views.filter(bob(), Some("{")).await.unwrap_err();
    assert!(matches!(malformed, ViewError::Filter(_)));
    assert!(server.views.filter(bob(), None).await.is_ok());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn huge_limits_are_clamped() {
    let server = Server::new();
    let room = server.room().await;
    for number in 0..crate::TIMELINE_MAX + 20 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    let filter = json!({"room": {"timeline": {"limit": 1_000_000_000}}});
    let answer = Device::with_filter(alice(), &filter).sync(&server).await;
    let timeline = &joined(&answer, &room)["timeline"];
    assert_eq!(
        list(&timeline["events"]).len(),
        crate::TIMELINE_MAX,
        "VIS-004"
    );
    assert_eq!(timeline["limited"], true);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limit_of_nothing_shows_that_there_is_something() {
    let server = Server::new();
    let room = server.room().await;
    let filter = json!({"room": {"timeline": {"limit": 0}}});
    let mut device = Device::with_filter(alice(), &filter);
    let answer = device.sync(&server).await;
    let timeline = &joined(&answer, &room)["timeline"];
    assert_eq!(
        (&timeline["limited"], list(&timeline["events"]).len()),
        (&json!(true), 0)
    );
    assert!(timeline["prev_batch"].is_string());
    let name = server.name(&room, "n").await;
    let answer = device.sync(&server).await;
    let state = each(&joined(&answer, &room)["state"]["events"], "event_id");
    assert_eq!(state, [name.as_str()]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_small_and_may_move_between_threads() {
    fn bytes<T: Send>(future: &T) -> usize {
        size_of_val(future)
    }
    let server = Server::new();
    let request = SyncRequest::new(alice().to_owned());
    assert!(bytes(&server.views.sync(&request)) <= 1_024);
    let room = server.room().await;
    assert!(bytes(&server.views.state(alice(), &room)) <= 1_024);
    server.stop().await;
}
