//! Blobs that nothing refers to: left by a crash between blob and row, by a refused commit, or
//! after the last file of that content was removed. Knows nothing of when it is called.

use belfry_blob::BlobId;
use belfry_data::media::unused;

use crate::{error::MediaError, repository::Media};

/// Pages of one sweep; a store with more blobs is swept over several rounds.
pub const SWEEP_PAGES_MAX: usize = 100;

impl Media {
    /// Removes blobs behind `after` that nothing refers to, page by page. Where the next round goes
    /// on, `None` if all were seen; and how many were removed.
    pub async fn sweep(
        &self,
        mut after: Option<BlobId>,
    ) -> Result<(Option<BlobId>, usize), MediaError> {
        let mut removed = 0;
        for _ in 0..SWEEP_PAGES_MAX {
            let ids = self.0.blobs.list(after).await?;
            let Some(last) = ids.last() else {
                return Ok((None, removed));
            };
            after = Some(*last);
            removed += self.sweep_page(&ids).await?;
            if self.0.env.shutdown.begun() {
                break;
            }
        }
        Ok((after, removed))
    }

    /// Removes those of these blobs that nothing refers to. At most [`belfry_blob::LIST_MAX`].
    pub(crate) async fn sweep_page(&self, ids: &[BlobId]) -> Result<usize, MediaError> {
        // Nobody is between blob and row while this is held.
        let _alone = self.0.publishing.write().await;
        let snapshot = self.snapshot().await?;
        let hashes: Vec<_> = ids.iter().map(|id| id.0).collect();
        let unused = unused(&*snapshot, &hashes).await?;
        for hash in &unused {
            self.0.blobs.delete(BlobId(*hash)).await?;
        }
        Ok(unused.len())
    }
}
