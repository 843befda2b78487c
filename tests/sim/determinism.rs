//! Determinism: one seed is one run, byte by byte, and another seed is another.
//!
//! Without it a failing seed is an anecdote. The traces compared hold every request and answer with
//! its time, every fault, and a digest of every commit.
//!
//! Stops in good order are left out: `env::Shutdown` is made of tokio's `watch`, which wakes those
//! who wait for it (the workers of several rooms) in an order that no seed decides.

use crate::plan::{Plan, Point};
use crate::seeds::first_difference;
use crate::setup::Setup;
use crate::world::run;

/// Seeds that are run twice.
const SEEDS: u64 = 10;

fn plan(seed: u64) -> Plan {
    let mut plan = Plan::of(seed);
    plan.dooms.retain(|doom| doom.point != Point::Orderly);
    plan
}

fn trace(seed: u64) -> Vec<String> {
    run(plan(seed), &Setup::default()).trace
}

#[test]
fn a_seed_is_one_run() {
    for seed in 1_000..1_000 + SEEDS {
        let (one, other) = (trace(seed), trace(seed));
        if let Some(line) = first_difference(&one, &other) {
            let (one, other) = (one.get(line), other.get(line));
            panic!("seed {seed} does not repeat itself; line {line}:\n{one:?}\n{other:?}");
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    assert!(first_difference(&trace(1_000), &trace(1_001)).is_some());
}
