//! Opening a folder: who else has it, what wrote it, whether its journal is whole; then `RocksDB`.
//!
//! Everything that can be refused is refused before `RocksDB` may change a file. Knows nothing of
//! commits.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use belfry_kv::Keyspace;
use rocksdb::{ColumnFamilyDescriptor, DBRecoveryMode};

use crate::{
    fault::OpenError,
    layout::{Layout, META},
    options::{self, Options},
    store::{Db, Store},
    tuning::{self, Shared},
    wal::{self, Verdict},
};

/// Held by whoever has the folder open.
const LOCK_FILE: &str = "belfry.lock";
/// Written last when a database is made.
const CURRENT_FILE: &str = "CURRENT";

/// Opens the folder, or makes a database in it.
pub(crate) fn open(
    path: &Path,
    keyspaces: &[Keyspace],
    options: Options,
) -> Result<Store, OpenError> {
    let table_files = options::table_files(options.open_files_max)?;
    create(path)?;
    let lock = lock(path)?;
    let layout = Layout::new(options.columns, keyspaces);
    let recovery = if exists(path)? {
        check_families(path, &layout)?;
        recovery(path)?
    } else {
        DBRecoveryMode::AbsoluteConsistency
    };
    let shared = Shared::new(options.cache_bytes, options.write_buffer_bytes);
    let database = tuning::database(&shared, table_files, recovery);
    let mut families = vec![ColumnFamilyDescriptor::new(META, tuning::meta(&shared))];
    for family in layout.families() {
        let tuned = tuning::family(family, &shared)?;
        families.push(ColumnFamilyDescriptor::new(&family.name, tuned));
    }
    let db = Db::open_cf_descriptors(&database, path, families)?;
    Ok(Store {
        db,
        layout,
        keyspaces: keyspaces.to_vec(),
        shared,
        options,
        path: path.to_owned(),
        _lock: lock,
    })
}

fn create(path: &Path) -> Result<(), OpenError> {
    // What is in it is nobody else's business.
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(OpenError::io(path))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(OpenError::io(&file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(file)(error)),
    }
}

/// Whether the folder holds a database. One that lost its head is not mistaken for an empty
/// folder: `RocksDB` would delete what is left of it.
fn exists(path: &Path) -> Result<bool, OpenError> {
    let current = path.join(CURRENT_FILE);
    if current.try_exists().map_err(OpenError::io(&current))? {
        return Ok(true);
    }
    for entry in fs::read_dir(path).map_err(OpenError::io(path))? {
        let file = entry.map_err(OpenError::io(path))?.path();
        if file
            .extension()
            .is_some_and(|kind| kind == "sst" || kind == "log")
        {
            let (file, path) = (file.display(), path.display());
            return Err(OpenError::Damaged {
                what: format!("{path} has {file} but no {CURRENT_FILE} file"),
            });
        }
    }
    Ok(false)
}

fn check_families(path: &Path, layout: &Layout) -> Result<(), OpenError> {
    let stored = Db::list_cf(&rocksdb::Options::default(), path)?;
    let known =
        |name: &String| name == META || layout.families().iter().any(|family| family.name == *name);
    let unknown: Vec<String> = stored.into_iter().filter(|name| !known(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(OpenError::Newer {
        path: path.to_owned(),
        what: format!("column families {}", unknown.join(", ")),
    })
}

/// How `RocksDB` shall read the journal: strictly, unless the audit found that only its unfinished
/// end is damaged.
fn recovery(path: &Path) -> Result<DBRecoveryMode, OpenError> {
    match wal::audit(path)? {
        Verdict::Intact => Ok(DBRecoveryMode::AbsoluteConsistency),
        Verdict::Torn { file, offset } => {
            tracing::warn!(
                file = %file.display(), offset,
                "the last writes before the crash were not finished and are left out; none of \
                 them was acknowledged as durable"
            );
            Ok(DBRecoveryMode::PointInTime)
        }
    }
}
