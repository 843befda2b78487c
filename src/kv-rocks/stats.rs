//! What the engine counts and what `RocksDB` knows about itself, for `db stats` and metrics.
//! Knows no format of presentation.

use std::sync::atomic::{AtomicU64, Ordering};

use belfry_kv::{CommitError, ReadError};
use rocksdb::{ColumnFamily, Range, properties};

use crate::{fault::read_error, layout::META, queue::Answer, store::Store};

/// Counted since the database was opened.
#[derive(Default)]
pub(crate) struct Meters {
    commits: AtomicU64,
    conflicts: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    /// `RocksDB`'s count of the writes that are known to be on disk.
    pub(crate) durable: AtomicU64,
}

impl Meters {
    pub(crate) fn count(&self, answers: &[Answer]) {
        for answer in answers {
            match answer {
                Ok(_) => self.commits.fetch_add(1, Ordering::Relaxed),
                Err(CommitError::Conflict) => self.conflicts.fetch_add(1, Ordering::Relaxed),
                Err(_) => 0,
            };
        }
    }

    /// A batch was written, or what was written before was synced.
    pub(crate) fn group(&self, synced: bool) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(u64::from(synced), Ordering::Relaxed);
    }

    pub(crate) fn durable(&self, sequence: u64) {
        self.durable.store(sequence, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// A look at the whole database. Sizes are estimates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The column families, the engine's own last.
    pub families: Vec<FamilyStats>,
    /// The declared tables, in the order declared.
    pub tables: Vec<TableStats>,
    /// Memory of the block cache in use.
    pub cache_bytes: u64,
    /// Memory of the write buffers of all families.
    pub write_buffer_bytes: u64,
    /// Journal files on disk.
    pub journal_bytes: u64,
    /// Free space on the disk; `None` if the system does not tell.
    pub free_disk_bytes: Option<u64>,
    /// Commits that wait now.
    pub commits_waiting: u64,
    /// Commits applied since the database was opened.
    pub commits: u64,
    /// Commits refused by a check.
    pub conflicts: u64,
    /// Batches written.
    pub writes: u64,
    /// Batches, and rests of lazy commits, that were synced.
    pub syncs: u64,
    /// Failed flushes and compactions.
    pub background_errors: u64,
}

/// One column family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyStats {
    /// `point_hot` and so on.
    pub name: String,
    /// Rows, deleted ones partly included.
    pub rows: u64,
    /// Table files on disk.
    pub disk_bytes: u64,
    /// Write buffers in memory.
    pub memory_bytes: u64,
    /// What compaction has still to rewrite.
    pub pending_bytes: u64,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// The keyspace's name.
    pub name: &'static str,
    /// The keyspace's tag.
    pub tag: u8,
    /// Space in table files; what is still in memory is not in it.
    pub disk_bytes: u64,
}

/// Collects the figures; may read from disk.
pub(crate) fn collect(store: &Store, meters: &Meters, waiting: usize) -> Result<Stats, ReadError> {
    let names = store
        .layout
        .families()
        .iter()
        .map(|family| family.name.as_str());
    let families = names
        .chain([META])
        .map(|name| family(store, name))
        .collect::<Result<Vec<_>, _>>()?;
    let tables = store
        .keyspaces
        .iter()
        .map(|space| {
            Ok(TableStats {
                name: space.name,
                tag: space.tag,
                disk_bytes: table_bytes(store, space.tag)?,
            })
        })
        .collect::<Result<Vec<_>, ReadError>>()?;
    let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Stats {
        families,
        tables,
        cache_bytes: as_u64(store.shared.cache.get_usage()),
        write_buffer_bytes: as_u64(store.shared.buffers.get_usage()),
        journal_bytes: journal_bytes(store),
        free_disk_bytes: (store.options.free_disk)(&store.path).ok(),
        commits_waiting: as_u64(waiting),
        commits: own(&meters.commits),
        conflicts: own(&meters.conflicts),
        writes: own(&meters.writes),
        syncs: own(&meters.syncs),
        background_errors: property(store, store.meta()?, properties::BACKGROUND_ERRORS)?,
    })
}

fn family(store: &Store, name: &str) -> Result<FamilyStats, ReadError> {
    let family = store.handle(name)?;
    let read = |name| property(store, family, name);
    Ok(FamilyStats {
        name: name.to_owned(),
        rows: read(properties::ESTIMATE_NUM_KEYS)?,
        disk_bytes: read(properties::TOTAL_SST_FILES_SIZE)?,
        memory_bytes: read(properties::SIZE_ALL_MEM_TABLES)?,
        pending_bytes: read(properties::ESTIMATE_PENDING_COMPACTION_BYTES)?,
    })
}

fn property(
    store: &Store,
    family: &ColumnFamily,
    name: &properties::PropName,
) -> Result<u64, ReadError> {
    let value = store
        .db
        .property_int_value_cf(family, name)
        .map_err(read_error)?;
    Ok(value.unwrap_or_default())
}

fn table_bytes(store: &Store, tag: u8) -> Result<u64, ReadError> {
    let (family, _) = store.family(tag)?;
    let ends = [[tag], [tag.saturating_add(1)]];
    let range = Range::new(&ends[0], &ends[1]);
    let sizes = store.db.get_approximate_sizes_cf(family, &[range]);
    Ok(sizes.into_iter().sum())
}

fn journal_bytes(store: &Store) -> u64 {
    let Ok(entries) = std::fs::read_dir(&store.path) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
