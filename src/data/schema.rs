//! Opening a database: whose it is, how old its schema is, and bringing it up to date.
//!
//! Exists so that no build touches what it does not understand: a database of a newer schema or of
//! another server is refused before anything is written. Knows no engine, and makes no randomness:
//! a new database's incarnation is an argument.

use std::{fmt, sync::Arc};

use belfry_kv::{Commit, CommitError, Engine, ReadError, Seen, Snapshot};
use ruma_common::{OwnedServerName, ServerName};

use crate::{
    migration::{MIGRATIONS, Migration, MigrationError, migrate},
    rows::MetaRow,
    tables::{META, keyspaces},
};

/// What this build reads and writes. A migration leads to each version after the first.
pub const SCHEMA_VERSION: u32 = 1;

/// Random bytes that tell one history of a database from another: a restored backup is a new one,
/// so that positions handed out after the backup was made mean nothing in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A database that may be used.
#[derive(Clone)]
pub struct Database {
    engine: Arc<dyn Engine>,
    server_name: OwnedServerName,
    incarnation: Incarnation,
}

impl Database {
    /// The engine that holds it.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The server whose database it is.
    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// Which history it is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The database as it is now.
    pub async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        self.engine.snapshot().await
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("server_name", &self.server_name)
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

/// Why a database may not be used. Nothing was written, unless a migration had begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its schema is newer than this build.
    #[error(
        "the database has schema version {found}, and this build knows {known}: start the build \
         that wrote it, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The version of the database.
        found: u32,
        /// [`SCHEMA_VERSION`].
        known: u32,
    },
    /// It is another server's.
    #[error(
        "the database belongs to the server {pinned}, and the configuration says {configured}: a \
         server's name is for ever; correct the configuration or the data directory"
    )]
    OtherServer {
        /// Whose it is.
        pinned: String,
        /// Whose it should be.
        configured: String,
    },
    /// It has rows, yet says not whose it is.
    #[error("the directory holds a database that is not Belfry's, or that is damaged")]
    NotOurs,
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It could not be brought up to date; the next start goes on where this one stopped.
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

/// Opens the database of this server. A new one gets `incarnation`; an older one is brought up to
/// date, which goes on where it stopped if it was interrupted; an existing one keeps its own
/// incarnation.
pub async fn open(
    engine: Arc<dyn Engine>,
    server_name: &ServerName,
    incarnation: Incarnation,
) -> Result<Database, OpenError> {
    open_as(engine, server_name, incarnation, SCHEMA_VERSION, MIGRATIONS).await
}

/// [`open`] by a build that knows this schema and these migrations.
pub(crate) async fn open_as(
    engine: Arc<dyn Engine>,
    server_name: &ServerName,
    incarnation: Incarnation,
    known: u32,
    migrations: &[&dyn Migration],
) -> Result<Database, OpenError> {
    let snapshot = engine.snapshot().await?;
    let seen = META.get_seen(&*snapshot, &()).await?;
    let meta = match &seen.row {
        Some(meta) => accept(meta.clone(), server_name, known)?,
        None => create(&*engine, &*snapshot, &seen, server_name, incarnation, known).await?,
    };
    migrate(&*engine, meta.schema, known, migrations).await?;
    Ok(Database {
        engine,
        server_name: server_name.to_owned(),
        incarnation: Incarnation(meta.incarnation),
    })
}

fn accept(meta: MetaRow, server_name: &ServerName, known: u32) -> Result<MetaRow, OpenError> {
    if meta.schema > known {
        let found = meta.schema;
        return Err(OpenError::Newer { found, known });
    }
    if *meta.server_name != *server_name.as_str() {
        return Err(OpenError::OtherServer {
            pinned: meta.server_name.into(),
            configured: server_name.to_string(),
        });
    }
    Ok(meta)
}

async fn create(
    engine: &dyn Engine,
    snapshot: &dyn Snapshot,
    seen: &Seen<MetaRow>,
    server_name: &ServerName,
    incarnation: Incarnation,
    known: u32,
) -> Result<MetaRow, OpenError> {
    if !is_empty(snapshot).await? {
        return Err(OpenError::NotOurs);
    }
    let meta = MetaRow {
        schema: known,
        server_name: server_name.as_str().into(),
        incarnation: incarnation.0,
    };
    let mut commit = Commit::synced();
    META.check_unchanged(&mut commit, &(), seen);
    META.put(&mut commit, &(), &meta);
    engine.commit(commit).await?;
    Ok(meta)
}

async fn is_empty(snapshot: &dyn Snapshot) -> Result<bool, ReadError> {
    let tables = keyspaces().iter().map(belfry_kv::Range::table).collect();
    let pages = snapshot.scan_many(tables, 1).await?;
    Ok(pages.iter().all(|page| page.rows.is_empty()))
}

/// Makes the database another history of itself, as after restoring a backup.
pub async fn renew_incarnation(
    engine: &dyn Engine,
    incarnation: Incarnation,
) -> Result<(), OpenError> {
    let snapshot = engine.snapshot().await?;
    let seen = META.get_seen(&*snapshot, &()).await?;
    let meta = seen.row.clone().ok_or(OpenError::NotOurs)?;
    let mut commit = Commit::synced();
    META.check_unchanged(&mut commit, &(), &seen);
    let renewed = MetaRow {
        incarnation: incarnation.0,
        ..meta
    };
    META.put(&mut commit, &(), &renewed);
    engine.commit(commit).await?;
    Ok(())
}
