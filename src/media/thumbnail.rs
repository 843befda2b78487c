//! Thumbnails: found if made before, else made, kept and shown.

use belfry_blob::BlobId;
use belfry_data::{
    Commit, CommitError,
    media::{MediaKey, ThumbnailRow, check_media, media, put_thumbnail, thumbnail},
};
use bytes::Bytes;

use crate::{
    copies::small_key,
    error::MediaError,
    file::File,
    name::Label,
    picture::{self, Made, SOURCE_BYTES_MAX, Size},
    repository::{Media, Wanted},
    studio::Turn,
};

/// First bytes of a picture that tell how large it is, nearly always.
const MEASURED_BYTES: usize = 64 << 10;

/// What became of the wish for a thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There it is.
    Made(ThumbnailRow),
    /// The picture is no larger.
    Original,
}

/// A thumbnail's place among others.
pub(crate) type Place = (MediaKey, String);

impl Media {
    /// A picture in about this size (see [`Size::to_make`]); the picture itself if it is no larger,
    /// or if it is asked for larger than is made. One that moves does so only if `moving`. Waits
    /// and fetches as [`Media::open`] does.
    pub async fn thumbnail(
        &self,
        wanted: &Wanted<'_>,
        size: Size,
        moving: bool,
    ) -> Result<File, MediaError> {
        let Some(size) = size.to_make() else {
            return as_picture(self.open(wanted).await?).await;
        };
        let place = (wanted.key(), size.variant(moving));
        let snapshot = self.snapshot().await?;
        if let Some(row) = thumbnail(&*snapshot, &place.0, &place.1).await? {
            return self.open_blob(BlobId(row.blob), label(&row)).await;
        }
        drop(snapshot);
        let studio = &self.0.studio;
        let what = format!("{}/{}/{}", place.0.server, place.0.id, place.1);
        if let Some(failure) = studio.failure(&what, self.0.env.clock.now()) {
            return Err(failure);
        }
        let made = self.make_or_fetch(wanted, place, size, moving).await;
        if let Err(error) = &made {
            studio.note_failure(&what, self.0.env.clock.now(), error);
        }
        made
    }

    /// Made here; if that cannot be, by the server whose file it is.
    async fn make_or_fetch(
        &self,
        wanted: &Wanted<'_>,
        place: Place,
        size: Size,
        moving: bool,
    ) -> Result<File, MediaError> {
        let small = small_key(&place.0, size);
        let is_own = place.0.server == self.0.options.server_name;
        if !is_own && let Ok(found) = self.find(&small).await {
            return Ok(found);
        }
        let key = place.0.clone();
        match self.make_here(wanted, place, size, moving).await {
            Err(
                error @ (MediaError::NotAPicture
                | MediaError::TooManyPixels
                | MediaError::OriginTooLarge),
            ) if !is_own && wanted.fetch.is_some() => {
                match self.fetch(&key, Some(size), wanted).await {
                    Ok(()) => self.find(&small).await,
                    Err(_) if error == MediaError::TooManyPixels => Err(MediaError::OriginTooLarge),
                    Err(_) => Err(error),
                }
            }
            made => made,
        }
    }

    async fn make_here(
        &self,
        wanted: &Wanted<'_>,
        place: Place,
        size: Size,
        moving: bool,
    ) -> Result<File, MediaError> {
        let original = self.open(wanted).await?;
        let turn = self.0.studio.turn(wanted.asker)?;
        let media = self.clone();
        let source = self.open_blob(original.id, original.label.clone()).await?;
        let (tasks, own) = (&self.0.env.tasks, place.clone());
        let work = || media.make_alone(own, source, (size, moving), turn);
        let made = self
            .0
            .thumbnails
            .join(tasks, "thumbnail", place, work)
            .await;
        match made.unwrap_or(Err(MediaError::Busy))? {
            Outcome::Made(row) => self.open_blob(BlobId(row.blob), label(&row)).await,
            Outcome::Original => as_picture(original).await,
        }
    }

    async fn make_alone(
        self,
        place: Place,
        mut source: File,
        (size, moving): (Size, bool),
        _turn: Turn,
    ) -> Result<Outcome, MediaError> {
        if source.bytes() > SOURCE_BYTES_MAX {
            return Err(MediaError::TooManyPixels);
        }
        let pixels = picture::pixels(&source.head(MEASURED_BYTES).await?)?;
        let _memory = self.0.studio.memory(source.bytes(), pixels).await?;
        let bytes = source.whole().await?;
        let clock = &self.0.env.clock;
        match self.0.studio.make(clock, bytes, size, moving).await? {
            Some(made) => self.keep(&place, source.id, made).await.map(Outcome::Made),
            None => Ok(Outcome::Original),
        }
    }

    async fn keep(
        &self,
        (key, variant): &Place,
        source: BlobId,
        made: Made,
    ) -> Result<ThumbnailRow, MediaError> {
        let _published = self.0.publishing.read().await;
        let mut upload = self.0.blobs.begin().await?;
        upload.write(Bytes::from(made.content)).await?;
        let stored = upload.finish().await?;
        let row = ThumbnailRow {
            blob: stored.id.0,
            bytes: stored.bytes,
            content_type: made.content_type.into(),
        };
        let file = media(&*self.snapshot().await?, key).await?;
        let Some(file) = file.filter(|file| file.blob == source.0) else {
            // The file was removed meanwhile, and takes what was made of it along.
            return Err(MediaError::NotFound);
        };
        // Lazy: what a crash takes is made again.
        let mut commit = Commit::lazy();
        check_media(&mut commit, key, &file);
        put_thumbnail(&mut commit, key, variant, &row);
        match self.0.engine.commit(commit).await {
            Ok(_) => Ok(row),
            Err(CommitError::Conflict) => Err(MediaError::NotFound),
            Err(error) => Err(error.into()),
        }
    }
}

/// The file as the picture that it is, whatever the uploader called it.
async fn as_picture(mut file: File) -> Result<File, MediaError> {
    let head = file.head(picture::HEAD_BYTES).await?;
    let kind = picture::content_type(&head).ok_or(MediaError::NotAPicture)?;
    file.label.content_type = Some(kind.into());
    Ok(file)
}

fn label(row: &ThumbnailRow) -> Label {
    let kind = row.content_type.rsplit('/').next().unwrap_or_default();
    Label {
        filename: Some(format!("thumbnail.{kind}").into()),
        content_type: Some(row.content_type.clone()),
    }
}
