//! Thumbnails: found if made before, else made, kept and shown.

use std::time::Duration;

use belfry_blob::BlobId;
use belfry_data::{
    Commit,
    media::{MediaKey, ThumbnailRow, put_thumbnail, thumbnail},
};
use bytes::Bytes;
use ruma_common::ServerName;

use crate::{
    error::MediaError,
    file::File,
    name::Label,
    picture::{self, Made, SOURCE_BYTES_MAX, Size},
    repository::Media,
};

impl Media {
    /// A picture in about this size (see [`Size::to_make`]); the picture itself if it is no larger.
    /// Waits as [`Media::open`] does.
    pub async fn thumbnail(
        &self,
        server: &ServerName,
        id: &str,
        size: Size,
        wait: Duration,
    ) -> Result<File, MediaError> {
        let (key, size) = (MediaKey::new(server, id), size.to_make());
        let snapshot = self.snapshot().await?;
        if let Some(row) = thumbnail(&*snapshot, &key, &size.variant()).await? {
            return self.open_blob(BlobId(row.blob), label(&row)).await;
        }
        drop(snapshot);
        let mut original = self.open(server, id, wait).await?;
        if original.bytes() > SOURCE_BYTES_MAX {
            return Err(MediaError::TooManyPixels);
        }
        let source = original.whole().await?;
        let made = self.0.pictures.run(move || picture::make(&source, size));
        match made.await?? {
            Some(made) => self.keep(&key, size, made).await,
            None => Ok(original),
        }
    }

    async fn keep(&self, key: &MediaKey, size: Size, made: Made) -> Result<File, MediaError> {
        let _published = self.0.publishing.read().await;
        let mut upload = self.0.blobs.begin().await?;
        upload.write(Bytes::from(made.content)).await?;
        let stored = upload.finish().await?;
        let row = ThumbnailRow {
            blob: stored.id.0,
            bytes: stored.bytes,
            content_type: made.content_type.into(),
        };
        // Lazy: what a crash takes is made again.
        let mut commit = Commit::lazy();
        put_thumbnail(&mut commit, key, &size.variant(), &row);
        self.0.engine.commit(commit).await?;
        self.open_blob(stored.id, label(&row)).await
    }
}

fn label(row: &ThumbnailRow) -> Label {
    Label {
        content_type: Some(row.content_type.clone()),
        filename: None,
    }
}
