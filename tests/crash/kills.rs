//! Killed again and again under load: OPS-001.

use std::env;

use crate::storm::{Storm, runtime};

/// Kills unless the environment says otherwise.
const KILLS: u64 = 10;
/// Kills between two checks of everything, so that most starts meet what a kill left.
const KILLS_PER_CHECK: u64 = 5;
const SEED: u64 = 1;

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test takes is for whoever starts it to say"
)]
fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn ops_001_a_server_killed_under_load_loses_nothing_and_does_nothing_twice() {
    let runtime = runtime();
    runtime.block_on(async {
        let kills = number("BELFRY_CRASH_KILLS", KILLS);
        let seed = number("BELFRY_CRASH_SEED", SEED);
        let mut storm = Storm::new(&runtime, seed).await;
        let begun = storm.env.clock.now();
        for kill in 1..=kills {
            storm.live_and_die().await;
            if kill % KILLS_PER_CHECK == 0 {
                storm.check().await;
            }
        }
        storm.live_and_stop().await;
        let stored = storm.check().await;
        let took = storm.env.clock.now().since(begun);
        println!(
            "seed {seed}: {kills} kills, {} requests acknowledged, {} rooms, {} events stored, \
             {} ms a kill",
            storm.acknowledged(),
            stored.rooms.len(),
            stored.events(),
            took.as_millis() / u128::from(kills.max(1)),
        );
    });
}
