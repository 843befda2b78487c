//! A stored event, read: as its room shows it now, redacted if it was.
//!
//! It exists so that no reader forgets a redaction. It knows nothing of who may see the event.

use belfry_data::{Root, StateTuple, StoredEvent, TimelinePoint};
use belfry_event::{EventHash, Pdu, RoomRules};
use ruma_common::UserId;
use ruma_events::TimelineEventType;

use crate::error::Fault;

/// An event of a room.
#[derive(Debug, Clone)]
pub(crate) struct RoomEvent {
    stored: StoredEvent,
    pub(crate) pdu: Pdu,
}

impl RoomEvent {
    pub(crate) fn read(rules: &'static RoomRules, stored: StoredEvent) -> Result<Self, Fault> {
        let mut pdu = stored.pdu(rules)?;
        if stored.row.redacted_by.is_some() {
            pdu = pdu.redact()?;
        }
        Ok(Self { stored, pdu })
    }

    /// The event without what a redaction takes, for those who are not to read it.
    pub(crate) fn without_content(mut self) -> Result<Self, Fault> {
        self.pdu = self.pdu.redact()?;
        Ok(self)
    }

    pub(crate) fn hash(&self) -> EventHash {
        self.stored.hash
    }

    /// The stamp is that of the event's arrival: before those of its places in log and timeline,
    /// and behind those of every event before it.
    pub(crate) fn stamp(&self) -> belfry_data::Stamp {
        self.stored.stamp
    }

    /// The place right before the event.
    pub(crate) fn point(&self) -> TimelinePoint {
        TimelinePoint {
            depth: self.pdu.depth(),
            stamp: self.stored.stamp,
        }
    }

    pub(crate) fn state_before(&self) -> Root {
        self.stored.row.state_before.unwrap_or(Root::EMPTY)
    }

    /// When this server got it, in milliseconds since the Unix epoch.
    pub(crate) fn received_ts(&self) -> u64 {
        self.stored.row.received_ts
    }

    /// Whether it is part of the room as clients see it.
    pub(crate) fn is_visible(&self) -> bool {
        self.stored.row.is_visible()
    }

    /// The redaction that applies, if one does.
    pub(crate) fn redacted_by(&self) -> Option<EventHash> {
        self.stored.row.redacted_by
    }

    /// What the event sets, if it is state.
    pub(crate) fn tuple(&self) -> Option<StateTuple> {
        let state_key = self.pdu.state_key()?;
        StateTuple::new(self.pdu.event_type().to_string(), state_key).ok()
    }

    /// Whether it is about the membership of this user.
    pub(crate) fn is_member_event_of(&self, user: &UserId) -> bool {
        *self.pdu.event_type() == TimelineEventType::RoomMember
            && self.pdu.state_key() == Some(user.as_str())
    }
}
