//! What every store of blobs does, whatever it keeps them in.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// A future that a trait object answers with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes of a [`BlobId`].
pub const HASH_BYTES: usize = 32;
/// Most bytes of one answer of [`Blob::read`]: what one reader costs in memory, twice over.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Most identifiers of one answer of [`Blobs::list`].
pub const LIST_MAX: usize = 1_000;

/// SHA-256 of the content. Ordered as its bytes are, and as its hexadecimal form is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; HASH_BYTES]);

impl BlobId {
    /// The name that this content has.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The inverse of its `Display` form; `None` for any other text.
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        let mut hash = [0; HASH_BYTES];
        if digits.len() != 2 * HASH_BYTES {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair
                .iter()
                .try_fold(0, |value, digit| Some(value << 4 | nibble(*digit)?))?;
        }
        Some(Self(hash))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a blob could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// No space is left. Nothing of the blob remains.
    #[error("the media store is full: free some space")]
    Full,
    /// Anything else that the system reports. The text is the operator's.
    #[error("{0}")]
    Failed(String),
}

/// A blob that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub id: BlobId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A store of blobs.
pub trait Blobs: fmt::Debug + Send + Sync {
    /// Begins a blob.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Upload>, BlobError>>;

    /// A finished blob; `None` if there is none of that name.
    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Option<Box<dyn Blob>>, BlobError>>;

    /// Removes a blob, if it is there. Who has it open reads on.
    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Finished blobs behind `after` in ascending order, at most [`LIST_MAX`].
    fn list(&self, after: Option<BlobId>) -> BoxFuture<'_, Result<Vec<BlobId>, BlobError>>;
}

/// A blob that is being written. Dropped before it is finished, it leaves nothing.
pub trait Upload: Send {
    /// Adds a piece.
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Makes it durable, then visible. A blob of the same content that is there already stays.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Stored, BlobError>>;
}

/// A finished blob, open for reading.
pub trait Blob: Send {
    /// Its length in bytes.
    fn bytes(&self) -> u64;

    /// At most `limit` bytes, and at most [`READ_BYTES_MAX`], from `at` on; none at the end.
    fn read(&mut self, at: u64, limit: usize) -> BoxFuture<'_, Result<Bytes, BlobError>>;
}
