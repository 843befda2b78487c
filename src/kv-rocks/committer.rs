//! The one writer: takes groups of commits in order, writes each as one batch with at most one
//! sync, and answers. Knows nothing of how a group is planned or how readers see it.
//!
//! A failed write leaves open what the disk holds, so nothing is written behind it until that is
//! settled: by `RocksDB` itself once space returns, else by a restart.

use std::{iter::repeat, sync::Arc, time::Duration};

use belfry_kv::{CommitError, LAZY_DELAY_MAX, Unavailable};
use rocksdb::{Error, FlushOptions, WriteBatch};

use crate::{
    fault::{failed, is_no_space, refusal},
    group::{Plan, plan},
    guard::Guard,
    published::Published,
    queue::{Answer, Pending, Queue, Wait},
    registry::{self, Reserved},
    stall::{self, Patience},
    stats::Meters,
    store::Store,
    wal,
};

/// When lazy commits are synced by themselves; the rest of [`LAZY_DELAY_MAX`] is the disk's.
pub(crate) const LAZY_SYNC_AFTER: Duration =
    LAZY_DELAY_MAX.saturating_sub(Duration::from_millis(25));
/// How often writing is tried again after the disk was full.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a group waits at most for those who were answered just now to send their next commit,
const GATHER_MAX: Duration = Duration::from_micros(200);
/// and which share of the last write's time, if that is less.
const GATHER_SHARE: u32 = 10;

/// Everything that only the writing thread touches.
pub(crate) struct Committer {
    store: Arc<Store>,
    published: Arc<Published>,
    meters: Arc<Meters>,
    guard: Guard,
    reserved: Reserved,
    /// `RocksDB`'s count of the writes that are known to be on disk.
    durable: u64,
    /// When the oldest commit was written that is not.
    unsynced_since: Option<Duration>,
    failure: Option<Failure>,
    /// How many commits the last group had.
    company: usize,
    /// How long its write took.
    write_time: Duration,
}

/// Why nothing is written.
struct Failure {
    cause: String,
    /// When writing may be tried again; `None` if only a restart helps.
    retry_at: Option<Duration>,
}

impl Failure {
    /// What commits are told that come while it lasts.
    fn refused(&self) -> Unavailable {
        if is_no_space(&self.cause) {
            Unavailable::DiskFull
        } else {
            Unavailable::Failed(self.cause.clone())
        }
    }
}

impl Committer {
    pub(crate) fn new(
        store: Arc<Store>,
        published: Arc<Published>,
        meters: Arc<Meters>,
        reserved: Reserved,
    ) -> Self {
        let durable = store.db.latest_sequence_number();
        meters.durable(durable);
        Self {
            guard: Guard::new(store.path.clone(), &store.options),
            durable,
            store,
            published,
            meters,
            reserved,
            unsynced_since: None,
            failure: None,
            company: 0,
            write_time: Duration::ZERO,
        }
    }

    /// Works until the queue is closed and empty, then leaves everything durable.
    pub(crate) fn run(mut self, queue: &Queue) {
        while let Some(group) = queue.take(self.wait()) {
            self.apply(group, queue);
            self.sync_lazy(queue);
        }
        self.finish();
    }

    /// How to wait for the next group, going by the last one.
    fn wait(&self) -> Wait {
        let since = self.unsynced_since.filter(|_| self.failure.is_none());
        let patience = |since: Duration| (since + LAZY_SYNC_AFTER).saturating_sub(self.now());
        Wait {
            patience: since.map(patience),
            // Those answered together come back together; waiting for them costs a share of what
            // it saves, a write.
            hoped: self.company,
            gather: (self.write_time / GATHER_SHARE).min(GATHER_MAX),
        }
    }

    fn now(&self) -> Duration {
        (self.store.options.clock)()
    }

    /// Writes and answers a group; if that fails, also what is queued behind it.
    pub(crate) fn apply(&mut self, group: Vec<Pending>, queue: &Queue) {
        if group.is_empty() {
            return;
        }
        self.company = group.len();
        if let Err(cause) = self.writable(&group) {
            let refusal = CommitError::Unavailable(cause);
            answer(group, repeat(Err(refusal)));
            return;
        }
        let commits = group.iter().map(|pending| &pending.commit);
        let mut plan = plan(&self.store, commits, self.reserved.given, self.durable);
        let written = if plan.last == self.reserved.given {
            Ok(())
        } else {
            self.write(&mut plan)
        };
        // Not given again even if the write failed: it may turn up after a restart.
        self.reserved.given = plan.last;
        if let Err(error) = written {
            // The queue first: who hears of the failure shall not be among those behind it.
            self.fail(&error, queue);
            answer(group, repeat(Err(refusal(error))));
            return;
        }
        self.meters.count(&plan.answers);
        answer(group, plan.answers.into_iter());
        // Behind the answers: a writer's own wait is over first.
        if let Some(position) = plan.synced {
            self.published.wake(position);
        }
    }

