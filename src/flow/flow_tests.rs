//! Flows on the memory engine: what they do, and that a crash anywhere loses nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use belfry_data::flows;
use belfry_kv::{Engine as _, Fault, Unavailable};
use belfry_policy::Rules;
use belfry_room::{MemberAct, Preset, Profile, Replacement};
use ruma_common::{RoomId, RoomVersionId, room_alias_id, user_id};
use serde_json::{Value, json};

use crate::ROOMS_PER_STEP;
use crate::fixture::{Server, request};

/// More rooms than one step takes.
const MANY: usize = ROOMS_PER_STEP + 4;

async fn close(server: &Server, who: &belfry_user::Requester) {
    server.users.deactivate(who, false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_account_leaves_all_rooms_declines_invites_and_takes_back_knocks() {
    let server = Server::new();
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (alice, bob_id) = (&alice.user_id, &bob.user_id);
    let mut rooms = Vec::new();
    for _ in 0..MANY {
        let room = server.room(alice).await;
        server.act(&room, bob_id, bob_id, MemberAct::Join).await;
        rooms.push(room);
    }
    let invited = server.room(alice).await;
    server.act(&invited, alice, bob_id, MemberAct::Invite).await;
    let knocked = server.room(alice).await;
    let knock = json!({"join_rule": "knock"});
    server
        .set(&knocked, alice, ("m.room.join_rules", ""), knock)
        .await;
    server.act(&knocked, bob_id, bob_id, MemberAct::Knock).await;
    rooms.extend([invited, knocked]);
    close(&server, &bob).await;
    assert_eq!(
        server.pending().await,
        1,
        "begun in the commit that closes the account"
    );
    server.settle().await;
    for room in &rooms {
        assert_eq!(server.membership(room, bob_id).await, "leave");
    }
    assert!(server.rooms.joined_rooms(bob_id).await.unwrap().is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_flow_goes_on_where_a_crash_left_it() {
    let server = Server::new();
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..MANY {
        let room = server.room(&alice.user_id).await;
        server
            .act(&room, &bob.user_id, &bob.user_id, MemberAct::Join)
            .await;
        rooms.push(room);
    }
    close(&server, &bob).await;
    // One step, and no more.
    let flow = {
        let snapshot = server.engine.snapshot().await.unwrap();
        flows(&*snapshot, None, 1).await.unwrap().remove(0)
    };
    server.flows.0.step(&flow).await.unwrap();
    let engine = server.stop().await;
    let server = Server::on(Arc::new(engine.crash(0)));
    assert_eq!(server.pending().await, 1, "the step's end was not noted");
    server.settle().await;
    for room in &rooms {
        assert_eq!(server.membership(room, &bob.user_id).await, "leave");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn flows_wait_for_a_database_that_takes_no_writes() {
    const FAULTS: [Fault; 5] = [
        Fault::Unavailable(Unavailable::Busy),
        Fault::UnknownLost,
        Fault::UnknownApplied,
        Fault::Conflict,
        Fault::Unavailable(Unavailable::Busy),
    ];
    let server = Server::new();
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = server.room(&alice.user_id).await;
    server
        .act(&room, &bob.user_id, &bob.user_id, MemberAct::Join)
        .await;
    close(&server, &bob).await;
    let left = AtomicUsize::new(FAULTS.len());
    server.engine.set_faults(move |_| {
        let index = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        index.map_or(Fault::None, |left| FAULTS[FAULTS.len() - left].clone())
    });
    server.settle().await;
    assert_eq!(server.membership(&room, &bob.user_id).await, "leave");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_show_a_new_name_and_keep_what_else_the_member_event_says() {
    let server = Server::new();
    let alice = server.person("alice").await;
    let id = &alice.user_id;
    let (room, left) = (server.room(id).await, server.room(id).await);
    server.act(&left, id, id, MemberAct::Leave).await;
    let own = json!({"membership": "join", "displayname": "?", "org.own": 1, "reason": "r"});
    server
        .set(&room, id, ("m.room.member", id.as_str()), own)
        .await;
    let name = Value::from("Alice");
    server
        .users
        .set_profile_field(&alice, id, "displayname", Some(&name))
        .await
        .unwrap();
    server.settle().await;
    let content = Value::from(server.content(&room, "m.room.member", id.as_str()).await);
    let expected = json!({"membership": "join", "displayname": "Alice", "org.own": 1});
    assert_eq!(content, expected);
    assert_eq!(server.membership(&left, id).await, "leave");
    server
        .users
        .set_profile_field(&alice, id, "displayname", Some(&name))
        .await
        .unwrap();
    assert_eq!(server.pending().await, 0, "the same name is no change");
    server
        .users
        .set_profile_field(&alice, id, "displayname", None)
        .await
        .unwrap();
    server.settle().await;
    let content = server.content(&room, "m.room.member", id.as_str()).await;
    assert!(!content.contains_key("displayname"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_field_of_ones_own_reaches_no_room() {
    let server = Server::new();
    let alice = server.person("alice").await;
    let value = Value::from("Europe/Vienna");
    let set = server
        .users
        .set_profile_field(&alice, &alice.user_id, "m.tz", Some(&value));
    set.await.unwrap();
    assert_eq!(server.pending().await, 0);
    server.stop().await;
}

/// What Alice wants when she replaces a room.
fn wish(old: &RoomId, version: RoomVersionId) -> Replacement {
    Replacement {
        old: old.to_owned(),
        by: user_id!("@alice:hs1").to_owned(),
        profile: Profile::default(),
        version,
        additional_creators: Vec::new(),
    }
}

/// What a public room of that name leaves to the one in its place.
async fn is_like_the_old_one(server: &Server, old: &RoomId, new: &RoomId) {
    let create = server.content(new, "m.room.create", "").await;
    assert_eq!(create["predecessor"]["room_id"], old.as_str());
    assert_eq!(server.content(new, "m.room.name", "").await["name"], "Hall");
    assert_eq!(
        server.content(new, "m.room.join_rules", "").await["join_rule"],
        "public"
    );
    let levels = server.content(new, "m.room.power_levels", "").await;
    assert_eq!(
        (&levels["users"], &levels["events"]["m.room.tombstone"]),
        (&json!({}), &json!(150))
    );
    let levels = server.content(old, "m.room.power_levels", "").await;
    assert_eq!(
        (&levels["events_default"], &levels["invite"]),
        (&json!(50), &json!(50))
    );
}

#[tokio::test(start_paused = true)]
async fn a_replaced_room_leaves_all_that_points_at_it_to_the_new_one() {
    let server = Server::new();
    let alice = server.person("alice").await;
    let id = &alice.user_id;
    let (alias, spam) = (room_alias_id!("#hall:hs1"), user_id!("@spam:hs1"));
    let old = {
        let mut wanted = request(id);
        wanted.alias = Some(alias.to_owned());
        wanted.published = true;
        wanted.name = Some("Hall".to_owned());
        wanted.preset = Preset::PublicChat;
        server.rooms.create(wanted).await.unwrap()
    };
    server.act(&old, id, spam, MemberAct::Ban).await;
    let space = server.room(id).await;
    let via = json!({"via": ["hs1"], "order": "a"});
    server
        .set(&space, id, ("m.space.child", old.as_str()), via.clone())
        .await;
    server
        .set(&old, id, ("m.space.parent", space.as_str()), via.clone())
        .await;
    server
        .users
        .set_tag(&alice, id, &old, "u.work", None)
        .await
        .unwrap();

    let rules = Rules::default();
    let asked = || {
        server
            .flows
            .replace_room(&rules, alice.account(), wish(&old, RoomVersionId::V12))
    };
    let new = asked().await.unwrap();
    let tombstone = server.content(&old, "m.room.tombstone", "").await;
    assert_eq!(
        tombstone["replacement_room"],
        new.as_str(),
        "there when it is answered"
    );
    server.settle().await;
    assert_eq!(
        asked().await.unwrap(),
        new,
        "asked again, the same room is the answer"
    );

    is_like_the_old_one(&server, &old, &new).await;
    assert_eq!(server.rooms.resolve_alias(alias).await.unwrap(), new);
    assert_eq!(
        server.content(&new, "m.room.canonical_alias", "").await["alias"],
        alias.as_str()
    );
    assert!(
        server
            .content(&old, "m.room.canonical_alias", "")
            .await
            .is_empty()
    );
    assert!(server.rooms.is_published(&new).await.unwrap());
    assert!(!server.rooms.is_published(&old).await.unwrap());
    assert_eq!(server.membership(&new, spam).await, "ban");
    assert_eq!(
        Value::from(server.content(&space, "m.space.child", new.as_str()).await),
        via
    );
    assert!(
        server
            .content(&space, "m.space.child", old.as_str())
            .await
            .is_empty()
    );
    assert_eq!(
        Value::from(server.content(&new, "m.space.parent", space.as_str()).await),
        via
    );
    assert!(
        server
            .users
            .tags(&alice, id, &new)
            .await
            .unwrap()
            .contains_key("u.work")
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_is_replaced_whatever_commit_the_server_dies_after() {
    // The commits of a replacement, from the one that creates the new room on.
    for lost_after in 0..12 {
        let server = Server::new();
        let alice = server.person("alice").await;
        let old = server.room(&alice.user_id).await;
        let wish = wish(&old, RoomVersionId::V11);
        let request = server.rooms.successor(&wish).await.unwrap();
        let new = server.rooms.create(request).await.unwrap();
        for _ in 0..lost_after {
            let snapshot = server.engine.snapshot().await.unwrap();
            let Some(flow) = flows(&*snapshot, None, 1).await.unwrap().pop() else {
                break;
            };
            drop(snapshot);
            server.flows.0.take_step(&flow).await;
        }
        let engine = server.stop().await;
        let server = Server::on(Arc::new(engine.crash(0)));
        server.settle().await;
        let tombstone = server.content(&old, "m.room.tombstone", "").await;
        assert_eq!(
            tombstone["replacement_room"],
            new.as_str(),
            "lost after {lost_after}"
        );
        let levels = server.content(&old, "m.room.power_levels", "").await;
        assert_eq!(levels["events_default"], 50, "lost after {lost_after}");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_bury_a_room_does_not_replace_it() {
    let server = Server::new();
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let old = server.room(&alice.user_id).await;
    let rules = Rules::default();
    let mut wanted = wish(&old, RoomVersionId::V12);
    wanted.by = bob.user_id.clone();
    let stranger = server
        .flows
        .replace_room(&rules, bob.account(), wanted.clone())
        .await;
    server
        .act(&old, &bob.user_id, &bob.user_id, MemberAct::Join)
        .await;
    let member = server
        .flows
        .replace_room(&rules, bob.account(), wanted)
        .await;
    for refused in [stranger, member] {
        assert!(
            matches!(refused, Err(belfry_room::RoomError::Forbidden(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        server.rooms.joined_rooms(&bob.user_id).await.unwrap(),
        [old]
    );
    server.stop().await;
}
