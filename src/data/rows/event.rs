//! Rows about single events and their places in the room's graph and orders.

use belfry_event::EventHash;
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, state::Root};

/// What became of the event when it was received (Server-Server API, "Checks performed on receipt
/// of a PDU").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// Allowed by its auth events, the state before it, and the current state.
    Accepted,
    /// Not allowed by the current state only: kept, not shown, no extremity.
    SoftFailed,
    /// Not allowed: kept so that it is not fetched again.
    Rejected,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// What became of it when it was received.
    pub acceptance: Acceptance,
    /// The state before the event; `None` for an outlier, whose place in the room is unknown.
    pub state_before: Option<Root>,
    /// One more than the greatest of its auth events', 0 without any: see
    /// [`belfry_event::auth_depth`].
    pub auth_depth: u64,
    /// When this server got the event, in milliseconds since the Unix epoch.
    pub received_ts: u64,
    /// The `m.room.redaction` that applies to the event, if one does.
    pub redacted_by: Option<EventHash>,
    /// Canonical JSON in the federation format, without `unsigned`.
    pub json: Box<str>,
}
postcard_row!(EventRow);

impl EventRow {
    /// Whether the event is known by its own account only, without its place in the room.
    pub fn is_outlier(&self) -> bool {
        self.state_before.is_none()
    }

    /// Whether the event is part of the room as clients see it.
    pub fn is_visible(&self) -> bool {
        self.acceptance == Acceptance::Accepted && !self.is_outlier()
    }
}

/// An event in an order: by arrival, by depth, or among those that cite another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Which event.
    pub event: EventHash,
}
postcard_row!(LogRow);

/// An event that has another among its `prev_events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRow {
    /// Whether that makes the other no forward extremity: soft-failed and rejected events do not.
    pub covers: bool,
}
postcard_row!(EdgeRow);

/// A backward extremity: an event that is referred to by a `prev_events` and not stored, except
/// as an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRow {
    /// The depth of the event that refers to it.
    pub depth: i64,
}
postcard_row!(GapRow);