    /// Whether a group may be written at all.
    fn writable(&mut self, group: &[Pending]) -> Result<(), Unavailable> {
        let now = self.now();
        let bytes = group.iter().map(Pending::bytes).sum();
        if !self.guard.allows(now, bytes) {
            return Err(Unavailable::DiskFull);
        }
        let Some(failure) = &self.failure else {
            return Ok(());
        };
        let Some(retry_at) = failure.retry_at else {
            return Err(Unavailable::Failed(failure.cause.clone()));
        };
        let refused = failure.refused();
        if now >= retry_at && self.retry(now) {
            Ok(())
        } else {
            Err(refused)
        }
    }

    /// Tries to write after the disk was full; `RocksDB` allows it once it has recovered.
    fn retry(&mut self, now: Duration) -> bool {
        let mut batch = self.batch();
        let sound = registry::put_ceiling(&self.store, &mut batch, self.reserved.ceiling)
            .and_then(|()| self.write_batch(batch, true, Patience::None));
        match sound {
            Ok(()) => {
                tracing::info!("the database takes writes again");
                self.failure = None;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the database still takes no writes");
                if let Some(failure) = &mut self.failure {
                    failure.retry_at = Some(now + RETRY_AFTER);
                }
                false
            }
        }
    }

    fn write(&mut self, plan: &mut Plan) -> Result<(), String> {
        let ceiling = self.reserved.ceiling_for(plan.last);
        // A batch of nothing is not counted, so no snapshot could tell that it was written.
        if ceiling > self.reserved.ceiling || plan.batch.is_empty() {
            registry::put_ceiling(&self.store, &mut plan.batch, ceiling)?;
        }
        let sync = plan.synced.is_some() || ceiling > self.reserved.ceiling;
        let before = self.store.db.latest_sequence_number();
        self.published.announce(before, plan.last);
        let written = self.write_batch(std::mem::take(&mut plan.batch), sync, Patience::Full);
        self.published.settle(written.is_ok());
        written?;
        self.reserved.ceiling = ceiling;
        Ok(())
    }

    /// An empty batch that the journal's audit understands.
    fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::default();
        batch.put_log_data(wal::mark(self.durable));
        batch
    }

    fn write_batch(
        &mut self,
        batch: WriteBatch,
        sync: bool,
        patience: Patience,
    ) -> Result<(), String> {
        let start = self.now();
        stall::write(&self.store.db, batch, sync, patience)?;
        let end = self.now();
        self.write_time = end.saturating_sub(start);
        self.meters.group(sync);
        if sync {
            self.synced();
        } else {
            self.unsynced_since.get_or_insert(end);
        }
        Ok(())
    }

    fn synced(&mut self) {
        self.unsynced_since = None;
        self.durable = self.store.db.latest_sequence_number();
        self.meters.durable(self.durable);
    }

    /// Syncs lazy commits that no synced one has taken along in time.
    pub(crate) fn sync_lazy(&mut self, queue: &Queue) {
        let due = self.unsynced_since.map(|since| since + LAZY_SYNC_AFTER);
        if self.failure.is_some() || due.is_none_or(|due| self.now() < due) {
            return;
        }
        match self.store.db.flush_wal(true) {
            Ok(()) => {
                self.meters.group(true);
                self.synced();
            }
            Err(error) => self.fail(error.as_ref(), queue),
        }
    }

    /// Nothing is written from now on. What is queued may build on what failed, so none of it is
    /// tried.
    fn fail(&mut self, cause: &str, queue: &Queue) {
        tracing::error!(
            cause,
            "a write failed: the database takes no writes, reads go on"
        );
        answer(queue.drain(), repeat(Err(failed(cause))));
        self.failure = Some(Failure {
            retry_at: (is_no_space(cause) || stall::is_stall(cause))
                .then(|| self.now() + RETRY_AFTER),
            cause: cause.to_owned(),
        });
    }

    /// Leaves nothing to the journal, so that the next start is quick and positions continue
    /// without a gap.
    pub(crate) fn finish(&mut self) {
        self.published.close();
        if self.failure.is_some() {
            return;
        }
        let mut batch = self.batch();
        let closed = registry::put_ceiling(&self.store, &mut batch, self.reserved.given)
            .and_then(|()| self.write_batch(batch, true, Patience::Full))
            .and_then(|()| flush(&self.store).map_err(Error::into_string));
        if let Err(error) = closed {
            tracing::warn!(%error, "the database was not closed in good order; no commit is lost");
        }
        self.store.db.cancel_all_background_work(true);
    }
}

/// Writes what is in memory to tables.
pub(crate) fn flush(store: &Store) -> Result<(), Error> {
    let names = store
        .layout
        .families()
        .iter()
        .map(|family| family.name.as_str());
    for name in names.chain([crate::layout::META]) {
        if let Some(family) = store.db.cf_handle(name) {
            store.db.flush_cf_opt(family, &FlushOptions::default())?;
        }
    }
    Ok(())
}

/// Answers each commit of a group.
fn answer(group: Vec<Pending>, answers: impl Iterator<Item = Answer>) {
    for (pending, answer) in group.into_iter().zip(answers) {
        pending.answer(answer);
    }
}
