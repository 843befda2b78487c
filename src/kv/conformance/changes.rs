//! Who is woken when, and with which position.

use std::sync::Arc;

use tokio::task::{JoinSet, yield_now};

use super::{Db, Harness, POINT, absent, at_hand, key, lazy, put, synced};
use crate::{Commit, Engine, Position};

fn one(commit: fn([crate::Check; 0], [crate::Write; 1]) -> Commit) -> Commit {
    commit([], [put(&key(&POINT, "row"), "x")])
}

pub(super) async fn changed_names_the_last_synced_commit<H: Harness>(db: Db<H>) {
    let engine = db.engine();
    let first = db.apply(one(synced)).await;
    let second = db.apply(one(synced)).await;
    let third = db.apply(one(lazy)).await;
    assert!(third > second);
    assert_eq!(engine.changed(Position::ZERO).await, second);
    assert_eq!(engine.changed(first).await, second);
    assert_eq!(at_hand(engine.changed(second)).await, None);
    assert_eq!(at_hand(engine.changed(third)).await, None);
}

pub(super) async fn changed_waits_for_a_synced_commit<H: Harness>(db: Db<H>) {
    let engine = db.engine();
    let mut changed = engine.changed(Position::ZERO);
    assert_eq!(at_hand(&mut changed).await, None);
    let position = db.apply(one(synced)).await;
    assert_eq!(changed.await, position);
    let mut beyond = engine.changed(position);
    assert_eq!(at_hand(&mut beyond).await, None);
    let next = db.apply(one(synced)).await;
    assert_eq!(beyond.await, next);
}

pub(super) async fn lazy_commits_wake_nobody<H: Harness>(db: Db<H>) {
    let engine = db.engine();
    let mut changed = engine.changed(Position::ZERO);
    for _ in 0..10 {
        db.apply(one(lazy)).await;
        yield_now().await;
        assert_eq!(at_hand(&mut changed).await, None);
    }
    let position = db.apply(one(synced)).await;
    assert_eq!(changed.await, position);
}

pub(super) async fn conflicts_wake_nobody<H: Harness>(db: Db<H>) {
    let engine = db.engine();
    let last = db.apply(one(synced)).await;
    let mut changed = engine.changed(last);
    for _ in 0..10 {
        db.conflict(synced([absent(&key(&POINT, "row"))], [])).await;
        yield_now().await;
        assert_eq!(at_hand(&mut changed).await, None);
    }
}

pub(super) async fn all_waiters_wake<H: Harness>(db: Db<H>) {
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let engine = db.engine();
        waiters.spawn(async move { engine.changed(Position::ZERO).await });
    }
    yield_now().await;
    let position = db.apply(one(synced)).await;
    while let Some(woken) = waiters.join_next().await {
        assert_eq!(woken.expect("a waiter"), position);
    }
}

/// Commits one after the other, each as soon as the one before is answered.
async fn write(engine: Arc<dyn Engine>, count: usize) -> Position {
    let mut last = Position::ZERO;
    for _ in 0..count {
        last = engine.commit(one(synced)).await.expect("applied");
    }
    last
}

pub(super) async fn no_wakeup_is_missed<H: Harness>(db: Db<H>) {
    let writer = tokio::spawn(write(db.engine(), 200));
    let mut readers = JoinSet::new();
    for turns in [0, 1, 3, 9, 30] {
        let engine = db.engine();
        // Some readers are slow, so that the last commit comes while they are not waiting.
        readers.spawn(async move {
            let mut seen = Position::ZERO;
            loop {
                let next = engine.changed(seen).await;
                assert!(next > seen);
                let view = engine.snapshot().await.expect("a snapshot");
                assert!(view.position() >= next, "woken for what cannot be read yet");
                seen = next;
                if view.get_many(&[key(&POINT, "end")]).await.expect("a value")[0].is_some() {
                    return seen;
                }
                for _ in 0..turns {
                    yield_now().await;
                }
            }
        });
    }
    writer.await.expect("the writer");
    let end = db.apply(synced([], [put(&key(&POINT, "end"), "x")])).await;
    while let Some(seen) = readers.join_next().await {
        assert!(seen.expect("a reader") <= end);
    }
}

pub(super) async fn changed_goes_on_after_reopening<H: Harness>(mut db: Db<H>) {
    let before = db.apply(one(synced)).await;
    db.reopen().await;
    let recovered = db.engine().changed(Position::ZERO).await;
    assert!(recovered >= before);
    assert_eq!(at_hand(db.engine().changed(recovered)).await, None);
    let after = db.apply(one(synced)).await;
    assert!(after > recovered);
    assert_eq!(db.engine().changed(recovered).await, after);
}
