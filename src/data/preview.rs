//! What pages of the web say of themselves, remembered for a while.
//!
//! Exists so that a link that many people see is fetched once. Knows nothing of pages.

use belfry_kv::{Commit, ReadError, Shape, Snapshot, Table, Temperature};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{DIGEST_BYTES, digest},
    tables::ground,
    txn::expire_at,
};

/// What a page said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    /// The answer to clients, JSON.
    pub json: Box<str>,
    /// Until which age of the installation, in milliseconds.
    pub expires_age_ms: u64,
}
postcard_row!(PreviewRow);

/// Digest of the URL.
pub(crate) static PREVIEW: Table<([u8; DIGEST_BYTES],), PreviewRow> =
    Table::new(ground(149, "url_preview", Shape::Point, Temperature::Cold));

fn key(url: &str, expires_age_ms: u64) -> ([u8; DIGEST_BYTES],) {
    // Rows that expire are written once: the next one of this URL has another key.
    (digest(&[url, &expires_age_ms.to_string()]),)
}

/// What the page said, if it is remembered for the period that ends at that age.
pub async fn preview(
    snapshot: &dyn Snapshot,
    url: &str,
    expires_age_ms: u64,
) -> Result<Option<PreviewRow>, ReadError> {
    PREVIEW.get(snapshot, &key(url, expires_age_ms)).await
}

/// Remembers it until its age has come. The commit applies only if nobody did in that period.
pub fn put_preview(commit: &mut Commit, url: &str, row: &PreviewRow) {
    let key = key(url, row.expires_age_ms);
    PREVIEW.check_absent(commit, &key);
    PREVIEW.put(commit, &key, row);
    expire_at(commit, row.expires_age_ms, &PREVIEW.key(&key));
}
