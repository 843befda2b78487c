//! Bringing an older database up to date: forward only, in steps that can be interrupted anywhere.
//!
//! Exists so that an upgrade of a large database is many small commits, each of which either
//! happened or did not: the row that says how far it came is checked and written by every one of
//! them. Knows no table but its own two.
//!
//! Only *Ground* tables migrate; a *Derived* one is rebuilt. To add a migration: write a type that
//! implements [`Migration`], append it to [`MIGRATIONS`], raise [`crate::SCHEMA_VERSION`], and add
//! the database that the last release wrote to the fixtures.

use belfry_kv::{BoxFuture, Commit, CommitError, Engine, ReadError, Seen, Snapshot};

use crate::{
    rows::{MetaRow, MigrationRow},
    tables::{META, MIGRATION},
};

/// Every migration, by the version that it leads to.
pub(crate) const MIGRATIONS: &[&dyn Migration] = &[];

/// Longest cursor, in bytes.
pub const MIGRATION_CURSOR_BYTES_MAX: usize = 4 * 1024;

/// A step of a migration.
pub(crate) struct MigrationStep {
    /// What changes, within the limits of a commit. Its checks hold as long as nobody else writes.
    pub(crate) commit: Commit,
    /// Where the next step goes on; `None` if this was the last.
    pub(crate) next: Option<Vec<u8>>,
}

/// The way from one schema version to the next.
pub(crate) trait Migration: Sync {
    /// The version that it leads to, from the one before.
    fn leads_to(&self) -> u32;

    /// The step at this cursor, which is empty at first. Depends on nothing but its arguments; what
    /// it reads may be of the old shape or, where an earlier step has been, of the new one.
    fn step<'a>(
        &'a self,
        snapshot: &'a dyn Snapshot,
        cursor: &'a [u8],
    ) -> BoxFuture<'a, Result<MigrationStep, ReadError>>;
}

/// Why a database is not up to date. The next start goes on where this one stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// This build does not know the way.
    #[error("this build has no migration to schema version {0}: upgrade by way of an older one")]
    Absent(u32),
    /// The row that says how far a migration came is of another one.
    #[error("the database is on its way to schema version {0}, which is not the next: restore it")]
    Astray(u32),
    /// A step ended where it began.
    #[error("the migration to schema version {0} does not come forward: report this")]
    Stuck(u32),
    /// The database could not be read.
    #[error("the migration to schema version {to} stopped: {cause}")]
    Read {
        /// Where it leads.
        to: u32,
        /// Why it stopped.
        cause: ReadError,
    },
    /// The database could not be written.
    #[error("the migration to schema version {to} stopped: {cause}")]
    Commit {
        /// Where it leads.
        to: u32,
        /// Why it stopped.
        cause: CommitError,
    },
}

/// Takes the database from one schema version to another.
pub(crate) async fn migrate(
    engine: &dyn Engine,
    from: u32,
    to: u32,
    migrations: &[&dyn Migration],
) -> Result<(), MigrationError> {
    for version in from.saturating_add(1)..=to {
        let mut known = migrations.iter();
        let migration = known.find(|migration| migration.leads_to() == version);
        let migration = migration.ok_or(MigrationError::Absent(version))?;
        while !take_step(engine, *migration).await? {}
    }
    Ok(())
}

/// Whether that was the last step.
async fn take_step(engine: &dyn Engine, migration: &dyn Migration) -> Result<bool, MigrationError> {
    let to = migration.leads_to();
    let read = |cause| MigrationError::Read { to, cause };
    let snapshot = engine.snapshot().await.map_err(read)?;
    let progress = MIGRATION.get_seen(&*snapshot, &()).await.map_err(read)?;
    let meta = META.get_seen(&*snapshot, &()).await.map_err(read)?;
    let cursor = cursor_of(&progress, to)?;
    let step = migration.step(&*snapshot, &cursor).await.map_err(read)?;
    if step.next.as_ref() == Some(&cursor) || too_long(step.next.as_ref()) {
        return Err(MigrationError::Stuck(to));
    }
    let done = step.next.is_none();
    let commit = with_progress(step, to, &progress, &meta);
    let applied = engine.commit(commit).await;
    applied.map_err(|cause| MigrationError::Commit { to, cause })?;
    Ok(done)
}

fn cursor_of(progress: &Seen<MigrationRow>, to: u32) -> Result<Vec<u8>, MigrationError> {
    match &progress.row {
        None => Ok(Vec::new()),
        Some(row) if row.to == to => Ok(row.cursor.clone()),
        Some(row) => Err(MigrationError::Astray(row.to)),
    }
}

fn too_long(cursor: Option<&Vec<u8>>) -> bool {
    cursor.is_some_and(|cursor| cursor.len() > MIGRATION_CURSOR_BYTES_MAX)
}

fn with_progress(
    step: MigrationStep,
    to: u32,
    progress: &Seen<MigrationRow>,
    meta: &Seen<MetaRow>,
) -> Commit {
    let MigrationStep { mut commit, next } = step;
    MIGRATION.check_unchanged(&mut commit, &(), progress);
    META.check_unchanged(&mut commit, &(), meta);
    if let Some(cursor) = next {
        MIGRATION.put(&mut commit, &(), &MigrationRow { to, cursor });
    } else {
        MIGRATION.delete(&mut commit, &());
        if let Some(meta) = meta.row.clone() {
            META.put(&mut commit, &(), &MetaRow { schema: to, ..meta });
        }
    }
    commit
}
