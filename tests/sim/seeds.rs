//! Which seeds are run, what is shown of one that fails, and whether they met enough.
//!
//! It exists so that a failing seed is a command that anybody can repeat. It knows nothing of what
//! happens in a run.
//!
//! - `BELFRY_SIM_SEEDS=from..to` runs these instead of the ones that CI runs.
//! - `BELFRY_SIM_SECONDS=n` runs seeds from `from` on for so long, real time.
//! - `BELFRY_SIM_TRACE=1` prints the whole trace of every run.

use std::io::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use belfry_env::Clock;

use crate::plan::Plan;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::world::{Outcome, run};

/// What CI runs.
const SEEDS: Range<u64> = 0..200;
/// Tests that share the seeds, so that they use every core.
const SHARES: u64 = 4;
/// Lines of a failing run's trace that are shown.
const TAIL_LINES: usize = 80;

/// What the seeds that CI runs must have met, all together: a simulation that stops meeting it has
/// stopped testing it.
const MUST_HAPPEN: [&str; 37] = [
    "answer: done",
    "answer: later",
    "answer: refused",
    "answer: silence",
    "answer: unreached",
    "answer: unsure",
    "end: Before",
    "end: Queued",
    "end: Synced",
    "end: Wedged",
    "end: by time",
    "end: stop",
    "fault: busy",
    "fault: conflict",
    "fault: disk full",
    "fault: failed read",
    "fault: failed write",
    "fault: read slower than a snapshot lives",
    "fault: slow read",
    "fault: unknown, applied",
    "fault: unknown, lost",
    "steps of the wall clock",
    "lives with commits on top of commits",
    "redacted events",
    "runs over HTTP",
    "room version 10",
    "room version 11",
    "room version 12",
    "room version 3",
    "room version 4",
    "room version 5",
    "room version 6",
    "room version 7",
    "room version 8",
    "room version 9",
    "transactions answered more than once",
    "events",
];

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file to read"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn asked() -> Option<Range<u64>> {
    let text = variable("BELFRY_SIM_SEEDS")?;
    let parsed = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
    Some(parsed.expect("BELFRY_SIM_SEEDS is from..to, two numbers"))
}

/// What has happened in the shares that are done, and how many those are.
static HAPPENED: Mutex<(u64, Option<Tally>)> = Mutex::new((0, None));

/// Runs one share of the seeds. The last one to end says what happened in all.
///
/// # Panics
/// At the first seed with a complaint; if the seeds of CI did not meet what they must.
pub(crate) fn run_share(share: u64) {
    let seconds = variable("BELFRY_SIM_SECONDS");
    let seconds = seconds.map(|text| text.parse().expect("BELFRY_SIM_SECONDS is a number"));
    let clock = Clock::system();
    let begin = clock.now();
    let seeds = asked().unwrap_or(SEEDS);
    let end = if seconds.is_some() {
        u64::MAX
    } else {
        seeds.end
    };
    let mut tally = Tally::default();
    for seed in (seeds.start..end).filter(|seed| seed % SHARES == share) {
        let spent = clock.now().since(begin);
        if seconds.is_some_and(|seconds| spent >= Duration::from_secs(seconds)) {
            break;
        }
        tally.extend(run_seed(seed));
    }
    conclude(tally);
}

fn conclude(share: Tally) {
    let mut all = HAPPENED.lock().expect("no share has failed");
    all.0 += 1;
    let done = all.0;
    let tally = all.1.get_or_insert_default();
    tally.extend(share);
    if done < SHARES {
        return;
    }
    // Straight to the terminal: the figures are for reading, also when the tests pass.
    let mut out = std::io::stderr();
    for (what, count) in tally.counts() {
        writeln!(out, "sim: {count:>8} {what}").expect("the terminal is there");
    }
    if asked().is_none() {
        let missing: Vec<_> = MUST_HAPPEN
            .into_iter()
            .filter(|what| !tally.has(what))
            .collect();
        assert!(missing.is_empty(), "in no run: {missing:?}");
    }
}

/// Runs one seed; how often what happened.
///
/// # Panics
/// If a checker complains, with the end of the trace and the way to repeat it.
pub(crate) fn run_seed(seed: u64) -> Tally {
    let outcome = run(Plan::of(seed), &Setup::default());
    show(seed, &outcome);
    outcome.tally
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

/// The first line in which two traces differ.
pub(crate) fn first_difference(one: &[String], other: &[String]) -> Option<usize> {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}
