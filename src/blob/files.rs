//! Blobs as files: `ab/cdef…` below the store's folder, named by their hash in hexadecimal.
//!
//! A blob is written to `unfinished/N`, synced, renamed to its place, and the folder synced. Knows
//! nothing of who else uses the folder: whoever opens it sees to it that it is alone.

use std::{
    fs,
    future::poll_fn,
    io::{self, IoSliceMut},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use rustix::io::{ReadWriteFlags, preadv2};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::contract::{
    Blob, BlobError, BlobId, Blobs, BoxFuture, HASH_BYTES, LIST_MAX, READ_BYTES_MAX, Stored, Upload,
};

const UNFINISHED: &str = "unfinished";
/// What is gathered of an upload before it is handed to the system: for each hand-over, another
/// thread has to wake up.
const GATHERED_BYTES: usize = 256 << 10;
/// After how many bytes the disk begins to write, while more come.
const UNSYNCED_BYTES: u64 = 8 << 20;

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A store in a folder of its own.
#[derive(Debug, Clone)]
pub struct Files(Arc<Store>);

#[derive(Debug)]
struct Store {
    folder: PathBuf,
    /// Names of unfinished files.
    next: AtomicU64,
}

impl Files {
    /// Opens the folder, which is made if it is absent, for its owner only.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        private_folder(&folder.join(UNFINISHED))?;
        // All at once, so that no upload has to wait until a shelf is durable.
        for first in 0..=u8::MAX {
            private_folder(&folder.join(shelf(first)))?;
        }
        sync_folder(&folder)?;
        let next = AtomicU64::new(0);
        Ok(Self(Arc::new(Store { folder, next })))
    }

    /// Removes what a crash left unfinished. To be called before the first blob is begun, by
    /// whoever is certain to be alone in the folder.
    pub fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.0.folder.join(UNFINISHED))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

/// The folder of the blobs whose name begins with this byte.
fn shelf(first: u8) -> String {
    format!("{first:02x}")
}

impl Store {
    fn shelf(&self, id: BlobId) -> PathBuf {
        let [first, ..] = id.0;
        self.folder.join(shelf(first))
    }

    fn place(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.shelf(id).join(name.get(2..).unwrap_or_default())
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

impl Blobs for Files {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Upload>, BlobError>> {
        Box::pin(async {
            let number = self.0.next.fetch_add(1, Ordering::Relaxed);
            let path = self.0.folder.join(UNFINISHED).join(number.to_string());
            let mut options = tokio::fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600);
            let draft = Draft {
                file: file.open(&path).await?,
                unfinished: Unfinished(path),
                store: Arc::clone(&self.0),
                hash: Sha256::new(),
                bytes: 0,
                gathered: BytesMut::new(),
                unsynced_bytes: 0,
                syncing: None,
            };
            Ok(Box::new(draft) as Box<dyn Upload>)
        })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Option<Box<dyn Blob>>, BlobError>> {
        Box::pin(async move {
            let file = match tokio::fs::File::open(self.0.place(id)).await {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let bytes = file.metadata().await?.len();
            let open = Open { file, bytes, at: 0 };
            Ok(Some(Box::new(open) as Box<dyn Blob>))
        })
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            match tokio::fs::remove_file(self.0.place(id)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        })
    }

    fn list(&self, after: Option<BlobId>) -> BoxFuture<'_, Result<Vec<BlobId>, BlobError>> {
        Box::pin(async move {
            let from = after.map_or(0, |BlobId([first, ..])| first);
            let mut found = Vec::new();
            for shelf in from..=u8::MAX {
                let mut ids = self.0.on_shelf(shelf).await?;
                ids.retain(|id| after.is_none_or(|after| *id > after));
                ids.sort_unstable();
                found.extend(ids);
                if found.len() >= LIST_MAX {
                    found.truncate(LIST_MAX);
                    break;
                }
            }
            Ok(found)
        })
    }
}

impl Store {
    /// The blobs whose name begins with this byte, in no order.
    async fn on_shelf(&self, first: u8) -> Result<Vec<BlobId>, BlobError> {
        let prefix = shelf(first);
        let mut ids = Vec::new();
        let mut entries = match tokio::fs::read_dir(self.folder.join(&prefix)).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ids),
            Err(error) => return Err(error.into()),
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            // Whatever else lies there is not ours.
            ids.extend(BlobId::parse(&format!("{prefix}{}", name.display())));
        }
        Ok(ids)
    }
}

/// A file that is removed unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is none. One that cannot be removed now is so at the next start.
        drop(fs::remove_file(&self.0));
    }
}

