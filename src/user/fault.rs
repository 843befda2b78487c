//! What can go wrong with any act, through nobody's doing who asked for it.

use belfry_data::{CommitError, ReadError, Unavailable};

/// Why an act could neither be done nor refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More waits than the server takes on; nothing was done.
    #[error("too much work is waiting; try again in a moment")]
    Busy,
    /// The database cannot be used now; nothing was done. The text is the operator's.
    #[error("{0}")]
    Unavailable(String),
    /// The database did not say whether it took the change. The text is the operator's.
    #[error("{0}")]
    Unsure(String),
    /// A mistake of ours or of the machine's. The text is the operator's.
    #[error("{0}")]
    Broken(String),
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            // The act took longer than a snapshot lives.
            ReadError::Expired => Self::Busy,
            error @ ReadError::Unavailable(_) => Self::Unavailable(error.to_string()),
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict | CommitError::Unavailable(Unavailable::Busy) => Self::Busy,
            error @ CommitError::Unavailable(_) => Self::Unavailable(error.to_string()),
            error @ CommitError::Unknown(_) => Self::Unsure(error.to_string()),
            error @ CommitError::TooLarge(_) => Self::Broken(error.to_string()),
        }
    }
}
