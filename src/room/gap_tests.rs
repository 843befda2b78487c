//! Events of other servers whose ancestors are missing: fetched, waited for, bridged, filled in.

use belfry_data::Acceptance;
use ruma_common::RoomVersionId;
use serde_json::json;

use crate::federation_fixture::pair;
use crate::*;

#[tokio::test(start_paused = true)]
async fn missing_ancestors_are_fetched_and_come_first() {
    let (net, one, other, room) = pair(RoomVersionId::V12).await;
    let mut last = one.say(&room, "0").await;
    for number in 1..30 {
        last = one.say(&room, &number.to_string()).await;
    }
    net.calls();
    one.send(&other, &room, &[last]).await;
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(other.bodies(&room).await, expected);
    assert!(net.calls().contains(&"missing_events"));
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_nobody_fills_is_bridged_by_the_state_and_filled_later() {
    let (net, one, other, room) = pair(RoomVersionId::V12).await;
    for number in 0..15 {
        one.say(&room, &number.to_string()).await;
    }
    one.set(&room, "m.room.topic", &json!({"topic": "new"}))
        .await;
    let last = one.say(&room, "last").await;
    net.refuse("missing_events");
    one.send(&other, &room, &[last]).await;
    // The topic and two more were asked for one by one.
    let mut expected: Vec<_> = (13..15).map(|number| number.to_string()).collect();
    expected.push("last".to_owned());
    assert_eq!(other.bodies(&room).await, expected);
    other.assert_clean().await;
    let snapshot = belfry_kv::Engine::snapshot(&*other.engine).await.unwrap();
    let reader = belfry_data::RoomReader::new(&*snapshot, &room);
    assert_ne!(reader.gaps(None, 10).await.unwrap(), []);
    drop(snapshot);

    net.up();
    let added = other.rooms.backfill(&room, 100, 100).await.unwrap();
    assert!(added >= 6, "{added}");
    other.assert_clean().await;
    // What is before the room is of no interest to who reads the log.
    assert_eq!(other.bodies(&room).await, expected);
    assert_eq!(
        one.head(&room).await.unwrap().state,
        other.head(&room).await.unwrap().state
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_ancestors_are_not_to_be_had_waits_and_local_sends_go_on() {
    let (net, one, other, room) = pair(RoomVersionId::V12).await;
    one.say(&room, "lost").await;
    let last = one.say(&room, "late").await;
    net.down("all");
    one.send(&other, &room, &[last]).await;
    other.say(&room, "meanwhile").await;
    assert_eq!(other.bodies(&room).await, ["meanwhile"]);
    net.up();
    other
        .env
        .clock
        .sleep(std::time::Duration::from_mins(3))
        .await;
    other.settle().await;
    assert_eq!(other.bodies(&room).await, ["meanwhile", "lost", "late"]);
    other.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_fills_a_gap_is_not_judged_by_who_has_left_since() {
    let (net, one, other, room) = pair(RoomVersionId::V11).await;
    let early = [
        other.say(&room, "first").await,
        other.say(&room, "second").await,
    ];
    let last = other.say(&room, "third").await;
    let leave = Change::Member(Membership::new(&*other.user, MemberAct::Leave));
    let leave = fixture::append(&other.user, leave);
    let left = other.rooms.append(&room, leave).await.unwrap().hash;
    net.refuse("missing_events");
    other.send(&one, &room, &[last]).await;
    net.up();
    other.send(&one, &room, &[left]).await;
    assert_eq!(one.bodies(&room).await, ["before", "third"]);
    other.send(&one, &room, &early).await;
    for hash in early {
        let stored = one.event(&room, hash).await.unwrap();
        assert_eq!(stored.row.acceptance, Acceptance::Accepted);
    }
    assert_eq!(
        one.bodies(&room).await,
        ["before", "third", "first", "second"]
    );
    assert_eq!(one.head(&room).await.unwrap().extremities, [left]);
    one.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_fill_a_gap_vouches_for_what_it_builds_on() {
    let (net, one, other, room) = pair(RoomVersionId::V11).await;
    let first = other.say(&room, "first").await;
    let waiting = [
        other.say(&room, "second").await,
        other.say(&room, "third").await,
    ];
    let last = other.say(&room, "fourth").await;
    let leave = Change::Member(Membership::new(&*other.user, MemberAct::Leave));
    let leave = fixture::append(&other.user, leave);
    let left = other.rooms.append(&room, leave).await.unwrap().hash;
    net.refuse("missing_events");
    other.send(&one, &room, &[last]).await;
    other.send(&one, &room, &[left]).await;
    assert_eq!(one.bodies(&room).await, ["before", "fourth"]);
    net.down("all");
    other.send(&one, &room, &waiting).await;
    assert_eq!(one.bodies(&room).await, ["before", "fourth"]);
    // Nothing that is accepted names it; what waits, and is named, does.
    other.send(&one, &room, &[first]).await;
    let stored = one.event(&room, first).await.unwrap();
    assert_eq!(stored.row.acceptance, Acceptance::Accepted);
    net.up();
    one.env.clock.sleep(std::time::Duration::from_mins(3)).await;
    one.settle().await;
    assert_eq!(
        one.bodies(&room).await,
        ["before", "fourth", "first", "second", "third"]
    );
    assert_eq!(one.head(&room).await.unwrap().extremities, [left]);
    one.assert_clean().await;
}
