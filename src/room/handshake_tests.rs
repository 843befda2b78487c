//! Joins, knocks, invites and reads between servers.

use ruma_common::{RoomVersionId, UserId};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::federation_fixture::{Host, Net, pair, raw};
use crate::fixture::append;
use crate::*;

fn edited(event: &RawValue, edit: impl Fn(&mut Value)) -> Box<RawValue> {
    let mut value: Value = serde_json::from_str(event.get()).unwrap();
    edit(&mut value);
    serde_json::value::to_raw_value(&value).unwrap()
}

#[tokio::test(start_paused = true)]
async fn join_002_and_003_a_join_is_made_for_known_versions_and_rooms_only() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let (origin, user) = (&other.name, &other.user);
    let asked = one
        .rooms
        .make(origin, Handshake::Join, &room, user, &[RoomVersionId::V1]);
    assert_eq!(
        asked.await.unwrap_err(),
        RoomError::IncompatibleVersion(RoomVersionId::V11)
    );
    let unknown = ruma_common::room_id!("!unknown:one.example");
    let versions = [RoomVersionId::V11];
    let asked = one
        .rooms
        .make(origin, Handshake::Join, unknown, user, &versions);
    assert_eq!(asked.await.unwrap_err(), RoomError::UnknownRoom);
    let leave = Change::Member(Membership::new(&*one.user, MemberAct::Leave));
    one.rooms
        .append(&room, append(&one.user, leave))
        .await
        .unwrap();
    let asked = one
        .rooms
        .make(origin, Handshake::Join, &room, user, &versions);
    assert_eq!(asked.await.unwrap_err(), RoomError::UnknownRoom);
}

#[tokio::test(start_paused = true)]
async fn join_004_a_banned_user_gets_no_join() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let ban = Change::Member(Membership::new(&*other.user, MemberAct::Ban));
    one.rooms
        .append(&room, append(&one.user, ban))
        .await
        .unwrap();
    let versions = [RoomVersionId::V11];
    let asked = one
        .rooms
        .make(&other.name, Handshake::Join, &room, &other.user, &versions);
    assert!(matches!(asked.await, Err(RoomError::Forbidden(_))));
    let third = UserId::parse("@u:third.example").unwrap();
    let asked = one
        .rooms
        .make(&other.name, Handshake::Join, &room, &third, &versions);
    assert!(matches!(asked.await, Err(RoomError::Forbidden(_))));
}

