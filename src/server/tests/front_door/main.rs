//! The program through its front door: the built binary, real files, real signals.
//!
//! Nothing here waits for time to pass: a test waits for what the server tells its service manager,
//! and for processes to end. Every process that a test starts it also ends.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod database;
#[cfg(test)]
mod federation;
#[cfg(test)]
mod http;
#[cfg(test)]
mod life;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod process;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod rows;
