//! Why a request to read has no answer.
//!
//! It exists so that every caller handles the same few outcomes. It knows nothing of HTTP statuses
//! and error codes, which `api` gives to each variant.

use belfry_data::{CommitError, ReadError, StateError};
use belfry_event::UnreadableEvent;

use crate::{filter::FilterError, token::TokenError};

/// Why a request to read has no answer. Nothing is ever changed by one.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A token names no place in this database.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The filter is not one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No filter of the user's has this ID.
    #[error("there is no such filter; store it again")]
    UnknownFilter,
    /// The user is not, or was never, in the room, and it is not open to everybody.
    #[error("you are not in this room")]
    Forbidden,
    /// There is nothing of that name that the user may see.
    #[error("nothing of that name was found that you may see")]
    NotFound,
    /// More requests of this user, or of all users, wait for something new than the server holds.
    #[error("too many requests wait for something new; end some of them")]
    TooManyWaiting,
    /// The server does not remember the connection, or not as far back.
    #[error("the position is not known; leave pos out to start anew")]
    UnknownPos,
    /// The request asks for what cannot be, or for more than it may.
    #[error("{0}")]
    Invalid(String),
    /// Not the caller's doing.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What went wrong inside. Its text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database cannot be read.
    #[error(transparent)]
    Read(StateError),
    /// A stored event cannot be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// What was told could not be stored.
    #[error(transparent)]
    Store(CommitError),
    /// A room of a version that this build does not know.
    #[error("a stored room has version {0}, which this build does not know; start a newer one")]
    Version(String),
}

impl Fault {
    /// Whether the same request may have an answer in a moment: the database is slow or stopping.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Read(StateError::Read(ReadError::Expired | ReadError::Unavailable(_))) => true,
            Self::Store(error) => matches!(error, CommitError::Unavailable(_)),
            _ => false,
        }
    }

    /// Whether it is about what is stored of one room, which nothing but a repair will change.
    pub(crate) fn is_of_room(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Version(_) => true,
            Self::Store(_) => false,
            Self::Read(error) => matches!(error, StateError::Read(ReadError::Corrupt(_))),
        }
    }

    /// Whether a new snapshot may do.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self, Self::Read(StateError::Read(ReadError::Expired)))
    }
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        Self::Read(error)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Read(error.into())
    }
}

impl From<ReadError> for ViewError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}
