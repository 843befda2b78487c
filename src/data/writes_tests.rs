use std::sync::Arc;

use belfry_kv::{COMMIT_BYTES_MAX, Commit, CommitError, Direction, Engine, Memory, Write};
use ruma_common::{room_id, user_id};

use crate::{
    Acceptance, Before, CurrentState, Membership, NewEvent, PartWrites, Place, RoomReader,
    RoomWrites, Root, STAMP_FIRST, STAMP_LAST, StateTuple, Sweep, SweepStep, TimelinePoint, Txn,
    WritesError, global_log, is_fenced,
    room_fixture::{ALICE, Said, TestRoom, local, message},
    rooms, rooms_of_events, tails, user_in_rooms, user_rooms,
};

async fn room() -> TestRoom {
    TestRoom::new(Arc::new(Memory::default())).await
}

#[tokio::test]
async fn an_event_is_found_in_its_room_only() {
    let mut room = room().await;
    let hash = room.message("hello").await;
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let event = reader.event(hash).await.unwrap().unwrap();
    assert_eq!(event.pdu(room.rules).unwrap(), *room.events[&hash].pdu);
    assert!(event.row.is_visible());

    let elsewhere = RoomReader::new(&*snapshot, room_id!("!other:example.org"));
    assert_eq!(elsewhere.event(hash).await, Ok(None));
    let found = rooms_of_events(&*snapshot, &[hash]).await.unwrap();
    assert_eq!(found, [Some(room.room.clone())]);
}

#[tokio::test]
async fn new_events_are_in_every_order() {
    let mut room = room().await;
    let hashes = [room.message("one").await, room.message("two").await];
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let log = reader
        .log(STAMP_FIRST, STAMP_LAST, Direction::Forward, 100)
        .await
        .unwrap();
    assert_eq!(log.entries.len(), 6);
    assert_eq!([log.entries[4].1, log.entries[5].1], hashes);
    let all = (TimelinePoint::FIRST, TimelinePoint::LAST);
    let timeline = reader
        .timeline(all.0, all.1, Direction::Backward, 2)
        .await
        .unwrap();
    assert_eq!([timeline.entries[1].1, timeline.entries[0].1], hashes);
    assert!(timeline.more);
    let global = global_log(&*snapshot, STAMP_FIRST, 100).await.unwrap();
    assert_eq!(global.entries.len(), 6);
    let tail = tails(&*snapshot, &[&room.room]).await.unwrap()[0].unwrap();
    assert_eq!(tail.position, log.entries[5].0.position);
}

#[tokio::test]
async fn pages_of_the_log_go_on_where_they_stopped() {
    let mut room = room().await;
    for number in 0..5 {
        room.message(&number.to_string()).await;
    }
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let (mut after, mut found) = (STAMP_FIRST, Vec::new());
    loop {
        let page = reader
            .log(after, STAMP_LAST, Direction::Forward, 2)
            .await
            .unwrap();
        found.extend(page.entries.iter().map(|(_, hash)| *hash));
        match page.entries.last() {
            Some((stamp, _)) if page.more => after = *stamp,
            _ => break,
        }
    }
    assert_eq!(found.len(), 9);
    found.dedup();
    assert_eq!(found.len(), 9);
}

#[tokio::test]
async fn members_are_found_by_room_and_by_user() {
    let mut room = room().await;
    room.join("@bob:elsewhere.org").await;
    room.member(ALICE, "@carol:example.org", "invite").await;
    let head = room.head.clone().unwrap();
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let CurrentState::Rows { epoch, members } = head.current else {
        panic!("{head:?}");
    };
    assert_eq!((members.joined, members.invited), (2, 1));
    let page = reader.current(&head).members(None, 10).await.unwrap();
    let found: Vec<_> = page
        .members
        .iter()
        .map(|m| (m.user_id.as_str(), m.membership))
        .collect();
    assert_eq!(
        found,
        [
            (ALICE, Membership::Join),
            ("@bob:elsewhere.org", Membership::Join),
            ("@carol:example.org", Membership::Invite),
        ]
    );
    let local_members = reader.local_members(None, 10).await.unwrap();
    assert_eq!(local_members.len(), 2);
    let (servers, next) = reader.joined_servers(epoch, None, 10).await.unwrap();
    let servers: Vec<_> = servers
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    assert_eq!(servers, [("elsewhere.org", 1), ("example.org", 1)]);
    assert_eq!(next, None);
    let of_bob = user_rooms(&*snapshot, user_id!("@bob:elsewhere.org"), None, 10)
        .await
        .unwrap();
    assert_eq!(of_bob[0].room_id, room.room);
    let carol = user_id!("@carol:example.org");
    let of_carol = user_in_rooms(&*snapshot, carol, &[&room.room])
        .await
        .unwrap();
    assert_eq!(of_carol[0].unwrap().membership, Membership::Invite);
}

