//! Three servers in one process over a network in memory, which loses, delays and cuts: rooms that
//! they share.

mod agreement_tests;
mod device_tests;
mod graph;
mod member;
mod membership_tests;
mod net;
mod outage_tests;
mod policy_server_tests;
mod query_tests;
mod sharing_tests;
mod simulation;
mod simulation_tests;
mod talk;
mod trace;
mod world;
