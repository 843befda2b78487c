//! Reading a whole database and saying what is wrong with it: `belfry db check`.
//!
//! Exists so that damage, and mistakes of older builds, are found by looking rather than by their
//! effects. Goes through every table in pages, each on a snapshot of its own, and keeps no more
//! than counts by server of one room in memory. Reports what it finds as values, and repairs
//! nothing. Knows no engine.

mod account;
mod current;
mod directory;
mod errands;
mod event;
mod finding;
mod keys;
mod media;
mod order;
mod pages;
mod reading;
mod relation;
mod state;
mod user;

#[cfg(test)]
mod damage_tests;

use belfry_kv::{Engine, ReadError};
pub use finding::{Finding, FindingKind, Report};

use crate::age::AGE;
use crate::tables::{
    AUTH_CITER, CURSOR, INBOUND_TXN, META, MIGRATION, ROOM_EPOCH, ROOM_SERVER_ROWS, TXN,
};

/// Findings that a report holds, unless the caller wants fewer; the others are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Checks the whole database. Fails only if it cannot be read at all; what does not decode is a
/// finding. On a database in use, what a finding is about may have changed since.
pub async fn check(engine: &dyn Engine, findings_max: usize) -> Result<Report, ReadError> {
    let mut report = Report::new(findings_max.min(FINDINGS_MAX));
    pages::decode_all(engine, &META, &mut report).await?;
    pages::decode_all(engine, &MIGRATION, &mut report).await?;
    current::check(engine, &mut report).await?;
    event::check(engine, &mut report).await?;
    order::check(engine, &mut report).await?;
    state::check(engine, &mut report).await?;
    pages::decode_all(engine, &ROOM_EPOCH, &mut report).await?;
    pages::decode_all(engine, &AUTH_CITER, &mut report).await?;
    user::check(engine, &mut report).await?;
    account::check(engine, &mut report).await?;
    directory::check(engine, &mut report).await?;
    keys::check(engine, &mut report).await?;
    relation::check(engine, &mut report).await?;
    reading::check(engine, &mut report).await?;
    media::check(engine, &mut report).await?;
    errands::check(engine, &mut report).await?;
    pages::decode_all(engine, &AGE, &mut report).await?;
    pages::decode_all(engine, &ROOM_SERVER_ROWS, &mut report).await?;
    pages::decode_all(engine, &TXN, &mut report).await?;
    pages::decode_all(engine, &CURSOR, &mut report).await?;
    pages::decode_all(engine, &INBOUND_TXN, &mut report).await?;
    Ok(report)
}
