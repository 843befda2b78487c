//! Engines that are wrong on purpose, and worlds that are.
//!
//! It exists because a checker that never failed says nothing: for each there is a mistake here
//! that it finds, and no run without a mistake makes it complain. It knows nothing of how the
//! checkers work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use belfry_data::{
    BoxFuture, Commit, CommitError, Engine, Position, ReadError, Snapshot, Unavailable, keyspaces,
};
use belfry_env::{Env, SimulatedWall};
use belfry_kv::{Key, Memory, Write};
use bytes::Bytes;

use crate::disk::room_of;
use crate::plan::{Doom, Plan, Point};
use crate::seeds::first_difference;
use crate::setup::Setup;
use crate::world::{Outcome, run};

/// Seeds that are tried before a mistake counts as not found.
const SEEDS_MAX: u64 = 24;

/// What becomes of a commit of a room.
enum Step {
    /// It is passed on, perhaps not as it was.
    Forward(Commit),
    /// It is passed on as two.
    InTwo(Commit, Commit),
    /// It is forgotten, and answered as if it were durable.
    Forget,
    /// It is answered before it is durable.
    AnswerEarly(Commit),
    /// It is applied, and answered as if it were not.
    Deny(Commit),
    /// It is answered that the engine is busy.
    Refuse,
    /// It is never answered.
    Hang,
}

type Alter = Arc<dyn Fn(Commit) -> Step + Send + Sync>;

/// The memory engine with a mistake.
struct Tampered {
    memory: Arc<Memory>,
    alter: Alter,
}

impl Engine for Tampered {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        self.memory.snapshot()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        if room_of(&commit).is_none() {
            return self.memory.commit(commit);
        }
        match (self.alter)(commit) {
            Step::Forward(commit) => self.memory.commit(commit),
            Step::InTwo(one, other) => {
                let (one, other) = (self.memory.commit(one), self.memory.commit(other));
                Box::pin(async {
                    one.await?;
                    other.await
                })
            }
            Step::Forget => Box::pin(async { Ok(Position::ZERO) }),
            Step::AnswerEarly(commit) => {
                drop(self.memory.commit(commit));
                Box::pin(async { Ok(Position::ZERO) })
            }
            Step::Deny(commit) => {
                let applied = self.memory.commit(commit);
                Box::pin(async {
                    applied.await?;
                    Err(CommitError::Unavailable(Unavailable::DiskFull))
                })
            }
            Step::Refuse => Box::pin(async { Err(CommitError::Unavailable(Unavailable::Busy)) }),
            Step::Hang => Box::pin(std::future::pending()),
        }
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        self.memory.changed(after)
    }
}

fn altered(alter: impl Fn(Commit) -> Step + Send + Sync + 'static) -> Setup {
    let alter: Alter = Arc::new(alter);
    Setup::with_engine(move |memory| {
        let (memory, alter) = (Arc::clone(memory), Arc::clone(&alter));
        Arc::new(Tampered { memory, alter })
    })
}

/// A mistake that happens to each `nth` commit of a room; the others pass.
fn each(nth: u64, wrong: impl Fn(Commit) -> Step + Send + Sync + 'static) -> Setup {
    let count = AtomicU64::new(0);
    altered(move |commit| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        if number.is_multiple_of(nth) {
            wrong(commit)
        } else {
            Step::Forward(commit)
        }
    })
}

/// Leaves out what is written to a table.
fn without(table: &'static str) -> Setup {
    let tag = keyspaces().iter().find(|space| space.name == table);
    let tag = tag.expect("the table is there").tag;
    altered(move |mut commit| {
        commit.writes.retain(|write| key_of(write).tag() != tag);
        Step::Forward(commit)
    })
}

fn key_of(write: &Write) -> &Key {
    match write {
        Write::Put(key, _)
        | Write::Delete(key)
        | Write::Add(key, _)
        | Write::Stamp { key, .. }
        | Write::Append { prefix: key, .. } => key,
        Write::DeleteRange(range) => &range.from,
    }
}

/// Seeds with the checkers' complaints, until the checker is among them.
fn assert_found(checker: &str, setup: impl Fn() -> Setup, plan: impl Fn(u64) -> Plan) {
    let mut others = Vec::new();
    for seed in 0..SEEDS_MAX {
        let Outcome { complaints, .. } = run(plan(seed), &setup());
        if complaints.iter().any(|one| one.checker == checker) {
            return;
        }
        others.extend(complaints.into_iter().map(|one| one.to_string()));
    }
    panic!("{checker} did not find it in {SEEDS_MAX} seeds; others said {others:?}");
}

/// A run in fair weather but for one crash.
fn one_crash(seed: u64) -> Plan {
    Plan {
        dooms: vec![Doom {
            point: Point::Queued,
            ..doom(seed)
        }],
        ..fair(seed)
    }
}

fn doom(seed: u64) -> Doom {
    Doom {
        commit: 6 + seed,
        within: Duration::from_mins(1),
        point: Point::Orderly,
        downtime: Duration::from_millis(50),
    }
}

fn fair(seed: u64) -> Plan {
    Plan {
        storm: Duration::ZERO,
        dooms: Vec::new(),
        losses: 0,
        stalls: 0,
        jumps: Vec::new(),
        ..Plan::of(seed)
    }
}

