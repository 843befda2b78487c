#![expect(
    clippy::disallowed_methods,
    reason = "the simulated disk is a task of the test, on paused time"
)]

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Check, Commit, CommitError, Direction, Engine, Fault, Key, LAZY_DELAY_MAX, Memory, Position,
    QUEUED_COMMITS_MAX, Range, ReadError, Unavailable, Write,
};

fn key(name: &str) -> Key {
    Key::new([b"\x01", name.as_bytes()].concat())
}

fn putting(commit: Commit, name: &str) -> Commit {
    Commit {
        writes: vec![Write::Put(key(name), Bytes::from_static(b"v"))],
        ..commit
    }
}

fn synced(name: &str) -> Commit {
    putting(Commit::synced(), name)
}

fn lazy(name: &str) -> Commit {
    putting(Commit::lazy(), name)
}

/// The names of the rows that a reader sees.
async fn names(engine: &Memory) -> Vec<String> {
    let range = Range::prefix(&Key::new(vec![1]));
    let snapshot = engine.snapshot().await.unwrap();
    let page = snapshot.scan(range, Direction::Forward, 100).await.unwrap();
    let name = |key: &Key| String::from_utf8(key.columns().to_vec()).unwrap();
    page.rows.iter().map(|(key, _)| name(key)).collect()
}

fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn unknown() -> Result<Position, CommitError> {
    Err(CommitError::Unknown("a fault was injected".to_owned()))
}

#[tokio::test]
async fn held_commits_are_invisible_until_synced() {
    let engine = Memory::default();
    engine.hold(true);
    let mut first = engine.commit(synced("a"));
    let second = engine.commit(lazy("b"));
    assert_eq!(ready(&mut first), None);
    assert_eq!(names(&engine).await, [""; 0]);
    assert_eq!(ready(engine.changed(Position::ZERO)), None);

    assert_eq!(engine.sync(), 2);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(first < second);
    assert_eq!(names(&engine).await, ["a", "b"]);
    assert_eq!(engine.changed(Position::ZERO).await, first);
}

#[tokio::test]
async fn held_commits_decide_the_checks_of_those_behind() {
    let engine = Memory::default();
    engine.hold(true);
    let first = engine.commit(synced("a"));
    let mut taken = synced("b");
    taken.checks.push(Check::Absent(key("a")));
    let mut second = engine.commit(taken);
    assert_eq!(
        ready(&mut second),
        None,
        "answered only once the cause is visible"
    );
    engine.sync();
    assert!(first.await.is_ok());
    assert_eq!(second.await, Err(CommitError::Conflict));
}

