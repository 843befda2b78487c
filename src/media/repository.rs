//! The repository as a value: what its parts share, and how a file is found.

use std::{sync::Arc, time::Duration};

use belfry_blob::{BlobId, Blobs};
use belfry_data::{
    Engine, Snapshot,
    media::{MediaKey, MediaRow, media, reservation},
};
use belfry_env::Env;
use belfry_policy::{Account, Action, Decision, Request, Requester, Rules, decide};
use ruma_common::{OwnedServerName, ServerName};
use tokio::sync::{Mutex, RwLock, Semaphore, watch};

use crate::{
    allowance::Allowance,
    copies::{Asking, CopyOptions, FETCHES_MAX},
    error::MediaError,
    file::File,
    flight::Flights,
    name::Label,
    origin::{Origin, Web},
    preview::{PreviewOptions, Previewer},
    studio::Studio,
    thumbnail::{Outcome, Place},
};

/// Longest wait for a file that has not been uploaded yet.
pub const WAIT_MAX: Duration = Duration::from_mins(1);
/// What the operator chooses.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// This server's name.
    pub server_name: OwnedServerName,
    /// Largest upload, in bytes.
    pub upload_bytes_max: u64,
    /// What one user may upload all together, in bytes; `None` for as much as the disk holds.
    pub user_bytes_max: Option<u64>,
    /// What all users may upload together, in bytes; `None` for as much as the disk holds.
    pub server_bytes_max: Option<u64>,
    /// Where users find help who have reached a limit.
    pub help: Help,
    /// Other servers' files.
    pub copies: CopyOptions,
    /// Previews of pages; `None` for no previews.
    pub previews: Option<PreviewOptions>,
}

/// Where users find help.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Help {
    /// URI of a page that says what the limits are, or whom to ask.
    pub info_uri: String,
    /// URI by which the administrators are reached.
    pub admin_contact: String,
}

/// The way to other machines. What is absent is not asked.
#[derive(Clone, Default)]
pub struct Ports {
    /// Other servers' files.
    pub origin: Option<Arc<dyn Origin>>,
    /// Pages of the web.
    pub web: Option<Arc<dyn Web>>,
}

/// A file that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose it is.
    pub server: &'a ServerName,
    /// The media ID.
    pub id: &'a str,
    /// How long to wait for a file that has not been uploaded yet; at most [`WAIT_MAX`] counts.
    pub wait: Duration,
    /// Who wants it, for limits: a user, a network, a server.
    pub asker: &'a str,
    /// Whether and for whom another server may be asked for it.
    pub fetch: Option<Asking<'a>>,
}

impl Wanted<'_> {
    pub(crate) fn key(&self) -> MediaKey {
        MediaKey::new(self.server, self.id)
    }
}

/// The media repository of one server. Cheap to clone.
#[derive(Clone)]
pub struct Media(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) env: Env,
    pub(crate) options: MediaOptions,
    pub(crate) origin: Option<Arc<dyn Origin>>,
    pub(crate) previewer: Option<Previewer>,
    pub(crate) studio: Studio,
    pub(crate) allowance: Allowance,
    pub(crate) fetches: Flights<MediaKey, Result<(), MediaError>>,
    pub(crate) fetch_places: Semaphore,
    pub(crate) thumbnails: Flights<Place, Result<Outcome, MediaError>>,
    /// Bytes that all users have uploaded; counted when it is first asked for. Held while a file is
    /// committed, if there is a limit.
    pub(crate) uploaded: Mutex<Option<u64>>,
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
    /// A repository over these rows and blobs that asks nobody else.
    pub fn new(
        engine: Arc<dyn Engine>,
        blobs: Arc<dyn Blobs>,
        env: &Env,
        options: MediaOptions,
    ) -> Self {
        Self::with_ports(engine, blobs, env, options, Ports::default())
    }

    /// A repository that also has what others have.
    pub fn with_ports(
        engine: Arc<dyn Engine>,
        blobs: Arc<dyn Blobs>,
        env: &Env,
        options: MediaOptions,
        ports: Ports,
    ) -> Self {
        let previews = options.previews.clone().zip(ports.web);
        Self(Arc::new(Shared {
            engine,
            blobs,
            previewer: previews.map(|(options, web)| Previewer::new(options, web, &env.tasks)),
            options,
            origin: ports.origin,
            studio: Studio::new(&env.tasks),
            allowance: Allowance::default(),
            fetches: Flights::default(),
            fetch_places: Semaphore::new(FETCHES_MAX),
            thumbnails: Flights::default(),
            uploaded: Mutex::default(),
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

    /// A file of any server. One whose ID is reserved is waited for; one of another server is
    /// fetched, if it may be.
    pub async fn open(&self, wanted: &Wanted<'_>) -> Result<File, MediaError> {
        let key = wanted.key();
        if key.server == self.0.options.server_name {
            return self.open_own(&key, wanted.wait).await;
        }
        match self.find(&key).await {
            Err(MediaError::NotFound) if wanted.fetch.is_some() => {}
            found => return found,
        }
        self.fetch(&key, None, wanted).await?;
        self.find(&key).await
    }

    async fn open_own(&self, key: &MediaKey, wait: Duration) -> Result<File, MediaError> {
        let mut arrivals = self.0.arrivals.subscribe();
        // Whoever does not wait long is told all the same of what is there.
        match self.find(key).await {
            Err(MediaError::NotYetUploaded) => {}
            found => return found,
        }
        let come = async {
            loop {
                if arrivals.changed().await.is_err() {
                    return Err(MediaError::NotYetUploaded);
                }
                match self.find(key).await {
                    Err(MediaError::NotYetUploaded) => {}
                    found => return found,
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

    pub(crate) async fn find(&self, key: &MediaKey) -> Result<File, MediaError> {
        let snapshot = self.snapshot().await?;
        if let Some(row) = media(&*snapshot, key).await? {
            return self.open_row(key, row).await;
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

    async fn open_row(&self, key: &MediaKey, row: MediaRow) -> Result<File, MediaError> {
        let is_copy = row.uploader.is_none();
        let label = Label {
            content_type: row.content_type,
            filename: row.filename,
        };
        let opened = self.open_blob(BlobId(row.blob), label).await;
        if !is_copy {
            return opened;
        }
        if opened.is_err() && media(&*self.snapshot().await?, key).await?.is_none() {
            // It was dropped between the row and the blob.
            return Err(MediaError::NotFound);
        }
        self.note_use(key).await?;
        opened
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
