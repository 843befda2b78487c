//! A snapshot that several requests read, and that remembers what it was asked first.
//!
//! Exists because a message in a room of a thousand has a thousand requests read the same rows of
//! that room at the same moment. Knows nothing of what the rows say, nor of who reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_kv::{BoxFuture, Direction, Key, Page, Position, Range, ReadError, Snapshot};
use bytes::Bytes;

/// Single rows and runs of rows that are remembered: those asked for first, which are a room's
/// rather than a reader's.
pub const REMEMBERED_MAX: usize = 512;
/// Bytes of them together.
pub const REMEMBERED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// First and last key, backward or not, limit.
type Asked = (Key, Key, bool, usize);

/// See the module.
pub struct SharedSnapshot {
    inner: Arc<dyn Snapshot>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    rows: BTreeMap<Key, Option<Bytes>>,
    pages: BTreeMap<Asked, Page>,
    bytes: usize,
}

impl Memory {
    fn takes(&mut self, bytes: usize) -> bool {
        let count = self.rows.len() + self.pages.len();
        let fits = count < REMEMBERED_MAX && self.bytes + bytes <= REMEMBERED_BYTES_MAX;
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    fn note_row(&mut self, key: &Key, row: Option<&Bytes>) {
        if self.takes(key.as_bytes().len() + row.map_or(0, Bytes::len)) {
            self.rows.insert(key.clone(), row.cloned());
        }
    }

    fn note_page(&mut self, asked: Asked, page: &Page) {
        let row_bytes = |(key, row): &(Key, Bytes)| key.as_bytes().len() + row.len();
        if self.takes(page.rows.iter().map(row_bytes).sum()) {
            self.pages.insert(asked, page.clone());
        }
    }
}

impl SharedSnapshot {
    /// The same view, remembering.
    pub fn new(inner: Arc<dyn Snapshot>) -> Self {
        Self {
            inner,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot for SharedSnapshot {
    fn position(&self) -> Position {
        self.inner.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        Box::pin(async move {
            let known: Option<Vec<_>> = {
                let memory = self.memory();
                keys.iter()
                    .map(|key| memory.rows.get(key).cloned())
                    .collect()
            };
            if let Some(known) = known {
                return Ok(known);
            }
            let rows = self.inner.get_many(keys).await?;
            let mut memory = self.memory();
            for (key, row) in keys.iter().zip(&rows) {
                memory.note_row(key, row.as_ref());
            }
            Ok(rows)
        })
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let backward = direction == Direction::Backward;
            let asked = (range.from.clone(), range.to.clone(), backward, limit);
            let known = self.memory().pages.get(&asked).cloned();
            if let Some(page) = known {
                return Ok(page);
            }
            let page = self.inner.scan(range, direction, limit).await?;
            self.memory().note_page(asked, &page);
            Ok(page)
        })
    }

    fn scan_many(
        &self,
        mut ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        if ranges.len() > 1 {
            return self.inner.scan_many(ranges, limit_each);
        }
        let Some(range) = ranges.pop() else {
            return Box::pin(async { Ok(Vec::new()) });
        };
        Box::pin(async move {
            let page = self.scan(range, Direction::Forward, limit_each).await?;
            Ok(vec![page])
        })
    }
}

#[cfg(test)]
mod tests {
    use belfry_kv::{Commit, Engine as _, Memory as Store};
    use ruma_common::user_id;

    use super::*;
    use crate::presence::{PresenceRow, PresenceState, presence, presences, put_presence};

    fn said(status: String) -> Commit {
        let row = PresenceRow {
            state: PresenceState::Online,
            status: Some(status.into()),
            active_ts: 1,
        };
        put_presence(user_id!("@alice:a.org"), &row)
    }

    #[tokio::test]
    async fn what_is_remembered_is_what_the_view_holds() {
        let store = Store::default();
        store.commit(said("first".to_owned())).await.unwrap();
        let plain = store.snapshot().await.unwrap();
        let shared = SharedSnapshot::new(Arc::clone(&plain));
        store.commit(said("second".to_owned())).await.unwrap();
        let users = [user_id!("@alice:a.org"), user_id!("@nobody:a.org")];
        for _ in 0..2 {
            let expected = presence(&*plain, &users).await.unwrap();
            assert_eq!(presence(&shared, &users).await.unwrap(), expected);
            let expected = presences(&*plain, None, 10).await.unwrap();
            assert_eq!(presences(&shared, None, 10).await.unwrap(), expected);
            let none = presences(&shared, Some(users[1]), 10).await.unwrap();
            assert_eq!(none, presences(&*plain, Some(users[1]), 10).await.unwrap());
        }
        let memory = shared.memory();
        assert_eq!((memory.rows.len(), memory.pages.len()), (2, 2));
    }

    #[tokio::test]
    async fn what_is_remembered_has_a_limit() {
        let store = Store::default();
        let shared = SharedSnapshot::new(store.snapshot().await.unwrap());
        for number in 0..2 * REMEMBERED_MAX {
            let user = ruma_common::UserId::parse(format!("@u{number}:a.org")).unwrap();
            let found = presence(&shared, &[&user]).await.unwrap();
            assert_eq!(found, [None]);
        }
        assert_eq!(shared.memory().rows.len(), REMEMBERED_MAX);
    }
}
