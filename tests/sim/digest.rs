//! A number that stands for everything that was ever committed.
//!
//! It exists so that the traces of two runs differ if one byte of one commit does. FNV-1a, 64 bits:
//! nobody works against it. It knows nothing of what the commits mean.

use std::fmt;

use belfry_kv::{Check, Recorded, Write};

/// The digest so far.
#[derive(Clone, Copy)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "digest {:016x}", self.0)
    }
}

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        let length = bytes.len().to_be_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes in a commit and what became of it.
    pub(crate) fn add(&mut self, recorded: &Recorded) {
        for check in &recorded.commit.checks {
            match check {
                Check::Absent(key) | Check::Within { key, .. } => self.bytes(key.as_bytes()),
                Check::Equals(key, value) => {
                    self.bytes(key.as_bytes());
                    self.bytes(value);
                }
            }
        }
        for write in &recorded.commit.writes {
            match write {
                Write::Put(key, value)
                | Write::Stamp { key, value }
                | Write::Append { prefix: key, value } => {
                    self.bytes(key.as_bytes());
                    self.bytes(value);
                }
                Write::Delete(key) => self.bytes(key.as_bytes()),
                Write::DeleteRange(range) => {
                    self.bytes(range.from.as_bytes());
                    self.bytes(range.to.as_bytes());
                }
                Write::Add(key, amount) => {
                    self.bytes(key.as_bytes());
                    self.bytes(&amount.to_be_bytes());
                }
            }
        }
        self.bytes(format!("{:?} {:?}", recorded.fault, recorded.answer).as_bytes());
    }
}
