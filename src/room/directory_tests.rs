//! Who may name a room and show it, on the memory engine.

use belfry_data::alias_seen;
use belfry_kv::Engine as _;
use belfry_policy::{ADMIN, Account, Denial, MEMBER, Rules, Standing};
use ruma_common::{RoomAliasId, UserId, room_alias_id, room_id};
use serde_json::json;

use crate::fixture::{Server, alice, append, bob, futures, request, state};
use crate::*;

fn account<'a>(id: &'a UserId, role: &'a str) -> Account<'a> {
    Account {
        id,
        role,
        standing: Standing::Active,
    }
}

fn hall() -> &'static RoomAliasId {
    room_alias_id!("#hall:x.example")
}

fn is_forbidden<T>(answer: &Result<T, RoomError>) -> bool {
    matches!(answer, Err(RoomError::Forbidden(_)))
}

#[tokio::test(start_paused = true)]
async fn an_alias_is_given_once_and_taken_back() {
    let (server, rules) = (Server::new(), Rules::default());
    let room = server.room(Preset::PublicChat).await;
    let rooms = &server.rooms;
    let alice = account(alice(), MEMBER);
    assert_eq!(
        rooms.resolve_alias(hall()).await,
        Err(RoomError::UnknownAlias)
    );
    rooms
        .claim_alias_as(&rules, alice, hall(), &room)
        .await
        .unwrap();
    assert_eq!(rooms.resolve_alias(hall()).await.unwrap(), room);
    assert_eq!(
        rooms.aliases_as(&rules, alice, &room).await.unwrap(),
        [hall()]
    );
    let again = rooms.claim_alias_as(&rules, alice, hall(), &room).await;
    assert_eq!(again, Err(RoomError::AliasTaken));
    rooms.release_alias_as(&rules, alice, hall()).await.unwrap();
    let again = rooms.release_alias_as(&rules, alice, hall()).await;
    assert_eq!(again, Err(RoomError::UnknownAlias));
    assert!(
        rooms
            .aliases_as(&rules, alice, &room)
            .await
            .unwrap()
            .is_empty()
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_many_who_claim_an_alias_at_once_one_gets_it() {
    let (server, rules) = (Server::new(), Rules::default());
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(server.room(Preset::PublicChat).await);
    }
    let claims = rooms.into_iter().map(|room| {
        let (door, rules) = (server.rooms.clone(), rules.clone());
        async move {
            let claimer = account(alice(), MEMBER);
            door.claim_alias_as(&rules, claimer, hall(), &room).await
        }
    });
    let answers = futures(claims).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let lost = answers
        .iter()
        .filter(|answer| **answer == Err(RoomError::AliasTaken));
    assert_eq!(lost.count(), 3);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn aliases_that_are_foreign_or_malformed_are_refused() {
    let (server, rules) = (Server::new(), Rules::default());
    let room = server.room(Preset::PublicChat).await;
    for text in [
        "#hall:y.example",
        "#:x.example",
        "#a b:x.example",
        "#a\u{7}:x.example",
    ] {
        let alias = <&RoomAliasId>::try_from(text).unwrap();
        let alice = account(alice(), MEMBER);
        let answer = server.rooms.claim_alias_as(&rules, alice, alias, &room);
        let refused = matches!(answer.await, Err(RoomError::BadParameter(_)));
        assert!(refused, "{text:?}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_names_shows_and_sees_nothing() {
    let (server, rules) = (Server::new(), Rules::default());
    let room = server.room(Preset::PublicChat).await;
    let (rooms, bob) = (&server.rooms, account(bob(), MEMBER));
    assert!(is_forbidden(
        &rooms.claim_alias_as(&rules, bob, hall(), &room).await
    ));
    assert!(is_forbidden(
        &rooms.publish_as(&rules, bob, &room, true).await
    ));
    assert!(is_forbidden(&rooms.aliases_as(&rules, bob, &room).await));
    let nowhere = room_id!("!nowhere:x.example");
    let answer = rooms.claim_alias_as(&rules, bob, hall(), nowhere).await;
    assert_eq!(answer, Err(RoomError::UnknownRoom));
    assert_eq!(
        rooms.is_published(nowhere).await,
        Err(RoomError::UnknownRoom)
    );
    let world = json!({"history_visibility": "world_readable"});
    let change = append(alice(), state("m.room.history_visibility", &world));
    rooms.append(&room, change).await.unwrap();
    assert_eq!(rooms.aliases_as(&rules, bob, &room).await, Ok(Vec::new()));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn power_or_administration_takes_an_alias_of_others() {
    let (server, rules) = (Server::new(), Rules::default());
    let room = server.room(Preset::PublicChat).await;
    let rooms = &server.rooms;
    server
        .act(&room, bob(), bob(), MemberAct::Join)
        .await
        .unwrap();
    let (creator, member) = (account(alice(), MEMBER), account(bob(), MEMBER));
    rooms
        .claim_alias_as(&rules, creator, hall(), &room)
        .await
        .unwrap();
    assert!(is_forbidden(
        &rooms.release_alias_as(&rules, member, hall()).await
    ));
    assert!(is_forbidden(
        &rooms.publish_as(&rules, member, &room, true).await
    ));
    let admin = account(bob(), ADMIN);
    rooms.release_alias_as(&rules, admin, hall()).await.unwrap();
    rooms.publish_as(&rules, admin, &room, true).await.unwrap();
    assert_eq!(rooms.is_published(&room).await, Ok(true));
    rooms
        .publish_as(&rules, creator, &room, false)
        .await
        .unwrap();
    assert_eq!(rooms.is_published(&room).await, Ok(false));
    rooms
        .claim_alias_as(&rules, creator, hall(), &room)
        .await
        .unwrap();
    let levels = json!({"users": {bob(): 50}});
    let change = append(alice(), state("m.room.power_levels", &levels));
    rooms.append(&room, change).await.unwrap();
    rooms
        .release_alias_as(&rules, member, hall())
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_account_lists_nothing() {
    let (server, rules) = (Server::new(), Rules::default());
    let room = server.room(Preset::PublicChat).await;
    let suspended = Account {
        standing: Standing::Suspended,
        ..account(alice(), ADMIN)
    };
    let denied = |answer| matches!(answer, Err(RoomError::Denied(Denial::Suspended)));
    let rooms = &server.rooms;
    assert!(denied(
        rooms.claim_alias_as(&rules, suspended, hall(), &room).await
    ));
    assert!(denied(
        rooms.publish_as(&rules, suspended, &room, true).await
    ));
    let active = account(alice(), MEMBER);
    rooms
        .claim_alias_as(&rules, active, hall(), &room)
        .await
        .unwrap();
    assert!(denied(
        rooms.release_alias_as(&rules, suspended, hall()).await
    ));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_is_created_with_its_alias_or_not_at_all() {
    let server = Server::new();
    let mut wanted = request(Preset::PublicChat);
    wanted.alias = Some(hall().to_owned());
    wanted.published = true;
    let room = server.rooms.create(wanted.clone()).await.unwrap();
    assert_eq!(server.rooms.resolve_alias(hall()).await.unwrap(), room);
    assert_eq!(server.rooms.is_published(&room).await, Ok(true));
    let refused = server.rooms.create(wanted.clone()).await;
    assert_eq!(refused, Err(RoomError::AliasTaken));
    wanted.alias = Some(room_alias_id!("#hall:y.example").to_owned());
    let refused = server.rooms.create(wanted).await;
    assert!(matches!(refused, Err(RoomError::BadParameter(_))));
    assert_eq!(server.rooms.joined_rooms(alice()).await.unwrap(), [room]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_rooms_created_at_once_with_one_alias_one_comes_to_be() {
    let server = Server::new();
    let mut wanted = request(Preset::PublicChat);
    wanted.alias = Some(hall().to_owned());
    let creations = (0..4).map(|_| {
        let (rooms, wanted) = (server.rooms.clone(), wanted.clone());
        async move { rooms.create(wanted).await }
    });
    let answers = futures(creations).await;
    let made: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    let snapshot = server.engine.snapshot().await.unwrap();
    let row = alias_seen(&*snapshot, hall()).await.unwrap().row.unwrap();
    assert_eq!((&row.room, &*row.creator), (made[0], alice()));
    let joined = server.rooms.joined_rooms(alice()).await.unwrap();
    assert_eq!(joined, [made[0].clone()]);
    drop(snapshot);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_left_and_rooms_invited_to_are_not_joined() {
    let server = Server::new();
    let (left, kept) = (
        server.room(Preset::PublicChat).await,
        server.room(Preset::PublicChat).await,
    );
    server
        .act(&left, alice(), bob(), MemberAct::Invite)
        .await
        .unwrap();
    for act in [MemberAct::Join, MemberAct::Leave] {
        server.act(&left, bob(), bob(), act).await.unwrap();
    }
    server
        .act(&kept, bob(), bob(), MemberAct::Join)
        .await
        .unwrap();
    let rooms = server.rooms.joined_rooms(bob()).await.unwrap();
    assert_eq!(rooms, [kept]);
    server.stop().await;
}
