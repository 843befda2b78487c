//! The log of changed profiles: one for the server, of its users.
//!
//! Exists so that those who share a room with somebody are told which fields changed, without their
//! profiles being compared. Knows nothing of who is told.

use belfry_kv::{Commit, Direction, ReadError, Snapshot, Stamp};
use ruma_common::UserId;

use super::{rows::ProfileLogRow, tables::PROFILE_LOG};
use crate::{
    rows::GlobalRow,
    shortening::{cut, shorten},
    tables::GLOBAL_LOG,
};

/// Most entries that one [`profile_changes`] gives.
pub const PROFILE_CHANGES_MAX: usize = 1_000;
/// Entries that are kept, the newest. More are never read at once, so that nobody is told less because
/// of what goes.
pub const PROFILE_ENTRIES_KEPT: usize = 10_000;

/// Whose profiles changed, and in which fields, behind `after` and not behind `until`, oldest first.
/// `None` if they are more than [`PROFILE_CHANGES_MAX`] or some of them are gone: it may be anybody.
pub async fn profile_changes(
    snapshot: &dyn Snapshot,
    after: Stamp,
    until: Stamp,
) -> Result<Option<Vec<ProfileLogRow>>, ReadError> {
    let mut range = PROFILE_LOG.range_after(&(), &(after,));
    range.to = PROFILE_LOG.key(&(until,)).successor();
    if range.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let page = PROFILE_LOG.scan(snapshot, range, Direction::Forward, PROFILE_CHANGES_MAX);
    let page = page.await?;
    let gone = page.rows.iter().any(|(_, row)| row.user.is_empty());
    if gone || page.rest.is_some() {
        return Ok(None);
    }
    Ok(Some(page.rows.into_iter().map(|(_, row)| row).collect()))
}

/// Where the log may be cut: the newest entry that goes; `None` if all are kept. `kept` is
/// [`PROFILE_ENTRIES_KEPT`], but for tests.
pub async fn profile_log_cut(
    snapshot: &dyn Snapshot,
    kept: usize,
) -> Result<Option<Stamp>, ReadError> {
    cut(&PROFILE_LOG, snapshot, kept).await
}

/// Adds to the commit that the oldest entries up to `cut` go; how many went. Call it again until none
/// do.
pub async fn trim_profile_log(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    cut: Stamp,
) -> Result<usize, ReadError> {
    let mark = ProfileLogRow {
        user: "".into(),
        fields: Vec::new(),
    };
    shorten(&PROFILE_LOG, snapshot, commit, (cut, mark)).await
}

/// Notes which fields changed, if any did.
pub(super) fn note(commit: &mut Commit, user: &UserId, fields: Vec<Box<str>>) {
    if fields.is_empty() {
        return;
    }
    let user: Box<str> = user.as_str().into();
    let row = ProfileLogRow {
        user: user.clone(),
        fields,
    };
    PROFILE_LOG.append(commit, &(), &row);
    GLOBAL_LOG.append(commit, &(), &GlobalRow::Profile { user });
}
