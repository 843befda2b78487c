//! One step of a flow: what all kinds of flows have in common.
//!
//! It exists so that every flow meets a busy server, a room that refuses and a damaged room in the
//! same way. It knows nothing of when steps are taken.

use belfry_data::{CommitError, Flow, FlowAct, ReadError};
use belfry_room::{Append, Change, RoomError};
use belfry_user::Fault;
use ruma_common::{RoomId, UserId};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::runner::Inner;

/// Where a flow stands after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Here.
    At { stage: u32, cursor: String },
    /// At its end.
    Done,
}

impl Next {
    /// The beginning of a stage.
    pub(crate) fn stage(stage: u32) -> Self {
        let cursor = String::new();
        Self::At { stage, cursor }
    }

    /// The same stage at `cursor`; the next one if there is none.
    pub(crate) fn within(stage: u32, cursor: Option<String>) -> Self {
        match cursor {
            Some(cursor) => Self::At { stage, cursor },
            None => Self::stage(stage + 1),
        }
    }
}

/// Why a step could not be taken now. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    User(#[from] Fault),
}

impl Inner {
    /// Takes the flow's next step.
    pub(crate) async fn step(&self, flow: &Flow) -> Result<Next, Halt> {
        let (stage, cursor) = (flow.row.stage, &*flow.row.cursor);
        match &flow.row.act {
            FlowAct::LeaveRooms { user } => self.leave_rooms(user, cursor).await,
            FlowAct::ShowProfile { user } => self.show_profile(user, cursor).await,
            FlowAct::ReplaceRoom { old, new, by } => {
                self.replace(old, new, by, (stage, cursor)).await
            }
            FlowAct::InheritSettings { user, old, new } => self.inherit(user, old, new).await,
            FlowAct::RedactSent { room, user, by } => {
                self.redact_sent(room, user, by, cursor).await
            }
        }
    }

    /// Does something in a room. What the room refuses is left undone: whoever began the flow may
    /// not have the power for every part of it. So is what cannot be done in a damaged room.
    pub(crate) async fn act(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        change: Change,
    ) -> Result<(), Halt> {
        let append = Append {
            sender: sender.to_owned(),
            change,
            txn: None,
            timestamp_ms: None,
        };
        let done = self.rooms.append(room_id, append).await.map(drop);
        Self::excuse(room_id, done)
    }

    /// What came of an act that may be left undone.
    pub(crate) fn excuse(room_id: &RoomId, done: Result<(), RoomError>) -> Result<(), Halt> {
        match done {
            Ok(()) => Ok(()),
            Err(error @ (RoomError::Busy | RoomError::Unavailable(_) | RoomError::Unsure)) => {
                Err(error.into())
            }
            Err(error @ RoomError::Fault(_)) => {
                tracing::warn!(%room_id, %error, "a flow leaves a damaged room out");
                Ok(())
            }
            Err(error) => {
                tracing::info!(%room_id, %error, "a room does not let a flow do something");
                Ok(())
            }
        }
    }

    /// Sets a state event; nothing is sent if the state says that already.
    pub(crate) async fn set(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        (kind, state_key): (&str, &str),
        content: &Map<String, Value>,
    ) -> Result<(), Halt> {
        let content =
            to_raw_value(content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let change = Change::State {
            kind: kind.into(),
            state_key: state_key.to_owned(),
            content,
        };
        self.act(room_id, sender, change).await
    }
}