#[tokio::test]
async fn syncs_can_be_stepped() {
    let engine = Memory::default();
    engine.hold(true);
    let answers = [synced("a"), lazy("b"), synced("c"), lazy("d")].map(|one| engine.commit(one));
    assert_eq!(engine.sync_next(), 1);
    assert_eq!(names(&engine).await, ["a"]);
    assert_eq!(engine.sync_next(), 2);
    assert_eq!(names(&engine).await, ["a", "b", "c"]);
    assert_eq!(engine.sync_next(), 1);
    assert_eq!(engine.sync_next(), 0);
    for answer in answers {
        assert!(answer.await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulated_disk_is_a_loop() {
    let engine = Arc::new(Memory::default());
    engine.hold(true);
    let disk = Arc::clone(&engine);
    let disk = tokio::spawn(async move {
        loop {
            disk.queued().await;
            tokio::time::sleep(Duration::from_millis(8)).await;
            disk.sync();
        }
    });
    let start = tokio::time::Instant::now();
    engine.commit(synced("a")).await.unwrap();
    engine.commit(synced("b")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(16));
    disk.abort();
}

#[tokio::test]
async fn a_crash_keeps_a_chosen_prefix_of_what_is_at_risk() {
    for survivors in 0..=5 {
        let engine = Memory::default();
        engine.commit(synced("a")).await.unwrap();
        engine.commit(lazy("b")).await.unwrap();
        engine.commit(lazy("c")).await.unwrap();
        engine.hold(true);
        let answers = [synced("d"), lazy("e")].map(|one| engine.commit(one));
        assert_eq!(engine.at_risk(), 4);
        let reopened = engine.crash(survivors);
        assert_eq!(
            names(&reopened).await,
            ["a", "b", "c", "d", "e"][..=survivors.min(4)]
        );
        assert_eq!(reopened.at_risk(), 0);
        for answer in answers {
            assert!(matches!(answer.await, Err(CommitError::Unknown(_))));
        }
    }
}

#[tokio::test]
async fn a_crash_closes_the_old_handle() {
    let engine = Memory::default();
    engine.commit(synced("a")).await.unwrap();
    let next = engine.crash(0);
    let closed = Err(CommitError::Unavailable(Unavailable::Closed));
    assert_eq!(engine.commit(synced("b")).await, closed);
    assert!(matches!(
        engine.snapshot().await,
        Err(ReadError::Unavailable(_))
    ));
    assert_eq!(ready(engine.changed(Position::ZERO)), None);
    assert_eq!(names(&next).await, ["a"]);
    assert!(ready(next.changed(Position::ZERO)).is_some());
}

#[tokio::test]
async fn a_clean_reopen_loses_nothing() {
    let engine = Memory::default();
    let last = engine.commit(lazy("a")).await.unwrap();
    engine.hold(true);
    let held = engine.commit(synced("b"));
    let next = engine.reopen();
    assert!(held.await.unwrap() > last);
    assert_eq!(names(&next).await, ["a", "b"]);
    assert_eq!(next.at_risk(), 0);
}

#[tokio::test]
async fn positions_of_lost_commits_are_not_given_again() {
    let engine = Memory::default();
    let lost = engine.commit(lazy("a")).await.unwrap();
    let next = engine.crash(0);
    assert_eq!(next.snapshot().await.unwrap().position(), Position::ZERO);
    assert!(next.commit(synced("b")).await.unwrap() > lost);
}

#[tokio::test]
async fn lazy_commits_become_durable_with_time() {
    let millis = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&millis);
    let engine = Memory::new(Arc::new(move || {
        Duration::from_millis(clock.load(Ordering::Relaxed))
    }));
    engine.commit(lazy("a")).await.unwrap();
    millis.store(1, Ordering::Relaxed);
    engine.commit(lazy("b")).await.unwrap();
    assert_eq!(engine.at_risk(), 2);
    millis.store(
        u64::try_from(LAZY_DELAY_MAX.as_millis()).unwrap(),
        Ordering::Relaxed,
    );
    assert_eq!(engine.at_risk(), 1);
    assert_eq!(names(&engine.crash(0)).await, ["a"]);
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let engine = Memory::default();
    let failed = Unavailable::Failed("disk".to_owned());
    let plan = [
        ("conflict", Fault::Conflict),
        ("applied", Fault::UnknownApplied),
        ("lost", Fault::UnknownLost),
        ("unavailable", Fault::Unavailable(failed.clone())),
    ];
    engine.set_faults(move |commit| {
        let met = |(name, _): &&(&str, Fault)| matches!(&commit.writes[0], Write::Put(k, _) if *k == key(name));
        plan.iter().find(met).map_or(Fault::None, |(_, fault)| fault.clone())
    });
    assert_eq!(
        engine.commit(synced("conflict")).await,
        Err(CommitError::Conflict)
    );
    assert_eq!(engine.commit(synced("applied")).await, unknown());
    assert_eq!(engine.commit(synced("lost")).await, unknown());
    let unavailable = Err(CommitError::Unavailable(failed));
    assert_eq!(engine.commit(synced("unavailable")).await, unavailable);
    engine.commit(synced("fine")).await.unwrap();
    assert_eq!(names(&engine).await, ["applied", "fine"]);
    assert_eq!(
        engine.crash(0).commit(synced("conflict")).await,
        Err(CommitError::Conflict)
    );
}

#[tokio::test]
async fn a_delayed_commit_holds_back_those_behind() {
    let engine = Memory::default();
    engine.set_faults(|commit| match commit.checks.len() {
        0 => Fault::None,
        _ => Fault::Delay,
    });
    let mut slow = synced("a");
    slow.checks.push(Check::Absent(key("a")));
    let mut slow = engine.commit(slow);
    let mut quick = engine.commit(synced("b"));
    assert_eq!((ready(&mut slow), ready(&mut quick)), (None, None));
    engine.sync();
    assert!(slow.await.unwrap() < quick.await.unwrap());
}

#[tokio::test]
async fn the_record_holds_commits_as_values() {
    let engine = Memory::default();
    engine.commit(synced("before")).await.unwrap();
    engine.record();
    let position = engine.commit(lazy("a")).await.unwrap();
    engine.set_faults(|_| Fault::UnknownLost);
    assert_eq!(engine.commit(synced("b")).await, unknown());
    let record = engine.take_record();
    assert_eq!(record[0].commit, lazy("a"));
    assert_eq!(record[0].answer, Ok(position));
    assert_eq!(
        (&record[1].fault, &record[1].answer),
        (&Fault::UnknownLost, &unknown())
    );
    assert_eq!(record.len(), 2);
    assert_eq!(engine.take_record(), []);
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    let engine = Memory::default();
    engine.hold(true);
    let waiting: Vec<_> = (0..QUEUED_COMMITS_MAX)
        .map(|_| engine.commit(synced("a")))
        .collect();
    let busy = Err(CommitError::Unavailable(Unavailable::Busy));
    assert_eq!(engine.commit(synced("b")).await, busy);
    assert_eq!(engine.sync(), QUEUED_COMMITS_MAX);
    for answer in waiting {
        assert!(answer.await.is_ok());
    }
    assert_eq!(ready(engine.queued()), None);
}

#[tokio::test]
async fn adding_to_what_is_no_counter_changes_nothing() {
    let engine = Memory::default();
    engine.commit(synced("a")).await.unwrap();
    let mut commit = synced("b");
    commit.writes.push(Write::Add(key("a"), 1));
    let answer = engine.commit(commit).await;
    assert!(matches!(
        answer,
        Err(CommitError::Unavailable(Unavailable::Failed(_)))
    ));
    assert_eq!(names(&engine).await, ["a"]);
}

#[tokio::test]
#[should_panic(expected = "keyspace")]
async fn a_range_over_two_keyspaces_is_a_mistake() {
    let engine = Memory::default();
    let range = Range {
        from: Key::new(vec![1]),
        to: Key::new(vec![3]),
    };
    let snapshot = engine.snapshot().await.unwrap();
    snapshot.scan(range, Direction::Forward, 1).await.unwrap();
}
