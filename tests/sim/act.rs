//! The things that clients do, as values.
//!
//! It exists so that a request can be made again word for word, and recognised by the event that
//! it led to: each thing carries a mark that no other has. It knows nothing of answers.

use belfry_room::MemberAct;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::Value;

use crate::door::{Answer, Creation, Door};

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

    /// Asks for it.
    pub(crate) async fn ask(&self, door: &Door, mark: &str) -> Answer {
        match self {
            Self::Create(creation) => door.create(creation).await,
            Self::Send {
                room,
                kind,
                txn,
                content,
            } => door.send(room, kind, txn, content).await,
            Self::Redact { room, event, txn } => door.redact(room, event, txn, mark).await,
            Self::State {
                room,
                kind,
                key,
                content,
            } => door.state(room, kind, key, content).await,
            Self::Member { room, act, target } => match act {
                MemberAct::Join => door.join(room, mark).await,
                MemberAct::Leave => door.leave(room, mark).await,
                MemberAct::Knock => door.knock(room, mark).await,
                act => door.moderate(room, *act, target, mark).await,
            },
        }
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
