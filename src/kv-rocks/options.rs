//! What the operator or a test chooses. Knows nothing of configuration files.

use std::{io, path::Path, sync::Arc};

use belfry_kv::Clock;
use rustix::process::{Resource, getrlimit};

use crate::{fault::OpenError, layout::Columns};

/// How many bytes an unprivileged process may still write to the file system that holds the path.
pub type FreeDisk = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Fewest file descriptors that a process with a database can work with.
pub(crate) const DESCRIPTORS_MIN: u64 = 128;
/// Descriptors that are never given to table files: sockets, the log, the journal.
const DESCRIPTORS_KEPT: u64 = 64;

/// How a database is opened. [`Options::new`] suits a server with 2 GB of memory.
#[derive(Clone)]
pub struct Options {
    /// Cache for blocks, indexes and filters, in bytes.
    pub cache_bytes: usize,
    /// What all column families together may hold in memory before they are written to tables, in
    /// bytes.
    pub write_buffer_bytes: usize,
    /// Most table files kept open; fewer if the process may not open that many.
    pub open_files_max: u32,
    /// Threads for reads that no cache answers, at least 1.
    pub read_threads: usize,
    /// Writes are refused while the disk has less free space than this, in bytes.
    pub free_disk_min_bytes: u64,
    /// How tables share column families; fixed when a database is made.
    pub columns: Columns,
    /// The time source.
    pub clock: Clock,
    /// Asked for free space; [`free_disk_bytes`] unless a test says otherwise.
    pub free_disk: FreeDisk,
}

impl Options {
    /// 64 MiB of cache, 32 MiB of write buffers, 1,000 open files, 4 readers, 512 MiB kept free.
    pub fn new(clock: Clock) -> Self {
        Self {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 32 << 20,
            open_files_max: 1_000,
            read_threads: 4,
            free_disk_min_bytes: 512 << 20,
            columns: Columns::default(),
            clock,
            free_disk: Arc::new(free_disk_bytes),
        }
    }
}

/// Free space as `statvfs` reports it, without the share that is reserved for root.
pub fn free_disk_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How many table files may be open at once: half of what the process may open beyond
/// [`DESCRIPTORS_KEPT`], so that connections keep as much as tables do.
pub(crate) fn table_files(most: u32) -> Result<u32, OpenError> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    table_files_within(limit, most)
}

fn table_files_within(limit: u64, most: u32) -> Result<u32, OpenError> {
    if limit < DESCRIPTORS_MIN {
        return Err(OpenError::Descriptors { limit });
    }
    let share = (limit - DESCRIPTORS_KEPT) / 2;
    Ok(u32::try_from(share).unwrap_or(u32::MAX).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_leave_descriptors_to_connections() {
        assert_eq!(table_files_within(256, 1_000).unwrap(), 96);
        assert_eq!(table_files_within(1 << 20, 1_000).unwrap(), 1_000);
        assert_eq!(table_files_within(u64::MAX, 1_000).unwrap(), 1_000);
    }

    #[test]
    fn too_few_descriptors_are_refused_with_the_remedy() {
        let refusal = table_files_within(64, 1_000).unwrap_err().to_string();
        assert!(
            refusal.contains("64") && refusal.contains("LimitNOFILE"),
            "{refusal}"
        );
    }
}
