//! A file that is open for reading. Knows nothing of ranges of HTTP.

use belfry_blob::{Blob, BlobId};
use bytes::Bytes;

use crate::{error::MediaError, name::Label};

/// An open file. It can be read on even if it is removed meanwhile.
pub struct File {
    /// Its type and name.
    pub label: Label,
    /// Its content's hash: what changes if and only if the content does.
    pub id: BlobId,
    pub(crate) blob: Box<dyn Blob>,
}

impl File {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.blob.bytes()
    }

    /// At most `limit` bytes from `at` on, of at most [`belfry_blob::READ_BYTES_MAX`]; none at the
    /// end.
    pub async fn read(&mut self, at: u64, limit: usize) -> Result<Bytes, MediaError> {
        Ok(self.blob.read(at, limit).await?)
    }

    /// Its first bytes, at most so many.
    pub(crate) async fn head(&mut self, bytes_max: usize) -> Result<Vec<u8>, MediaError> {
        let mut head = Vec::new();
        while head.len() < bytes_max {
            let at = u64::try_from(head.len()).unwrap_or(u64::MAX);
            let piece = self.read(at, bytes_max - head.len()).await?;
            if piece.is_empty() {
                break;
            }
            head.extend_from_slice(&piece);
        }
        Ok(head)
    }

    /// All of it.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, MediaError> {
        let bytes = usize::try_from(self.bytes()).unwrap_or(usize::MAX);
        let mut whole = Vec::with_capacity(bytes);
        loop {
            let at = u64::try_from(whole.len()).unwrap_or(u64::MAX);
            let piece = self.read(at, usize::MAX).await?;
            if piece.is_empty() {
                return Ok(whole);
            }
            whole.extend_from_slice(&piece);
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("File");
        shown.field("id", &self.id).field("label", &self.label);
        shown.finish_non_exhaustive()
    }
}
