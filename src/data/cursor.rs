//! How far each reader of the log came: projectors, senders, pushers.
//!
//! Exists so that a reader resumes where it stopped, in the middle of an entry if need be. Knows no
//! reader.

use belfry_kv::{Commit, ReadError, Snapshot};

use crate::{
    rows::{CURSOR_RESUME_BYTES_MAX, CursorRow},
    tables::CURSOR,
};

/// Longest name of a cursor, in bytes.
pub const CURSOR_NAME_BYTES_MAX: usize = 512;

/// A cursor's name or its [`CursorRow::resume`] is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cursor's name is at most {CURSOR_NAME_BYTES_MAX} bytes long, and what it remembers at most \
     {CURSOR_RESUME_BYTES_MAX}"
)]
pub struct CursorTooLong;

/// How far the reader of this name came; `None` if it has not begun.
pub async fn cursor(snapshot: &dyn Snapshot, name: &str) -> Result<Option<CursorRow>, ReadError> {
    CURSOR.get(snapshot, &(name.to_owned(),)).await
}

/// Moves the cursor, if it still is where it was seen: two readers of one name get in nobody's way
/// but their own.
pub fn move_cursor(
    commit: &mut Commit,
    name: &str,
    seen: Option<&CursorRow>,
    to: &CursorRow,
) -> Result<(), CursorTooLong> {
    if name.len() > CURSOR_NAME_BYTES_MAX || to.resume.len() > CURSOR_RESUME_BYTES_MAX {
        return Err(CursorTooLong);
    }
    let key = (name.to_owned(),);
    CURSOR.check_equals(commit, &key, seen);
    CURSOR.put(commit, &key, to);
    Ok(())
}
