//! Events of other servers: what is taken, fetched, parked, refused, resolved.

use belfry_data::Acceptance;
use ruma_common::RoomVersionId;
use serde_json::{Value, json};

use crate::federation_fixture::{Host, Net, pair, raw, result};
use crate::keys_fixture::key_of;
use crate::*;

#[tokio::test(start_paused = true)]
async fn a_join_brings_the_state_and_messages_follow() {
    for version in [RoomVersionId::V6, RoomVersionId::V11, RoomVersionId::V12] {
        let (_, one, other, room) = pair(version).await;
        assert_eq!(
            one.head(&room).await.unwrap().state,
            other.head(&room).await.unwrap().state
        );
        let said = one.say(&room, "hello").await;
        let receipt = one.send(&other, &room, &[said]).await;
        assert!(!receipt.repeated);
        assert_eq!(other.bodies(&room).await, ["hello"]);
        let back = other.say(&room, "hello yourself").await;
        other.send(&one, &room, &[back]).await;
        assert_eq!(
            one.bodies(&room).await,
            ["before", "hello", "hello yourself"]
        );
        let (head, theirs) = (
            one.head(&room).await.unwrap(),
            other.head(&room).await.unwrap(),
        );
        assert_eq!(head.extremities, theirs.extremities);
        one.assert_clean().await;
        other.assert_clean().await;
        one.stop().await;
        other.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sent_again_is_answered_as_before() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    let said = one.say(&room, "once").await;
    let transaction = Transaction {
        origin: one.name.clone(),
        id: "1".to_owned(),
        pdus: vec![one.json(&room, said).await],
    };
    let first = other.rooms.receive(transaction.clone()).await.unwrap();
    other.settle().await;
    let again = other.rooms.receive(transaction).await.unwrap();
    other.settle().await;
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.body.get(), again.body.get());
    assert_eq!(other.bodies(&room).await, ["once"]);
}

