//! One homeserver as a value: every crate wired to those below it, from an engine and a world.
//!
//! It exists so that the program, a simulation of many servers in one process, and a command that
//! works on a stopped server's database build the same server in the same way. It knows neither
//! which engine holds the database nor which network its router is served on.

mod devices;
#[cfg(test)]
mod devices_tests;
mod duty;
mod federation;
mod node;
mod options;
mod push;
mod upkeep;

#[cfg(test)]
mod files;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod partners;
#[cfg(test)]
mod push_tests;

pub use devices::DEVICES_INTERVAL;
pub use duty::{
    AGE_INTERVAL, COPIES_INTERVAL, DIRECTORY_INTERVAL, EXPIRY_INTERVAL, EXPIRY_STEPS_MAX,
    FLOWS_INTERVAL, MEDIA_SWEEP_INTERVAL,
};
pub use node::{Node, StartError};
pub use options::NodeOptions;
pub use upkeep::UPKEEP_INTERVAL;
