use std::sync::Arc;

use belfry_event::{Alphabet, EventHash};
use belfry_kv::{Commit, CommitError, Direction, Engine, Memory};
use serde_json::json;

use crate::{
    Acceptance, Before, NewEvent, Place, RoomReader, RoomWrites, Root, STAMP_LAST, Stale,
    TimelinePoint,
    room_fixture::{ALICE, Said, TestRoom, local},
    stale, unmark,
};

const MESSAGE: &str = "m.room.message";
const THREAD: &str = "m.thread";

async fn room() -> TestRoom {
    TestRoom::new(Arc::new(Memory::default())).await
}

fn content(rel_type: &str, parent: EventHash) -> String {
    let parent = parent.to_event_id(Alphabet::UrlSafe);
    let relation = json!({"rel_type": rel_type, "event_id": parent});
    json!({"m.relates_to": relation, "m.new_content": {"body": "new"}}).to_string()
}

fn said(content: &str) -> Said<'_> {
    Said {
        sender: ALICE,
        event_type: MESSAGE,
        state_key: None,
        content,
    }
}

async fn relate(room: &mut TestRoom, rel_type: &str, parent: EventHash) -> EventHash {
    room.say(said(&content(rel_type, parent))).await
}

const ALL: (TimelinePoint, TimelinePoint) = (TimelinePoint::FIRST, TimelinePoint::LAST);

/// A commit that redacts an event, or puts one in.
async fn write(room: &mut TestRoom, fill: impl FnOnce(&mut RoomWrites)) {
    let before = room.head.take().unwrap();
    let head = before.successor();
    let before = Before::Planned(&before);
    let mut writes = RoomWrites::new(local(), &room.room, before, head.rows());
    fill(&mut writes);
    let commit = writes.finish(&head).unwrap();
    room.engine.commit(commit).await.unwrap();
    room.head = Some(head);
}

async fn redact(room: &mut TestRoom, target: EventHash, by: EventHash) {
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let stored = reader.event(target).await.unwrap().unwrap();
    write(room, |writes| writes.redact(&stored, by)).await;
}

async fn counts(room: &TestRoom, parent: EventHash) -> Vec<i64> {
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let alice = <&ruma_common::UserId>::try_from(ALICE).unwrap();
    let asked = [
        (parent, Some(THREAD), None),
        (parent, Some(THREAD), Some(alice)),
        (parent, None, Some(alice)),
        (parent, Some("m.replace"), None),
    ];
    reader.relation_counts(&asked).await.unwrap()
}

#[tokio::test]
async fn relations_stand_between_an_event_and_its_place_in_the_timeline() {
    let mut room = room().await;
    let parent = room.message("parent").await;
    let child = relate(&mut room, THREAD, parent).await;
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let forward = Direction::Forward;
    for rel_type in [None, Some(THREAD)] {
        let page = reader.relations(parent, rel_type, ALL, forward, 10).await;
        let [(place, row)] = &page.unwrap().entries[..] else {
            panic!("one relation");
        };
        assert_eq!((row.event, &*row.rel_type), (child, THREAD));
        let stored = reader.event(child).await.unwrap().unwrap();
        let timeline = reader.timeline(ALL.0, ALL.1, Direction::Backward, 1).await;
        let behind = timeline.unwrap().entries[0].0;
        assert!(stored.stamp < place.stamp && place.stamp < behind.stamp);
        assert_eq!(place.depth, behind.depth);
    }
    let other = reader
        .relations(parent, Some("m.th"), ALL, forward, 10)
        .await;
    assert!(other.unwrap().entries.is_empty());
}

#[tokio::test]
async fn redaction_takes_back_counts_once() {
    let mut room = room().await;
    let parent = room.message("parent").await;
    let child = relate(&mut room, THREAD, parent).await;
    relate(&mut room, THREAD, parent).await;
    assert_eq!(counts(&room, parent).await, [2, 2, 2, 0]);
    for _ in 0..2 {
        redact(&mut room, child, parent).await;
        assert_eq!(counts(&room, parent).await, [1, 1, 1, 0]);
    }
}

