//! What users report to the administration: rooms, events, users.
//!
//! Exists so that reports are kept until somebody has looked at them. Knows nothing of who looks.

use belfry_kv::{Commit, Direction, ReadError, Shape, Snapshot, Stamp, Table, Temperature};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{DIGEST_BYTES, UserKey, digest},
    tables::ground,
};

/// Most reports of one user that are kept; whoever stores one counts them before.
pub const REPORTS_PER_USER_MAX: usize = 1_000;

/// What is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportTarget {
    /// A whole room.
    Room(OwnedRoomId),
    /// An event of a room.
    Event(OwnedRoomId, OwnedEventId),
    /// A user.
    User(OwnedUserId),
}

impl ReportTarget {
    fn digest(&self) -> [u8; DIGEST_BYTES] {
        match self {
            Self::Room(room) => digest(&["room", room.as_str()]),
            Self::Event(room, event) => digest(&["event", room.as_str(), event.as_str()]),
            Self::User(user) => digest(&["user", user.as_str()]),
        }
    }
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// What is reported.
    pub target: ReportTarget,
    /// Why, in the reporter's words.
    pub reason: Box<str>,
    /// When, in milliseconds since the Unix epoch.
    pub ts: u64,
}
postcard_row!(ReportRow);

/// Reporter, digest of what is reported: who reports the same thing again says it anew.
pub(crate) static REPORT: Table<(UserKey, [u8; DIGEST_BYTES]), (Stamp, ReportRow)> =
    Table::new(ground(66, "report", Shape::Scan, Temperature::Cold));

/// Stores a report.
pub fn put_report(commit: &mut Commit, reporter: &UserId, row: &ReportRow) {
    let key = (UserKey::from(reporter), row.target.digest());
    REPORT.stamp(commit, &key, row);
}

/// The reports of one user, in no order, at most `limit`.
pub async fn reports_by(
    snapshot: &dyn Snapshot,
    reporter: &UserId,
    limit: usize,
) -> Result<Vec<(Stamp, ReportRow)>, ReadError> {
    let range = REPORT.prefix(&(UserKey::from(reporter),));
    let page = REPORT
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    Ok(page.rows.into_iter().map(|(_, row)| row).collect())
}

/// Whether the user has reported the same before.
pub async fn was_reported(
    snapshot: &dyn Snapshot,
    reporter: &UserId,
    target: &ReportTarget,
) -> Result<bool, ReadError> {
    let key = (UserKey::from(reporter), target.digest());
    Ok(REPORT.get(snapshot, &key).await?.is_some())
}
