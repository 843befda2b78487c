//! The media repository: upload, download, thumbnails, quotas (Client-Server API, "Content
//! repository").
//!
//! Exists so that files are whole or absent, are shown to whom policy lets, and harm neither the
//! server nor its readers. Knows nothing of HTTP, of rooms, or of where blobs lie.
//!
//! A file is visible exactly if its row is: the blob is durable before the row is committed. A blob
//! without a row (a crash in between, a refused commit) is removed by [`Media::sweep`].

mod error;
mod file;
mod name;
mod picture;
mod repository;
mod sweep;
mod thumbnail;
mod upload;

#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod picture_tests;

pub use error::MediaError;
pub use file::File;
pub use name::{CONTENT_TYPE_BYTES_MAX, FILENAME_BYTES_MAX, Label};
pub use picture::{Method, PIXELS_MAX, SOURCE_BYTES_MAX, Size};
pub use repository::{Media, MediaOptions, WAIT_MAX};
pub use sweep::SWEEP_PAGES_MAX;
pub use upload::{Incoming, RESERVATION_TIME, RESERVED_MAX, Reservation};
