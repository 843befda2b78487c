//! Which seeds are run.
//!
//! - `BELFRY_FEDERATION_SECONDS=n` runs fresh seeds for so long, real time; without it, for
//!   [`BOX_DEFAULT`].
//! - `BELFRY_FEDERATION_SEEDS=from..to` runs these, as long as it takes.
//! - `BELFRY_FEDERATION_TRACE=1` tells what the servers log, as it happens.

use std::{ops::Range, time::Duration};

use belfry_env::{Clock, Random};

use super::simulation::{Tally, run};

/// How long fresh seeds are run unless somebody says.
const BOX_DEFAULT: Duration = Duration::from_secs(20);
/// Seeds that every run of the tests begins with.
const ALWAYS: Range<u64> = 0..6;
/// Seeds that found a fault once: what came too late was judged by who had left since (the first
/// two), the state was asked for although what was missing only waited, and whose keys were not to be
/// had during a join was not in the room for good.
const FOUND: [u64; 4] = [7_070, 15_449_016_846_170_730_002, 20_039, 30_037];

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file to read"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How a run is done again.
fn command(seed: u64) -> String {
    let test = "cargo test -p belfry-node three_servers_converge";
    format!("BELFRY_FEDERATION_SEEDS={seed}..{} {test}", seed + 1)
}

fn run_seed(seed: u64, tally: &mut Tally) {
    // Shown with what fails, also if that is a panic somewhere in the run.
    eprintln!("{}", command(seed));
    match run(seed, variable("BELFRY_FEDERATION_TRACE").is_some()) {
        Ok(happened) => {
            for (what, count) in happened {
                *tally.entry(what).or_default() += count;
            }
        }
        Err(why) => panic!("{why}\nrun it again: {}", command(seed)),
    }
}

#[test]
fn three_servers_converge_whatever_happens_between_them() {
    let mut tally = Tally::new();
    if let Some(text) = variable("BELFRY_FEDERATION_SEEDS") {
        let (from, to) = text.split_once("..").expect("from..to");
        let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
        (from..to).for_each(|seed| run_seed(seed, &mut tally));
        eprintln!("{tally:?}");
        return;
    }
    let seconds = variable("BELFRY_FEDERATION_SECONDS");
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    let span = seconds.map_or(BOX_DEFAULT, Duration::from_secs);
    let (clock, fresh) = (Clock::system(), Random::system().unwrap());
    let begin = clock.now();
    let mut runs = 0_usize;
    for seed in ALWAYS.chain(FOUND) {
        run_seed(seed, &mut tally);
        runs += 1;
    }
    while clock.now().since(begin) < span {
        run_seed(fresh.u64(), &mut tally);
        runs += 1;
    }
    eprintln!("{runs} runs: {tally:?}");
    for what in ["say", "state", "cut", "crash", "stop", "weather", "leave"] {
        assert!(tally.contains_key(what), "no run met {what}: {tally:?}");
    }
}
