//! Files that come in: reservations, pieces, the commit that makes a file visible.

use std::time::Duration;

use belfry_blob::{Stored, Upload};
use belfry_data::{
    Commit, CommitError, Snapshot,
    media::{
        MediaKey, MediaRow, ReservationRow, all_uploaded_bytes, check_uploaded, media, put_media,
        reservation, reserve, reserved_by, take_reservation, uploaded_bytes,
    },
};
use belfry_policy::{Account, Action, Rules};
use bytes::Bytes;
use ruma_common::{OwnedMxcUri, OwnedUserId, UserId};

use crate::{error::MediaError, name::Label, repository::Media};

/// How long a reserved ID waits for its file (spec: 24 hours).
pub const RESERVATION_TIME: Duration = Duration::from_hours(24);
/// IDs that one user may have reserved at once.
pub const RESERVED_MAX: usize = 50;

/// Characters of a media ID: 143 bits, so that nobody guesses one.
const ID_CHARACTERS: usize = 24;
/// How often a commit is tried that another upload of the same user came before.
const TRIES_MAX: u32 = 16;

/// A reserved URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The `mxc://` URI.
    pub uri: OwnedMxcUri,
    /// Until when its file must have come, in milliseconds since the Unix epoch.
    pub expires_ts: u64,
}

/// A file that is coming in. Dropped before [`Incoming::finish`], it leaves nothing.
pub struct Incoming {
    media: Media,
    upload: Box<dyn Upload>,
    user: OwnedUserId,
    label: Label,
    /// The reserved ID that it is for.
    reserved: Option<String>,
    bytes: u64,
}

impl Media {
    /// Reserves an ID for a file that comes later (`POST /_matrix/media/v1/create`).
    pub async fn reserve(
        &self,
        rules: &Rules,
        account: Account<'_>,
    ) -> Result<Reservation, MediaError> {
        Self::allow(rules, account, Action::Upload)?;
        let snapshot = self.snapshot().await?;
        // Two at once may both be the last: the limit is one of order, not of safety.
        if reserved_by(&*snapshot, account.id, RESERVED_MAX).await? >= RESERVED_MAX {
            return Err(MediaError::TooManyReserved);
        }
        let clock = &self.0.env.clock;
        let time_ms = u64::try_from(RESERVATION_TIME.as_millis()).unwrap_or(u64::MAX);
        let id = self.new_id();
        let row = ReservationRow {
            user: account.id.to_owned(),
            expires_age_ms: clock.age_ms().saturating_add(time_ms),
        };
        let mut commit = Commit::synced();
        reserve(&mut commit, &id, &row);
        self.0.engine.commit(commit).await?;
        Ok(Reservation {
            uri: self.uri(&id),
            expires_ts: clock.wall_ms().saturating_add(time_ms),
        })
    }

    /// Begins a file of `bytes`, if that is known; into a reserved ID, or a new one.
    pub async fn begin(
        &self,
        rules: &Rules,
        account: Account<'_>,
        reserved: Option<&str>,
        label: Label,
        bytes: Option<u64>,
    ) -> Result<Incoming, MediaError> {
        Self::allow(rules, account, Action::Upload)?;
        let bytes = bytes.unwrap_or_default();
        self.check_size(bytes)?;
        let snapshot = self.snapshot().await?;
        if let Some(max) = self.0.options.user_bytes_max {
            self.check_quota(&*snapshot, account.id, bytes, max).await?;
        }
        if let Some(max) = self.0.options.server_bytes_max {
            let mut uploaded = self.0.uploaded.lock().await;
            self.check_server_quota(&mut uploaded, bytes, max).await?;
        }
        if let Some(id) = reserved {
            self.check_reserved(id, account.id).await?;
        }
        Ok(Incoming {
            media: self.clone(),
            upload: self.0.blobs.begin().await?,
            user: account.id.to_owned(),
            label,
            reserved: reserved.map(str::to_owned),
            bytes: 0,
        })
    }

    fn check_size(&self, bytes: u64) -> Result<(), MediaError> {
        let max = self.0.options.upload_bytes_max;
        if bytes > max {
            return Err(MediaError::TooLarge(max));
        }
        Ok(())
    }

    /// Whether the user may upload so many bytes more.
    async fn check_quota(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        bytes: u64,
        bytes_max: u64,
    ) -> Result<(), MediaError> {
        let before = uploaded_bytes(snapshot, user).await?;
        if before.saturating_add(bytes) > bytes_max {
            let help = self.0.options.help.clone();
            return Err(MediaError::Quota { bytes_max, help });
        }
        Ok(())
    }

