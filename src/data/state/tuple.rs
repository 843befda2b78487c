//! The (type, state key) tuples that state maps are keyed by.
//!
//! Exists so that a tuple's length is checked once, where it is made. Knows no event.

use std::fmt;

use sha2::{Digest, Sha256};

use super::path::Path;

/// Longest event type and longest state key, in bytes: the spec's limit for both ("Size limits").
pub const NAME_BYTES_MAX: usize = 255;

/// What a state event sets: its type and its state key, each at most [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateTuple {
    event_type: Box<str>,
    state_key: Box<str>,
}

/// An event type or a state key is longer than [`NAME_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event's type or state key is longer than {NAME_BYTES_MAX} bytes")]
pub struct NameTooLong;

impl StateTuple {
    /// The tuple, if both parts are short enough.
    pub fn new(
        event_type: impl Into<Box<str>>,
        state_key: impl Into<Box<str>>,
    ) -> Result<Self, NameTooLong> {
        let (event_type, state_key) = (event_type.into(), state_key.into());
        if event_type.len().max(state_key.len()) > NAME_BYTES_MAX {
            return Err(NameTooLong);
        }
        Ok(Self {
            event_type,
            state_key,
        })
    }

    /// The `m.room.member` tuple of a user.
    pub fn member(user_id: &str) -> Result<Self, NameTooLong> {
        Self::new("m.room.member", user_id)
    }

    /// The event type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The state key; empty for most types.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Where the tuple's entry is in every tree: SHA-256 of the type's length (one byte), the type
    /// and the state key.
    pub(super) fn path(&self) -> Path {
        let length = u8::try_from(self.event_type.len()).unwrap_or(u8::MAX);
        let mut hash = Sha256::new();
        hash.update([length]);
        hash.update(self.event_type.as_bytes());
        hash.update(self.state_key.as_bytes());
        Path::new(hash.finalize().into())
    }
}

impl fmt::Debug for StateTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:?}, {:?})", self.event_type, self.state_key)
    }
}
