//! What readers may see of the committer's work: which position a snapshot stands at, and the last
//! synced commit. Knows nothing of how commits are made.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_kv::Position;
use tokio::sync::watch;

use crate::{store::Store, view::Freeze};

/// Shared by the committer, which moves it on, and all readers.
pub(crate) struct Published {
    window: Mutex<Window>,
    synced: watch::Sender<Option<Position>>,
}

/// `RocksDB` shows a group of commits between the start and the end of a write, at a moment that
/// it alone knows; the sequence number of a snapshot tells on which side it is.
struct Window {
    /// What `RocksDB` had counted before the write under way, or the last one.
    sequence: u64,
    /// Where snapshots stand that hold nothing of it.
    before: Position,
    /// Where snapshots stand that hold it.
    after: Position,
    /// What was handed out last, while no write is under way: it holds all that there is, so that
    /// it is no older than a new one. The next write lets it go.
    last: Option<Freeze>,
}

impl Published {
    pub(crate) fn new(position: Position) -> Self {
        let window = Window {
            sequence: u64::MAX,
            before: position,
            after: position,
            last: None,
        };
        Self {
            window: Mutex::new(window),
            synced: watch::Sender::new(Some(position)),
        }
    }

    /// A write begins that leads to `after`; until now `sequence` writes were counted.
    pub(crate) fn announce(&self, sequence: u64, after: Position) {
        let mut window = self.lock();
        window.sequence = sequence;
        window.after = after;
        window.last = None;
    }

    /// The write announced last is visible, or will never be.
    pub(crate) fn settle(&self, applied: bool) {
        let mut window = self.lock();
        if applied {
            window.before = window.after;
        } else {
            window.after = window.before;
        }
        window.sequence = u64::MAX;
    }

    /// Wakes those that wait for a synced commit.
    pub(crate) fn wake(&self, position: Position) {
        self.synced.send_replace(Some(position));
    }

    /// Nobody is woken again.
    pub(crate) fn close(&self) {
        self.lock().last = None;
        self.synced.send_replace(None);
    }

    /// A snapshot, and where it stands. Waits for nothing but another caller of this.
    pub(crate) fn freeze(&self, store: Arc<Store>) -> (Freeze, Position) {
        // With the lock, at most the one write announced can become visible meanwhile.
        let mut window = self.lock();
        if let Some(last) = &window.last {
            return (last.clone(), window.before);
        }
        let freeze = Freeze::new(store);
        if window.sequence == u64::MAX {
            window.last = Some(freeze.clone());
        }
        let position = if freeze.sequence() > window.sequence {
            window.after
        } else {
            window.before
        };
        (freeze, position)
    }

    /// See [`belfry_kv::Engine::changed`].
    pub(crate) async fn changed(&self, after: Position) -> Position {
        let mut synced = self.synced.subscribe();
        let behind = |last: &Option<Position>| last.is_some_and(|last| last > after);
        let last = synced.wait_for(behind).await.ok().and_then(|last| *last);
        match last {
            Some(last) => last,
            None => pending().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
