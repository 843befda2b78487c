//! The open database: reads of it, by key and by range. Knows no queue and no async.

use std::{fs::File, path::PathBuf};

use belfry_kv::{
    Direction, Key, Keyspace, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Range, ReadError, Shape,
};
use bytes::Bytes;
use rocksdb::{
    ColumnFamily, DBRawIteratorWithThreadMode, DBWithThreadMode, ReadOptions, ReadTier,
    SingleThreaded, SnapshotWithThreadMode,
};

use crate::{
    fault::{is_miss, read_error},
    layout::{Layout, META},
    options::Options,
    tuning::{SCAN_PREFIX_BYTES, Shared},
};

/// Column families never change while the database is open, so their handles need no lock.
pub(crate) type Db = DBWithThreadMode<SingleThreaded>;
/// A view of the database that borrows it.
pub(crate) type Frozen<'db> = SnapshotWithThreadMode<'db, Db>;
/// What a key holds, or why that is not known.
pub(crate) type Got = Result<Option<Bytes>, ReadError>;

/// Where a read may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// In memory only; never waits for the disk.
    Cache,
    /// Everywhere.
    Disk,
}

/// What keeps the database open; dropping it closes it.
pub(crate) struct Store {
    pub(crate) db: Db,
    pub(crate) layout: Layout,
    pub(crate) keyspaces: Vec<Keyspace>,
    pub(crate) shared: Shared,
    pub(crate) options: Options,
    pub(crate) path: PathBuf,
    /// Declared behind `db`, so that nobody else opens the folder before this handle is done.
    pub(crate) _lock: File,
}

impl Store {
    /// The family of the engine's own rows.
    pub(crate) fn meta(&self) -> Result<&ColumnFamily, ReadError> {
        self.handle(META)
    }

    pub(crate) fn handle(&self, name: &str) -> Result<&ColumnFamily, ReadError> {
        let missing = || ReadError::Unavailable(format!("column family {name} is not open"));
        self.db.cf_handle(name).ok_or_else(missing)
    }

    /// The family with the rows of a tag.
    pub(crate) fn family(&self, tag: u8) -> Result<(&ColumnFamily, Shape), ReadError> {
        let index = self.layout.family_of(tag);
        let family = index
            .and_then(|index| self.layout.families().get(index))
            .ok_or_else(|| {
                ReadError::Unavailable(format!("no table with tag {tag} was declared at opening"))
            })?;
        Ok((self.handle(&family.name)?, family.shape))
    }

    /// One answer for each key, in the order asked; `None` where the tier does not tell.
    pub(crate) fn get_many(
        &self,
        frozen: Option<&Frozen<'_>>,
        keys: &[Key],
        tier: Tier,
    ) -> Vec<Option<Got>> {
        let mut answers = vec![None; keys.len()];
        let options = read_options(frozen, tier);
        let mut order: Vec<(Option<usize>, usize)> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| (self.layout.family_of(key.tag()), index))
            .collect();
        order.sort_unstable();
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            let wanted: Vec<&Key> = group
                .iter()
                .filter_map(|(_, index)| keys.get(*index))
                .collect();
            let got = self.get_family(&wanted, &options, tier);
            for ((_, index), answer) in group.iter().zip(got) {
                if let Some(slot) = answers.get_mut(*index) {
                    *slot = answer;
                }
            }
        }
        answers
    }

    /// As [`Self::get_many`], for keys of one family.
    fn get_family(&self, keys: &[&Key], options: &ReadOptions, tier: Tier) -> Vec<Option<Got>> {
        let tag = keys.first().map_or(0, |key| key.tag());
        let family = match self.family(tag) {
            Ok((family, _)) => family,
            Err(error) => return vec![Some(Err(error)); keys.len()],
        };
        let wanted = keys.iter().map(|key| key.as_bytes());
        // Rooms of an account, say, come in their order: `RocksDB` need not find it again.
        let sorted = keys.is_sorted();
        self.db
            .batched_multi_get_cf_opt(family, wanted, sorted, options)
            .into_iter()
            .map(|got| match got {
                // RocksDB's batched read may meet a block that is not in the cache and answer an
                // empty value without a word: whether the row is empty, only the disk tells.
                Ok(Some(value)) if value.is_empty() && tier == Tier::Cache => None,
                Ok(value) => Some(Ok(value.map(|value| Bytes::copy_from_slice(&value)))),
                Err(error) if is_miss(&error) => None,
                Err(error) => Some(Err(read_error(error))),
            })
            .collect()
    }

    /// A page of the range; `None` if the tier does not hold all of it.
    pub(crate) fn scan(
        &self,
        frozen: &Frozen<'_>,
        range: Range,
        direction: Direction,
        limit: usize,
        tier: Tier,
    ) -> Result<Option<Page>, ReadError> {
        let range = within_keyspace(range);
        let limit = limit.min(PAGE_ROWS_MAX);
        if range.is_empty() {
            return Ok(Some(Page::default()));
        }
        if limit == 0 {
            return Ok(Some(Page {
                rows: Vec::new(),
                rest: Some(range),
            }));
        }
        let mut rows = self.rows(frozen, &range, direction, tier)?;
        match direction {
            Direction::Forward => rows.seek(range.from.as_bytes()),
            // The upper bound keeps the row at `to` itself out.
            Direction::Backward => rows.seek_for_prev(range.to.as_bytes()),
        }
        let (page, limited) = fill(&mut rows, direction, limit);
        match rows.status() {
            Err(error) if is_miss(&error) => Ok(None),
            Err(error) => Err(read_error(error)),
            Ok(()) => Ok(Some(Page {
                rest: page
                    .last()
                    .filter(|_| limited)
                    .and_then(|(last, _)| beyond(last, range, direction)),
                rows: page,
            })),
        }
    }

    fn rows<'store>(
        &'store self,
        frozen: &Frozen<'_>,
        range: &Range,
        direction: Direction,
        tier: Tier,
    ) -> Result<DBRawIteratorWithThreadMode<'store, Db>, ReadError> {
        let (family, shape) = self.family(range.from.tag())?;
        let mut options = read_options(Some(frozen), tier);
        options.set_iterate_lower_bound(range.from.as_bytes());
        options.set_iterate_upper_bound(range.to.as_bytes());
        // The filter is asked about the key that is sought, which going backward lies outside.
        let filtered =
            shape == Shape::Scan && direction == Direction::Forward && has_one_prefix(range);
        options.set_total_order_seek(!filtered);
        options.set_background_purge_on_iterator_cleanup(true);
        Ok(self.db.raw_iterator_cf_opt(family, options))
    }
}

