//! Copies for backups, and reading all there is to see whether it can be read.
//!
//! Both may take minutes, so each runs on a thread of its own. Knows nothing of schedules, of
//! where backups go, or of what the rows mean.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use belfry_kv::{ReadError, Unavailable};
use rocksdb::{ColumnFamily, ReadOptions, checkpoint::Checkpoint};
use tokio::sync::oneshot;

use crate::{fault::read_error, store::Store, threads, view::Freeze};

/// The census reads ahead so much at once, past the cache.
const READ_AHEAD_BYTES: usize = 2 << 20;
/// The census looks so often whether the server is stopping.
const ROWS_PER_LOOK: usize = 4_096;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A copy or a census is under way.
    #[error("a backup or a check is already running: wait until it is done")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
    /// The folder is there already.
    #[error("{0} exists already: name a folder that does not")]
    Exists(PathBuf),
    /// The copy could not be made; what there is of it is not to be used.
    #[error("the backup could not be written: {0}; check space and permissions of its folder")]
    Failed(String),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What a complete reading of the database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// One entry for each declared table, in the order declared.
    pub tables: Vec<TableCensus>,
    /// Rows of tables that are not declared any more.
    pub undeclared_rows: u64,
}

/// What a complete reading of a table found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCensus {
    /// The keyspace's name.
    pub name: &'static str,
    /// The keyspace's tag.
    pub tag: u8,
    /// Rows, exactly.
    pub rows: u64,
    /// Their keys and values, uncompressed.
    pub bytes: u64,
}

/// The one long job that may run.
#[derive(Default)]
pub(crate) struct Errand {
    running: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Errand {
    /// What `job` returns, from a thread of its own. `job` is told how to see that it must stop.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&AtomicBool) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(ArchiveError::Closed);
        }
        if self.running.swap(true, Ordering::SeqCst) {
            return Err(ArchiveError::Busy);
        }
        let (answer, done) = oneshot::channel();
        let (running, closing) = (Arc::clone(&self.running), Arc::clone(&self.closing));
        let work = move || {
            let found = job(&closing);
            running.store(false, Ordering::SeqCst);
            // The caller may have gone.
            drop(answer.send(found));
        };
        self.start(work)?;
        done.await.map_err(|_| ArchiveError::Closed)?
    }

    fn start(&self, work: impl FnOnce() + Send + 'static) -> Result<(), ArchiveError> {
        match threads::start("belfry-archive", work) {
            Ok(thread) => {
                *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
                Ok(())
            }
            Err(error) => {
                self.running.store(false, Ordering::SeqCst);
                Err(ArchiveError::Failed(error.to_string()))
            }
        }
    }

    /// Asks the job to stop and waits until it has.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            threads::join("belfry-archive", thread);
        }
    }
}

/// Copies the database as it is now, every commit answered before included, into a new folder that
/// [`crate::Rocks::open`] opens. On the same disk table files are shared, not copied.
pub(crate) fn checkpoint(store: &Store, into: &Path) -> Result<(), ArchiveError> {
    if into.exists() {
        return Err(ArchiveError::Exists(into.to_owned()));
    }
    let failed = |error: rocksdb::Error| ArchiveError::Failed(error.into_string());
    let checkpoint = Checkpoint::new(&store.db).map_err(failed)?;
    checkpoint.create_checkpoint(into).map_err(failed)?;
    sync(into).map_err(|error| ArchiveError::Failed(error.to_string()))
}

/// Not everything is synced by `RocksDB`: a power failure after the backup must leave it whole.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    match folder.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads every row of every family, and with it every block, whose checksum is compared.
pub(crate) fn census(freeze: &Freeze, closing: &AtomicBool) -> Result<Census, ArchiveError> {
    let store = freeze.store();
    let mut tally = Tally::new();
    for family in store.layout.families() {
        count(freeze, store.handle(&family.name)?, &mut tally, closing)?;
    }
    let tables = store.keyspaces.iter().map(|space| {
        let (rows, bytes) = tally.remove(&space.tag).unwrap_or_default();
        TableCensus {
            name: space.name,
            tag: space.tag,
            rows,
            bytes,
        }
    });
    Ok(Census {
        tables: tables.collect(),
        undeclared_rows: tally.values().map(|(rows, _)| rows).sum(),
    })
}

/// Rows and bytes by tag.
type Tally = BTreeMap<u8, (u64, u64)>;

fn count(
    freeze: &Freeze,
    family: &ColumnFamily,
    tally: &mut Tally,
    closing: &AtomicBool,
) -> Result<(), ReadError> {
    let mut options = ReadOptions::default();
    options.set_snapshot(freeze.frozen());
    options.set_total_order_seek(true);
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options.set_readahead_size(READ_AHEAD_BYTES);
    let mut found = freeze.store().db.raw_iterator_cf_opt(family, options);
    let mut looked = 0;
    found.seek_to_first();
    while let Some((key, value)) = found.item() {
        let (rows, bytes) = tally
            .entry(key.first().copied().unwrap_or_default())
            .or_default();
        *rows += 1;
        *bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        looked += 1;
        if looked % ROWS_PER_LOOK == 0 && closing.load(Ordering::Relaxed) {
            return Err(ReadError::Unavailable(Unavailable::Closed.to_string()));
        }
        found.next();
    }
    found.status().map_err(read_error)
}
