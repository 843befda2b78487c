//! What the media repository knows of its files (Client-Server API, "Content repository").
//!
//! Exists so that a file is visible exactly if its row is, and so that blobs which nothing refers to
//! are found. Knows nothing of the blobs themselves, of limits or of formats.

use belfry_kv::{
    Commit, Counter, Direction, Keyspace, Kind, ReadError, Seen, Shape, Snapshot, Table,
    Temperature,
};
use ruma_common::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{ServerKey, UserKey},
    tables::{count, ground},
    txn::expire_at,
};

/// The hash that names a blob.
pub type BlobHash = [u8; 32];

/// A file's `mxc://` URI, in two parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaKey {
    /// Whose file it is.
    pub server: OwnedServerName,
    /// The media ID.
    pub id: String,
}

impl MediaKey {
    /// A file of this server.
    pub fn new(server: &ServerName, id: impl Into<String>) -> Self {
        Self {
            server: server.to_owned(),
            id: id.into(),
        }
    }

    pub(crate) fn columns(&self) -> (ServerKey, String) {
        (ServerKey(self.server.clone()), self.id.clone())
    }

    /// What refers to a blob: the file itself, or one of its thumbnails.
    pub(crate) fn referrer(&self, variant: &str) -> String {
        format!("{}/{}/{variant}", self.server, self.id)
    }
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    /// Its content.
    pub blob: BlobHash,
    /// Its length.
    pub bytes: u64,
    /// What the uploader said it is.
    pub content_type: Option<Box<str>>,
    /// The name that the uploader gave it.
    pub filename: Option<Box<str>>,
    /// Who uploaded it; `None` for a copy of another server's file.
    pub uploader: Option<OwnedUserId>,
    /// When, in milliseconds since the Unix epoch.
    pub ts: u64,
}
postcard_row!(MediaRow);

/// A media ID that waits for its file (`POST /_matrix/media/v1/create`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRow {
    /// Who may upload it.
    pub user: OwnedUserId,
    /// Until which age of the installation, in milliseconds.
    pub expires_age_ms: u64,
}
postcard_row!(ReservationRow);

/// A smaller picture of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailRow {
    /// Its content.
    pub blob: BlobHash,
    /// Its length.
    pub bytes: u64,
    /// Its format.
    pub content_type: Box<str>,
}
postcard_row!(ThumbnailRow);

/// Users whose bytes are counted in one round trip.
const UPLOADERS_PAGE: usize = 1_000;

/// Nothing but the key.
const fn marker(tag: u8, name: &'static str, kind: Kind) -> Keyspace {
    Keyspace {
        kind,
        ..ground(tag, name, Shape::Scan, Temperature::Cold)
    }
}

/// Server, media ID.
pub(crate) static MEDIA: Table<(ServerKey, String), MediaRow> =
    Table::new(ground(140, "media", Shape::Point, Temperature::Cold));

/// Blob, and what refers to it.
pub(crate) static BLOB_USE: Table<(BlobHash, String), ()> =
    Table::new(marker(141, "blob_use", Kind::Derived));

/// Server, media ID, size and method.
pub(crate) static THUMBNAIL: Table<(ServerKey, String, String), ThumbnailRow> =
    Table::new(Keyspace {
        kind: Kind::Derived,
        ..ground(142, "thumbnail", Shape::Point, Temperature::Cold)
    });

/// Media ID of this server.
pub(crate) static RESERVATION: Table<(String,), ReservationRow> = Table::new(ground(
    143,
    "media_reservation",
    Shape::Point,
    Temperature::Cold,
));

/// The same by user.
pub(crate) static RESERVED_BY: Table<(UserKey, String), ()> =
    Table::new(marker(144, "media_reserved_by", Kind::Ground));

/// Bytes that a user has uploaded.
pub(crate) static UPLOADED_BYTES: Counter<(UserKey,)> = Counter::new(count(145, "uploaded_bytes"));

/// The same, row by row.
pub(crate) static UPLOADED_BYTES_ROWS: Table<(UserKey,), i64> = Table::new(*UPLOADED_BYTES.space());

/// A file's row; `None` if there is no such file.
pub async fn media(snapshot: &dyn Snapshot, key: &MediaKey) -> Result<Option<MediaRow>, ReadError> {
    MEDIA.get(snapshot, &key.columns()).await
}

/// A new file. The commit applies only if there is none of that URI.
pub fn put_media(commit: &mut Commit, key: &MediaKey, row: &MediaRow) {
    let columns = key.columns();
    MEDIA.check_absent(commit, &columns);
    MEDIA.put(commit, &columns, row);
    BLOB_USE.put(commit, &(row.blob, key.referrer("")), &());
    if let Some(uploader) = &row.uploader {
        let bytes = i64::try_from(row.bytes).unwrap_or(i64::MAX);
        UPLOADED_BYTES.add(commit, &(UserKey(uploader.clone()),), bytes);
    }
}