#[test]
fn a_world_without_a_mistake_is_without_complaint() {
    for seed in 0..4 {
        for plan in [one_crash(seed), fair(seed)] {
            let outcome = run(plan, &altered(Step::Forward));
            assert_eq!(outcome.complaints, [], "seed {seed}");
        }
    }
}

#[test]
fn durability_finds_an_answer_before_the_sync() {
    assert_found("durability", || altered(Step::AnswerEarly), one_crash);
}

#[test]
fn durability_finds_a_forgotten_commit() {
    assert_found("durability", || each(5, |_| Step::Forget), fair);
}

#[test]
fn idempotency_finds_forgotten_transactions() {
    assert_found("idempotency", || without("txn"), Plan::of);
}

#[test]
fn honesty_finds_a_refusal_of_what_was_applied() {
    assert_found("honesty", || each(4, Step::Deny), fair);
}

#[test]
fn atomicity_finds_a_room_created_in_two_steps() {
    let halves = |mut commit: Commit| {
        let rest = commit.writes.split_off(commit.writes.len() / 2);
        let rest = Commit {
            checks: Vec::new(),
            writes: rest,
            ..Commit::synced()
        };
        Step::InTwo(commit, rest)
    };
    assert_found("atomicity", move || altered(halves), one_crash);
}

#[test]
fn order_finds_commits_that_check_nothing() {
    let unchecked = |mut commit: Commit| {
        commit.checks.clear();
        Step::Forward(commit)
    };
    assert_found("order", move || altered(unchecked), Plan::of);
}

#[test]
fn order_finds_an_event_that_the_timeline_lacks() {
    assert_found("order", || without("room_timeline"), fair);
}

#[test]
fn authorisation_finds_an_event_that_was_rewritten() {
    let rewrite = |mut commit: Commit| {
        for write in &mut commit.writes {
            if let Write::Stamp { value, .. } = write {
                *value = rewritten(value);
            }
        }
        Step::Forward(commit)
    };
    assert_found("authorisation", move || altered(rewrite), fair);
}

/// Another topic of the same length.
fn rewritten(value: &Bytes) -> Bytes {
    let mut bytes = value.to_vec();
    let (old, new) = (b"Another", b"Changed");
    let at = bytes.windows(old.len()).position(|part| part == old);
    if let Some(at) = at {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes.into()
}

#[test]
fn state_finds_missing_rows() {
    for table in ["room_state", "local_member", "user_room", "room_server"] {
        assert_found("state", || without(table), fair);
    }
}

#[test]
fn bounds_find_writes_that_no_event_explains() {
    let padded = |mut commit: Commit| {
        let put = commit
            .writes
            .iter()
            .find(|write| matches!(write, Write::Put(..)));
        let put = put.expect("a head is written").clone();
        let padding = std::iter::repeat_n(put, 40);
        commit.writes.splice(0..0, padding);
        Step::Forward(commit)
    };
    assert_found("bounds", move || each(3, padded), fair);
}

/// Sets the wall clock an hour ahead for a while, and tells nobody.
fn nudge_clock(env: &Env, wall: &SimulatedWall) {
    let (clock, wall) = (env.clock.clone(), wall.clone());
    drop(env.tasks.spawn("clock tamperer", async move {
        clock.sleep(Duration::from_secs(1)).await;
        wall.jump_ms(3_600_000);
        clock.sleep(Duration::from_secs(4)).await;
        wall.jump_ms(-3_600_000);
    }));
}

#[test]
fn timestamps_find_a_clock_that_nobody_set() {
    assert_found("timestamps", || Setup::with_beside(nudge_clock), fair);
}

#[test]
fn calm_finds_a_server_that_is_busy_for_nothing() {
    assert_found("calm", || each(9, |_| Step::Refuse), fair);
}

#[test]
fn the_databases_own_check_finds_missing_edges() {
    assert_found("store", || without("event_edge"), fair);
}

#[test]
fn liveness_finds_a_commit_that_is_never_answered() {
    assert_found("liveness", || each(7, |_| Step::Hang), fair);
}

#[test]
fn liveness_finds_a_task_that_panics() {
    let beside = |env: &Env, _: &SimulatedWall| {
        drop(env.tasks.spawn("unlucky", async { panic!("on purpose") }));
    };
    assert_found("liveness", || Setup::with_beside(beside), fair);
}

#[test]
fn logs_find_a_warning_that_nothing_explains() {
    let beside = |_: &Env, _: &SimulatedWall| tracing::warn!("something is odd");
    assert_found("logs", || Setup::with_beside(beside), fair);
}

#[test]
fn determinism_finds_what_no_seed_decides() {
    let ambient = Arc::new(AtomicU64::new(0));
    let lives = move || {
        let ambient = Arc::clone(&ambient);
        each(5, move |commit| {
            if ambient.fetch_add(1, Ordering::Relaxed) < 3 {
                Step::Refuse
            } else {
                Step::Forward(commit)
            }
        })
    };
    let traces = [(); 2].map(|()| run(fair(3), &lives()).trace);
    assert!(first_difference(&traces[0], &traces[1]).is_some());
}
