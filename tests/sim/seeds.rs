//! Which seeds are run, and what is shown of one that fails.
//!
//! It exists so that a failing seed is a command that anybody can repeat. It knows nothing of runs.
//!
//! - `BELFRY_SIM_SEEDS=from..to` runs these instead of the ones that CI runs.
//! - `BELFRY_SIM_SECONDS=n` runs seeds from `from` on for so long, real time.
//! - `BELFRY_SIM_TRACE=1` prints the whole trace of every run.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use belfry_env::Clock;

use crate::plan::Plan;
use crate::world::{Outcome, Setup, run};

/// What CI runs.
const SEEDS: Range<u64> = 0..200;
/// One in so many seeds is run twice, to see that it repeats itself.
const TWICE: u64 = 16;
/// Lines of a failing run's trace that are shown.
const TAIL_LINES: usize = 80;

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file to read"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn asked() -> Range<u64> {
    let Some(text) = variable("BELFRY_SIM_SEEDS") else {
        return SEEDS;
    };
    let parsed = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
    parsed.expect("BELFRY_SIM_SEEDS is from..to, two numbers")
}

/// The seeds of one of `shards` tests that run side by side.
pub(crate) fn run_shard(shard: u64, shards: u64) -> BTreeMap<String, u64> {
    let seconds = variable("BELFRY_SIM_SECONDS");
    let seconds = seconds.map(|text| text.parse().expect("BELFRY_SIM_SECONDS is a number"));
    let clock = Clock::system();
    let begin = clock.now();
    let seeds = asked();
    let end = if seconds.is_some() {
        u64::MAX
    } else {
        seeds.end
    };
    let mut happened = BTreeMap::new();
    for seed in (seeds.start..end).filter(|seed| seed % shards == shard) {
        let spent = clock.now().since(begin);
        if seconds.is_some_and(|seconds| spent >= Duration::from_secs(seconds)) {
            break;
        }
        for (what, count) in run_seed(seed) {
            *happened.entry(what).or_default() += count;
        }
    }
    happened
}

/// Runs one seed.
///
/// # Panics
/// If a checker complains, with the end of the trace and the way to repeat it.
pub(crate) fn run_seed(seed: u64) -> BTreeMap<String, u64> {
    let outcome = run(Plan::of(seed), &Setup::default());
    show(seed, &outcome);
    if seed.is_multiple_of(TWICE) {
        let again = run(Plan::of(seed), &Setup::default());
        assert_same(seed, &outcome.trace, &again.trace);
    }
    outcome.happened
}

fn show(seed: u64, outcome: &Outcome) {
    if variable("BELFRY_SIM_TRACE").is_some() {
        let text = outcome.trace.join("\n");
        writeln!(std::io::stderr(), "seed {seed}\n{text}").expect("the terminal is there");
    }
    if outcome.complaints.is_empty() {
        return;
    }
    let first = outcome.trace.len().saturating_sub(TAIL_LINES);
    let tail = outcome.trace[first..].join("\n");
    let complaints: Vec<_> = outcome.complaints.iter().map(ToString::to_string).collect();
    panic!(
        "seed {seed} fails:\n{}\n\nthe end of its trace:\n{tail}\n\nto repeat it:\n\
         BELFRY_SIM_SEEDS={seed}..{} BELFRY_SIM_TRACE=1 cargo test -p belfry-tests --test sim seeds",
        complaints.join("\n"),
        seed + 1
    );
}

/// That two runs of one seed are one run.
///
/// # Panics
/// If they are not, with the first line in which they differ.
pub(crate) fn assert_same(seed: u64, one: &[String], other: &[String]) {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    let differs =
        differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())));
    if let Some(line) = differs {
        panic!(
            "seed {seed} does not repeat itself; line {line}:\n{:?}\n{:?}",
            one.get(line),
            other.get(line)
        );
    }
}
