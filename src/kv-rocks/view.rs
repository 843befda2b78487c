//! Snapshots: what is in memory is answered at once, the rest by the read pool.
//!
//! Knows nothing of writes. A view keeps the database open, and its old rows on disk, until it is
//! dropped; reads end when it has expired.

use std::{sync::Arc, time::Duration};

use belfry_kv::{
    BoxFuture, Direction, GET_MANY_KEYS_MAX, Key, Page, Position, Range, ReadError,
    SCAN_MANY_BYTES_MAX, SCAN_MANY_RANGES_MAX, SNAPSHOT_AGE_MAX, Snapshot,
};
use bytes::Bytes;

use crate::{
    pool::Pool,
    store::{Frozen, Got, Store, Tier},
};

/// Most keys looked for in memory by the caller itself, about 0.3 ms of work.
const INLINE_KEYS_MAX: usize = 128;
/// Most rows of all ranges together that the caller itself reads, about as long.
const INLINE_ROWS_MAX: usize = 256;
/// What a range costs, read or not, in rows.
const RANGE_ROWS: usize = 8;

self_cell::self_cell!(
    struct Held {
        owner: Arc<Store>,
        #[covariant]
        dependent: Frozen,
    }
);

/// A `RocksDB` snapshot, together with the database that it is of.
#[derive(Clone)]
pub(crate) struct Freeze(Arc<Held>);

impl Freeze {
    /// The database as it is now.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self(Arc::new(Held::new(store, |store| store.db.snapshot())))
    }

    /// The last write that the snapshot holds, as `RocksDB` counts them.
    pub(crate) fn sequence(&self) -> u64 {
        self.frozen().sequence_number()
    }

    pub(crate) fn store(&self) -> &Store {
        self.0.borrow_owner()
    }

    pub(crate) fn frozen(&self) -> &Frozen<'_> {
        self.0.borrow_dependent()
    }

    fn get_many(&self, keys: &[Key], tier: Tier) -> Vec<Option<Got>> {
        self.store().get_many(Some(self.frozen()), keys, tier)
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
        tier: Tier,
    ) -> Result<Option<Page>, ReadError> {
        self.store()
            .scan(self.frozen(), range, direction, limit, tier)
    }

    /// A page for each range; `None` if the tier does not hold them all.
    fn scan_many(
        &self,
        ranges: &[Range],
        limit_each: usize,
        tier: Tier,
    ) -> Result<Option<Vec<Page>>, ReadError> {
        let (mut pages, mut bytes) = (Vec::with_capacity(ranges.len()), 0);
        for range in ranges {
            let limit = if bytes < SCAN_MANY_BYTES_MAX {
                limit_each
            } else {
                0
            };
            let page = self.scan(range.clone(), Direction::Forward, limit, tier)?;
            let Some(page) = page else {
                return Ok(None);
            };
            bytes += page_bytes(&page);
            pages.push(page);
        }
        Ok(Some(pages))
    }
}

fn page_bytes(page: &Page) -> usize {
    page.rows
        .iter()
        .map(|(key, value)| key.as_bytes().len() + value.len())
        .sum()
}

/// What [`belfry_kv::Engine::snapshot`] hands out.
pub(crate) struct View {
    pub(crate) freeze: Freeze,
    pub(crate) position: Position,
    pub(crate) taken_at: Duration,
    pub(crate) pool: Arc<Pool>,
}

impl View {
    fn usable(&self, count: usize, max: usize) -> Result<(), ReadError> {
        let now = (self.freeze.store().options.clock)();
        if now.saturating_sub(self.taken_at) > SNAPSHOT_AGE_MAX {
            Err(ReadError::Expired)
        } else if count > max {
            Err(ReadError::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Reads `keys` in memory if they are few, and what is not there from disk.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let mut answers = if keys.len() <= INLINE_KEYS_MAX {
            self.freeze.get_many(keys, Tier::Cache)
        } else {
            vec![None; keys.len()]
        };
        let missed: Vec<usize> = (0..keys.len())
            .filter(|index| matches!(answers.get(*index), Some(None)))
            .collect();
        if !missed.is_empty() {
            let wanted: Vec<Key> = missed
                .iter()
                .filter_map(|index| keys.get(*index).cloned())
                .collect();
            let freeze = self.freeze.clone();
            let read = move || freeze.get_many(&wanted, Tier::Disk);
            for (index, got) in missed.into_iter().zip(self.pool.run(read).await?) {
                if let Some(slot) = answers.get_mut(index) {
                    *slot = got;
                }
            }
        }
        let unread = || Err(unfinished());
        answers
            .into_iter()
            .map(|got| got.unwrap_or_else(unread))
            .collect()
    }

    /// A page of one range: by the caller itself if a few rows are all that there are, as in most
    /// ranges, however many may be asked for.
    async fn rows(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let inline = limit.min(INLINE_ROWS_MAX);
        let begun = self
            .freeze
            .scan(range.clone(), direction, inline, Tier::Cache)?;
        let enough = |page: &Page| inline == limit || page.rest.is_none();
        if let Some(page) = begun.filter(enough) {
            return Ok(page);
        }
        let freeze = self.freeze.clone();
        let read = move || freeze.scan(range, direction, limit, Tier::Disk);
        self.pool.run(read).await??.ok_or_else(unfinished)
    }

    /// A page of each range: by the caller itself if a few rows of each are all that there are.
    async fn pages(&self, ranges: Vec<Range>, limit_each: usize) -> Result<Vec<Page>, ReadError> {
        let each = INLINE_ROWS_MAX / ranges.len().max(1);
        if let Some(few) = each.checked_sub(RANGE_ROWS).filter(|few| *few > 0) {
            let inline = limit_each.min(few);
            let pages = self.freeze.scan_many(&ranges, inline, Tier::Cache)?;
            let all = |pages: &Vec<Page>| {
                inline == limit_each || pages.iter().all(|page| page.rest.is_none())
            };
            if let Some(pages) = pages.filter(all) {
                return Ok(pages);
            }
        }
        let freeze = self.freeze.clone();
        let read = move || freeze.scan_many(&ranges, limit_each, Tier::Disk);
        self.pool.run(read).await??.ok_or_else(unfinished)
    }
}

fn unfinished() -> ReadError {
    ReadError::Unavailable("a read from disk was not finished".to_owned())
}

impl Snapshot for View {
    fn position(&self) -> Position {
        self.position
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        Box::pin(async move {
            self.usable(keys.len(), GET_MANY_KEYS_MAX)?;
            self.get(keys).await
        })
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.usable(1, 1)?;
            self.rows(range, direction, limit).await
        })
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        Box::pin(async move {
            self.usable(ranges.len(), SCAN_MANY_RANGES_MAX)?;
            self.pages(ranges, limit_each).await
        })
    }
}
