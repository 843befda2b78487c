//! The engine that everybody else sees: handles to the committer, the readers and the long jobs.
//! Knows how they fit together and nothing of how they work.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use belfry_kv::{
    BoxFuture, Check, Commit, CommitError, Engine, Keyspace, Position, ReadError, Snapshot,
    Unavailable, Write,
};

use crate::{
    archive::{self, ArchiveError, Census, Errand},
    committer::Committer,
    fault::{OpenError, failed},
    open,
    options::Options,
    pool::Pool,
    published::Published,
    queue::Queue,
    registry,
    stats::{self, Meters, Stats},
    store::Store,
    threads,
    view::View,
};

/// A database in a folder. Dropping it closes it, see [`Rocks::close`].
pub struct Rocks {
    store: Arc<Store>,
    queue: Arc<Queue>,
    published: Arc<Published>,
    pool: Arc<Pool>,
    meters: Arc<Meters>,
    errand: Errand,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Rocks {
    /// Opens the database in the folder, or makes one. Waits for the disk; replays what a crash
    /// left in the journal.
    ///
    /// Refuses, and changes nothing: a folder that is in use, a database of a newer version, a
    /// journal that lost something acknowledged, a process with too few file descriptors.
    pub fn open(
        path: impl AsRef<Path>,
        keyspaces: &[Keyspace],
        options: Options,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let readers = options.read_threads;
        let store = Arc::new(open::open(path, keyspaces, options)?);
        let reserved = registry::enrol(&store, keyspaces)?;
        let pool = Arc::new(Pool::start(readers).map_err(OpenError::io(path))?);
        let published = Arc::new(Published::new(reserved.given));
        let (queue, meters) = (Arc::<Queue>::default(), Arc::<Meters>::default());
        let committer = Committer::new(
            Arc::clone(&store),
            Arc::clone(&published),
            Arc::clone(&meters),
            reserved,
        );
        let line = Arc::clone(&queue);
        let thread = threads::start("belfry-commit", move || work(committer, &line))
            .map_err(OpenError::io(path))?;
        Ok(Self {
            store,
            queue,
            published,
            pool,
            meters,
            errand: Errand::default(),
            committer: Mutex::new(Some(thread)),
        })
    }

    /// Resolves once every commit before this call is durable, lazy ones too.
    pub async fn sync(&self) -> Result<(), CommitError> {
        self.commit(Commit::synced()).await.map(drop)
    }

    /// What the engine and `RocksDB` know about themselves.
    pub async fn stats(&self) -> Result<Stats, ReadError> {
        let (store, meters) = (Arc::clone(&self.store), Arc::clone(&self.meters));
        let waiting = self.queue.len();
        let read = move || stats::collect(&store, &meters, waiting);
        self.pool.run(read).await?
    }

    /// Copies the database while it works, into a folder that must not exist; [`Rocks::open`]
    /// opens the copy. It holds every commit that was answered before this call, and it is on disk
    /// when this returns. On the same file system it takes no space at first.
    pub async fn checkpoint(&self, into: impl Into<PathBuf>) -> Result<(), ArchiveError> {
        let (store, into) = (Arc::clone(&self.store), into.into());
        self.errand
            .run(move |_| archive::checkpoint(&store, &into))
            .await
    }

    /// Reads all tables, comparing every checksum, and counts the rows. An error is what the first
    /// damaged block gives.
    pub async fn census(&self) -> Result<Census, ArchiveError> {
        let (freeze, _) = self.published.freeze(Arc::clone(&self.store));
        self.errand
            .run(move |closing| archive::census(&freeze, closing))
            .await
    }

    /// Answers what waits, makes everything durable and ends the threads. Waits for the disk: not
    /// for a thread of an async runtime. Later commits are refused, also those of other handles.
    pub fn close(&self) {
        self.queue.close();
        self.errand.close();
        let thread = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            threads::join("belfry-commit", thread);
        }
        self.pool.close();
    }

    /// `RocksDB`'s count of the writes that are known to be on disk.
    #[cfg(test)]
    pub(crate) fn durable(&self) -> u64 {
        self.meters
            .durable
            .load(std::sync::atomic::Ordering::SeqCst)
    }

    /// No file is deleted from now on.
    #[cfg(test)]
    pub(crate) fn keep_files(&self) {
        self.store.db.disable_file_deletions().unwrap();
    }

    fn queue(
        &self,
        commit: Commit,
    ) -> Result<tokio::sync::oneshot::Receiver<crate::queue::Answer>, CommitError> {
        commit.within_limits().map_err(CommitError::TooLarge)?;
        self.declared(&commit)?;
        self.queue.push(commit)
    }

    /// A row of a table that nobody declared would have no place.
    fn declared(&self, commit: &Commit) -> Result<(), CommitError> {
        let checked = commit.checks.iter().map(|check| match check {
            Check::Absent(key) | Check::Equals(key, _) | Check::Within { key, .. } => key.tag(),
        });
        let written = commit.writes.iter().map(|write| match write {
            Write::Put(key, _)
            | Write::Delete(key)
            | Write::Add(key, _)
            | Write::Append { prefix: key, .. }
            | Write::Stamp { key, .. } => key.tag(),
            Write::DeleteRange(range) => range.from.tag(),
        });
        let unknown = |tag: &u8| self.store.layout.family_of(*tag).is_none();
        match checked.chain(written).find(unknown) {
            None => Ok(()),
            Some(tag) => Err(failed(format!(
                "no table with tag {tag} was declared at opening"
            ))),
        }
    }
}

/// The committer's thread. However it ends, nobody waits for it afterwards.
fn work(committer: Committer, queue: &Queue) {
    struct End<'a>(&'a Queue);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.close();
            for pending in self.0.drain() {
                pending.answer(Err(CommitError::Unavailable(Unavailable::Closed)));
            }
        }
    }
    let _end = End(queue);
    committer.run(queue);
}

impl Drop for Rocks {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine for Rocks {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        Box::pin(async move {
            if self.queue.is_closed() {
                return Err(ReadError::Unavailable(Unavailable::Closed.to_string()));
            }
            let taken_at = (self.store.options.clock)();
            let (freeze, position) = self.published.freeze(Arc::clone(&self.store));
            Ok(Arc::new(View {
                freeze,
                position,
                taken_at,
                pool: Arc::clone(&self.pool),
            }) as Arc<dyn Snapshot>)
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        // Here, not in the future: the order is that of the calls.
        let queued = self.queue(commit);
        Box::pin(async move {
            let lost = |_| CommitError::Unknown("the database was closed meanwhile".to_owned());
            queued?.await.map_err(lost)?
        })
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        Box::pin(self.published.changed(after))
    }
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.store.path)
            .finish_non_exhaustive()
    }
}