#[tokio::test]
async fn a_server_that_left_is_no_longer_joined() {
    let mut room = room().await;
    room.join("@bob:elsewhere.org").await;
    room.member("@bob:elsewhere.org", "@bob:elsewhere.org", "leave")
        .await;
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let epoch = room.head.as_ref().unwrap().rows().unwrap();
    let (servers, _) = reader.joined_servers(epoch, None, 10).await.unwrap();
    assert_eq!(servers.len(), 1);
}

#[tokio::test]
async fn a_commit_does_not_grow_with_the_room() {
    let mut room = room().await;
    let engine = Arc::clone(&room.engine);
    let mut sizes = Vec::new();
    for count in [10, 300] {
        while room.events.len() < count {
            let user = format!("@user{}:example.org", room.events.len());
            room.join(&user).await;
        }
        engine.record();
        engine.take_record();
        room.message("hello").await;
        room.join(&format!("@newcomer{count}:example.org")).await;
        let recorded = engine.take_record();
        sizes.push(
            recorded
                .iter()
                .map(|one| one.commit.bytes())
                .collect::<Vec<_>>(),
        );
    }
    let [small, large] = sizes.try_into().unwrap();
    assert!(large[0] <= small[0] + 20, "message: {small:?} {large:?}");
    assert!(large[1] <= small[1] + 1_200, "join: {small:?} {large:?}");
    assert!(large[1] < 16 * 1024, "join: {large:?}");
}

#[tokio::test]
async fn two_commits_on_one_head_conflict() {
    let mut room = room().await;
    let head = room.head.clone().unwrap();
    let (known, before) = room.plan(&head.extremities.clone(), said("late")).await;
    room.message("first").await;
    let commit = commit_of(&room, &known.pdu, before, &head);
    assert!(is_fenced(&commit));
    assert_eq!(room.engine.commit(commit).await, Err(CommitError::Conflict));
}

fn said(content: &str) -> Said<'_> {
    let content: &str = Box::leak(message(content).into_boxed_str());
    Said {
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content,
    }
}

fn commit_of(
    room: &TestRoom,
    pdu: &belfry_event::Pdu,
    before: Root,
    on: &crate::RoomHead,
) -> Commit {
    let mut head = on.successor();
    head.extremities = vec![pdu.hash()];
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(on), head.rows());
    writes.event(&NewEvent {
        pdu,
        place: Place::New(before),
        acceptance: Acceptance::Accepted,
        auth_depth: 1,
        received_ts: 0,
        known: false,
    });
    writes.finish(&head).unwrap()
}