fn read_options(frozen: Option<&Frozen<'_>>, tier: Tier) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(frozen) = frozen {
        options.set_snapshot(frozen);
    }
    if tier == Tier::Cache {
        options.set_read_tier(ReadTier::BlockCache);
    }
    options
}

/// The part of the range that lies in the keyspace of its first key.
pub(crate) fn within_keyspace(range: Range) -> Range {
    let end = Range::prefix(&Key::new(vec![range.from.tag()])).to;
    Range {
        to: range.to.min(end),
        from: range.from,
    }
}

/// Whether all keys of the range share what the filter of a scanned table knows.
fn has_one_prefix(range: &Range) -> bool {
    range
        .from
        .as_bytes()
        .get(..SCAN_PREFIX_BYTES)
        .is_some_and(|prefix| range.to <= Range::prefix(&Key::new(prefix.to_vec())).to)
}

/// Rows up to the limits, and whether a limit came before the range's end.
fn fill(
    rows: &mut DBRawIteratorWithThreadMode<'_, Db>,
    direction: Direction,
    limit: usize,
) -> (Vec<(Key, Bytes)>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some((key, value)) = rows.item() {
        bytes += key.len() + value.len();
        let key = Key::new(Bytes::copy_from_slice(key));
        page.push((key, Bytes::copy_from_slice(value)));
        if page.len() == limit || bytes >= PAGE_BYTES_MAX {
            return (page, true);
        }
        match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.prev(),
        }
    }
    (page, false)
}

/// What is left of the range behind its last row read.
fn beyond(last: &Key, range: Range, direction: Direction) -> Option<Range> {
    let rest = match direction {
        Direction::Forward => Range {
            from: last.successor(),
            to: range.to,
        },
        Direction::Backward => Range {
            from: range.from,
            to: last.clone(),
        },
    };
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key::new(bytes.to_vec())
    }

    fn range(from: &[u8], to: &[u8]) -> Range {
        Range {
            from: key(from),
            to: key(to),
        }
    }

    #[test]
    fn a_range_is_filtered_only_if_all_its_keys_share_the_prefix() {
        let room = Range::prefix(&key(b"\x01!room:xyz"));
        assert!(has_one_prefix(&room));
        assert!(has_one_prefix(&Range::prefix(&key(b"\x01!room:xy"))));
        assert!(!has_one_prefix(&Range::prefix(&key(b"\x01!room"))));
        assert!(!has_one_prefix(&range(b"\x01!room:xyz", b"\x01!room:zzz")));
        assert!(!has_one_prefix(&range(b"\x01!room:xyz", b"\x02")));
    }

    #[test]
    fn a_range_ends_with_its_keyspace() {
        let all = range(b"\x01", b"\x05");
        assert_eq!(within_keyspace(all).to, key(b"\x02"));
        let some = range(b"\x01a", b"\x01b");
        assert_eq!(within_keyspace(some.clone()), some);
    }
}
