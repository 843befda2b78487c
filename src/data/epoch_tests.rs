use std::sync::Arc;

use belfry_kv::{CommitError, Engine, Fault, Memory};

use crate::{
    Before, CurrentState, EpochRow, EpochStage, MemberCounts, RoomHead, RoomReader, RoomWrites,
    Root, abandon_epoch, check,
    room_fixture::{ALICE, TestRoom, local},
};

/// A room whose head names only the tree, as after many changes at once.
async fn without_rows(members: usize) -> TestRoom {
    let mut room = TestRoom::new(Arc::new(Memory::default())).await;
    for number in 0..members {
        room.join(&format!("@user{number}:server{}.org", number % 3))
            .await;
    }
    room.member(ALICE, "@invited:example.org", "invite").await;
    let head = room.head.clone().unwrap();
    let mut next = head.successor();
    next.current = CurrentState::Tree {
        behind: Root::EMPTY,
    };
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), None);
    writes.drop_rows(head.rows().unwrap());
    room.engine
        .commit(writes.finish(&next).unwrap())
        .await
        .unwrap();
    room.head = Some(next);
    room
}

async fn step(room: &TestRoom) -> Option<Result<(), CommitError>> {
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let head = reader.head_seen().await.unwrap();
    let row = head.row.clone().unwrap();
    let before = Before::Read(&head);
    let step = reader.step_epoch(local(), &row, before).await.unwrap()?;
    Some(room.engine.commit(step.commit).await.map(|_| ()))
}

async fn begin(room: &TestRoom) {
    let snapshot = room.snapshot().await;
    let reader = RoomReader::new(&*snapshot, &room.room);
    let step = reader
        .begin_epoch(room.head.as_ref().unwrap())
        .await
        .unwrap()
        .unwrap();
    room.engine.commit(step.commit).await.unwrap();
}

async fn building(room: &TestRoom) -> EpochRow {
    let snapshot = room.snapshot().await;
    RoomReader::new(&*snapshot, &room.room)
        .epoch()
        .await
        .unwrap()
        .unwrap()
}

async fn publish(room: &mut TestRoom) {
    let row = building(room).await;
    assert_eq!(row.stage, EpochStage::Ready);
    let head = room.head.clone().unwrap();
    assert_eq!(row.root, head.state);
    let next = RoomHead {
        current: CurrentState::Rows {
            epoch: row.epoch,
            members: row.members,
        },
        ..head.successor()
    };
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), next.rows());
    writes.publish(&row);
    room.engine
        .commit(writes.finish(&next).unwrap())
        .await
        .unwrap();
    room.head = Some(next);
}

async fn assert_clean(room: &TestRoom) {
    let report = check(&*room.engine, 10).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

#[tokio::test]
async fn an_epoch_is_built_beside_the_tree_and_published() {
    let mut room = without_rows(40).await;
    assert_clean(&room).await;
    begin(&room).await;
    while let Some(applied) = step(&room).await {
        applied.unwrap();
        assert_clean(&room).await;
    }
    publish(&mut room).await;
    assert_clean(&room).await;
    let head = room.head.clone().unwrap();
    let members = MemberCounts {
        joined: 41,
        invited: 1,
    };
    assert!(
        matches!(head.current, CurrentState::Rows { members: counted, .. } if counted == members)
    );
}

/// A step that may or may not have applied is done once all the same.
#[tokio::test]
async fn an_unknown_end_counts_nobody_twice() {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut room = without_rows(10).await;
        begin(&room).await;
        loop {
            room.engine.set_faults({
                let fault = fault.clone();
                move |_| fault.clone()
            });
            let first = step(&room).await;
            room.engine.set_faults(|_| Fault::None);
            if first.is_none() {
                break;
            }
            if let Some(again) = step(&room).await {
                again.unwrap();
            }
        }
        publish(&mut room).await;
        assert_clean(&room).await;
    }
}

#[tokio::test]
async fn beginning_again_gives_up_what_was_built() {
    let mut room = without_rows(10).await;
    begin(&room).await;
    step(&room).await.unwrap().unwrap();
    begin(&room).await;
    while let Some(applied) = step(&room).await {
        applied.unwrap();
    }
    publish(&mut room).await;
    assert_clean(&room).await;
}

#[tokio::test]
async fn an_abandoned_epoch_leaves_nothing() {
    let room = without_rows(10).await;
    begin(&room).await;
    step(&room).await.unwrap().unwrap();
    let row = building(&room).await;
    let mut commit = belfry_kv::Commit::synced();
    abandon_epoch(&mut commit, &room.room, &row);
    room.engine.commit(commit).await.unwrap();
    assert_eq!(step(&room).await, None);
    assert_clean(&room).await;
}
