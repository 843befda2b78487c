//! The committer step by step, without its thread.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use belfry_kv::{Commit, CommitError, Position, Unavailable};
use tempfile::TempDir;

use crate::{
    committer::{Committer, LAZY_SYNC_AFTER},
    open,
    published::Published,
    queue::{Answer, Queue, Wait},
    registry::{self, Reserved},
    stats::Meters,
    store::Store,
    testing::{Hand, at, keyspaces, lazy, put},
};

struct Fixture {
    committer: Committer,
    store: Arc<Store>,
    published: Arc<Published>,
    meters: Arc<Meters>,
    hand: Hand,
    free: Arc<AtomicU64>,
    queue: Queue,
}

const FREE_MIN: u64 = 1_000;

fn fixture(folder: &Path) -> Fixture {
    let (hand, free) = (Hand::default(), Arc::new(AtomicU64::new(FREE_MIN)));
    let mut options = hand.options();
    options.free_disk_min_bytes = FREE_MIN;
    let told = Arc::clone(&free);
    options.free_disk = Arc::new(move |_| Ok(told.load(Ordering::SeqCst)));
    let store = Arc::new(open::open(folder, &keyspaces(), options).unwrap());
    let reserved = registry::enrol(&store, &keyspaces()).unwrap();
    Fixture::new(store, reserved, hand, free)
}

impl Fixture {
    fn new(store: Arc<Store>, reserved: Reserved, hand: Hand, free: Arc<AtomicU64>) -> Self {
        let published = Arc::new(Published::new(reserved.given));
        let meters = Arc::<Meters>::default();
        let committer = Committer::new(
            Arc::clone(&store),
            Arc::clone(&published),
            Arc::clone(&meters),
            reserved,
        );
        Self {
            committer,
            store,
            published,
            meters,
            hand,
            free,
            queue: Queue::default(),
        }
    }

    /// The answers to one group.
    fn apply(&mut self, commits: Vec<Commit>) -> Vec<Answer> {
        let waits: Vec<_> = commits
            .into_iter()
            .map(|commit| self.queue.push(commit).unwrap())
            .collect();
        let group = self.queue.take(Wait::default()).unwrap();
        self.committer.apply(group, &self.queue);
        waits
            .into_iter()
            .map(|mut wait| wait.try_recv().unwrap())
            .collect()
    }

    fn position(&self) -> Position {
        self.published.freeze(Arc::clone(&self.store)).1
    }
}

#[test]
fn a_group_costs_one_sync() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    let commits = (0..50).map(|number| put(number, "x")).collect();
    assert!(fixture.apply(commits).iter().all(Result::is_ok));
    assert_eq!(fixture.meters.syncs(), 1);
    assert_eq!(fixture.position(), at(50));
}

#[test]
fn lazy_commits_are_visible_at_once_and_synced_in_time() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    assert_eq!(fixture.apply(vec![lazy("a")]), [Ok(at(1))]);
    assert_eq!((fixture.position(), fixture.meters.syncs()), (at(1), 0));
    // A later one does not put the sync off.
    fixture
        .hand
        .advance(LAZY_SYNC_AFTER.saturating_sub(Duration::from_millis(1)));
    fixture.apply(vec![lazy("b")]);
    fixture.committer.sync_lazy(&fixture.queue);
    assert_eq!(fixture.meters.syncs(), 0);
    fixture.hand.advance(Duration::from_millis(1));
    fixture.committer.sync_lazy(&fixture.queue);
    assert_eq!(fixture.meters.syncs(), 1);
    fixture.hand.advance(LAZY_SYNC_AFTER);
    fixture.committer.sync_lazy(&fixture.queue);
    assert_eq!(fixture.meters.syncs(), 1, "nothing was left to sync");
}

#[test]
fn a_synced_commit_takes_lazy_ones_along() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    fixture.apply(vec![lazy("a")]);
    fixture.apply(vec![put("b", "x"), lazy("c")]);
    fixture.hand.advance(LAZY_SYNC_AFTER);
    fixture.committer.sync_lazy(&fixture.queue);
    assert_eq!(fixture.meters.syncs(), 1);
}

#[test]
fn a_nearly_full_disk_refuses_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    fixture.apply(vec![put("a", "x")]);
    fixture.free.store(FREE_MIN - 1, Ordering::SeqCst);
    fixture.hand.advance(Duration::from_secs(1));
    let written = fixture.store.db.latest_sequence_number();
    let refused = Err(CommitError::Unavailable(Unavailable::DiskFull));
    assert_eq!(
        fixture.apply(vec![put("b", "x"), lazy("c")]),
        [refused.clone(), refused]
    );
    assert_eq!(fixture.store.db.latest_sequence_number(), written);
    assert_eq!(fixture.position(), at(1));
    fixture.free.store(FREE_MIN, Ordering::SeqCst);
    assert_eq!(fixture.apply(vec![put("b", "x")]), [Ok(at(2))]);
}

#[test]
fn a_lazy_commit_beyond_the_ceiling_is_synced_with_a_higher_one() {
    let folder = TempDir::new().unwrap();
    let Fixture {
        store, hand, free, ..
    } = fixture(folder.path());
    let reserved = Reserved {
        given: at(9),
        ceiling: at(10),
    };
    let mut fixture = Fixture::new(store, reserved, hand, free);
    assert_eq!(fixture.apply(vec![lazy("a")]), [Ok(at(10))]);
    assert_eq!(fixture.meters.syncs(), 0);
    assert_eq!(fixture.apply(vec![lazy("b")]), [Ok(at(11))]);
    assert_eq!(fixture.meters.syncs(), 1);
    assert_eq!(fixture.apply(vec![lazy("c")]), [Ok(at(12))]);
    assert_eq!(fixture.meters.syncs(), 1);
    drop(fixture.committer);
    let reopened = registry::enrol(&fixture.store, &keyspaces()).unwrap();
    assert!(reopened.given > at(12));
}

#[test]
fn a_good_end_gives_back_what_was_reserved() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    fixture.apply(vec![put("a", "x"), lazy("b")]);
    fixture.committer.finish();
    let reopened = registry::enrol(&fixture.store, &keyspaces()).unwrap();
    assert_eq!(reopened.given, at(2));
}

#[test]
fn an_empty_commit_has_a_position_that_snapshots_see() {
    let folder = TempDir::new().unwrap();
    let mut fixture = fixture(folder.path());
    assert_eq!(fixture.apply(vec![Commit::synced()]), [Ok(at(1))]);
    assert_eq!((fixture.position(), fixture.meters.syncs()), (at(1), 1));
}
