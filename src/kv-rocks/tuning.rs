//! `RocksDB`'s options: one set for the database, one for each kind of rows. The figures behind
//! them are in `docs/adr/0002-storage-engine.md`. Knows no keyspace.

use belfry_kv::{Shape, Temperature};
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, InfoLogger, LogLevel, Options,
    SliceTransform, WriteBufferManager,
};

use crate::{fault::OpenError, layout::Family};

/// All journal files together; beyond it the families that hold it back are flushed.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// The list of table files is written anew beyond this size; it is read at every start.
const MANIFEST_BYTES_MAX: usize = 8 << 20;
/// Flushes and compactions at once: one thread for each kind.
const BACKGROUND_JOBS_MAX: i32 = 2;
/// Table files are written to disk in steps of this size, so that their sync at the end does not
/// hold up the journal's.
const TABLE_SYNC_BYTES: u64 = 1 << 20;
/// Memory is taken from the allocator in pieces of this size, for each family.
const ARENA_BYTES: usize = 64 << 10;
/// The first level that is not made of overlapping files.
const BASE_LEVEL_BYTES: u64 = 128 << 20;
/// A table file, uncompressed.
const TABLE_FILE_BYTES: u64 = 32 << 20;
/// Bits for each key: 1 % of the lookups of absent keys read a block in vain.
const BLOOM_BITS: f64 = 10.0;
/// Tag and eight bytes of the first column: what a scan's filter knows of a key.
pub(crate) const SCAN_PREFIX_BYTES: usize = 9;
/// A queue's file is compacted early if half of any so many rows in a row are deletions.
const QUEUE_WINDOW_ROWS: usize = 512;
/// `zstd` dictionary of a cold table file, what it is trained on, and what is buffered for that.
const DICTIONARY: &str = "bottommost_compression_opts={enabled=true;level=3;max_dict_bytes=16384;\
     zstd_max_train_bytes=1048576;max_dict_buffer_bytes=8388608}";

/// What all families share.
pub(crate) struct Shared {
    pub(crate) cache: Cache,
    pub(crate) buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

impl Shared {
    pub(crate) fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        Self {
            cache: Cache::new_lru_cache(cache_bytes),
            buffers: WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false),
            write_buffer_bytes,
        }
    }
}

/// The database's options.
pub(crate) fn database(shared: &Shared, table_files: u32, recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(recovery);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_write_buffer_manager(&shared.buffers);
    options.set_max_open_files(i32::try_from(table_files).unwrap_or(i32::MAX));
    options.set_max_file_opening_threads(2);
    options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
    options.set_bytes_per_sync(TABLE_SYNC_BYTES);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    // Reads the properties of every table file, for estimates that soon come by themselves.
    options.set_skip_stats_update_on_db_open(true);
    options.set_avoid_unnecessary_blocking_io(true);
    // There is one writer: nothing to yield to, nothing to share the memtable with.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, report));
    options
}

/// `RocksDB`'s own log joins the server's. The committer reports what stops writes.
fn report(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(target: "rocksdb", "{message}"),
        LogLevel::Warn => tracing::info!(target: "rocksdb", "{message}"),
        _ => {}
    }
}

/// The options of the family with the engine's own few rows.
pub(crate) fn meta(shared: &Shared) -> Options {
    let mut options = Options::default();
    size(&mut options, shared);
    options.set_block_based_table_factory(&table(shared, 4 << 10));
    options
}

/// The options of a family.
pub(crate) fn family(family: &Family, shared: &Shared) -> Result<Options, OpenError> {
    // First, because what it returns knows nothing of what was set before.
    let mut options = match family.temperature {
        Temperature::Hot => Options::default(),
        Temperature::Cold => Options::default().get_options_from_string(DICTIONARY)?,
    };
    size(&mut options, shared);
    compress(&mut options, family.temperature);
    let mut table = table(shared, block_bytes(family));
    match family.shape {
        Shape::Point | Shape::Counter => table.set_bloom_filter(BLOOM_BITS, false),
        Shape::Scan => {
            table.set_bloom_filter(BLOOM_BITS, false);
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(SCAN_PREFIX_BYTES));
        }
        Shape::Queue => options.add_compact_on_deletion_collector_factory(
            QUEUE_WINDOW_ROWS,
            QUEUE_WINDOW_ROWS / 2,
            0.5,
        ),
        // Read by range, or by keys that exist.
        Shape::Log => {}
    }
    options.set_block_based_table_factory(&table);
    Ok(options)
}

fn size(options: &mut Options, shared: &Shared) {
    // A busy family may take half of the budget before it is flushed; what all hold together is
    // bounded by the shared budget.
    options.set_write_buffer_size(shared.write_buffer_bytes / 2);
    options.set_max_write_buffer_number(3);
    options.set_arena_block_size(ARENA_BYTES);
    options.set_max_bytes_for_level_base(BASE_LEVEL_BYTES);
    options.set_target_file_size_base(TABLE_FILE_BYTES);
    options.set_level_compaction_dynamic_level_bytes(true);
}

fn compress(options: &mut Options, temperature: Temperature) {
    use DBCompressionType::{Lz4, None, Zstd};
    match temperature {
        // What is rewritten within minutes is not worth compressing.
        Temperature::Hot => {
            options.set_compression_per_level(&[None, Lz4, Lz4, Lz4, Lz4, Lz4, Lz4]);
        }
        Temperature::Cold => {
            options.set_compression_per_level(&[Lz4, Lz4, Zstd, Zstd, Zstd, Zstd, Zstd]);
            options.set_bottommost_compression_type(Zstd);
        }
    }
}

fn block_bytes(family: &Family) -> usize {
    match (family.shape, family.temperature) {
        (Shape::Point | Shape::Counter, Temperature::Hot) => 4 << 10,
        (Shape::Scan, Temperature::Hot) => 8 << 10,
        (_, Temperature::Hot) | (Shape::Point | Shape::Counter, Temperature::Cold) => 16 << 10,
        (_, Temperature::Cold) => 32 << 10,
    }
}

fn table(shared: &Shared, block_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&shared.cache);
    table.set_block_size(block_bytes);
    // Indexes and filters count as cache, so that memory does not grow with the database.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_optimize_filters_for_memory(true);
    table
}
