//! Sweeping rooms, crashes in the middle of it, and large rooms entered.

use std::sync::Arc;

use belfry_data::{CurrentState, Root, StateTuple, littered_rooms};
use belfry_event::EventHash;
use belfry_kv::Engine as _;
use ruma_common::{RoomId, RoomVersionId};
use serde_json::json;

use crate::federation_fixture::{Host, Net, pair};
use crate::outliers::store_state;
use crate::*;

/// Leaves the tree of a state behind that nothing refers to, as a join that is given up does.
async fn litter(host: &Host, room: &RoomId) -> Root {
    let entry = |number: u32| {
        let tuple = StateTuple::new("m.room.member", format!("@u{number}:gone.example")).unwrap();
        (tuple, EventHash::new([7; 32]))
    };
    let state = (0..500).map(entry).collect();
    store_state(&host.rooms.0, room, &state).await.unwrap()
}

async fn littered(host: &Host) -> usize {
    let snapshot = host.engine.snapshot().await.unwrap();
    littered_rooms(&*snapshot, None, 10).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_a_given_up_join_left_is_swept_and_nothing_else() {
    let net = Net::default();
    let host = Host::new(&net, "one.example");
    let room = host.room(RoomVersionId::V12).await;
    for number in 0..20 {
        host.set(&room, "m.room.topic", &json!({"topic": number.to_string()}))
            .await;
    }
    litter(&host, &room).await;
    assert_eq!(littered(&host).await, 1);
    let swept = host.rooms.sweep(&room).await.unwrap();
    assert!(swept.removed > 10, "{swept:?}");
    host.assert_clean().await;
    assert_eq!(littered(&host).await, 0);
    assert_eq!(host.rooms.sweep(&room).await.unwrap().removed, 0);
    host.say(&room, "goes on").await;
    host.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_never_entered_is_swept_whole() {
    let net = Net::default();
    let host = Host::new(&net, "one.example");
    let room = ruma_common::room_id!("!never");
    litter(&host, room).await;
    let swept = host.rooms.sweep(room).await.unwrap();
    assert_eq!(swept.kept, 0);
    assert!(swept.removed > 10);
    assert_eq!(littered(&host).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_of_a_sweep_costs_nothing_that_is_needed() {
    for steps in 0..6 {
        let net = Net::default();
        let host = Host::new(&net, "one.example");
        let room = host.room(RoomVersionId::V12).await;
        host.say(&room, "kept").await;
        for _ in 0..3 {
            litter(&host, &room).await;
        }
        host.engine.hold(true);
        let rooms = host.rooms.clone();
        let asked = room.clone();
        let sweep = host.env.tasks.spawn("sweep", async move {
            drop(rooms.sweep(&asked).await);
        });
        for _ in 0..steps {
            let queued = host.engine.queued();
            let second = std::time::Duration::from_secs(1);
            if host.env.clock.within(second, queued).await.is_err() {
                break;
            }
            host.engine.sync_next();
            tokio::task::yield_now().await;
        }
        let survivor = Arc::new(host.engine.crash(0));
        sweep.abort();
        let reborn = Host::on(&net, "one.example", survivor);
        reborn.assert_clean().await;
        reborn.say(&room, "after").await;
        reborn.rooms.sweep(&room).await.unwrap();
        assert_eq!(littered(&reborn).await, 0);
        reborn.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_into_which_parts_are_written_is_not_swept() {
    let net = Net::default();
    let host = Host::new(&net, "one.example");
    let room = host.room(RoomVersionId::V12).await;
    let hold = host.rooms.0.holds.hold(&room);
    assert_eq!(host.rooms.sweep(&room).await, Err(RoomError::Busy));
    drop(hold);
    assert!(host.rooms.sweep(&room).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn sends_go_on_while_a_room_is_swept() {
    let (_, one, other, room) = pair(RoomVersionId::V12).await;
    litter(&one, &room).await;
    let (swept, ()) = tokio::join!(one.rooms.sweep(&room), async {
        for number in 0..30 {
            one.set(&room, "m.room.topic", &json!({"topic": number.to_string()}))
                .await;
        }
    });
    assert!(swept.unwrap().removed > 10);
    one.assert_clean().await;
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_large_room_is_entered_and_its_rows_are_built() {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(RoomVersionId::V12).await;
    for number in 0..600 {
        let user = ruma_common::UserId::parse(format!("@u{number}:one.example")).unwrap();
        let join = Change::Member(Membership::new(user.clone(), MemberAct::Join));
        one.rooms
            .append(&room, fixture::append(&user, join))
            .await
            .unwrap();
    }
    other.join(&room, &one).await.unwrap();
    other.assert_clean().await;
    for _ in 0..20 {
        other
            .env
            .clock
            .sleep(std::time::Duration::from_secs(1))
            .await;
    }
    let head = other.head(&room).await.unwrap();
    match head.current {
        CurrentState::Rows { members, .. } => assert_eq!(members.joined, 602),
        CurrentState::Tree { .. } => panic!("the rows are not built"),
    }
    other.assert_clean().await;
}
