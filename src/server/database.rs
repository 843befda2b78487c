//! The database of this server: opened, asked, copied, closed.
//!
//! It exists so that the running server and the command line do the same things with it in the same
//! way. It is the one place that knows which engine there is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use belfry_data::{Finding, FindingKind, Incarnation, RoomStats};
use belfry_env::{Clock, Env, Moment, Random};
use belfry_kv::{Engine, ReadError};
use belfry_kv_rocks::{ArchiveError, Options, Rocks};
use belfry_node::{Node, NodeOptions, StartError};
use tokio::runtime::Runtime;

use crate::{
    config::Config,
    data_folder,
    message::Message,
    open_files::OpenFiles,
    operation::{Answer, Backup, Check, DbRequest, RoomSize, Stats, TableSize},
};

/// Findings of a check that are shown; the others are counted. Keeps an answer below the control
/// socket's limit, however long the keys are.
const FINDINGS_MAX: usize = 200;

/// The open database.
pub(crate) struct Database {
    rocks: Arc<Rocks>,
    data: belfry_data::Database,
}

impl Database {
    /// Opens the database in the folder, or makes one, and brings it up to date. Waits for the
    /// disk: not from inside the runtime.
    pub(crate) fn open(
        folder: &Path,
        config: &Config,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Message> {
        let rocks = open_engine(folder, config, surroundings)?;
        Self::accept(rocks, folder, config, surroundings)
    }

    /// Opens or makes the database as [`Self::open`] does, with a running server on it.
    pub(crate) fn open_node(
        config: &Config,
        env: &Env,
        surroundings: &Surroundings<'_>,
        options: NodeOptions,
    ) -> Result<(Node, Self), Message> {
        let folder = config.database_folder();
        let rocks = open_engine(&folder, config, surroundings)?;
        let started = Node::start(Arc::<Rocks>::clone(&rocks), env.clone(), options);
        let node = surroundings
            .runtime
            .block_on(started)
            .map_err(|error| match error {
                StartError::Open(error) => not_accepted(&error, &folder),
                StartError::Users(fault) => Message::new("start-failed").with_text("cause", &fault),
            })?;
        let data = node.database().clone();
        Ok((node, Self { rocks, data }))
    }

    /// Opens the copy of a backup as another history of the database, so that nobody takes what
    /// came after the backup was made for known. A folder without a database is refused.
    pub(crate) fn open_restored(
        folder: &Path,
        config: &Config,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Message> {
        let rocks = open_engine(folder, config, surroundings)?;
        let renewed = belfry_data::renew_incarnation(&*rocks, surroundings.incarnation());
        surroundings
            .runtime
            .block_on(renewed)
            .map_err(|error| not_accepted(&error, folder))?;
        Self::accept(rocks, folder, config, surroundings)
    }

    fn accept(
        rocks: Arc<Rocks>,
        folder: &Path,
        config: &Config,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Message> {
        let engine: Arc<dyn Engine> = Arc::<Rocks>::clone(&rocks);
        let name = &config.general.server_name;
        let opened = belfry_data::open(engine, name, surroundings.incarnation());
        let data = surroundings
            .runtime
            .block_on(opened)
            .map_err(|error| not_accepted(&error, folder))?;
        Ok(Self { rocks, data })
    }

    /// Makes everything durable and closes. Waits for the disk: not from inside the runtime.
    pub(crate) fn close(&self) {
        self.rocks.close();
    }

    /// Does what is asked.
    pub(crate) async fn perform(&self, request: DbRequest) -> Result<Answer, Message> {
        match request {
            DbRequest::Check => self.check().await.map(Answer::Check),
            DbRequest::Stats => self.stats().await.map(Answer::Stats),
            DbRequest::Backup { folder } => self.backup(folder).await.map(Answer::Backup),
        }
    }
}

/// What opening a database needs of the world.
pub(crate) struct Surroundings<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) clock: &'a Clock,
    pub(crate) random: &'a Random,
    pub(crate) files: OpenFiles,
}

impl Surroundings<'_> {
    fn incarnation(&self) -> Incarnation {
        Incarnation(self.random.bytes())
    }
}

fn open_engine(
    folder: &Path,
    config: &Config,
    surroundings: &Surroundings<'_>,
) -> Result<Arc<Rocks>, Message> {
    data_folder::check_owner(folder)?;
    let options = options(config, surroundings);
    Rocks::open(folder, belfry_data::keyspaces(), options)
        .map(Arc::new)
        .map_err(|error| not_opened(&error, folder))
}

/// The engine's options as the configuration has them.
fn options(config: &Config, surroundings: &Surroundings<'_>) -> Options {
    let own = surroundings.clock.clone();
    let storage = &config.storage;
    Options {
        cache_bytes: mib(storage.block_cache_mib.get()),
        write_buffer_bytes: mib(storage.write_buffer_mib.get()),
        read_threads: usize::try_from(storage.read_threads.get()).unwrap_or(1),
        free_disk_min_bytes: storage.free_disk_min_mib.get() << 20,
        open_files_max: surroundings.files.database,
        ..Options::new(Arc::new(move || own.now().since(Moment::default())))
    }
}

fn mib(count: u64) -> usize {
    usize::try_from(count << 20).unwrap_or(usize::MAX)
}

