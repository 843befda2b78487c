//! The repository as a value: what its parts share, and how a file is found.

use std::{sync::Arc, time::Duration};

use belfry_blob::{BlobId, Blobs};
use belfry_data::{
    Engine, Snapshot,
    media::{MediaKey, media, reservation},
};
use belfry_env::{Env, Pool, PoolLimits};
use belfry_policy::{Account, Action, Decision, Request, Requester, Rules, decide};
use ruma_common::{OwnedServerName, ServerName};
use tokio::sync::{RwLock, watch};

use crate::{error::MediaError, file::File, name::Label};

/// Longest wait for a file that has not been uploaded yet.
pub const WAIT_MAX: Duration = Duration::from_mins(1);
/// Pictures decoded at once, and how many may wait for it.
const PICTURES: PoolLimits = PoolLimits {
    running_max: 2,
    waiting_max: 64,
};

/// What the operator chooses.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// This server's name.
    pub server_name: OwnedServerName,
    /// Largest upload, in bytes.
    pub upload_bytes_max: u64,
    /// What one user may upload all together, in bytes; `None` for as much as the disk holds.
    pub user_bytes_max: Option<u64>,
}

/// The media repository of one server. Cheap to clone.
#[derive(Clone)]
pub struct Media(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) env: Env,
    pub(crate) options: MediaOptions,
    pub(crate) pictures: Pool,
    /// Changes whenever a reserved file has come.
    pub(crate) arrivals: watch::Sender<u64>,
    /// Held for reading from before a blob is finished until its row is committed, and for writing
    /// while blobs without a row are removed.
    pub(crate) publishing: RwLock<()>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Media");
        shown.field("options", &self.0.options);
        shown.finish_non_exhaustive()
    }
}

impl Media {
    /// A repository over these rows and blobs.
    pub fn new(
        engine: Arc<dyn Engine>,
        blobs: Arc<dyn Blobs>,
        env: &Env,
        options: MediaOptions,
    ) -> Self {
        Self(Arc::new(Shared {
            engine,
            blobs,
            options,
            pictures: env.tasks.pool("pictures", PICTURES),
            env: env.clone(),
            arrivals: watch::Sender::new(0),
            publishing: RwLock::new(()),
        }))
    }

    /// What the operator chose.
    pub fn options(&self) -> &MediaOptions {
        &self.0.options
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, MediaError> {
        Ok(self.0.engine.snapshot().await?)
    }

    /// Asks policy.
    pub(crate) fn allow(
        rules: &Rules,
        account: Account<'_>,
        action: Action,
    ) -> Result<(), MediaError> {
        match decide(rules, &Request::new(Requester::Account(account), action)) {
            Decision::Allow => Ok(()),
            Decision::Deny(denial) => Err(MediaError::Denied(denial)),
        }
    }

    /// A file of any server that this one has. Waits for one whose ID is reserved, at most `wait`
    /// and at most [`WAIT_MAX`].
    pub async fn open(
        &self,
        server: &ServerName,
        id: &str,
        wait: Duration,
    ) -> Result<File, MediaError> {
        let key = MediaKey::new(server, id);
        let mut arrivals = self.0.arrivals.subscribe();
        let come = async {
            loop {
                match self.find(&key).await {
                    Err(MediaError::NotYetUploaded) => {}
                    found => return found,
                }
                if arrivals.changed().await.is_err() {
                    return Err(MediaError::NotYetUploaded);
                }
            }
        };
        let clock = &self.0.env.clock;
        let found = clock.within(wait.min(WAIT_MAX), self.0.env.shutdown.unless(come));
        match found.await {
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => Err(MediaError::NotYetUploaded),
        }
    }

    async fn find(&self, key: &MediaKey) -> Result<File, MediaError> {
        let snapshot = self.snapshot().await?;
        if let Some(row) = media(&*snapshot, key).await? {
            let label = Label {
                content_type: row.content_type,
                filename: row.filename,
            };
            return self.open_blob(BlobId(row.blob), label).await;
        }
        let own = key.server == self.0.options.server_name;
        let reserved = if own {
            reservation(&*snapshot, &key.id).await?.row
        } else {
            None
        };
        let now = self.0.env.clock.age_ms();
        match reserved {
            Some(row) if row.expires_age_ms > now => Err(MediaError::NotYetUploaded),
            _ => Err(MediaError::NotFound),
        }
    }

    pub(crate) async fn open_blob(&self, id: BlobId, label: Label) -> Result<File, MediaError> {
        match self.0.blobs.open(id).await? {
            Some(blob) => Ok(File { label, id, blob }),
            None => Err(MediaError::Broken(format!(
                "the file {id} is missing from the media folder; restore it from a backup"
            ))),
        }
    }
}