#[tokio::test]
async fn soft_failed_events_are_in_no_order_and_cover_nothing() {
    let mut room = room().await;
    let head = room.head.clone().unwrap();
    let (known, before) = room.plan(&head.extremities.clone(), said("no")).await;
    let mut next = head.successor();
    next.extremities.clone_from(&head.extremities);
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), head.rows());
    writes.event(&NewEvent {
        pdu: &known.pdu,
        place: Place::New(before),
        acceptance: Acceptance::SoftFailed,
        auth_depth: known.auth_depth,
        received_ts: 5,
        known: false,
    });
    room.engine
        .commit(writes.finish(&next).unwrap())
        .await
        .unwrap();
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let log = reader
        .log(STAMP_FIRST, STAMP_LAST, Direction::Backward, 1)
        .await
        .unwrap();
    assert_eq!(log.entries[0].1, head.extremities[0]);
    assert_eq!(reader.covered(&head.extremities).await, Ok(vec![false]));
    assert!(reader.event(known.pdu.hash()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_event_that_is_referred_to_is_covered() {
    let mut room = room().await;
    let first = room.message("one").await;
    let second = room.message("two").await;
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    assert_eq!(
        reader.covered(&[first, second]).await,
        Ok(vec![true, false])
    );
}

#[tokio::test]
async fn outliers_come_before_the_head_and_only_once() {
    let source = room().await;
    let engine = Memory::default();
    let mut parts = PartWrites::new(&source.room);
    for known in source.events.values() {
        parts.outlier(&NewEvent {
            pdu: &known.pdu,
            place: Place::Outlier,
            acceptance: Acceptance::Accepted,
            auth_depth: known.auth_depth,
            received_ts: 1,
            known: false,
        });
    }
    assert_eq!(parts.take_full(), None);
    let commit = parts.finish().unwrap();
    engine.commit(commit.clone()).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let reader = RoomReader::new(&*snapshot, &source.room);
    let hashes: Vec<_> = source.events.keys().copied().collect();
    let stored = reader.events(&hashes).await.unwrap();
    assert!(stored.iter().flatten().all(|event| event.row.is_outlier()));
    assert_eq!(stored.iter().flatten().count(), 4);
    assert_eq!(reader.head().await, Ok(None));
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict));
}

#[tokio::test]
async fn parts_stay_within_the_limits() {
    let room = room().await;
    let mut parts = PartWrites::new(&room.room);
    let mut set = crate::WorkingSet::new();
    let state = crate::fixture::members(&mut set, 0..20_000);
    let (mut commits, mut nodes) = (Vec::new(), 0);
    for (hash, bytes) in set.take_writes(&[state]) {
        parts.node(hash, bytes);
        commits.extend(parts.take_full());
        nodes += 1;
    }
    commits.extend(parts.finish());
    assert!(commits.len() > 1);
    assert!(
        commits
            .iter()
            .all(|commit| commit.bytes() < COMMIT_BYTES_MAX)
    );
    assert_eq!(
        commits
            .iter()
            .map(|commit| commit.writes.len())
            .sum::<usize>(),
        nodes + commits.len(),
        "each commit also marks the room as one to be swept"
    );
}

#[tokio::test]
async fn a_redaction_keeps_the_events_place() {
    let mut room = room().await;
    let hash = room.message("oops").await;
    let by = room.message("as good as a redaction").await;
    let snapshot = room.snapshot().await;
    let stored = RoomReader::new(&*snapshot, &room.room)
        .event(hash)
        .await
        .unwrap()
        .unwrap();
    let head = room.head.clone().unwrap();
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), head.rows());
    writes.redact(&stored, by);
    let commit = writes.finish(&head.successor()).unwrap();
    room.engine.commit(commit).await.unwrap();
    let snapshot = room.snapshot().await;
    let redacted = RoomReader::new(&*snapshot, &room.room)
        .event(hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(redacted.stamp, stored.stamp);
    assert_eq!(redacted.row.redacted_by, Some(by));
}

#[tokio::test]
async fn a_seen_transaction_is_found() {
    let mut room = room().await;
    let hash = room.message("hello").await;
    let txn = Txn::new(user_id!("@alice:example.org"), "PHONE", &["send"], "1").unwrap();
    let head = room.head.clone().unwrap();
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), head.rows());
    writes.txn(&txn, hash, 5_000);
    room.engine
        .commit(writes.finish(&head.successor()).unwrap())
        .await
        .unwrap();
    let snapshot = room.snapshot().await;
    assert_eq!(
        txn.get(&*snapshot).await.unwrap().unwrap().event,
        Some(hash)
    );
    let other = Txn::new(user_id!("@alice:example.org"), "PHONE", &["redact"], "1").unwrap();
    assert_eq!(other.get(&*snapshot).await, Ok(None));
}