#[tokio::test(start_paused = true)]
async fn join_007_008_and_009_what_is_no_join_of_the_asking_server_is_refused() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V11).await;
    let user = other.user.as_str();
    let join = other
        .forge(
            &one,
            &room,
            "m.room.member",
            Some(user),
            &json!({"membership": "join"}),
        )
        .await;
    let ban = other
        .forge(
            &one,
            &room,
            "m.room.member",
            Some(user),
            &json!({"membership": "ban"}),
        )
        .await;
    let message = other
        .forge(&one, &room, "m.room.message", None, &json!({}))
        .await;
    let foreign = other
        .forge(
            &one,
            &room,
            "m.room.member",
            Some("@x:y"),
            &json!({"membership": "join"}),
        )
        .await;
    let (origin, third) = (&other.name, ruma_common::server_name!("third.example"));
    let cases = [
        (&**origin, message.event_id(), raw(&join)),
        (&**origin, ban.event_id(), raw(&ban)),
        (&**origin, message.event_id(), raw(&message)),
        (&**origin, foreign.event_id(), raw(&foreign)),
        (third, join.event_id(), raw(&join)),
    ];
    for (origin, event_id, event) in cases {
        let refused = one.rooms.accept_join(origin, &room, event_id, &event).await;
        assert!(
            matches!(refused, Err(RoomError::BadParameter(_))),
            "{refused:?}"
        );
    }
    let unsigned = edited(&raw(&join), |event| event["signatures"] = json!({}));
    let refused = one
        .rooms
        .accept_join(origin, &room, join.event_id(), &unsigned)
        .await;
    assert!(
        matches!(refused, Err(RoomError::Forbidden(_))),
        "{refused:?}"
    );
    let done = one
        .rooms
        .accept_join(origin, &room, join.event_id(), &raw(&join))
        .await;
    let again = one
        .rooms
        .accept_join(origin, &room, join.event_id(), &raw(&join))
        .await;
    assert_eq!(done.unwrap().state.len(), again.unwrap().state.len());
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn join_005_a_restricted_room_is_entered_by_who_is_in_the_other_room() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let space = one.room(RoomVersionId::V11).await;
    let room = one.room(RoomVersionId::V11).await;
    let rule = json!({
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": space}],
    });
    one.set(&room, "m.room.join_rules", &rule).await;
    let refused = other.join(&room, &one).await;
    assert!(
        matches!(refused, Err(RoomError::Forbidden(_))),
        "{refused:?}"
    );
    other.join(&space, &one).await.unwrap();
    let joined = other.join(&room, &one).await.unwrap();
    let json = other.json(&room, joined.hash).await;
    assert!(json.get().contains("join_authorised_via_users_server"));
    let value: Value = serde_json::from_str(json.get()).unwrap();
    assert!(value["signatures"]["one.example"].is_object());
    one.assert_clean().await;
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn join_017_bad_events_of_an_answer_are_left_out() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V11).await;
    one.set(&room, "m.room.topic", &json!({"topic": "spoiled"}))
        .await;
    net.tamper(|event| {
        let mut value: Value = serde_json::from_str(event).unwrap();
        if value["type"] == "m.room.topic" {
            value["signatures"]["one.example"]["ed25519:k1"] = "AAAA".into();
        }
        value.to_string()
    });
    other.join(&room, &one).await.unwrap();
    other.say(&room, "in").await;
    assert_eq!(other.bodies(&room).await, ["in"]);
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_join_is_tried_with_the_next_server_and_refused_by_none() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V12).await;
    let mut remote = other.remote(&room, &one);
    remote.via = vec!["away.example".try_into().unwrap()];
    let refused = other.rooms.join_remote(&remote).await;
    assert!(
        matches!(refused, Err(RoomError::Unreachable(_))),
        "{refused:?}"
    );
    remote.via.push(one.name.clone());
    other.rooms.join_remote(&remote).await.unwrap();
    other.rooms.join_remote(&remote).await.unwrap();
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_leaves_and_comes_back() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let leave = Change::Member(Membership::new(&*other.user, MemberAct::Leave));
    let left = other
        .rooms
        .append(&room, append(&other.user, leave))
        .await
        .unwrap();
    other.send(&one, &room, &[left.hash]).await;
    one.say(&room, "while you were away").await;
    other.join(&room, &one).await.unwrap();
    let last = one.say(&room, "welcome back").await;
    one.send(&other, &room, &[last]).await;
    assert_eq!(other.bodies(&room).await, ["welcome back"]);
    one.assert_clean().await;
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_knock_and_its_end() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V11).await;
    one.set(&room, "m.room.join_rules", &json!({"join_rule": "knock"}))
        .await;
    let mut remote = other.remote(&room, &one);
    remote.change.act = MemberAct::Knock;
    other.rooms.knock_remote(&remote).await.unwrap();
    let snapshot = belfry_kv::Engine::snapshot(&*other.engine).await.unwrap();
    let knock = belfry_data::invite(&*snapshot, &other.user, &room)
        .await
        .unwrap();
    assert!(!knock.unwrap().state.is_empty());
    drop(snapshot);
    net.down("all");
    remote.change.act = MemberAct::Leave;
    other.rooms.leave_remote(&remote).await.unwrap();
    let snapshot = belfry_kv::Engine::snapshot(&*other.engine).await.unwrap();
    let gone = belfry_data::invite(&*snapshot, &other.user, &room)
        .await
        .unwrap();
    // Its user's clients are told that it has ended, though no server could be.
    let gone: Value = serde_json::from_str(&gone.unwrap().event).unwrap();
    assert_eq!(gone["content"]["membership"], "leave");
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_invite_is_signed_by_both_and_remembered() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let net = Net::default();
        let (one, other) = (
            Host::new(&net, "one.example"),
            Host::new(&net, "other.example"),
        );
        let room = one.room(version).await;
        let invite = Change::Member(Membership::new(&*other.user, MemberAct::Invite));
        let sent = one
            .rooms
            .invite_remote(&room, &append(&one.user, invite))
            .await
            .unwrap();
        let json: Value = serde_json::from_str(one.json(&room, sent.hash).await.get()).unwrap();
        assert!(json["signatures"]["one.example"].is_object());
        assert!(json["signatures"]["other.example"].is_object());
        let snapshot = belfry_kv::Engine::snapshot(&*other.engine).await.unwrap();
        let row = belfry_data::invite(&*snapshot, &other.user, &room)
            .await
            .unwrap();
        assert!(
            row.unwrap()
                .state
                .iter()
                .any(|event| event.contains("m.room.create"))
        );
        drop(snapshot);
        other.join(&room, &one).await.unwrap();
        one.assert_clean().await;
        other.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn inv_001_002_004_and_007_what_is_no_invite_is_not_signed() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V12).await;
    let elsewhere = one.room(RoomVersionId::V12).await;
    let user = Some(other.user.as_str());
    let invite = one
        .forge(
            &one,
            &room,
            "m.room.member",
            user,
            &json!({"membership": "invite"}),
        )
        .await;
    let ban = one
        .forge(
            &one,
            &room,
            "m.room.member",
            user,
            &json!({"membership": "ban"}),
        )
        .await;
    let message = one
        .forge(&one, &room, "m.room.message", None, &json!({}))
        .await;
    let invitation = |event| Invitation {
        room_version: RoomVersionId::V12,
        event,
        invite_room_state: Vec::new(),
    };
    let third = ruma_common::server_name!("third.example");
    let cases = [
        (&*one.name, &room, ban.event_id(), raw(&ban)),
        (&*one.name, &room, message.event_id(), raw(&message)),
        (&*one.name, &elsewhere, invite.event_id(), raw(&invite)),
        (&*one.name, &room, ban.event_id(), raw(&invite)),
        (third, &room, invite.event_id(), raw(&invite)),
        (&*one.name, &room, invite.event_id(), raw(&invite)),
    ];
    for (origin, room, event_id, event) in cases {
        let answer = other
            .rooms
            .accept_invite(origin, room, event_id, &invitation(event))
            .await;
        assert!(
            matches!(answer, Err(RoomError::BadParameter(_))),
            "{answer:?}"
        );
    }
    let snapshot = belfry_kv::Engine::snapshot(&*other.engine).await.unwrap();
    assert_eq!(
        belfry_data::invite(&*snapshot, &other.user, &room).await,
        Ok(None)
    );
}

