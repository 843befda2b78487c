//! Watches the free space, so that writes stop while there is enough left for reads, flushes and
//! compactions to go on. Knows nothing of what is written.

use std::{path::PathBuf, time::Duration};

use crate::options::{FreeDisk, Options};

/// How long an answer of the file system is believed.
const BELIEVED: Duration = Duration::from_millis(250);
/// How much may be written before it is asked again, however soon.
const BELIEVED_BYTES: u64 = 8 << 20;

/// Remembers what the file system said last.
pub(crate) struct Guard {
    path: PathBuf,
    min_bytes: u64,
    free: FreeDisk,
    asked_at: Option<Duration>,
    written: u64,
    low: bool,
}

impl Guard {
    pub(crate) fn new(path: PathBuf, options: &Options) -> Self {
        Self {
            path,
            min_bytes: options.free_disk_min_bytes,
            free: options.free_disk.clone(),
            asked_at: None,
            written: 0,
            low: false,
        }
    }

    /// Whether `bytes` more may be written now.
    pub(crate) fn allows(&mut self, now: Duration, bytes: usize) -> bool {
        self.written = self
            .written
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let fresh = self
            .asked_at
            .is_some_and(|asked_at| now.saturating_sub(asked_at) < BELIEVED);
        // While space is short every commit asks, so that it is noticed at once when it returns.
        if self.low || !fresh || self.written >= BELIEVED_BYTES {
            self.ask(now);
        }
        !self.low
    }

    fn ask(&mut self, now: Duration) {
        self.asked_at = Some(now);
        self.written = 0;
        let free = match (self.free)(&self.path) {
            Ok(free) => free,
            Err(error) => {
                // Writes find out for themselves.
                tracing::warn!(%error, "the free disk space is unknown");
                return;
            }
        };
        let low = free < self.min_bytes;
        if low && !self.low {
            let min = self.min_bytes;
            tracing::warn!(
                free,
                min,
                "the disk is nearly full: writes are refused, free some space"
            );
        } else if self.low && !low {
            tracing::info!(free, "the disk has space again: writes are accepted");
        }
        self.low = low;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn guard(free: &Arc<AtomicU64>) -> (Guard, Arc<AtomicU64>) {
        let (free, asked) = (Arc::clone(free), Arc::<AtomicU64>::default());
        let count = Arc::clone(&asked);
        let mut options = Options::new(Arc::new(|| Duration::ZERO));
        options.free_disk_min_bytes = 100;
        options.free_disk = Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(free.load(Ordering::SeqCst))
        });
        (Guard::new(PathBuf::new(), &options), asked)
    }

    #[test]
    fn space_is_asked_for_by_time_and_by_bytes() {
        let (mut guard, asked) = guard(&Arc::new(AtomicU64::new(1_000)));
        for _ in 0..10 {
            assert!(guard.allows(Duration::ZERO, 1));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(guard.allows(BELIEVED, 1));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(guard.allows(BELIEVED, 8 << 20));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn writes_return_as_soon_as_space_does() {
        let free = Arc::new(AtomicU64::new(99));
        let (mut guard, _) = guard(&free);
        assert!(!guard.allows(Duration::ZERO, 1));
        free.store(100, Ordering::SeqCst);
        assert!(guard.allows(Duration::ZERO, 1));
    }
}
