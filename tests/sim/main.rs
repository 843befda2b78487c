//! The simulation: a server, its clients and everything that can go wrong between them, on one
//! seed, and checkers that say what must hold whatever happened.
//!
//! It exists because what is lost, doubled or half done after a crash is found by no test that
//! somebody thought of. See `docs/simulation.md`. So far one server, met directly or over HTTP
//! (`front`); further servers are further values of `server::Server`.

mod act;
mod board;
mod checks;
mod client;
mod determinism;
mod dice;
mod digest;
mod disk;
mod door;
mod excuse;
mod forged;
mod found;
mod front;
mod history;
mod logs;
mod plan;
mod scenarios;
mod seeds;
mod server;
mod setup;
mod shared;
mod signal;
mod tally;
mod tampered;
mod trace;
mod view;
mod weather;
mod world;

#[test]
fn seeds_first_share() {
    seeds::run_share(0);
}

#[test]
fn seeds_second_share() {
    seeds::run_share(1);
}

#[test]
fn seeds_third_share() {
    seeds::run_share(2);
}

#[test]
fn seeds_fourth_share() {
    seeds::run_share(3);
}
