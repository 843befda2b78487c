//! Other servers' files: fetched once, kept as copies, and dropped when they are old or too many.
//!
//! Knows nothing of how they are fetched, and of when copies are looked through.

use std::{collections::BTreeSet, time::Duration};

use belfry_blob::{BlobId, Upload};
use belfry_data::{
    Commit, CommitError,
    copy::{copied_bytes, copy, drop_copy, oldest_copies, put_copy, touch_copy},
    media::{MediaKey, MediaRow},
};
use belfry_policy::{Action, Purpose, Request, Requester, Rules, decide};

use crate::{
    error::MediaError,
    name::Label,
    origin::{Delivery, FromOrigin, OriginError},
    picture::{self, Size},
    repository::{Media, WAIT_MAX, Wanted},
};

/// Files that are fetched at the same time; further ones wait.
pub const FETCHES_MAX: usize = 32;
/// Longest that fetching one file takes.
pub const FETCH_TIME_MAX: Duration = Duration::from_mins(10);
/// How often it is noted that a copy was used.
pub const USE_INTERVAL: Duration = Duration::from_hours(1);
/// Steps of one round of looking through copies, each of a page of them.
pub const TRIM_STEPS_MAX: usize = 100;
/// Largest picture that another server makes for this one.
const SMALL_BYTES_MAX: u64 = 8 << 20;

/// What the operator chooses of other servers' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyOptions {
    /// Largest file that is fetched, in bytes.
    pub file_bytes_max: u64,
    /// What all copies may take together, in bytes.
    pub bytes_max: u64,
    /// How long a copy is kept that nobody uses.
    pub unused_time_max: Duration,
}

/// For whom another server is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// What policy decides by.
    pub rules: &'a Rules,
    /// Who asks.
    pub requester: Requester<'a>,
}

impl Asking<'_> {
    fn allowed(&self, key: &MediaKey) -> Result<(), MediaError> {
        let action = match self.requester {
            Requester::Account(_) => Action::LookUp,
            _ => Action::Federate,
        };
        let asked = Request::new(self.requester, action).with_peer(&key.server, Purpose::Media);
        let decided = decide(self.rules, &asked).into_result();
        decided.map_err(MediaError::Denied)
    }
}

impl From<OriginError> for MediaError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::NotFound => Self::NotFound,
            OriginError::NotYetUploaded => Self::NotYetUploaded,
            OriginError::TooLarge => Self::OriginTooLarge,
            OriginError::Failed(cause) => Self::OriginFailed(cause),
        }
    }
}

/// The media ID that a picture has which another server made of a file.
pub(crate) fn small_key(key: &MediaKey, size: Size) -> MediaKey {
    MediaKey::new(&key.server, format!("{}/{}", key.id, size.variant(false)))
}

impl Media {
    /// Has another server's file fetched, or a smaller picture of it, unless it is being already.
    pub(crate) async fn fetch(
        &self,
        key: &MediaKey,
        small: Option<Size>,
        wanted: &Wanted<'_>,
    ) -> Result<(), MediaError> {
        let Some(asking) = wanted.fetch else {
            return Err(MediaError::NotFound);
        };
        let shared = &self.0;
        if shared.origin.is_none() || key.server == shared.options.server_name {
            return Err(MediaError::NotFound);
        }
        asking.allowed(key)?;
        let allowed = shared.allowance.check(wanted.asker, shared.env.clock.now());
        allowed.map_err(MediaError::Spent)?;
        let target = small.map_or_else(|| key.clone(), |size| small_key(key, size));
        let from = FromOrigin {
            server: key.server.clone(),
            id: key.id.clone(),
            wait: wanted.wait.min(WAIT_MAX),
            small,
        };
        let (media, payer, place) = (self.clone(), wanted.asker.to_owned(), target.clone());
        let fetching = || media.fetch_alone(from, place, payer);
        let tasks = &shared.env.tasks;
        let fetched = shared.fetches.join(tasks, "remote media", target, fetching);
        fetched.await.unwrap_or(Err(MediaError::Busy))
    }

    async fn fetch_alone(
        self,
        wanted: FromOrigin,
        target: MediaKey,
        payer: String,
    ) -> Result<(), MediaError> {
        let env = &self.0.env;
        let work = async {
            let place = self.0.fetch_places.acquire().await;
            let _place = place.map_err(|_| MediaError::Busy)?;
            self.take_in(&wanted, &target, &payer).await
        };
        match env
            .clock
            .within(FETCH_TIME_MAX, env.shutdown.unless(work))
            .await
        {
            Ok(Some(done)) => done,
            Ok(None) => Err(MediaError::Busy),
            Err(_) => Err(MediaError::OriginFailed("it takes too long".to_owned())),
        }
    }

