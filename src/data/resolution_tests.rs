use std::{collections::BTreeMap, sync::Arc};

use belfry_event::{
    Answers, AuthEdges, Budget, Conflict, EventHash, Resolution, StateMap, Unconflicted,
};
use belfry_kv::Memory;

use crate::{
    Planned, RoomReader, Root, WorkingSet,
    fixture::Counted,
    room_fixture::{ALICE, Known, Said, TestRoom},
    state_map_key,
};

const BOB: &str = "@bob:example.org";

fn topic<'a>(sender: &'a str, content: &'a str) -> Said<'a> {
    Said {
        sender,
        event_type: "m.room.topic",
        state_key: Some(""),
        content,
    }
}

fn levels(content: &str) -> Said<'_> {
    Said {
        sender: ALICE,
        event_type: "m.room.power_levels",
        state_key: Some(""),
        content,
    }
}

/// Two forks of a room of many: on one, Bob who may sets topics; on the other, Alice takes Bob's
/// power away and sets another.
async fn forked(members: usize) -> (TestRoom, [EventHash; 2]) {
    let mut room = TestRoom::new(Arc::new(Memory::default())).await;
    room.join(BOB).await;
    for number in 0..members {
        room.join(&format!("@user{number}:example.org")).await;
    }
    let power = r#"{"users":{"@alice:example.org":100,"@bob:example.org":50}}"#;
    let start = room.say(levels(power)).await;
    let bobs = room
        .say_after(&[start], topic(BOB, r#"{"topic":"Bob's"}"#))
        .await;
    let bobs = room
        .say_after(&[bobs], topic(BOB, r#"{"topic":"Bob's again"}"#))
        .await;
    let no_power = r#"{"users":{"@alice:example.org":100}}"#;
    let alices = room.say_after(&[start], levels(no_power)).await;
    let alices = room
        .say_after(&[alices], topic(ALICE, r#"{"topic":"Alice's"}"#))
        .await;
    (room, [bobs, alices])
}

/// The algorithm on whole state maps and whole auth chains.
fn by_whole_maps(room: &TestRoom, forks: &[EventHash]) -> StateMap {
    let states: Vec<_> = forks.iter().map(|hash| room.state_after(*hash)).collect();
    let (conflict, mut state) = Conflict::from_states(&states);
    let listed = Unconflicted::Listed(state.values().copied().collect());
    let resolution = Resolution::new(room.rules, conflict, listed, Budget::default()).unwrap();
    let resolved = resolution.run(|wanted| Answers {
        edges: wanted
            .edges
            .iter()
            .map(|hash| (*hash, edges(&room.events[hash])))
            .collect(),
        citers: Vec::new(),
        entries: wanted
            .entries
            .iter()
            .map(|key| (key.clone(), state.get(key).copied()))
            .collect(),
        events: wanted
            .events
            .iter()
            .map(|hash| Arc::clone(&room.events[hash].pdu))
            .collect(),
    });
    for (key, event) in resolved.unwrap().changes {
        match event {
            Some(event) => state.insert(key, event),
            None => state.remove(&key),
        };
    }
    state
}

fn edges(known: &Known) -> AuthEdges {
    AuthEdges {
        key: (
            known.pdu.event_type().to_string().into(),
            known.pdu.state_key().unwrap().to_owned(),
        ),
        auth_depth: known.auth_depth,
        auth_events: known.pdu.auth_hashes().to_vec(),
    }
}

async fn by_difference(
    room: &TestRoom,
    forks: &[EventHash],
    trips: &mut usize,
) -> (Root, StateMap) {
    let roots: Vec<_> = forks.iter().map(|hash| room.events[hash].after).collect();
    let snapshot = Counted::new(&room.engine).await;
    let reader = RoomReader::new(&snapshot, &room.room);
    let mut set = WorkingSet::new();
    let (planned, budget) = (Planned::new(), Budget::default());
    let resolved = reader
        .resolve(&mut set, room.rules, &roots, &planned, budget)
        .await
        .unwrap();
    *trips = snapshot.trips();
    let states = reader.states();
    let mut state = BTreeMap::new();
    let entries = states
        .diff(&mut set, Root::EMPTY, resolved, usize::MAX)
        .await
        .unwrap();
    for entry in entries.into_iter().filter_map(crate::Change::entry) {
        state.insert(state_map_key(&entry.tuple), entry.event);
    }
    (resolved, state)
}

#[tokio::test]
async fn what_differs_gives_the_same_as_whole_maps() {
    let (room, forks) = forked(40).await;
    let whole = by_whole_maps(&room, &forks);
    let (_, state) = by_difference(&room, &forks, &mut 0).await;
    assert_eq!(state, whole);
    let topic = &state[&("m.room.topic".into(), String::new())];
    assert_eq!(*topic, forks[1], "Bob had no power any more");
}

#[tokio::test]
async fn the_order_of_the_forks_does_not_matter() {
    let (room, [bobs, alices]) = forked(10).await;
    let (one, _) = by_difference(&room, &[bobs, alices], &mut 0).await;
    let (other, _) = by_difference(&room, &[alices, bobs], &mut 0).await;
    assert_eq!(one, other);
}

#[tokio::test]
async fn round_trips_do_not_grow_with_the_room() {
    let (mut small, mut large) = (0, 0);
    let (room, forks) = forked(20).await;
    by_difference(&room, &forks, &mut small).await;
    let (room, forks) = forked(250).await;
    by_difference(&room, &forks, &mut large).await;
    assert!(large <= small + 6, "{small} round trips, then {large}");
}

#[tokio::test]
async fn equal_states_need_no_gathering() {
    let (room, [bobs, _]) = forked(10).await;
    let mut trips = 0;
    let (same, _) = by_difference(&room, &[bobs, bobs], &mut trips).await;
    assert_eq!(same, room.events[&bobs].after);
    assert_eq!(trips, 0);
}

/// The head's state after both forks is the resolved one, and a message merges them.
#[tokio::test]
async fn a_merge_continues_from_the_resolved_state() {
    let (mut room, forks) = forked(10).await;
    let (resolved, _) = by_difference(&room, &forks, &mut 0).await;
    let head = room.head.clone().unwrap();
    assert_eq!((head.extremities.len(), head.state), (2, resolved));
    room.message("merged").await;
    let merged = room.head.clone().unwrap();
    assert_eq!((merged.extremities.len(), merged.state), (1, resolved));
}
