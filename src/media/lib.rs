//! The media repository: upload, download, thumbnails, quotas, copies of other servers' files,
//! previews of links (Client-Server API, "Content repository").
//!
//! Exists so that files are whole or absent, are shown to whom policy lets, and harm neither the
//! server nor its readers. Knows nothing of HTTP, of rooms, or of where blobs lie;
//! other servers' files and pages of the web come by ports ([`Origin`], [`Web`]).
//!
//! A file is visible exactly if its row is: the blob is durable before the row is committed. A blob
//! without a row (a crash in between, a refused commit) is removed by [`Media::sweep`].

mod allowance;
mod animation;
mod copies;
mod error;
mod file;
mod flight;
mod link;
mod name;
mod origin;
mod page;
mod picture;
mod preview;
mod repository;
mod studio;
mod sweep;
mod thumbnail;
mod upload;

#[cfg(test)]
mod copies_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod preview_tests;

pub use allowance::{FETCHED_BYTES_MAX, FETCHED_BYTES_PER_SECOND, PAYERS_MAX};
pub use copies::{Asking, CopyOptions, FETCH_TIME_MAX, FETCHES_MAX, TRIM_STEPS_MAX, USE_INTERVAL};
pub use error::MediaError;
pub use file::File;
pub use name::{CONTENT_TYPE_BYTES_MAX, FILENAME_BYTES_MAX, Label};
pub use origin::{
    Delivery, FromOrigin, Origin, OriginError, Page, Pieces, Web, WebAnswer, WebError, WebLimits,
};
pub use picture::{Method, PIXELS_MAX, SOURCE_BYTES_MAX, Size};
pub use preview::{
    PAGE_BYTES_MAX, PAGE_PICTURE_BYTES_MAX, PREVIEW_REDIRECTS_MAX, PREVIEW_TIME, PREVIEW_TIME_MAX,
    PREVIEWS_MAX, PreviewOptions,
};
pub use repository::{Help, Media, MediaOptions, Ports, WAIT_MAX, Wanted};
pub use studio::{
    ANIMATION_TIME_MAX, FAILURE_TIME, FAILURES_MAX, PICTURES_MIB_MAX, WAITING_PER_ASKER_MAX,
};
pub use sweep::SWEEP_PAGES_MAX;
pub use upload::{Incoming, RESERVATION_TIME, RESERVED_MAX, Reservation};
