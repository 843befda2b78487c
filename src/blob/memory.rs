//! Blobs in memory, for tests and simulations. Knows no disk.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::contract::{
    Blob, BlobError, BlobId, Blobs, BoxFuture, LIST_MAX, READ_BYTES_MAX, Stored, Upload,
};

/// A store that forgets everything when its last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobs(Arc<Mutex<BTreeMap<BlobId, Bytes>>>);

impl MemoryBlobs {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<BlobId, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for MemoryBlobs {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Upload>, BlobError>> {
        let upload: Box<dyn Upload> = Box::new(Draft {
            store: self.clone(),
            content: Vec::new(),
        });
        Box::pin(async { Ok(upload) })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Option<Box<dyn Blob>>, BlobError>> {
        let found = self.rows().get(&id).cloned();
        let blob = found.map(|content| Box::new(Open(content)) as Box<dyn Blob>);
        Box::pin(async { Ok(blob) })
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        self.rows().remove(&id);
        Box::pin(async { Ok(()) })
    }

    fn list(&self, after: Option<BlobId>) -> BoxFuture<'_, Result<Vec<BlobId>, BlobError>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows();
        let ids = rows.range((from, Bound::Unbounded)).take(LIST_MAX);
        let ids = ids.map(|(id, _)| *id).collect();
        Box::pin(async { Ok(ids) })
    }
}

struct Draft {
    store: MemoryBlobs,
    content: Vec<u8>,
}

impl Upload for Draft {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.content.extend_from_slice(&piece);
        Box::pin(async { Ok(()) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Stored, BlobError>> {
        let id = BlobId::of(&self.content);
        let bytes = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
        self.store.rows().insert(id, self.content.into());
        Box::pin(async move { Ok(Stored { id, bytes }) })
    }
}

struct Open(Bytes);

impl Blob for Open {
    fn bytes(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn read(&mut self, at: u64, limit: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.slice(from..);
        let piece = rest.slice(..rest.len().min(limit).min(READ_BYTES_MAX));
        Box::pin(async { Ok(piece) })
    }
}
