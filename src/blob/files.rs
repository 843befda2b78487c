//! Blobs as files: `ab/cdef…` below the store's folder, named by their hash in hexadecimal.
//!
//! A blob is written to `unfinished/N`, synced, renamed to its place, and the folder synced. Knows
//! nothing of who else uses the folder: whoever opens it sees to it that it is alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::contract::{
    Blob, BlobError, BlobId, Blobs, BoxFuture, HASH_BYTES, LIST_MAX, READ_BYTES_MAX, Stored, Upload,
};

const UNFINISHED: &str = "unfinished";

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

impl Store {
    fn shelf(&self, id: BlobId) -> PathBuf {
        let [first, ..] = id.0;
        self.folder.join(format!("{first:02x}"))
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
            };
            Ok(Box::new(draft) as Box<dyn Upload>)
        })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Option<Box<dyn Blob>>, BlobError>> {
        Box::pin(async move {
            let mut file = match tokio::fs::File::open(self.0.place(id)).await {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            file.set_max_buf_size(READ_BYTES_MAX);
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
        let prefix = format!("{first:02x}");
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
}

impl Upload for Draft {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            self.hash.update(&piece);
            self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            Ok(self.file.write_all(&piece).await?)
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Stored, BlobError>> {
        Box::pin(async move {
            let Self {
                mut file,
                unfinished,
                store,
                hash,
                bytes,
            } = *self;
            file.flush().await?;
            file.sync_all().await?;
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
    if !tokio::fs::try_exists(&shelf).await? {
        private_folder(&shelf)?;
        sync(store.folder.clone()).await?;
    }
    // If the content is there already, this puts the same bytes in its place.
    tokio::fs::rename(from, &place).await?;
    sync(shelf).await
}

async fn sync(folder: PathBuf) -> Result<(), BlobError> {
    let folder = tokio::fs::File::open(folder).await?;
    Ok(folder.sync_all().await?)
}

struct Open {
    file: tokio::fs::File,
    bytes: u64,
    /// Where the file stands.
    at: u64,
}

impl Blob for Open {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, limit: usize) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            if at != self.at {
                self.at = self.file.seek(io::SeekFrom::Start(at)).await?;
            }
            let mut piece = BytesMut::with_capacity(limit.min(READ_BYTES_MAX));
            let read = self.file.read_buf(&mut piece).await?;
            self.at += u64::try_from(read).unwrap_or(u64::MAX);
            Ok(piece.freeze())
        })
    }
}