#[tokio::test(start_paused = true)]
async fn txn_001_more_pdus_than_a_transaction_has_are_refused() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    let said = one.say(&room, "x").await;
    let pdus = vec![one.json(&room, said).await; TRANSACTION_PDUS_MAX + 1];
    let transaction = Transaction {
        origin: one.name.clone(),
        id: "1".to_owned(),
        pdus,
    };
    let refused = other.rooms.receive(transaction).await;
    assert!(
        matches!(refused, Err(RoomError::BadParameter(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn txn_007_an_event_of_a_room_that_the_server_left_is_refused() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let leave = Change::Member(Membership::new(&*other.user, MemberAct::Leave));
    let left = other
        .rooms
        .append(&room, fixture::append(&other.user, leave));
    left.await.unwrap();
    let before = other.head(&room).await;
    let said = one.say(&room, "are you there?").await;
    let receipt = one.send(&other, &room, &[said]).await;
    let stored = one.event(&room, said).await.unwrap();
    let event_id = said.to_event_id(stored_rules(&one, &room).await.alphabet());
    assert!(
        result(&receipt, &event_id)["error"].is_string(),
        "{:?}",
        receipt.body
    );
    assert_eq!(other.head(&room).await, before);
    assert!(other.event(&room, stored.hash).await.is_none());
}

async fn stored_rules(host: &Host, room: &ruma_common::RoomId) -> &'static belfry_event::RoomRules {
    crate::planner::rules_of(&host.head(room).await.unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn pdu_001_an_event_without_its_servers_signature_is_dropped() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    let said = one.say(&room, "signed").await;
    let json = one.json(&room, said).await;
    for spoil in [
        |event: &mut Value| event["signatures"] = json!({}),
        |event: &mut Value| event["signatures"]["one.example"]["ed25519:k1"] = "AAAA".into(),
        |event: &mut Value| {
            let other = event["signatures"]["one.example"].take();
            event["signatures"] = json!({"third.example": other});
        },
    ] {
        let mut event: Value = serde_json::from_str(json.get()).unwrap();
        spoil(&mut event);
        let pdu = serde_json::value::to_raw_value(&event).unwrap();
        let receipt = other.take(&one.name, vec![pdu]).await;
        assert!(receipt.body.get().contains("error"), "{:?}", receipt.body);
    }
    assert!(other.event(&room, said).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn pdu_002_a_badly_signed_event_of_an_answer_is_dropped() {
    let (net, one, other, room) = pair(RoomVersionId::V12).await;
    let first = one.say(&room, "spoiled").await;
    let last = one.say(&room, "good").await;
    net.tamper(|event| {
        let mut event: Value = serde_json::from_str(event).unwrap();
        if event["content"]["body"] == "spoiled" {
            event["signatures"]["one.example"]["ed25519:k1"] = "AAAA".into();
        }
        event.to_string()
    });
    one.send(&other, &room, &[last]).await;
    assert!(other.event(&room, first).await.is_none());
    assert_eq!(other.bodies(&room).await, ["good"]);
}

#[tokio::test(start_paused = true)]
async fn pdu_004_an_event_with_the_wrong_content_hash_is_taken_redacted() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    let said = one.say(&room, "true").await;
    let mut event: Value = serde_json::from_str(one.json(&room, said).await.get()).unwrap();
    event["content"]["body"] = "false".into();
    let pdu = serde_json::value::to_raw_value(&event).unwrap();
    other.take(&one.name, vec![pdu]).await;
    let stored = other.event(&room, said).await.unwrap();
    let stored: Value = serde_json::from_str(&stored.row.json).unwrap();
    assert_eq!(stored["content"], json!({}));
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn pdu_008_an_event_without_previous_events_is_dropped() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    let pdu = one
        .forge(&one, &room, "m.room.message", None, &json!({}))
        .await;
    let mut event: Value = serde_json::from_str(pdu.json()).unwrap();
    event["prev_events"] = json!([]);
    let text = serde_json::value::to_raw_value(&event).unwrap();
    let head = other.head(&room).await;
    let receipt = other.take(&one.name, vec![text]).await;
    assert_eq!(receipt.body.get(), r#"{"pdus":{}}"#);
    assert_eq!(other.head(&room).await, head);
}

#[tokio::test(start_paused = true)]
async fn authz_012_what_the_rules_do_not_allow_is_rejected_for_good() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let ban = other
        .forge(
            &other,
            &room,
            "m.room.member",
            Some(one.user.as_str()),
            &json!({"membership": "ban"}),
        )
        .await;
    for _ in 0..2 {
        one.take(&other.name, vec![raw(&ban)]).await;
        let stored = one.event(&room, ban.hash()).await.unwrap();
        assert_eq!(stored.row.acceptance, Acceptance::Rejected);
    }
    let head = one.head(&room).await.unwrap();
    assert!(!head.extremities.contains(&ban.hash()));
    one.say(&room, "still here").await;
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn authz_001_auth_events_of_another_room_are_refused() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let elsewhere = one.room(RoomVersionId::V11).await;
    other.join(&elsewhere, &one).await.unwrap();
    let honest = other
        .forge(&other, &elsewhere, "m.room.message", None, &json!({}))
        .await;
    let mut event: Value = serde_json::from_str(honest.json()).unwrap();
    event["room_id"] = room.as_str().into();
    let head = other.head(&room).await.unwrap();
    let prev = head.extremities[0].to_event_id(honest.rules().alphabet());
    let forged = belfry_event::Draft {
        rules: honest.rules(),
        room_id: Some(&room),
        sender: &other.user,
        event_type: "m.room.message",
        state_key: None,
        content: "{}",
        redacts: None,
        prev_events: &head.extremities,
        auth_events: honest.auth_hashes(),
        depth: 100,
        origin_server_ts: honest.origin_server_ts(),
    };
    let forged = forged.sign(&other.name, &key_of(&other.name)).unwrap();
    assert!(forged.json().contains(prev.as_str()));
    one.take(&other.name, vec![raw(&forged)]).await;
    let stored = one.event(&room, forged.hash()).await;
    assert!(stored.is_none_or(|stored| stored.row.acceptance == Acceptance::Rejected));
    assert!(
        !one.head(&room)
            .await
            .unwrap()
            .extremities
            .contains(&forged.hash())
    );
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn authz_018_a_soft_failed_event_is_not_shown_and_what_builds_on_it_may_be() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let late = other
        .forge(
            &other,
            &room,
            "m.room.message",
            None,
            &json!({"body": "late", "msgtype": "m.text"}),
        )
        .await;
    let kick = Change::Member(Membership::new(&*other.user, MemberAct::Ban));
    one.rooms
        .append(&room, fixture::append(&one.user, kick))
        .await
        .unwrap();
    one.take(&other.name, vec![raw(&late)]).await;
    let stored = one.event(&room, late.hash()).await.unwrap();
    assert_eq!(stored.row.acceptance, Acceptance::SoftFailed);
    assert!(!one.bodies(&room).await.contains(&"late".to_owned()));
    let head = one.head(&room).await.unwrap();
    assert!(!head.extremities.contains(&late.hash()));
    one.say(&room, "after").await;
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_fork_is_resolved_alike_on_both_sides() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let (_, one, other, room) = pair(version).await;
        let levels = json!({"users_default": 0, "state_default": 0});
        let levels = one.set(&room, "m.room.power_levels", &levels).await;
        one.send(&other, &room, &[levels]).await;
        let mine = one
            .set(&room, "m.room.topic", &json!({"topic": "mine"}))
            .await;
        let name = one.set(&room, "m.room.name", &json!({"name": "n"})).await;
        let theirs = other
            .set(&room, "m.room.topic", &json!({"topic": "theirs"}))
            .await;
        one.send(&other, &room, &[mine, name]).await;
        other.send(&one, &room, &[theirs]).await;
        let (head, their_head) = (
            one.head(&room).await.unwrap(),
            other.head(&room).await.unwrap(),
        );
        assert_eq!(head.extremities, their_head.extremities);
        assert_eq!(head.extremities.len(), 2);
        assert_eq!(head.state, their_head.state);
        let merged = other.say(&room, "merged").await;
        other.send(&one, &room, &[merged]).await;
        assert_eq!(one.head(&room).await.unwrap().extremities, [merged]);
        one.assert_clean().await;
        other.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn forks_beyond_the_limit_are_merged() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let mut pdus = Vec::new();
    for number in 0..15 {
        let content = json!({"body": number.to_string(), "msgtype": "m.text"});
        pdus.push(raw(&other
            .forge(&other, &room, "m.room.message", None, &content)
            .await));
    }
    one.take(&other.name, pdus).await;
    assert_eq!(one.bodies(&room).await.len(), 16);
    let head = one.head(&room).await.unwrap();
    assert!(head.extremities.len() <= 10, "{}", head.extremities.len());
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn forks_that_nobody_here_may_merge_are_taken_in_all_the_same() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let levels = json!({"users": {one.user.as_str(): 100}, "events_default": 50});
    let levels = one.set(&room, "m.room.power_levels", &levels).await;
    one.send(&other, &room, &[levels]).await;
    let mut pdus = Vec::new();
    for number in 0..45 {
        let content = json!({"body": number.to_string(), "msgtype": "m.text"});
        pdus.push(raw(&one
            .forge(&one, &room, "m.room.message", None, &content)
            .await));
    }
    other.take(&one.name, pdus).await;
    assert_eq!(other.bodies(&room).await.len(), 45);
    let head = other.head(&room).await.unwrap();
    assert_eq!(head.extremities.len(), belfry_data::EXTREMITIES_MAX);
    assert_eq!(head.state, one.head(&room).await.unwrap().state);
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_redaction_applies_whether_it_comes_before_or_after() {
    for redaction_first in [false, true] {
        let (net, one, other, room) = pair(RoomVersionId::V11).await;
        let said = one.say(&room, "regretted").await;
        let rules = stored_rules(&one, &room).await;
        let redaction = Change::Redaction {
            redacts: said.to_event_id(rules.alphabet()),
            content: fixture::content(&json!({})),
        };
        let sent = one
            .rooms
            .append(&room, fixture::append(&one.user, redaction))
            .await;
        let redaction = sent.unwrap().hash;
        if redaction_first {
            net.refuse("missing_events");
            net.refuse("event");
            one.send(&other, &room, &[redaction]).await;
            net.up();
            assert!(other.event(&room, redaction).await.is_some());
            other.rooms.backfill(&room, 0, 10).await.unwrap();
        } else {
            one.send(&other, &room, &[said, redaction]).await;
        }
        let stored = other.event(&room, said).await.unwrap();
        assert_eq!(stored.row.redacted_by, Some(redaction), "{redaction_first}");
        other.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_room_shuts_out_is_not_heard() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let acl = json!({"allow": ["*"], "deny": ["other.*"]});
    one.set(&room, "m.room.server_acl", &acl).await;
    let said = other.say(&room, "let me in").await;
    let receipt = other.send(&one, &room, &[said]).await;
    assert!(
        receipt.body.get().contains("access control"),
        "{:?}",
        receipt.body
    );
    assert!(one.event(&room, said).await.is_none());
    let user = &other.user;
    let asked = one
        .rooms
        .make(&other.name, Handshake::Leave, &room, user, &[])
        .await;
    assert!(matches!(asked, Err(RoomError::Forbidden(_))), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn staged_events_are_worked_off_after_a_restart() {
    let (net, one, other, room) = pair(RoomVersionId::V12).await;
    one.say(&room, "lost").await;
    let last = one.say(&room, "late").await;
    net.down("all");
    one.send(&other, &room, &[last]).await;
    net.up();
    let engine = std::sync::Arc::new(other.engine.reopen());
    let name = other.name.clone();
    let reborn = Host::on(&net, name.as_str(), engine);
    reborn.rooms.resume().await.unwrap();
    reborn.settle().await;
    assert_eq!(reborn.bodies(&room).await, ["lost", "late"]);
    reborn.assert_clean().await;
}

/// Callers spawn what they ask for.
#[tokio::test(start_paused = true)]
async fn requests_may_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let net = Net::default();
    let host = Host::new(&net, "one.example");
    let (room, rooms) = (host.room(RoomVersionId::V12).await, &host.rooms);
    let remote = host.remote(&room, &host);
    is_send(rooms.join_remote(&remote));
    is_send(rooms.leave_remote(&remote));
    is_send(rooms.knock_remote(&remote));
    is_send(rooms.backfill(&room, 0, 1));
    is_send(rooms.serve_backfill(&host.name, &room, &[], 1));
    is_send(rooms.make(&host.name, Handshake::Join, &room, &host.user, &[]));
}