impl Database {
    /// Reads all that there is, twice: whether the disk gave back what was written, then whether
    /// that makes sense. What is damaged is a finding, not a failure.
    async fn check(&self) -> Result<Check, Message> {
        let census = match self.rocks.census().await {
            Ok(census) => census,
            Err(ArchiveError::Read(ReadError::Corrupt(what))) => {
                return Ok(Check {
                    rows: 0,
                    bytes: 0,
                    findings: vec![Message::new("finding-corrupt").with("what", what)],
                });
            }
            Err(error) => return Err(archive_failure(&error, Path::new(""))),
        };
        let report = belfry_data::check(self.data.engine().as_ref(), FINDINGS_MAX)
            .await
            .map_err(|error| unreadable(&error))?;
        let mut findings: Vec<_> = report.findings.iter().map(finding).collect();
        if report.more > 0 {
            findings.push(Message::new("finding-more").with("count", report.more));
        }
        Ok(Check {
            rows: census.tables.iter().map(|table| table.rows).sum(),
            bytes: census.tables.iter().map(|table| table.bytes).sum(),
            findings,
        })
    }

    /// What the engine says of itself, and what counting every row gives.
    async fn stats(&self) -> Result<Stats, Message> {
        let found = self
            .rocks
            .stats()
            .await
            .map_err(|error| unreadable(&error))?;
        let counted = belfry_data::stats(self.data.engine().as_ref())
            .await
            .map_err(|error| unreadable(&error))?;
        let tables = counted.tables.iter().map(|table| {
            let files = found.tables.iter().find(|one| one.name == table.name);
            TableSize {
                name: table.name.to_owned(),
                rows: table.rows,
                bytes: table.key_bytes.saturating_add(table.value_bytes),
                disk_bytes: files.map_or(0, |one| one.disk_bytes),
            }
        });
        Ok(Stats {
            tables: tables.collect(),
            rooms: counted.rooms,
            largest_rooms: counted.largest.iter().map(room_size).collect(),
            disk_bytes: found.families.iter().map(|family| family.disk_bytes).sum(),
            journal_bytes: found.journal_bytes,
            free_disk_bytes: found.free_disk_bytes,
            cache_bytes: found.cache_bytes,
            write_buffer_bytes: found.write_buffer_bytes,
            commits: found.commits,
            conflicts: found.conflicts,
            commits_waiting: found.commits_waiting,
            background_errors: found.background_errors,
        })
    }

    async fn backup(&self, folder: PathBuf) -> Result<Backup, Message> {
        match self.rocks.checkpoint(&folder).await {
            Ok(()) => Ok(Backup { folder }),
            Err(error) => Err(archive_failure(&error, &folder)),
        }
    }
}

fn room_size(room: &RoomStats) -> RoomSize {
    RoomSize {
        room_id: room.room_id.to_string(),
        state_entries: room.entries,
        joined: room.joined,
        extremities: room.extremities,
    }
}

/// The finding in the catalogue's words; what exactly is wrong is for those who mend it.
fn finding(found: &Finding) -> Message {
    let id = match found.kind {
        FindingKind::Undecodable => "finding-undecodable",
        FindingKind::Dangling => "finding-dangling",
        FindingKind::Orphan => "finding-orphan",
        FindingKind::WrongHash => "finding-hash",
        FindingKind::WrongShape | FindingKind::WrongState => "finding-state",
        FindingKind::WrongMember => "finding-member",
        FindingKind::WrongCount => "finding-count",
        FindingKind::WrongOrder => "finding-order",
        FindingKind::WrongEvent => "finding-event",
    };
    Message::new(id)
        .with("table", found.table)
        .with_text("key", &found.key.as_bytes().escape_ascii())
        .with("detail", found.explanation.as_str())
}

fn unreadable(error: &ReadError) -> Message {
    Message::new("db-unreadable").with_text("cause", error)
}

fn archive_failure(error: &ArchiveError, folder: &Path) -> Message {
    match error {
        ArchiveError::Busy => Message::new("db-busy"),
        ArchiveError::Closed => Message::new("db-closing"),
        ArchiveError::Exists(_) => Message::new("db-backup-exists").with("folder", folder),
        ArchiveError::Failed(cause) => Message::new("db-backup-failed")
            .with("folder", folder)
            .with("cause", cause.as_str()),
        ArchiveError::Read(error) => unreadable(error),
    }
}

/// Why the engine does not open, in the catalogue's words.
fn not_opened(error: &belfry_kv_rocks::OpenError, folder: &Path) -> Message {
    use belfry_kv_rocks::OpenError::{Damaged, Locked, Newer};
    match error {
        Locked { .. } => Message::new("db-locked").with("folder", folder),
        Newer { what, .. } => Message::new("db-newer")
            .with("folder", folder)
            .with("what", what.as_str()),
        Damaged { what } => Message::new("db-damaged").with("what", what.as_str()),
        other => unusable(other, folder),
    }
}

/// Why what the engine holds is not accepted, in the catalogue's words.
fn not_accepted(error: &belfry_data::OpenError, folder: &Path) -> Message {
    use belfry_data::OpenError::{Newer, NotOurs, OtherServer, Read};
    match error {
        Newer { found, .. } => Message::new("db-newer")
            .with("folder", folder)
            .with_text("what", found),
        OtherServer { pinned, configured } => Message::new("db-other-server")
            .with("pinned", pinned.as_str())
            .with("configured", configured.as_str()),
        NotOurs => Message::new("db-not-ours").with("folder", folder),
        Read(ReadError::Corrupt(what)) => Message::new("db-damaged").with("what", what.as_str()),
        other => unusable(other, folder),
    }
}

fn unusable(error: &dyn std::error::Error, folder: &Path) -> Message {
    Message::new("db-unusable")
        .with("folder", folder)
        .with_text("cause", error)
}