    async fn take_in(
        &self,
        wanted: &FromOrigin,
        target: &MediaKey,
        payer: &str,
    ) -> Result<(), MediaError> {
        let Some(origin) = &self.0.origin else {
            return Err(MediaError::NotFound);
        };
        let delivery = origin.open(wanted).await?;
        let limits = &self.0.options.copies;
        let max = match wanted.small {
            Some(_) => SMALL_BYTES_MAX,
            None => limits.file_bytes_max,
        };
        let max = max.min(limits.bytes_max);
        let mut label = label(&delivery);
        let mut upload = self.0.blobs.begin().await?;
        let head = self.pour(delivery, &mut *upload, max, payer).await?;
        if wanted.small.is_some() {
            // It is shown as a picture, so it must be one that we would show.
            let kind = picture::content_type(&head).ok_or(MediaError::NotAPicture)?;
            label = Label {
                content_type: Some(kind.into()),
                filename: None,
            };
        }
        self.keep_copy(target, label, upload).await
    }

    /// The whole delivery into the blob; its first piece.
    async fn pour(
        &self,
        mut delivery: Delivery,
        upload: &mut dyn Upload,
        max: u64,
        payer: &str,
    ) -> Result<Vec<u8>, MediaError> {
        if delivery.bytes.is_some_and(|bytes| bytes > max) {
            return Err(MediaError::OriginTooLarge);
        }
        let (mut bytes, mut head) = (0_u64, Vec::new());
        while let Some(piece) = delivery.pieces.next().await? {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let now = self.0.env.clock.now();
            self.0.allowance.take(payer, length, now);
            bytes = bytes.saturating_add(length);
            if bytes > max {
                return Err(MediaError::OriginTooLarge);
            }
            let lacks = picture::HEAD_BYTES.saturating_sub(head.len());
            head.extend(piece.iter().take(lacks));
            upload.write(piece).await?;
        }
        Ok(head)
    }

    /// Makes a blob a copy that can be found.
    pub(crate) async fn keep_copy(
        &self,
        key: &MediaKey,
        label: Label,
        upload: Box<dyn Upload>,
    ) -> Result<(), MediaError> {
        let clock = &self.0.env.clock;
        {
            let _published = self.0.publishing.read().await;
            let stored = upload.finish().await?;
            let row = MediaRow {
                blob: stored.id.0,
                bytes: stored.bytes,
                content_type: label.content_type,
                filename: label.filename,
                uploader: None,
                ts: clock.wall_ms(),
            };
            // Lazy: what a crash takes is fetched again.
            let mut commit = Commit::lazy();
            put_copy(&mut commit, key, &row, clock.age_ms());
            match self.0.engine.commit(commit).await {
                // On conflict it is there already.
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let bytes = copied_bytes(&*self.snapshot().await?).await?;
        if bytes > self.0.options.copies.bytes_max {
            self.trim_copies().await?;
        }
        Ok(())
    }

    /// Notes that a copy is used, if that was not noted for a while. Nothing else depends on it.
    pub(crate) async fn note_use(&self, key: &MediaKey) -> Result<(), MediaError> {
        let snapshot = self.snapshot().await?;
        let seen = copy(&*snapshot, key).await?;
        let now = self.0.env.clock.age_ms();
        let interval = u64::try_from(USE_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let fresh = |used: u64| used.saturating_add(interval) > now;
        if seen.row.as_ref().is_none_or(|row| fresh(row.used_age_ms)) {
            return Ok(());
        }
        let mut commit = Commit::lazy();
        touch_copy(&mut commit, key, &seen, now);
        match self.0.engine.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops copies that nobody has used for long, and the least used ones until the rest takes no
    /// more than it may; how many.
    pub async fn trim_copies(&self) -> Result<usize, MediaError> {
        let mut dropped = 0;
        for _ in 0..TRIM_STEPS_MAX {
            let step = self.trim_page().await?;
            dropped += step;
            if step == 0 || self.0.env.shutdown.begun() {
                break;
            }
        }
        Ok(dropped)
    }

    async fn trim_page(&self) -> Result<usize, MediaError> {
        let snapshot = self.snapshot().await?;
        let limits = &self.0.options.copies;
        let span = u64::try_from(limits.unused_time_max.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = copied_bytes(&*snapshot).await?;
        let now = self.0.env.clock.age_ms();
        let (mut dropped, mut blobs) = (0, BTreeSet::new());
        for (used_age_ms, key) in oldest_copies(&*snapshot).await? {
            if bytes <= limits.bytes_max && used_age_ms.saturating_add(span) > now {
                break;
            }
            let size = copy(&*snapshot, &key).await?;
            // Synced: the blob goes at once, and no row may come back without it.
            let mut commit = Commit::synced();
            let freed = drop_copy(&*snapshot, &mut commit, &key, &Size::variants()).await?;
            match self.0.engine.commit(commit).await {
                Ok(_) => {
                    bytes = bytes.saturating_sub(size.row.map_or(0, |row| row.bytes));
                    blobs.extend(freed.into_iter().map(BlobId));
                    dropped += 1;
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(snapshot);
        let blobs: Vec<_> = blobs.into_iter().collect();
        for page in blobs.chunks(belfry_blob::LIST_MAX) {
            self.sweep_page(page).await?;
        }
        Ok(dropped)
    }
}

/// What the other server says of it, as far as it can be repeated.
fn label(delivery: &Delivery) -> Label {
    let filename = delivery.filename.as_deref();
    Label::new(delivery.content_type.as_deref(), filename)
        .or_else(|_| Label::new(None, filename))
        .unwrap_or_default()
}