#[tokio::test(start_paused = true)]
async fn inv_012_another_event_than_the_invite_is_refused() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V11).await;
    net.tamper(|event| event.replace("other.example", "evil.example"));
    let invite = Change::Member(Membership::new(&*other.user, MemberAct::Invite));
    let sent = one
        .rooms
        .invite_remote(&room, &append(&one.user, invite))
        .await;
    assert!(matches!(sent, Err(RoomError::Forbidden(_))), "{sent:?}");
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_001_and_003_events_are_bound_to_their_room_and_to_who_may_see_them() {
    let (_, one, other, room) = pair(RoomVersionId::V11).await;
    let secret = one.room(RoomVersionId::V11).await;
    let said = one.say(&secret, "secret").await;
    let event_id = said.to_event_id(belfry_event::Alphabet::UrlSafe);
    let (rooms, origin) = (&one.rooms, &other.name);
    let told = rooms.serve_event(origin, &event_id).await.unwrap_err();
    assert_eq!(told, RoomError::UnknownEvent);
    for told in [
        rooms
            .serve_state_ids(origin, &room, &event_id)
            .await
            .map(drop),
        rooms.serve_state(origin, &room, &event_id).await.map(drop),
        rooms
            .serve_event_auth(origin, &room, &event_id)
            .await
            .map(drop),
    ] {
        assert_eq!(told, Err(RoomError::UnknownEvent));
    }
    let told = rooms.serve_state_ids(origin, &secret, &event_id).await;
    assert!(matches!(told, Err(RoomError::Forbidden(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn fetch_004_005_and_008_history_is_bounded_and_redacted_where_it_is_not_to_be_seen() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V11).await;
    let joined = json!({"history_visibility": "joined"});
    one.set(&room, "m.room.history_visibility", &joined).await;
    for number in 0..130 {
        one.say(&room, &format!("secret {number}")).await;
    }
    other.join(&room, &one).await.unwrap();
    let last = one
        .say(&room, "open")
        .await
        .to_event_id(belfry_event::Alphabet::UrlSafe);
    let from = [last.clone()];
    let told = one
        .rooms
        .serve_backfill(&other.name, &room, &from, usize::MAX)
        .await
        .unwrap();
    assert_eq!(told.len(), BACKFILL_MAX);
    let all: String = told.iter().map(|event| event.get()).collect();
    assert!(all.contains("open") && !all.contains("secret"));
    let ask = MissingEvents {
        earliest: Vec::new(),
        latest: vec![last; 100_000],
        limit: usize::MAX,
        min_depth: 0,
    };
    let told = one
        .rooms
        .serve_missing_events(&other.name, &room, &ask)
        .await
        .unwrap();
    assert_eq!(told.len(), MISSING_EVENTS_MAX);
}
