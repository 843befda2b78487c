//! Rows of media: that every row decodes.

use belfry_kv::{Engine, ReadError};

use super::{finding::Report, pages::decode_all};
use crate::media::{BLOB_USE, MEDIA, RESERVATION, RESERVED_BY, THUMBNAIL, UPLOADED_BYTES_ROWS};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    decode_all(engine, &MEDIA, report).await?;
    decode_all(engine, &BLOB_USE, report).await?;
    decode_all(engine, &THUMBNAIL, report).await?;
    decode_all(engine, &RESERVATION, report).await?;
    decode_all(engine, &RESERVED_BY, report).await?;
    decode_all(engine, &UPLOADED_BYTES_ROWS, report).await
}
