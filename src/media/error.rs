//! What media refuse, and what can go wrong through nobody's doing.

use std::time::Duration;

use belfry_blob::BlobError;
use belfry_data::{CommitError, ReadError};
use belfry_env::PoolError;
use belfry_policy::Denial;

use crate::repository::Help;

/// Why an act on media could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// There is no such file.
    #[error("there is no such file, or it has been removed")]
    NotFound,
    /// The ID is reserved, and its file has not come yet.
    #[error("this file has not been uploaded yet; try again later")]
    NotYetUploaded,
    /// The file is larger than uploads may be.
    #[error("the file is larger than {0} bytes; make it smaller")]
    TooLarge(u64),
    /// The user has uploaded as much as one may, or would have with this file.
    #[error("one account may upload {bytes_max} bytes all together; ask your administrator")]
    Quota {
        /// How much that is.
        bytes_max: u64,
        /// Where the user finds help.
        help: Help,
    },
    /// All users have uploaded as much as they may together, or would have with this file.
    #[error("this server has taken as many files as it may; ask your administrator")]
    ServerQuota(Help),
    /// The file of this ID is there already.
    #[error("a file was uploaded to this URI already; create another")]
    AlreadyUploaded,
    /// The ID was reserved by somebody else.
    #[error("this URI was created by somebody else; create your own")]
    NotYours,
    /// The user has reserved as many IDs as one may.
    #[error("too many URIs wait for their files; upload to them first")]
    TooManyReserved,
    /// A label that no header can carry.
    #[error("{0}")]
    BadLabel(&'static str),
    /// There is no picture of this in another size.
    #[error("thumbnails are made of PNG, JPEG, GIF and WebP pictures only; download the file")]
    NotAPicture,
    /// The picture has too many pixels or bytes to be decoded here.
    #[error("the picture is too large for a thumbnail; download the file")]
    TooManyPixels,
    /// The store has no space left.
    #[error("the server has no space for the file; try again later")]
    StoreFull,
    /// More is asked for than the server takes on.
    #[error("too many pictures are waiting; try again in a moment")]
    Busy,
    /// Another server's file is larger than this one fetches.
    #[error("the file of that server is too large for this one")]
    OriginTooLarge,
    /// Another server's file does not come. The text is the operator's.
    #[error("the file's server does not send it; try again later")]
    OriginFailed(String),
    /// Too much was fetched for one user; how long until there is more.
    #[error("you have had too much fetched from other servers; try again later")]
    Spent(Duration),
    /// Not a URL that a preview can be of.
    #[error("{0}")]
    BadUrl(&'static str),
    /// Previews of that site are not wanted here.
    #[error("previews of that site are not shown here")]
    UrlDenied,
    /// There are no previews on this server.
    #[error("this server shows no previews")]
    NoPreviews,
    /// The page does not come. The text is the operator's: it would tell about our own network.
    #[error("the page cannot be fetched")]
    PageFailed(String),
    /// Policy forbids it.
    #[error("{0}")]
    Denied(Denial),
    /// The database or the store cannot be used now. The text is the operator's.
    #[error("{0}")]
    Unavailable(String),
    /// A mistake of ours or of the machine's. The text is the operator's.
    #[error("{0}")]
    Broken(String),
}

impl From<BlobError> for MediaError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => Self::StoreFull,
            BlobError::Failed(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<ReadError> for MediaError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Expired => Self::Busy,
            error @ ReadError::Unavailable(_) => Self::Unavailable(error.to_string()),
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<CommitError> for MediaError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Busy,
            error @ (CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                Self::Unavailable(error.to_string())
            }
            error @ CommitError::TooLarge(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<PoolError> for MediaError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Full(_) | PoolError::Closed => Self::Busy,
            // Already logged; a picture that makes the decoder panic is not one that we show.
            PoolError::Panicked(_) => Self::NotAPicture,
        }
    }
}
