//! What is left of the logs once they were shortened, and what older tokens meet.

use std::sync::Arc;

use belfry_kv::{Commit, Engine as _, Memory, Snapshot, Stamp};
use ruma_common::{OwnedUserId, RoomId, room_id};

use super::*;
use crate::{
    STAMP_FIRST, STAMP_LAST, TRIM_ENTRIES_MAX,
    column::RoomKey,
    rows::{CurrentRow, Membership},
};

const KEPT: usize = 10;
const ENTRIES: usize = 2_500;

async fn snapshot(engine: &Memory) -> Arc<dyn Snapshot> {
    engine.snapshot().await.unwrap()
}

fn user(number: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@u{number}:hs2")).unwrap()
}

fn room() -> &'static RoomId {
    room_id!("!r:hs1")
}

async fn fill(engine: &Memory, add: impl Fn(&mut Commit, usize)) {
    for first in (0..ENTRIES).step_by(100) {
        let mut commit = Commit::synced();
        (first..first + 100).for_each(|number| add(&mut commit, number));
        engine.commit(commit).await.unwrap();
    }
}

async fn lists() -> Memory {
    let engine = Memory::default();
    fill(&engine, |commit, number| {
        note_remote_device_list(commit, &user(number));
    })
    .await;
    engine
}

async fn members() -> Memory {
    let engine = Memory::default();
    let row: CurrentRow = joined();
    fill(&engine, |commit, number| {
        note_member(
            commit,
            &RoomKey::from(room()),
            &user(number),
            None,
            Some(&row),
        );
    })
    .await;
    engine
}

fn joined() -> CurrentRow {
    CurrentRow {
        event: belfry_event::EventHash::new([1; 32]),
        membership: Some(Membership::Join),
    }
}

async fn trim_lists(engine: &Memory) -> usize {
    let mut gone = 0;
    loop {
        let now = snapshot(engine).await;
        let Some(cut) = device_list_cut(&*now, KEPT).await.unwrap() else {
            return gone;
        };
        let mut commit = Commit::lazy();
        let step = trim_device_list_log(&*now, &mut commit, cut).await.unwrap();
        assert!(step <= TRIM_ENTRIES_MAX);
        if step == 0 {
            return gone;
        }
        gone += step;
        engine.commit(commit).await.unwrap();
    }
}

async fn trim_members(engine: &Memory, until: Stamp) -> usize {
    let mut gone = 0;
    loop {
        let now = snapshot(engine).await;
        let mut commit = Commit::lazy();
        let rooms = [room()];
        let step = trim_member_logs(&*now, &mut commit, &rooms, until, KEPT);
        let step = step.await.unwrap();
        if step == 0 {
            return gone;
        }
        assert!(commit.within_limits().is_ok());
        gone += step;
        engine.commit(commit).await.unwrap();
    }
}

async fn changes(engine: &Memory, after: Stamp) -> DeviceListPage {
    let now = snapshot(engine).await;
    let page = device_list_changes(&*now, after, STAMP_LAST, DEVICE_LIST_PAGE_MAX);
    page.await.unwrap()
}

#[tokio::test]
async fn newest_device_list_changes_stay_and_older_tokens_learn_that_some_are_gone() {
    let engine = lists().await;
    assert_eq!(trim_lists(&engine).await, ENTRIES - KEPT);
    assert_eq!(trim_lists(&engine).await, 0, "once is enough");
    let old = changes(&engine, STAMP_FIRST).await;
    assert!(old.many);
    assert_eq!(old.changes.len(), KEPT + 1, "the mark is one more");
    let mark = old.changes[0].0;
    let new = changes(&engine, mark).await;
    assert!(!new.many, "nothing behind this place is gone");
    let users: Vec<_> = new.changes.iter().map(|(_, row)| &*row.user).collect();
    let newest: Vec<_> = (ENTRIES - KEPT..ENTRIES).map(user).collect();
    assert_eq!(users, newest);
    // What comes later is trimmed in its turn.
    let mut commit = Commit::synced();
    (0..3).for_each(|number| note_remote_device_list(&mut commit, &user(number)));
    engine.commit(commit).await.unwrap();
    assert_eq!(trim_lists(&engine).await, 3);
    assert!(changes(&engine, mark).await.many);
}

#[tokio::test]
async fn short_logs_are_left_alone() {
    let engine = Memory::default();
    let mut commit = Commit::synced();
    (0..KEPT).for_each(|number| note_remote_device_list(&mut commit, &user(number)));
    note_members(&mut commit, &RoomKey::from(room()));
    engine.commit(commit).await.unwrap();
    assert_eq!(trim_lists(&engine).await, 0);
    assert_eq!(trim_members(&engine, STAMP_LAST).await, 0);
    assert!(!changes(&engine, STAMP_FIRST).await.many);
}

#[tokio::test]
async fn shortening_that_a_crash_takes_back_is_done_again() {
    let engine = lists().await;
    trim_lists(&engine).await;
    let engine = engine.crash(1);
    let old = changes(&engine, STAMP_FIRST).await;
    assert!(old.many, "the first step is there, whole");
    assert_eq!(trim_lists(&engine).await, ENTRIES - KEPT - TRIM_ENTRIES_MAX);
    assert_eq!(changes(&engine, STAMP_FIRST).await.changes.len(), KEPT + 1);
}

#[tokio::test]
async fn newest_members_stay_and_older_tokens_learn_that_it_may_be_anybody() {
    let engine = members().await;
    let behind = Stamp {
        position: snapshot(&engine).await.position(),
        ordinal: u16::MAX,
    };
    assert_eq!(trim_members(&engine, behind).await, ENTRIES - KEPT);
    let told = |after| {
        let engine = &engine;
        async move {
            let now = snapshot(engine).await;
            let found = member_changes(&*now, &[room()], after, STAMP_LAST).await;
            found.unwrap().remove(0)
        }
    };
    let old = told(STAMP_FIRST).await;
    assert!(old.many);
    assert_eq!(old.users.len(), KEPT);
    let new = told(behind).await;
    assert_eq!(new, MemberChanges::default());
}

#[tokio::test]
async fn members_behind_a_reader_who_lags_stay() {
    let engine = members().await;
    assert_eq!(trim_members(&engine, STAMP_FIRST).await, 0);
    let now = snapshot(&engine).await;
    let rooms = [room()];
    let found = member_changes(&*now, &rooms, STAMP_FIRST, STAMP_LAST);
    let found = found.await.unwrap().remove(0);
    assert_eq!(found.users.len(), MEMBER_CHANGES_MAX);
}