    /// Whether all users may upload so many bytes more together; counts what they have uploaded if
    /// nobody has since the start.
    async fn check_server_quota(
        &self,
        uploaded: &mut Option<u64>,
        bytes: u64,
        bytes_max: u64,
    ) -> Result<(), MediaError> {
        let before = if let Some(bytes) = *uploaded {
            bytes
        } else {
            let counted = all_uploaded_bytes(&*self.snapshot().await?).await?;
            *uploaded.insert(counted)
        };
        if before.saturating_add(bytes) > bytes_max {
            return Err(MediaError::ServerQuota(self.0.options.help.clone()));
        }
        Ok(())
    }

    async fn check_reserved(&self, id: &str, user: &UserId) -> Result<(), MediaError> {
        let snapshot = self.snapshot().await?;
        let seen = reservation(&*snapshot, id).await?;
        let key = MediaKey::new(&self.0.options.server_name, id);
        let now = self.0.env.clock.age_ms();
        match seen.row {
            Some(row) if row.user != user => Err(MediaError::NotYours),
            Some(row) if row.expires_age_ms > now => Ok(()),
            _ => match media(&*snapshot, &key).await? {
                Some(row) if row.uploader.as_deref() == Some(user) => {
                    Err(MediaError::AlreadyUploaded)
                }
                Some(_) => Err(MediaError::NotYours),
                None => Err(MediaError::NotFound),
            },
        }
    }

    pub(crate) fn new_id(&self) -> String {
        self.0.env.random.token(ID_CHARACTERS)
    }

    pub(crate) fn uri(&self, id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{id}", self.0.options.server_name).into()
    }
}

impl Incoming {
    /// Adds a piece.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), MediaError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.media.check_size(self.bytes)?;
        Ok(self.upload.write(piece).await?)
    }

    /// Makes the file durable, then visible; its `mxc://` URI.
    pub async fn finish(self) -> Result<OwnedMxcUri, MediaError> {
        let shared = &self.media.0;
        let _published = shared.publishing.read().await;
        let stored = self.upload.finish().await?;
        let id = self.reserved.clone().unwrap_or_else(|| self.media.new_id());
        let row = row(&self.user, self.label, stored, shared.env.clock.wall_ms());
        for _ in 0..TRIES_MAX {
            if self
                .media
                .publish(&id, self.reserved.is_some(), &row)
                .await?
            {
                shared
                    .arrivals
                    .send_modify(|count| *count = count.wrapping_add(1));
                return Ok(self.media.uri(&id));
            }
        }
        Err(MediaError::Busy)
    }
}

fn row(user: &UserId, label: Label, stored: Stored, ts: u64) -> MediaRow {
    MediaRow {
        blob: stored.id.0,
        bytes: stored.bytes,
        content_type: label.content_type,
        filename: label.filename,
        uploader: Some(user.to_owned()),
        ts,
    }
}

impl Media {
    /// Commits the row of a file; `false` if something that the commit checks has changed meanwhile.
    async fn publish(&self, id: &str, reserved: bool, row: &MediaRow) -> Result<bool, MediaError> {
        let Some(max) = self.0.options.server_bytes_max else {
            return self.commit_file(id, reserved, row).await;
        };
        // One at a time, so that two cannot take the same last bytes.
        let mut uploaded = self.0.uploaded.lock().await;
        self.check_server_quota(&mut uploaded, row.bytes, max)
            .await?;
        // Whether it was committed is not known if it fails: then it is counted anew.
        let before = uploaded.take();
        let done = self.commit_file(id, reserved, row).await?;
        let added = if done { row.bytes } else { 0 };
        *uploaded = before.map(|before| before.saturating_add(added));
        Ok(done)
    }

    async fn commit_file(
        &self,
        id: &str,
        reserved: bool,
        row: &MediaRow,
    ) -> Result<bool, MediaError> {
        let Some(user) = row.uploader.as_deref() else {
            return Err(MediaError::Broken("an upload of nobody".to_owned()));
        };
        let snapshot = self.snapshot().await?;
        let mut commit = Commit::synced();
        if let Some(max) = self.0.options.user_bytes_max {
            self.check_quota(&*snapshot, user, row.bytes, max).await?;
            check_uploaded(&mut commit, user, max.saturating_sub(row.bytes));
        }
        if reserved {
            // Anew: it may have expired or been used while the file came.
            self.check_reserved(id, user).await?;
            take_reservation(&mut commit, id, &reservation(&*snapshot, id).await?);
        }
        put_media(
            &mut commit,
            &MediaKey::new(&self.0.options.server_name, id),
            row,
        );
        match self.0.engine.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
