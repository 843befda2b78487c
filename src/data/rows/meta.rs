//! Rows about the database itself and those who follow its log.

use belfry_kv::{ReadError, RowCodec, STAMP_BYTES, Stamp};
use serde::{Deserialize, Serialize};

use crate::codec::{self, postcard_row};

/// What a database is. Its bytes never change shape: every build, older or newer, must be able to
/// read them before it touches anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetaRow {
    pub(crate) schema: u32,
    pub(crate) server_name: Box<str>,
    pub(crate) incarnation: [u8; 16],
}
postcard_row!(MetaRow);

/// A migration under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MigrationRow {
    /// The schema version that it leads to.
    pub(crate) to: u32,
    /// Where its next step goes on, as it said itself.
    pub(crate) cursor: Vec<u8>,
}
postcard_row!(MigrationRow);

/// Longest [`CursorRow::resume`], in bytes.
pub const CURSOR_RESUME_BYTES_MAX: usize = 1024;

/// How far a reader of the log came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The last entry that it is done with.
    pub stamp: Stamp,
    /// Where it goes on within the next entry (for instance, the last member served); empty if
    /// that is not begun. At most [`CURSOR_RESUME_BYTES_MAX`].
    pub resume: Vec<u8>,
}

impl RowCodec for CursorRow {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::encode(&(self.stamp.to_bytes(), &self.resume), out);
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        if version != Self::VERSION {
            return Err(codec::unknown_version(version));
        }
        let (stamp, resume): ([u8; STAMP_BYTES], _) = codec::decode(bytes)?;
        Ok(Self {
            stamp: Stamp::from_bytes(stamp),
            resume,
        })
    }
}
