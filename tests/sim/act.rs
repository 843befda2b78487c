//! The things that clients do, as values.
//!
//! It exists so that a request can be made again word for word, and recognised by the event that
//! it led to: each thing carries a mark that no other has. It knows nothing of answers.

use belfry_room::{MemberAct, Preset};
use ruma_common::{OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId};
use serde_json::Value;

/// One thing that a client does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Creates a room, whose name is the mark.
    Create(Creation),
    /// Sends a message, whose content holds the mark.
    Send {
        room: OwnedRoomId,
        kind: &'static str,
        txn: String,
        content: Value,
    },
    /// Redacts an event; the reason is the mark.
    Redact {
        room: OwnedRoomId,
        event: OwnedEventId,
        txn: String,
    },
    /// Sets state, whose content holds the mark.
    State {
        room: OwnedRoomId,
        kind: &'static str,
        key: String,
        content: Value,
    },
    /// Changes a membership; the reason is the mark.
    Member {
        room: OwnedRoomId,
        act: MemberAct,
        target: OwnedUserId,
    },
}

impl Act {
    /// Whether the server knows the request again when it is made twice.
    pub(crate) fn has_txn(&self) -> bool {
        matches!(self, Self::Send { .. } | Self::Redact { .. })
    }

    /// Whether a client that learned nothing may ask again without fear of doing it twice.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Create(_))
    }

    /// In a few words, for the trace.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Create(creation) => {
                let Creation {
                    version, preset, ..
                } = creation;
                format!(
                    "create {preset:?} v{version}, invite {}",
                    creation.invite.len()
                )
            }
            Self::Send {
                room, kind, txn, ..
            } => format!("send {kind} txn {txn} in {room}"),
            Self::Redact { room, event, txn } => format!("redact {event} txn {txn} in {room}"),
            Self::State {
                room, kind, key, ..
            } => {
                let key: String = key.chars().take(20).collect();
                format!("state {kind} {key:?} in {room}")
            }
            Self::Member { room, act, target } => format!("{act:?} {target} in {room}"),
        }
    }
}

/// A room to be created.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    pub(crate) version: RoomVersionId,
    pub(crate) preset: Preset,
    pub(crate) name: String,
    pub(crate) topic: Option<String>,
    pub(crate) alias: Option<OwnedRoomAliasId>,
    pub(crate) invite: Vec<OwnedUserId>,
    pub(crate) is_direct: bool,
}
