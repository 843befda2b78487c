//! The simulation: a server, its clients and everything that can go wrong between them, on one
//! seed, and checkers that say what must hold whatever happened.
//!
//! It exists because what is lost, doubled or half done after a crash is found by no test that
//! somebody thought of. See `docs/simulation.md`. So far one server, asked through `room`'s own
//! door (`door`); further servers are further values of `server::Server`.

mod act;
mod checks;
mod client;
mod dice;
mod digest;
mod disk;
mod door;
mod history;
mod logs;
mod plan;
mod seeds;
mod server;
mod signal;
mod trace;
mod view;
mod weather;
mod world;

/// Tests that share the seeds, so that they use every core.
const SHARDS: u64 = 4;

fn shard(number: u64) {
    let happened = seeds::run_shard(number, SHARDS);
    for (what, count) in happened {
        println!("{count:>8} {what}");
    }
}

#[test]
fn seeds_first_share() {
    shard(0);
}

#[test]
fn seeds_second_share() {
    shard(1);
}

#[test]
fn seeds_third_share() {
    shard(2);
}

#[test]
fn seeds_fourth_share() {
    shard(3);
}
