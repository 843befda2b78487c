use belfry_kv::{Commit, CommitError, Engine, Memory, Stamp};
use ruma_common::{room_id, server_name, user_id};

use crate::{
    CURSOR_RESUME_BYTES_MAX, CursorRow, EXPIRE_MAX, InboundTxn, RoomReader, STAMP_FIRST, StagedRow,
    Txn, cursor, expire, fixture::hash, move_cursor, next_staged_room, stage, staged_bytes,
};

fn txn(id: &str) -> Txn {
    Txn::new(
        user_id!("@a:example.org"),
        "PHONE",
        &["send", "!r", "m.x"],
        id,
    )
    .unwrap()
}

async fn expire_all(engine: &Memory, now_ts: u64) -> usize {
    let snapshot = engine.snapshot().await.unwrap();
    let mut commit = Commit::synced();
    let count = expire(&*snapshot, &mut commit, now_ts).await.unwrap();
    engine.commit(commit).await.unwrap();
    count
}

#[tokio::test]
async fn a_transaction_is_kept_until_its_time_is_up() {
    let engine = Memory::default();
    let mut commit = Commit::synced();
    txn("1").put(&mut commit, Some(hash(1)), 1_000, true);
    txn("2").put(&mut commit, None, 2_000, true);
    engine.commit(commit.clone()).await.unwrap();
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict));

    assert_eq!(expire_all(&engine, 999).await, 0);
    assert_eq!(expire_all(&engine, 1_000).await, 1);
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(txn("1").get(&*snapshot).await, Ok(None));
    assert!(txn("2").get(&*snapshot).await.unwrap().is_some());
    assert_eq!(expire_all(&engine, 5_000).await, 1);
}

#[tokio::test]
async fn expiring_goes_in_bounded_steps() {
    let engine = Memory::default();
    for chunk in 0..3 {
        let mut commit = Commit::synced();
        for number in 0..500 {
            let id = (chunk * 500 + number).to_string();
            txn(&id).put(&mut commit, None, 10, true);
        }
        engine.commit(commit).await.unwrap();
    }
    assert_eq!(expire_all(&engine, 10).await, EXPIRE_MAX);
    assert_eq!(expire_all(&engine, 10).await, 500);
    assert_eq!(expire_all(&engine, 10).await, 0);
}

#[tokio::test]
async fn another_servers_transaction_is_answered_once() {
    let engine = Memory::default();
    let inbound = InboundTxn::new(server_name!("far.org"), "t1");
    let mut commit = Commit::synced();
    inbound.put(&mut commit, "{}", 10);
    engine.commit(commit.clone()).await.unwrap();
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict));
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(
        &*inbound.get(&*snapshot).await.unwrap().unwrap().response,
        "{}"
    );
    let other = InboundTxn::new(server_name!("near.org"), "t1");
    assert_eq!(other.get(&*snapshot).await, Ok(None));
}

#[test]
fn long_device_ids_are_refused_and_long_transaction_ids_are_not() {
    let user = user_id!("@a:example.org");
    let long = "x".repeat(4_000);
    assert!(Txn::new(user, &long, &[], "1").is_err());
    assert!(Txn::new(user, "PHONE", &[&long], &long).is_ok());
}

#[tokio::test]
async fn staged_events_count_against_their_origin() {
    let engine = Memory::default();
    let (room, origin) = (room_id!("!r:far.org"), server_name!("far.org"));
    let row = StagedRow {
        origin: "far.org".into(),
        received_ts: 1,
        json: "x".repeat(600).into(),
    };
    for number in 0..2 {
        let mut commit = Commit::synced();
        stage(&mut commit, room, hash(number), &row, origin, 1_000);
        engine.commit(commit).await.unwrap();
    }
    let mut commit = Commit::synced();
    stage(&mut commit, room, hash(2), &row, origin, 1_000);
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict));

    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(staged_bytes(&*snapshot, origin).await, Ok(1_200));
    assert_eq!(
        next_staged_room(&*snapshot, None).await,
        Ok(Some(room.to_owned()))
    );
    assert_eq!(next_staged_room(&*snapshot, Some(room)).await, Ok(None));
    let reader = RoomReader::new(&*snapshot, room);
    let staged = reader.staged(None, 10).await.unwrap();
    assert_eq!(
        reader.are_staged(&[hash(1), hash(5)]).await,
        Ok(vec![true, false])
    );

    let mut commit = Commit::synced();
    crate::staging::unstage(&mut commit, &crate::column::RoomKey::from(room), &staged[0]);
    engine.commit(commit).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(staged_bytes(&*snapshot, origin).await, Ok(600));
}

#[tokio::test]
async fn a_cursor_moves_from_where_it_was_seen() {
    let engine = Memory::default();
    let to = |ordinal| CursorRow {
        stamp: Stamp {
            ordinal,
            ..STAMP_FIRST
        },
        resume: b"@bob:example.org".to_vec(),
    };
    let mut commit = Commit::lazy();
    move_cursor(&mut commit, "counts", None, &to(1)).unwrap();
    engine.commit(commit.clone()).await.unwrap();
    assert_eq!(engine.commit(commit).await, Err(CommitError::Conflict));
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(cursor(&*snapshot, "counts").await, Ok(Some(to(1))));

    let mut commit = Commit::lazy();
    move_cursor(&mut commit, "counts", Some(&to(1)), &to(2)).unwrap();
    engine.commit(commit).await.unwrap();
    let mut long = to(3);
    long.resume = vec![0; CURSOR_RESUME_BYTES_MAX + 1];
    assert!(move_cursor(&mut Commit::lazy(), "counts", None, &long).is_err());
}
