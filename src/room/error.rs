//! Why a request to a room has no result.
//!
//! It exists so that every caller handles the same few outcomes; it knows nothing of HTTP statuses
//! and error codes, which `api` gives to each variant.

use belfry_data::{CommitError, ReadError, StateError, Unavailable, WritesError};
use belfry_event::DraftError;
use belfry_policy::Denial;
use ruma_common::RoomVersionId;

use ruma_common::OwnedRoomAliasId;

use crate::create::Unfit;

/// Why something was not done in a room, or a room was not created. In every case but
/// [`RoomError::Unsure`], nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// This server knows no such room.
    #[error("the room is not known to this server")]
    UnknownRoom,
    /// The room has no such event, as far as this server knows.
    #[error("the room has no such event")]
    UnknownEvent,
    /// No room has the alias.
    #[error("no room has this alias")]
    UnknownAlias,
    /// `m.room.canonical_alias` names an alias that does not stand for the room.
    #[error("{0} does not stand for this room; give the room the alias first")]
    BadAlias(OwnedRoomAliasId),
    /// The same user annotated the same event with the same key before.
    #[error("you have sent this reaction already")]
    DuplicateAnnotation,
    /// The event that a subscription is because of is not in the thread.
    #[error("the event is not in this thread; name one that is")]
    NotInThread,
    /// The user unsubscribed after the event that a subscription is because of.
    #[error("you have left this thread since; subscribe it yourself")]
    Unsubscribed,
    /// A room that the user is still in, or invited to, cannot be forgotten.
    #[error("leave the room before you forget it")]
    NotLeft,
    /// A room has the alias already.
    #[error("a room has this alias already; choose another")]
    AliasTaken,
    /// This server cannot take part in rooms of this version.
    #[error("room version {0} is not supported; choose one that /capabilities lists")]
    UnsupportedVersion(String),
    /// The room has another version than the asking server can take part in.
    #[error("the room has version {0}, which was not among those asked for")]
    IncompatibleVersion(RoomVersionId),
    /// A restricted join: this server cannot tell whether the user meets the conditions.
    #[error("this server cannot tell whether the user may join; ask another one in the room")]
    UnableToAuthorise,
    /// A restricted join: this server has no user who may invite.
    #[error("this server cannot vouch for the join; ask another one in the room")]
    UnableToGrant,
    /// No other server that could have done it was reached; the text says what came of the last.
    #[error("no server in the room did it: {0}")]
    Unreachable(String),
    /// The room's policy server does not recommend the event: its own error.
    #[error("{error}")]
    NotRecommended {
        /// The `errcode`.
        errcode: String,
        /// The `error`, for people.
        error: String,
    },
    /// The room's policy server gave no signature that is right; the text says why.
    #[error("the room's policy server did not sign the event: {0}")]
    Unrecommended(String),
    /// The room's rules do not allow it; the text may be shown to the sender.
    #[error("{0}")]
    Forbidden(String),
    /// The administration's policy does not allow it.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// The content is no JSON object, or holds what no event may hold.
    #[error("{0}")]
    BadContent(String),
    /// The event would be larger than events may be.
    #[error("{0}")]
    EventTooLarge(String),
    /// An ID, type or state key is not well-formed or too long.
    #[error("{0}")]
    BadParameter(String),
    /// The parameters describe a room that its own rules do not allow.
    #[error("the room described is not possible: {0}")]
    InvalidRoomState(String),
    /// The room described does not fit into one commit.
    #[error("the room has too much initial state; send some of it after the room is created")]
    TooMuchInitialState,
    /// More requests wait for this room, or for rooms in all, than the server holds.
    #[error("too many requests wait for this room; try again in a moment")]
    Busy,
    /// The database takes no writes, or does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// The database failed while it wrote: the same request with the same transaction ID finds
    /// out whether it was done.
    #[error("the server does not know whether this was done; ask again")]
    Unsure,
    /// Something that cannot be, which the log tells more of.
    #[error("the room could not be worked on: {0}")]
    Fault(String),
}

impl From<ReadError> for RoomError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Expired | ReadError::Unavailable(_) => Self::Unavailable(error.to_string()),
            ReadError::TooLarge | ReadError::Corrupt(_) => Self::Fault(error.to_string()),
        }
    }
}

impl From<StateError> for RoomError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Read(error) => error.into(),
            StateError::Missing(_) | StateError::Full | StateError::TooMany(_) => {
                Self::Fault(error.to_string())
            }
        }
    }
}

impl From<CommitError> for RoomError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict | CommitError::Unavailable(Unavailable::Busy) => Self::Busy,
            CommitError::Unavailable(_) => Self::Unavailable(error.to_string()),
            CommitError::Unknown(_) => Self::Unsure,
            CommitError::TooLarge(_) => Self::Fault(error.to_string()),
        }
    }
}

impl From<DraftError> for RoomError {
    fn from(error: DraftError) -> Self {
        match &error {
            DraftError::Content(_) => Self::BadContent(error.to_string()),
            DraftError::Format(format) if format.is_too_large() => {
                Self::EventTooLarge(error.to_string())
            }
            DraftError::Format(_) => Self::BadParameter(error.to_string()),
            DraftError::ForeignSender => Self::Forbidden(error.to_string()),
        }
    }
}

impl From<WritesError> for RoomError {
    fn from(error: WritesError) -> Self {
        match error {
            WritesError::Limit(_) => Self::TooMuchInitialState,
            WritesError::Sequence | WritesError::Extremities | WritesError::Epoch => {
                Self::Fault(error.to_string())
            }
        }
    }
}

impl From<Unfit> for RoomError {
    fn from(error: Unfit) -> Self {
        match error {
            Unfit::Reserved(_) => Self::InvalidRoomState(error.to_string()),
            Unfit::AdditionalCreators | Unfit::TooManyInvites => {
                Self::BadParameter(error.to_string())
            }
            Unfit::CreationField(_) | Unfit::Content(_) => Self::BadContent(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_that_cannot_be_read_now_is_no_fault() {
        for error in [
            ReadError::Expired,
            ReadError::Unavailable("down".to_owned()),
        ] {
            let told = RoomError::from(StateError::Read(error));
            assert!(matches!(told, RoomError::Unavailable(_)), "{told:?}");
        }
        let damaged = StateError::Read(ReadError::corrupt("a bit"));
        assert!(matches!(RoomError::from(damaged), RoomError::Fault(_)));
    }
}