#[tokio::test]
async fn latest_edit_is_by_time_and_then_by_id() {
    let mut room = room().await;
    let alice = <&ruma_common::UserId>::try_from(ALICE).unwrap();
    let parent = room.message("parent").await;
    let older = relate(&mut room, "m.replace", parent).await;
    let newer = relate(&mut room, "m.replace", parent).await;
    let latest = async |room: &TestRoom| {
        let snapshot = room.snapshot().await;
        let reader = RoomReader::new(&*snapshot, &room.room);
        let asked = [(parent, alice, MESSAGE.to_owned())];
        reader.latest_edits(&asked).await.unwrap()[0]
    };
    assert_eq!(latest(&room).await, Some(newer));
    redact(&mut room, newer, parent).await;
    assert_eq!(latest(&room).await, Some(older));
    redact(&mut room, older, parent).await;
    assert_eq!(latest(&room).await, None);
    let ids = |hash: EventHash| hash.to_event_id(Alphabet::UrlSafe).to_string();
    let (one, two) = (super::edit_order(older), super::edit_order(newer));
    assert_eq!(ids(older) > ids(newer), one < two);
}

#[tokio::test]
async fn backfilled_events_relate_without_moving_their_thread() {
    let mut room = room().await;
    let parent = room.message("parent").await;
    let latest = relate(&mut room, THREAD, parent).await;
    let text = content(THREAD, parent);
    let (known, before) = room.plan(&[parent], said(&text)).await;
    write(&mut room, |writes| {
        writes.event(&NewEvent {
            pdu: &known.pdu,
            place: Place::Backfilled(before),
            acceptance: Acceptance::Accepted,
            auth_depth: known.auth_depth,
            received_ts: 1,
            known: false,
        });
    })
    .await;
    assert_eq!(counts(&room, parent).await[0], 2);
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let tail = reader.thread_tails(&[parent]).await.unwrap()[0].unwrap();
    assert_eq!(tail.latest, latest);
    let log = reader.thread_log(STAMP_LAST, 10).await.unwrap();
    assert_eq!(log.entries, [(tail.at, parent)]);
}

#[tokio::test]
async fn what_was_not_accepted_relates_to_nothing() {
    let mut room = room().await;
    let parent = room.message("parent").await;
    let text = content(THREAD, parent);
    for (acceptance, place) in [
        (Acceptance::SoftFailed, Place::New(Root::EMPTY)),
        (Acceptance::Rejected, Place::New(Root::EMPTY)),
        (Acceptance::Accepted, Place::Outlier),
    ] {
        let (known, _) = room.plan(&[parent], said(&text)).await;
        write(&mut room, |writes| {
            writes.event(&NewEvent {
                pdu: &known.pdu,
                place,
                acceptance,
                auth_depth: known.auth_depth,
                received_ts: 1,
                known: false,
            });
        })
        .await;
        assert_eq!(counts(&room, parent).await, [0; 4], "{acceptance:?}");
        redact(&mut room, known.pdu.hash(), parent).await;
        assert_eq!(counts(&room, parent).await, [0; 4], "{acceptance:?}");
    }
}

#[tokio::test]
async fn times_are_read_both_ways_from_any_moment() {
    let mut room = room().await;
    let one = room.message("one").await;
    let two = room.message("two").await;
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let sent = |hash| u64::from(room.events[&hash].pdu.origin_server_ts().get());
    let read = async |at_ms, passed, direction| {
        let page = reader.by_time(at_ms, passed, direction, 1).await.unwrap();
        page.entries.first().copied()
    };
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    let first = read(sent(one), None, forward).await.unwrap();
    assert_eq!(first.1, one);
    let next = read(sent(one), Some(first.0), forward).await.unwrap();
    assert_eq!(next.1, two);
    assert_eq!(read(sent(one), Some(next.0), forward).await, None);
    let back = read(sent(two), None, backward).await.unwrap();
    assert_eq!(back.1, two);
    assert_eq!(read(0, Some(back.0), backward).await.unwrap().1, one);
    assert_eq!(read(0, None, backward).await, None);
}

#[tokio::test]
async fn state_marks_its_room_and_messages_do_not() {
    let mut room = room().await;
    let engine = Arc::clone(&room.engine);
    let marks = async || stale(&*engine.snapshot().await.unwrap(), 10).await.unwrap();
    let seen = marks().await;
    assert_eq!(seen[0].what, Stale::Room(room.room.clone()));
    let remove = async |mark| {
        let mut commit = Commit::lazy();
        unmark(&mut commit, mark);
        engine.commit(commit).await
    };
    remove(&seen[0]).await.unwrap();
    room.message("nothing that a directory shows").await;
    assert!(marks().await.is_empty());
    room.state("m.room.topic", "", r#"{"topic":"one"}"#).await;
    let old = marks().await;
    room.state("m.room.topic", "", r#"{"topic":"two"}"#).await;
    assert_eq!(remove(&old[0]).await, Err(CommitError::Conflict));
    assert_eq!(marks().await.len(), 1, "one mark however often");
}
