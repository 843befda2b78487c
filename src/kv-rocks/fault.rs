//! What `RocksDB` reports, as errors that say what to do. Knows no file format.

use std::{io, path::PathBuf};

use belfry_kv::{CommitError, ReadError, Unavailable};
use rocksdb::{Error, ErrorKind};

use crate::{options::DESCRIPTORS_MIN, stall::is_stall};

/// Why a database was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has the folder open.
    #[error(
        "{path} is in use by another process: stop that server, or give this one its own folder"
    )]
    Locked {
        /// The database's folder.
        path: PathBuf,
    },
    /// A newer version wrote the database.
    #[error(
        "{path} was written by a newer version ({what}): install that version again, or restore \
         the backup made before the upgrade; nothing was changed"
    )]
    Newer {
        /// The database's folder.
        path: PathBuf,
        /// What this version does not know.
        what: String,
    },
    /// A keyspace is declared otherwise than it was when its rows were written.
    #[error(
        "table {name} (tag {tag}) was stored as {stored} but is declared as {declared}: declare it \
         as it was, or give the new table a tag of its own"
    )]
    Keyspace {
        /// The declared name.
        name: String,
        /// The declared tag.
        tag: u8,
        /// Shape and temperature on disk.
        stored: String,
        /// Shape and temperature declared.
        declared: String,
    },
    /// The process may open too few files.
    #[error(
        "the process may open only {limit} files and the database needs {DESCRIPTORS_MIN} or more: \
         raise LimitNOFILE in the service unit, or ulimit -n"
    )]
    Descriptors {
        /// The soft limit found.
        limit: u64,
    },
    /// Bytes on disk are not those that were written.
    #[error(
        "the database is damaged: {what}. It was not opened and nothing was changed: check the \
         disk, then restore a backup"
    )]
    Damaged {
        /// Where, and how that is known.
        what: String,
    },
    /// A file could not be read or written.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `RocksDB` failed otherwise.
    #[error("the database does not open: {0}; check the disk and the folder's permissions")]
    Failed(String),
}

impl OpenError {
    /// For `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Corruption => Self::Damaged {
                what: error.into_string(),
            },
            _ => Self::Failed(error.into_string()),
        }
    }
}

/// A failed read.
pub(crate) fn read_error(error: Error) -> ReadError {
    match error.kind() {
        ErrorKind::Corruption => ReadError::Corrupt(format!(
            "{}; check the disk and restore a backup",
            error.into_string()
        )),
        _ => ReadError::Unavailable(error.into_string()),
    }
}

/// Whether a read stopped because the cache tier does not hold what it needs.
pub(crate) fn is_miss(error: &Error) -> bool {
    error.kind() == ErrorKind::Incomplete
}

/// Whether a write failed for want of space, which `RocksDB` recovers from by itself.
pub(crate) fn is_no_space(cause: &str) -> bool {
    cause.contains("No space left")
}

/// What the commits of a group are told whose write failed for `cause`.
pub(crate) fn refusal(cause: String) -> CommitError {
    if is_stall(&cause) {
        // Refused before anything was written.
        failed(cause)
    } else {
        CommitError::Unknown(cause)
    }
}

/// A commit that nothing was applied of.
pub(crate) fn failed(cause: impl Into<String>) -> CommitError {
    CommitError::Unavailable(Unavailable::Failed(cause.into()))
}
