//! Writes that never wait without an end. `RocksDB` holds a write back while flushes or compactions
//! are behind, and for ever while it waits for disk space to flush into; here it refuses instead,
//! and the wait is ours, with a limit. Knows nothing of groups.

use std::{thread, time::Duration};

use rocksdb::{Error, ErrorKind, WriteBatch, WriteOptions, properties};

use crate::store::Db;

/// How often a write is tried while `RocksDB` takes none.
const POLL: Duration = Duration::from_millis(2);
/// How often at most: 10 s. A flush of the largest buffer takes less on the slowest disk in use.
const POLLS_MAX: u32 = 5_000;
/// What the error says of a write that was not begun because writes are stalled.
const STALL: &str = "writes are stalled";

/// How long a write may wait for `RocksDB` to take writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all: it is tried again later.
    None,
    /// As long as a flush takes.
    Full,
}

/// Writes a batch, or says why not. After an error of [`is_stall`] nothing was written.
pub(crate) fn write(
    db: &Db,
    batch: WriteBatch,
    sync: bool,
    patience: Patience,
) -> Result<(), String> {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options.set_no_slowdown(true);
    // A write takes its batch along, so a second try needs another.
    let copy = batch.data().to_vec();
    let mut written = db.write_opt(batch, &options);
    let polls = match patience {
        Patience::None => 0,
        Patience::Full => POLLS_MAX,
    };
    for _ in 0..polls {
        if !written.as_ref().is_err_and(is_held_back) {
            break;
        }
        thread::park_timeout(POLL);
        written = db.write_opt(WriteBatch::from_data(&copy), &options);
    }
    written.map_err(|error| {
        if is_held_back(&error) {
            stalled(db)
        } else {
            error.into_string()
        }
    })
}

fn is_held_back(error: &Error) -> bool {
    error.kind() == ErrorKind::Incomplete
}

/// Why writes are held back. Only for want of space do background errors leave them waiting.
fn stalled(db: &Db) -> String {
    let errors = db.property_int_value(properties::BACKGROUND_ERRORS);
    if matches!(errors, Ok(Some(1..))) {
        format!("{STALL}: No space left for what is in memory; free some space")
    } else {
        format!("{STALL}: the disk is too slow for flushes; check it, or give the server less load")
    }
}

/// Whether a write failed because `RocksDB` took none, which ends by itself.
pub(crate) fn is_stall(cause: &str) -> bool {
    cause.starts_with(STALL)
}
