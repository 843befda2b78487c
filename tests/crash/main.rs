//! What only the whole program on a real disk can show: killed under load, again and again, copied
//! under load, damaged, short of space; nothing that it acknowledged is ever lost or done twice.
//!
//! The program is the one that Cargo builds for the profile of this test. How often it is killed
//! says `BELFRY_CRASH_KILLS`; `BELFRY_CRASH_SEED` chooses other loads and moments. Every process
//! that a test starts is ended by it, whatever happens.

#[cfg(test)]
mod act;
#[cfg(test)]
mod actor;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod client;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod place;
#[cfg(test)]
mod program;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod uploads;
