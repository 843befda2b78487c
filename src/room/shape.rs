//! The parts of an event that a change tells by itself.
//!
//! It exists so that what the state must be asked for can be foreseen. It knows no state.

use belfry_data::StateTuple;
use belfry_event::{Numbers, Pdu, RoomRules, StateMapKey, auth_types, canonical_json};
use ruma_common::{OwnedEventId, UserId};
use ruma_events::room::member::MembershipState;
use ruma_events::{StateEventType, TimelineEventType};
use serde_json::value::{RawValue, to_raw_value};

use crate::change::{Change, MemberAct};
use crate::error::RoomError;

/// An event without its place in the room.
pub(crate) struct Shape {
    pub(crate) kind: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
    pub(crate) redacts: Option<OwnedEventId>,
}

impl Shape {
    pub(crate) fn of(change: &Change) -> Result<Self, RoomError> {
        Ok(match change {
            Change::Message { kind, content } => Self::plain(kind.clone(), content.clone()),
            Change::State {
                kind,
                state_key,
                content,
            } => Self {
                state_key: Some(state_key.clone()),
                ..Self::plain(kind.clone(), content.clone())
            },
            Change::Member(change) => Self {
                state_key: Some(change.target.to_string()),
                ..Self::plain(
                    TimelineEventType::RoomMember,
                    raw(&change.content().into())?,
                )
            },
            Change::Redaction { redacts, content } => Self {
                redacts: Some(redacts.clone()),
                ..Self::plain(TimelineEventType::RoomRedaction, content.clone())
            },
        })
    }

    /// The shape of the change, given the state event that it replaces.
    pub(crate) fn on(self, change: &Change, present: Option<&Pdu>) -> Result<Self, RoomError> {
        match (change, present) {
            (Change::Member(member), Some(present)) if member.act == MemberAct::Show => Ok(Self {
                content: raw(&member.shown_on(present).into())?,
                ..self
            }),
            _ => Ok(self),
        }
    }

    fn plain(kind: TimelineEventType, content: Box<RawValue>) -> Self {
        Self {
            kind,
            state_key: None,
            content,
            redacts: None,
        }
    }

    /// The state that allows the event.
    pub(crate) fn auth_keys(
        &self,
        rules: &RoomRules,
        sender: &UserId,
    ) -> Result<Vec<StateMapKey>, RoomError> {
        auth_types(
            rules,
            &self.kind,
            sender,
            self.state_key.as_deref(),
            &self.content,
        )
        .map_err(RoomError::BadContent)
    }

    /// What the event sets, if it is a state event.
    pub(crate) fn state_tuple(&self) -> Option<Result<StateTuple, RoomError>> {
        let kind = StateEventType::from(self.kind.to_string());
        self.state_key.as_deref().map(|key| tuple(&kind, key))
    }
}

/// The tuple, if its parts are short enough for an event.
pub(crate) fn tuple(kind: &StateEventType, key: &str) -> Result<StateTuple, RoomError> {
    StateTuple::new(kind.to_string(), key)
        .map_err(|error| RoomError::BadParameter(error.to_string()))
}

/// The `membership` of a member event.
pub(crate) fn membership_of(event: &Pdu) -> Option<MembershipState> {
    #[derive(serde::Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    let content: Option<Content> = serde_json::from_str(event.content_json()).ok();
    content.map(|content| content.membership)
}

/// Whether the event is the sender's and has this very content.
pub(crate) fn says(event: &Pdu, sender: &UserId, content: &RawValue) -> bool {
    event.sender() == sender
        && canonical_json(content.get().as_bytes(), Numbers::Normalised)
            .is_ok_and(|canonical| canonical == event.content_json())
}

fn raw(value: &serde_json::Value) -> Result<Box<RawValue>, RoomError> {
    to_raw_value(value).map_err(|error| RoomError::BadContent(error.to_string()))
}
