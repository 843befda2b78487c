//! Copies of files that others keep: which there are, how large together, which was used when.
//!
//! Exists so that a cache of other servers' files has a size and an age, and so that a copy goes with
//! all that was made of it. Knows nothing of how large or old a cache may be, nor of the blobs.

use belfry_kv::{
    Commit, Counter, Direction, Keyspace, Kind, ReadError, Seen, Shape, Snapshot, Table,
    Temperature,
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::ServerKey,
    media::{BLOB_USE, BlobHash, MEDIA, MediaKey, MediaRow, THUMBNAIL, put_media},
    tables::{count, ground},
};

/// Most copies of one answer of [`oldest_copies`].
pub const COPIES_PAGE_MAX: usize = 100;

/// A file that is kept for others' sake, and can be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRow {
    /// Its length.
    pub bytes: u64,
    /// The age of the installation when it was last used, in milliseconds.
    pub used_age_ms: u64,
}
postcard_row!(CopyRow);

/// Server, media ID.
pub(crate) static COPY: Table<(ServerKey, String), CopyRow> =
    Table::new(ground(146, "media_copy", Shape::Point, Temperature::Cold));

/// When a copy was last used, server, media ID.
pub(crate) static COPY_ORDER: Table<(u64, ServerKey, String), ()> = Table::new(Keyspace {
    kind: Kind::Derived,
    ..ground(147, "media_copy_order", Shape::Queue, Temperature::Cold)
});

/// Bytes of all copies.
pub(crate) static COPIED_BYTES: Counter<()> = Counter::new(count(148, "copied_bytes"));

/// The same, row by row.
#[cfg(test)]
pub(crate) static COPIED_BYTES_ROWS: Table<(), i64> = Table::new(*COPIED_BYTES.space());

fn order(key: &MediaKey, used_age_ms: u64) -> (u64, ServerKey, String) {
    let (server, id) = key.columns();
    (used_age_ms, server, id)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A new copy. The commit applies only if there is no file of that URI.
pub fn put_copy(commit: &mut Commit, key: &MediaKey, row: &MediaRow, used_age_ms: u64) {
    put_media(commit, key, row);
    let copy = CopyRow {
        bytes: row.bytes,
        used_age_ms,
    };
    COPY.put(commit, &key.columns(), &copy);
    COPY_ORDER.put(commit, &order(key, used_age_ms), &());
    COPIED_BYTES.add(commit, &(), signed(row.bytes));
}

/// The copy's row, if it is one, with what a commit may check.
pub async fn copy(snapshot: &dyn Snapshot, key: &MediaKey) -> Result<Seen<CopyRow>, ReadError> {
    COPY.get_seen(snapshot, &key.columns()).await
}

/// The copy was used again. The commit applies only if it is as seen; without a row it is empty.
pub fn touch_copy(commit: &mut Commit, key: &MediaKey, seen: &Seen<CopyRow>, used_age_ms: u64) {
    let Some(row) = &seen.row else { return };
    let columns = key.columns();
    COPY.check_unchanged(commit, &columns, seen);
    let bytes = row.bytes;
    COPY.put(commit, &columns, &CopyRow { bytes, used_age_ms });
    COPY_ORDER.delete(commit, &order(key, row.used_age_ms));
    COPY_ORDER.put(commit, &order(key, used_age_ms), &());
}

/// Bytes of all copies.
pub async fn copied_bytes(snapshot: &dyn Snapshot) -> Result<u64, ReadError> {
    let bytes = COPIED_BYTES.get(snapshot, &()).await?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// The copies that were not used for longest, each with the age at its last use; at most
/// [`COPIES_PAGE_MAX`].
pub async fn oldest_copies(snapshot: &dyn Snapshot) -> Result<Vec<(u64, MediaKey)>, ReadError> {
    let all = COPY_ORDER.whole();
    let page = COPY_ORDER
        .scan(snapshot, all, Direction::Forward, COPIES_PAGE_MAX)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|((used_age_ms, server, id), ())| {
            (
                used_age_ms,
                MediaKey {
                    server: server.0,
                    id,
                },
            )
        })
        .collect())
}

/// Adds the removal of a copy and of its thumbnails of these names; the blobs that they were, which
/// something else may be too. The commit applies only if the copy was not used meanwhile.
pub async fn drop_copy(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    key: &MediaKey,
    variants: &[String],
) -> Result<Vec<BlobHash>, ReadError> {
    let columns = key.columns();
    let seen = copy(snapshot, key).await?;
    COPY.check_unchanged(commit, &columns, &seen);
    COPY.delete(commit, &columns);
    if let Some(row) = &seen.row {
        COPY_ORDER.delete(commit, &order(key, row.used_age_ms));
        COPIED_BYTES.add(commit, &(), signed(row.bytes).saturating_neg());
    }
    let mut blobs = Vec::new();
    if let Some(row) = MEDIA.get(snapshot, &columns).await? {
        MEDIA.delete(commit, &columns);
        BLOB_USE.delete(commit, &(row.blob, key.referrer("")));
        blobs.push(row.blob);
    }
    let (server, id) = columns;
    let names = variants.iter();
    let keys: Vec<_> = names
        .map(|variant| (server.clone(), id.clone(), variant.clone()))
        .collect();
    let found = THUMBNAIL.get_many(snapshot, &keys).await?;
    for (place, row) in keys.iter().zip(found) {
        if let Some(row) = row {
            THUMBNAIL.delete(commit, place);
            BLOB_USE.delete(commit, &(row.blob, key.referrer(&place.2)));
            blobs.push(row.blob);
        }
    }
    Ok(blobs)
}
