//! How many files and sockets the process may have open, and who gets how many.
//!
//! It exists so that a low limit is met at start, by a smaller server or a plain refusal, and not
//! by failures at random later.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::message::Message;

/// Fewer than this cannot be worked with.
const LIMIT_MIN: u64 = 128;
/// Neither part gets more than this, however high the limit is.
const PART_MAX: u64 = 100_000;
/// Below this the log says that the server is a small one.
const LIMIT_COMFORTABLE: u64 = 4_096;
/// Standard streams, log, lock, control socket, listeners, the runtime's own.
const RESERVED: u64 = 48;

/// How the limit is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// For the database's files.
    pub(crate) database: u32,
    /// For connections.
    pub(crate) connections: u32,
}

impl OpenFiles {
    /// Raises the soft limit to the hard one and divides it; refuses one that is too low.
    pub(crate) fn claim() -> Result<Self, Message> {
        let limit = raise();
        let parts = Self::divide(limit).ok_or_else(|| {
            Message::new("open-files-too-few")
                .with("limit", limit)
                .with("min", LIMIT_MIN)
        })?;
        if limit < LIMIT_COMFORTABLE {
            tracing::warn!(
                limit,
                ?parts,
                "the limit of open files is low (ulimit -n, LimitNOFILE=): fewer connections are taken at a time"
            );
        }
        Ok(parts)
    }

    fn divide(limit: u64) -> Option<Self> {
        if limit < LIMIT_MIN {
            return None;
        }
        let part = ((limit - RESERVED) / 2).min(PART_MAX);
        let part = u32::try_from(part).ok()?;
        Some(Self {
            database: part,
            connections: part,
        })
    }
}

/// The limit after it was raised as far as the process may.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let now = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            current
        }
    };
    // `None` is no limit at all.
    now.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_gives_a_small_server() {
        let parts = OpenFiles::divide(256).unwrap();
        assert_eq!((parts.database, parts.connections), (104, 104));
    }

    #[test]
    fn too_low_a_limit_is_refused() {
        assert_eq!(OpenFiles::divide(LIMIT_MIN - 1), None);
        assert!(OpenFiles::divide(LIMIT_MIN).is_some());
    }

    #[test]
    fn no_limit_gives_the_most() {
        let parts = OpenFiles::divide(u64::MAX).unwrap();
        assert_eq!(u64::from(parts.connections), PART_MAX);
    }
}