#[tokio::test]
async fn heads_that_do_not_follow_are_refused() {
    let room = room().await;
    let head = room.head.clone().unwrap();
    let finish = |next: &crate::RoomHead| {
        let before = Before::Planned(&head);
        RoomWrites::new(local(), &room.room, before, head.rows()).finish(next)
    };
    assert_eq!(finish(&head), Err(WritesError::Sequence));
    let mut none = head.successor();
    none.extremities.clear();
    assert_eq!(finish(&none), Err(WritesError::Extremities));
    let mut twice = head.successor();
    twice.extremities = vec![head.extremities[0]; 2];
    assert_eq!(finish(&twice), Err(WritesError::Extremities));
    let mut tree = head.successor();
    tree.current = CurrentState::Tree { behind: head.state };
    assert_eq!(finish(&tree), Err(WritesError::Epoch));
    let commit = finish(&head.successor()).unwrap();
    assert!(matches!(commit.writes.last(), Some(Write::Put(..))));
}

#[tokio::test]
async fn current_state_is_the_same_from_rows_and_from_the_tree() {
    let mut room = room().await;
    for number in 0..30 {
        room.join(&format!("@user{number}:example.org")).await;
    }
    let rows = room.head.clone().unwrap();
    let mut tree = rows.clone();
    tree.current = CurrentState::Tree {
        behind: Root::EMPTY,
    };
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let tuples = [
        StateTuple::new("m.room.create", "").unwrap(),
        StateTuple::member("@user7:example.org").unwrap(),
        StateTuple::member("@nobody:example.org").unwrap(),
    ];
    let by_rows = reader.current(&rows).get(&tuples).await.unwrap();
    assert_eq!(by_rows, reader.current(&tree).get(&tuples).await.unwrap());
    assert_eq!(by_rows.iter().flatten().count(), 2);
    let mut members = Vec::new();
    for head in [&rows, &tree] {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let page = reader.current(head).members(from, 7).await.unwrap();
            found.extend(
                page.members
                    .into_iter()
                    .map(|member| (member.user_id, member.membership)),
            );
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        found.sort();
        members.push(found);
    }
    assert_eq!(members[0].len(), 31);
    assert_eq!(members[0], members[1]);
}

#[tokio::test]
async fn rooms_are_listed() {
    let room = room().await;
    let snapshot = room.snapshot().await;
    let listed = rooms(&*snapshot, None, 10).await.unwrap();
    assert_eq!(listed, [(room.room.clone(), room.head.clone().unwrap())]);
    assert_eq!(
        rooms(&*snapshot, Some(&room.room), 10).await,
        Ok(Vec::new())
    );
}

/// What a worker does to collect the garbage of its room: all that its events need stays.
#[tokio::test]
async fn a_sweep_with_the_roots_of_all_events_leaves_a_sound_database() {
    let mut room = room().await;
    for number in 0..40 {
        room.join(&format!("@user{number}:example.org")).await;
    }
    let head = room.head.clone().unwrap();
    let mut sweep = Sweep::new(&room.room);
    sweep.retain([head.state]).unwrap();
    let (snapshot, mut from) = (room.snapshot().await, None);
    loop {
        let reader = RoomReader::new(&*snapshot, &room.room);
        let (roots, next) = reader.state_roots(from, 7).await.unwrap();
        sweep.retain(roots).unwrap();
        match next {
            Some(hash) => from = Some(hash),
            None => break,
        }
    }
    let mut deleted = 0;
    loop {
        let snapshot = room.snapshot().await;
        let mut commit = Commit::synced();
        Before::Planned(&head).check(&mut commit, &room.room);
        let step = sweep
            .step(&*snapshot, &mut room.set, &mut commit, 50)
            .await
            .unwrap();
        match step {
            SweepStep::Done => break,
            SweepStep::Marked => {}
            SweepStep::Swept { deleted: some } => deleted += some,
        }
        room.engine.commit(commit).await.unwrap();
    }
    assert_eq!(deleted, 0, "every state is one that an event follows");
    assert!(crate::check(&*room.engine, 10).await.unwrap().is_clean());
}