/// The commit applies only if the user has uploaded at most this many bytes before.
pub fn check_uploaded(commit: &mut Commit, user: &UserId, bytes_max: u64) {
    let max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    UPLOADED_BYTES.check_within(commit, &(UserKey::from(user),), 0, max);
}

/// Bytes that the user has uploaded.
pub async fn uploaded_bytes(snapshot: &dyn Snapshot, user: &UserId) -> Result<u64, ReadError> {
    let bytes = UPLOADED_BYTES
        .get(snapshot, &(UserKey::from(user),))
        .await?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// Bytes that all users have uploaded. Reads a row for each of them: to be remembered.
pub async fn all_uploaded_bytes(snapshot: &dyn Snapshot) -> Result<u64, ReadError> {
    let (mut total, mut rest) = (0_u64, Some(UPLOADED_BYTES_ROWS.whole()));
    while let Some(range) = rest {
        let page = UPLOADED_BYTES_ROWS
            .scan(snapshot, range, Direction::Forward, UPLOADERS_PAGE)
            .await?;
        for (_, bytes) in page.rows {
            total = total.saturating_add(u64::try_from(bytes).unwrap_or_default());
        }
        rest = page.rest;
    }
    Ok(total)
}

/// A reservation, with what a commit may check.
pub async fn reservation(
    snapshot: &dyn Snapshot,
    id: &str,
) -> Result<Seen<ReservationRow>, ReadError> {
    RESERVATION.get_seen(snapshot, &(id.to_owned(),)).await
}

/// How many IDs the user has reserved, counted up to `limit`.
pub async fn reserved_by(
    snapshot: &dyn Snapshot,
    user: &UserId,
    limit: usize,
) -> Result<usize, ReadError> {
    let range = RESERVED_BY.prefix(&(UserKey::from(user),));
    let page = RESERVED_BY
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    Ok(page.rows.len())
}

/// Reserves an ID, which goes by itself once the time is up. The commit applies only if it is free.
pub fn reserve(commit: &mut Commit, id: &str, row: &ReservationRow) {
    let (key, of_user) = ((id.to_owned(),), (UserKey(row.user.clone()), id.to_owned()));
    RESERVATION.check_absent(commit, &key);
    RESERVATION.put(commit, &key, row);
    RESERVED_BY.put(commit, &of_user, &());
    expire_at(commit, row.expires_age_ms, &RESERVATION.key(&key));
    expire_at(commit, row.expires_age_ms, &RESERVED_BY.key(&of_user));
}

/// Uses a reservation up. The commit applies only if it is still as seen.
pub fn take_reservation(commit: &mut Commit, id: &str, seen: &Seen<ReservationRow>) {
    let key = (id.to_owned(),);
    RESERVATION.check_unchanged(commit, &key, seen);
    RESERVATION.delete(commit, &key);
    if let Some(row) = &seen.row {
        RESERVED_BY.delete(commit, &(UserKey(row.user.clone()), id.to_owned()));
    }
}

/// A thumbnail that was made before.
pub async fn thumbnail(
    snapshot: &dyn Snapshot,
    key: &MediaKey,
    variant: &str,
) -> Result<Option<ThumbnailRow>, ReadError> {
    let (server, id) = key.columns();
    THUMBNAIL
        .get(snapshot, &(server, id, variant.to_owned()))
        .await
}

/// The commit applies only if the file is as it was seen.
pub fn check_media(commit: &mut Commit, key: &MediaKey, seen: &MediaRow) {
    MEDIA.check_equals(commit, &key.columns(), Some(seen));
}

/// Keeps a thumbnail. Whoever made the same one at the same time made the same bytes.
pub fn put_thumbnail(commit: &mut Commit, key: &MediaKey, variant: &str, row: &ThumbnailRow) {
    let (server, id) = key.columns();
    THUMBNAIL.put(commit, &(server, id, variant.to_owned()), row);
    BLOB_USE.put(commit, &(row.blob, key.referrer(variant)), &());
}

/// Which of these blobs nothing refers to, in the order given; one round trip. At most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] of them.
pub async fn unused(
    snapshot: &dyn Snapshot,
    blobs: &[BlobHash],
) -> Result<Vec<BlobHash>, ReadError> {
    let ranges: Vec<_> = blobs
        .iter()
        .map(|blob| BLOB_USE.prefix(&(*blob,)))
        .collect();
    let pages = BLOB_USE.scan_many(snapshot, ranges, 1).await?;
    let with_uses = blobs.iter().zip(pages);
    Ok(with_uses
        .filter(|(_, page)| page.rows.is_empty())
        .map(|(blob, _)| *blob)
        .collect())
}
