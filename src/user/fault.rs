//! What can go wrong with any act, through nobody's doing who asked for it.

use belfry_data::{CommitError, ReadError, Unavailable};

/// Why an act could neither be done nor refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More waits than the server takes on; try again soon.
    #[error("too much work is waiting; try again in a moment")]
    Busy,
    /// The database does not answer.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The database did not say whether it took the change, or takes none.
    #[error("{0}")]
    Commit(CommitError),
    /// A mistake of ours or of the machine's.
    #[error("{0}")]
    Broken(String),
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict | CommitError::Unavailable(Unavailable::Busy) => Self::Busy,
            error => Self::Commit(error),
        }
    }
}
