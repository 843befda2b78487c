//! Rooms on the memory engine, through [`Rooms`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use belfry_data::Engine;
use belfry_event::{EventHash, RoomRules};
use belfry_kv::Fault;
use ruma_common::RoomVersionId;
use serde_json::{Value, json};

use crate::fixture::{
    Server, alice, append, bob, content, futures, json_of, message, request, state, types,
};
use crate::*;

#[tokio::test(start_paused = true)]
async fn a_room_of_every_version_is_created_joined_and_talked_in() {
    let server = Server::new();
    for rules in RoomRules::all() {
        let mut wanted = request(Preset::PublicChat);
        wanted.version = rules.version().clone();
        let room = server.rooms.create(wanted).await.unwrap();
        server
            .act(&room, bob(), bob(), MemberAct::Join)
            .await
            .unwrap();
        server.say(&room, bob(), "hello").await.unwrap();
        let log = server.log(&room).await;
        let expected = [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.member",
            "m.room.message",
        ];
        assert_eq!(types(&log), expected, "room version {:?}", rules.version());
        assert_eq!(json_of(&log[1])["content"]["displayname"], "Alice");
        let depths: Vec<_> = log
            .iter()
            .map(|event| json_of(event)["depth"].clone())
            .collect();
        assert_eq!(depths, (1..=8).map(Value::from).collect::<Vec<_>>());
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn creation_takes_the_presets_and_what_overrides_them() {
    let server = Server::new();
    let mut wanted = request(Preset::TrustedPrivateChat);
    wanted.version = RoomVersionId::V11;
    wanted.invite = vec![bob().to_owned()];
    wanted.name = Some("Council".to_owned());
    wanted.topic = Some("Minutes".to_owned());
    wanted
        .power_level_content_override
        .insert("ban".to_owned(), 60.into());
    wanted.initial_state.push(InitialState {
        kind: "m.room.history_visibility".into(),
        state_key: String::new(),
        content: content(&json!({"history_visibility": "joined"})),
    });
    let room = server.rooms.create(wanted).await.unwrap();
    let log: Vec<Value> = server.log(&room).await.iter().map(json_of).collect();
    let of = |kind: &str| {
        let mut found = log.iter().filter(|event| event["type"] == kind);
        let last = found.next_back().unwrap().clone();
        assert!(
            found.next().is_none() || kind == "m.room.member",
            "{kind} is there once"
        );
        last
    };
    assert_eq!(
        of("m.room.power_levels")["content"]["users"][bob().as_str()],
        100
    );
    assert_eq!(of("m.room.power_levels")["content"]["ban"], 60);
    assert_eq!(
        of("m.room.history_visibility")["content"]["history_visibility"],
        "joined"
    );
    assert_eq!(of("m.room.join_rules")["content"]["join_rule"], "invite");
    assert_eq!(of("m.room.name")["content"]["name"], "Council");
    assert_eq!(of("m.room.member")["content"]["membership"], "invite");
    assert_eq!(of("m.room.member")["state_key"], bob().as_str());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_impossible_room_is_refused_and_leaves_nothing() {
    let server = Server::new();
    let mut wanted = request(Preset::PrivateChat);
    wanted
        .power_level_content_override
        .insert("users".to_owned(), json!({alice(): 100}));
    let refused = server.rooms.create(wanted).await.unwrap_err();
    assert!(
        matches!(refused, RoomError::InvalidRoomState(_)),
        "{refused:?}"
    );
    let mut wanted = request(Preset::PrivateChat);
    wanted.version = RoomVersionId::V1;
    let refused = server.rooms.create(wanted).await.unwrap_err();
    assert_eq!(refused, RoomError::UnsupportedVersion("1".to_owned()));
    let snapshot = server.engine.snapshot().await.unwrap();
    assert!(
        belfry_data::rooms(&*snapshot, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    drop(snapshot);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_rooms_rules_decide_who_may_do_what() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let refused = server
        .act(&room, bob(), bob(), MemberAct::Join)
        .await
        .unwrap_err();
    assert!(matches!(refused, RoomError::Forbidden(_)), "{refused:?}");
    server
        .act(&room, alice(), bob(), MemberAct::Invite)
        .await
        .unwrap();
    server
        .act(&room, bob(), bob(), MemberAct::Join)
        .await
        .unwrap();
    let topic = || append(bob(), state("m.room.topic", &json!({"topic": "mine"})));
    assert!(matches!(
        server.rooms.append(&room, topic()).await,
        Err(RoomError::Forbidden(_))
    ));
    server
        .act(&room, alice(), bob(), MemberAct::Kick)
        .await
        .unwrap();
    assert!(matches!(
        server.say(&room, bob(), "?").await,
        Err(RoomError::Forbidden(_))
    ));
    assert!(matches!(
        server.act(&room, alice(), bob(), MemberAct::Unban).await,
        Err(RoomError::Forbidden(_))
    ));
    server
        .act(&room, alice(), bob(), MemberAct::Ban)
        .await
        .unwrap();
    assert!(matches!(
        server.act(&room, alice(), bob(), MemberAct::Invite).await,
        Err(RoomError::Forbidden(_))
    ));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_room_is_not_known_and_keeps_no_worker() {
    let server = Server::new();
    let room = ruma_common::room_id!("!nowhere:x.example");
    assert_eq!(
        server.say(room, alice(), "?").await.unwrap_err(),
        RoomError::UnknownRoom
    );
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::task::yield_now().await;
    assert_eq!(server.rooms.workers(), 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sent_again_is_the_same_event_also_after_a_crash() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let txn = |id: &str| Append {
        txn: Some(Txn {
            user: alice().to_owned(),
            device: "D".into(),
            scope: format!("send/{room}/m.room.message"),
            id: id.to_owned(),
        }),
        ..append(alice(), message("once"))
    };
    let (one, two) = tokio::join!(
        server.rooms.append(&room, txn("1")),
        server.rooms.append(&room, txn("1"))
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(
        (one.hash, one.repeated, two.repeated),
        (two.hash, false, true)
    );
    let other = server.rooms.append(&room, txn("2")).await.unwrap();
    assert_ne!(other.hash, one.hash);
    let engine = Arc::new(server.engine.crash(0));
    server.stop().await;
    let server = Server::on(engine);
    let again = server.rooms.append(&room, txn("1")).await.unwrap();
    assert_eq!((again.hash, again.repeated), (one.hash, true));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_that_says_the_same_is_not_sent_again() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let topic = |text: &str| append(alice(), state("m.room.topic", &json!({"topic": text})));
    let first = server.rooms.append(&room, topic("a")).await.unwrap();
    let same = server.rooms.append(&room, topic("a")).await.unwrap();
    assert_eq!((same.hash, same.repeated), (first.hash, true));
    let other = server.rooms.append(&room, topic("b")).await.unwrap();
    assert!(!other.repeated);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_senders_at_once_share_commits_and_make_one_chain() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    server.engine.record();
    let sends = (0..500).map(|n| {
        let (rooms, room) = (server.rooms.clone(), room.clone());
        let body = n.to_string();
        async move { rooms.append(&room, append(alice(), message(&body))).await }
    });
    let sent = futures(sends).await;
    assert!(sent.iter().all(Result::is_ok));
    let commits = server.engine.take_record().len();
    assert!(commits < 50, "{commits} commits for 500 events");
    let log = server.log(&room).await;
    for pair in log.windows(2) {
        let prev = json_of(&pair[1])["prev_events"].clone();
        let rules = RoomRules::new(&RoomVersionId::V12).unwrap();
        assert_eq!(prev, json!([pair[0].hash.to_event_id(rules.alphabet())]));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_and_unknown_outcomes_neither_lose_nor_repeat_an_event() {
    for fault in [Fault::Conflict, Fault::UnknownApplied, Fault::UnknownLost] {
        let server = Server::new();
        let room = server.room(Preset::PrivateChat).await;
        let count = Arc::new(AtomicUsize::new(0));
        let injected = fault.clone();
        server.engine.set_faults(move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            if n.is_multiple_of(3) {
                injected.clone()
            } else {
                Fault::None
            }
        });
        let sends = (0..100).map(|n| {
            let (rooms, room) = (server.rooms.clone(), room.clone());
            async move {
                rooms
                    .append(&room, append(alice(), message(&n.to_string())))
                    .await
            }
        });
        let sent = futures(sends).await;
        assert!(
            sent.iter().all(Result::is_ok),
            "{fault:?}: {:?}",
            sent.iter().find(|s| s.is_err())
        );
        let log = server.log(&room).await;
        let bodies: BTreeSet<_> = log
            .iter()
            .filter_map(|event| {
                json_of(event)["content"]["body"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(bodies.len(), 100, "{fault:?}");
        let messages = types(&log)
            .iter()
            .filter(|kind| *kind == "m.room.message")
            .count();
        assert_eq!(messages, 100, "{fault:?}");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_and_changes_nothing() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let before = server.log(&room).await.len();
    server
        .engine
        .set_faults(|_| Fault::Unavailable(belfry_data::Unavailable::DiskFull));
    let refused = server.say(&room, alice(), "?").await.unwrap_err();
    assert!(matches!(refused, RoomError::Unavailable(_)), "{refused:?}");
    server.engine.set_faults(|_| Fault::None);
    assert_eq!(server.log(&room).await.len(), before);
    server.say(&room, alice(), "!").await.unwrap();
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_large_an_event_and_bad_content_are_told_apart() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let large = server
        .say(&room, alice(), &"x".repeat(66_000))
        .await
        .unwrap_err();
    assert!(matches!(large, RoomError::EventTooLarge(_)), "{large:?}");
    let list = Change::Message {
        kind: "m.x".into(),
        content: content(&json!([1])),
    };
    let bad = server
        .rooms
        .append(&room, append(alice(), list))
        .await
        .unwrap_err();
    assert!(matches!(bad, RoomError::BadContent(_)), "{bad:?}");
    let long = Change::State {
        kind: "m.x".into(),
        state_key: "k".repeat(256),
        content: content(&json!({})),
    };
    let long = server
        .rooms
        .append(&room, append(alice(), long))
        .await
        .unwrap_err();
    assert!(matches!(long, RoomError::BadParameter(_)), "{long:?}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_redaction_marks_its_target_and_needs_the_right() {
    let server = Server::new();
    let room = server.room(Preset::PublicChat).await;
    server
        .act(&room, bob(), bob(), MemberAct::Join)
        .await
        .unwrap();
    let said = server.say(&room, alice(), "oops").await.unwrap();
    let redact = |sender, event_id: &ruma_common::EventId| {
        let redacts = event_id.to_owned();
        let content = content(&json!({"reason": "typo"}));
        append(sender, Change::Redaction { redacts, content })
    };
    let refused = server
        .rooms
        .append(&room, redact(bob(), &said.event_id))
        .await;
    assert!(
        matches!(refused, Err(RoomError::Forbidden(_))),
        "{refused:?}"
    );
    let nowhere = EventHash::from([9; 32]).to_event_id(belfry_event::Alphabet::UrlSafe);
    let unknown = server.rooms.append(&room, redact(alice(), &nowhere)).await;
    assert_eq!(unknown.unwrap_err(), RoomError::UnknownEvent);
    // While messages are under way: the target must be found all the same.
    let (_, own, _) = tokio::join!(
        server.say(&room, bob(), "1"),
        server.rooms.append(&room, redact(alice(), &said.event_id)),
        server.say(&room, bob(), "2"),
    );
    let own = own.unwrap();
    let log = server.log(&room).await;
    let target = log.iter().find(|event| event.hash == said.hash).unwrap();
    assert_eq!(target.row.redacted_by, Some(own.hash));
    let redaction = log.iter().find(|event| event.hash == own.hash).unwrap();
    assert_eq!(
        json_of(redaction)["content"]["redacts"],
        said.event_id.as_str()
    );
    assert_eq!(json_of(redaction)["content"]["reason"], "typo");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_changed_nothing_changes_nothing_later() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let topic = |text: &str| append(alice(), state("m.room.topic", &json!({"topic": text})));
    let first = server.rooms.append(&room, topic("a")).await.unwrap();
    let txn = Txn {
        user: alice().to_owned(),
        device: "D".into(),
        scope: "state".to_owned(),
        id: "1".to_owned(),
    };
    let same = Append {
        txn: Some(txn),
        ..topic("a")
    };
    assert_eq!(
        server.rooms.append(&room, same.clone()).await.unwrap().hash,
        first.hash
    );
    server.rooms.append(&room, topic("b")).await.unwrap();
    assert_eq!(
        server.rooms.append(&room, same).await.unwrap().hash,
        first.hash
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_repeats_no_answer_that_did_not_come_true() {
    let server = Server::new();
    let room = server.room(Preset::PrivateChat).await;
    let before = server.log(&room).await.len();
    server.engine.hold(true);
    server.engine.set_faults(|_| Fault::Conflict);
    let send = || {
        let (rooms, room) = (server.rooms.clone(), room.clone());
        let txn = Txn {
            user: alice().to_owned(),
            device: "D".into(),
            scope: "send".to_owned(),
            id: "1".to_owned(),
        };
        let append = Append {
            txn: Some(txn),
            ..append(alice(), message("once"))
        };
        let sent = async move { rooms.append(&room, append).await };
        server.env.tasks.spawn("send", sent)
    };
    let pause = || server.env.clock.sleep(Duration::from_millis(1));
    let one = send();
    pause().await;
    let two = send();
    pause().await;
    server.env.shutdown.begin();
    pause().await;
    server.engine.sync();
    for task in [one, two] {
        let told = task.await.unwrap();
        assert!(matches!(told, Err(RoomError::Unavailable(_))), "{told:?}");
    }
    assert_eq!(server.log(&room).await.len(), before);
    server.stop().await;
}
