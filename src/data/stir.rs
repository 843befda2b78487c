//! What passes: the log of typing, receipts and presence, kept for minutes.
//!
//! Exists because these are too many and too short-lived for the server's log, and readers must
//! still not miss any: whoever reads both logs up to a snapshot knows all that it holds. Knows
//! nothing of who reads; the notifier of `sync` trims it.

use belfry_kv::{
    Commit, Direction, Keyspace, Kind, ReadError, Shape, Snapshot, Stamp, Table, Temperature, Write,
};
use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// Something that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StirRow {
    /// Somebody began or ceased to type in a room.
    Typing {
        /// The room's ID.
        room: Box<str>,
    },
    /// Somebody's receipt in a room moved.
    Receipt {
        /// The room's ID.
        room: Box<str>,
        /// Whose.
        user: Box<str>,
        /// Whether only they are told.
        private: bool,
    },
    /// A user's presence changed.
    Presence {
        /// Whose.
        user: Box<str>,
    },
}
postcard_row!(StirRow);

/// In order.
pub(crate) static STIR_LOG: Table<(Stamp,), StirRow> =
    Table::new(space(85, "stir_log", Shape::Log));

/// A table of what passes or is read.
pub(crate) const fn space(tag: u8, name: &'static str, shape: Shape) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature: Temperature::Hot,
        kind: Kind::Ground,
        row_version: 1,
    }
}

/// A run of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StirPage {
    /// What passed, oldest first.
    pub entries: Vec<(Stamp, StirRow)>,
    /// Whether there may be more.
    pub more: bool,
}

/// What passed behind `after`, oldest first, as far as it was not trimmed.
pub async fn stirred(
    snapshot: &dyn Snapshot,
    after: Stamp,
    limit: usize,
) -> Result<StirPage, ReadError> {
    let range = STIR_LOG.range_after(&(), &(after,));
    let page = STIR_LOG
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let entries = page.rows.into_iter();
    Ok(StirPage {
        entries: entries.map(|((stamp,), row)| (stamp, row)).collect(),
        more: page.rest.is_some(),
    })
}

/// Adds an entry to the commit.
pub(crate) fn stir(commit: &mut Commit, row: &StirRow) {
    STIR_LOG.append(commit, &(), row);
}

/// Forgets what passed before `until`.
pub fn trim(commit: &mut Commit, until: Stamp) {
    let range = STIR_LOG.range_until(&(), &(until,));
    commit.writes.push(Write::DeleteRange(range));
}