struct Draft {
    file: tokio::fs::File,
    unfinished: Unfinished,
    store: Arc<Store>,
    hash: Sha256,
    bytes: u64,
    /// What has come and was not handed to the system.
    gathered: BytesMut,
    /// What was handed to it and the disk has not been told to write.
    unsynced_bytes: u64,
    /// The disk is writing what came before.
    syncing: Option<BoxFuture<'static, io::Result<()>>>,
}

impl Draft {
    /// Hands over what was gathered.
    async fn hand_over(&mut self) -> io::Result<()> {
        self.file.write_all(&self.gathered).await?;
        self.unsynced_bytes += u64::try_from(self.gathered.len()).unwrap_or(u64::MAX);
        self.gathered.clear();
        if self.unsynced_bytes >= UNSYNCED_BYTES && self.is_synced().await? {
            let file = self.file.try_clone().await?;
            self.syncing = Some(Box::pin(async move { file.sync_data().await }));
            self.unsynced_bytes = 0;
            // It begins when it is asked first, and goes on by itself.
            self.is_synced().await?;
        }
        Ok(())
    }

    /// Whether the disk is idle. Does not wait for it.
    async fn is_synced(&mut self) -> io::Result<bool> {
        let Some(syncing) = &mut self.syncing else {
            return Ok(true);
        };
        let asked = poll_fn(|context| Poll::Ready(syncing.as_mut().poll(context)));
        match asked.await {
            Poll::Pending => Ok(false),
            Poll::Ready(synced) => {
                self.syncing = None;
                synced.map(|()| true)
            }
        }
    }
}

impl Upload for Draft {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            self.hash.update(&piece);
            self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.gathered.extend_from_slice(&piece);
            if self.gathered.len() >= GATHERED_BYTES {
                self.hand_over().await?;
            }
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Stored, BlobError>> {
        Box::pin(async move {
            self.file.write_all(&self.gathered).await?;
            self.file.flush().await?;
            // An error is told only once, to whoever asks first: both are asked.
            self.file.sync_all().await?;
            if let Some(syncing) = self.syncing.take() {
                syncing.await?;
            }
            let Self {
                unfinished,
                store,
                hash,
                bytes,
                ..
            } = *self;
            let hash: [u8; HASH_BYTES] = hash.finalize().into();
            let id = BlobId(hash);
            publish(&store, &unfinished.0, id).await?;
            Ok(Stored { id, bytes })
        })
    }
}

/// Puts a synced file in its place, durably.
async fn publish(store: &Store, from: &Path, id: BlobId) -> Result<(), BlobError> {
    let (shelf, place) = (store.shelf(id), store.place(id));
    // If the content is there already, this puts the same bytes in its place.
    match tokio::fs::rename(from, &place).await {
        // Somebody tidied up empty folders.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_folder(&shelf)?;
            sync(store.folder.clone()).await?;
            tokio::fs::rename(from, &place).await?;
        }
        renamed => renamed?,
    }
    sync(shelf).await
}

async fn sync(folder: PathBuf) -> Result<(), BlobError> {
    // Opened here and now: names of folders are in memory, and to wake another thread costs more.
    let folder = tokio::fs::File::from_std(fs::File::open(folder)?);
    Ok(folder.sync_all().await?)
}

struct Open {
    file: tokio::fs::File,
    bytes: u64,
    /// Where the file stands.
    at: u64,
}

impl Open {
    /// Reads by another thread, which may wait for the disk.
    async fn read_slowly(&mut self, at: u64, piece: &mut [u8]) -> io::Result<usize> {
        self.file.set_max_buf_size(READ_BYTES_MAX);
        if at != self.at {
            self.at = self.file.seek(io::SeekFrom::Start(at)).await?;
        }
        let read = self.file.read(piece).await?;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

impl Blob for Open {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, limit: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
            let mut piece = BytesMut::zeroed(limit.min(READ_BYTES_MAX).min(left));
            if piece.is_empty() {
                return Ok(Bytes::new());
            }
            // What is in memory is taken here and now: to wake another thread costs more than to copy.
            let slice = &mut [IoSliceMut::new(&mut piece)];
            let read = match preadv2(&self.file, slice, at, ReadWriteFlags::NOWAIT) {
                Ok(read) => read,
                // It would wait for the disk, or this is a file system that cannot say so.
                Err(_) => self.read_slowly(at, &mut piece).await?,
            };
            piece.truncate(read);
            Ok(piece.freeze())
        })
    }
}
