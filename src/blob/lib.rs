//! Large objects, each named by the hash of its content and stored once.
//!
//! Exists so that files live beside the database, not in it, and so that another store (S3, say) can
//! take the file system's place. Knows nothing of Matrix, of users, or of who refers to a blob: a
//! blob that nobody refers to is found by [`Blobs::list`] and removed by whoever knows that.
//!
//! A blob is whole or absent. What was written without [`Upload::finish`] is never seen by anybody;
//! after `finish` has answered, the blob survives a loss of power.

mod contract;
mod files;
mod memory;

#[cfg(test)]
mod conformance_tests;

pub use contract::{
    Blob, BlobError, BlobId, Blobs, BoxFuture, HASH_BYTES, LIST_MAX, READ_BYTES_MAX, Stored, Upload,
};
pub use files::Files;
pub use memory::MemoryBlobs;
