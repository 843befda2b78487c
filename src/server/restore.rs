//! Makes a backup the database of a data folder that has none.
//!
//! The copy is made under another name, synced, read to its end and only then renamed: whatever
//! happens on the way, there is either no database or a whole one.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{config::Config, data_folder, message::Message};

/// Where the copy is until it is whole.
const UNFINISHED: &str = "db.restoring";
/// Most files in a backup: far beyond what any database has.
const FILES_MAX: usize = 1_000_000;

/// A copy of the backup that is not the database yet.
pub(crate) struct Restoring {
    copy: PathBuf,
    database: PathBuf,
}

impl Restoring {
    /// Copies and syncs the backup. An unfinished earlier copy is replaced.
    pub(crate) fn copy(backup: &Path, config: &Config) -> Result<Self, Message> {
        let data = &config.general.data_folder;
        data_folder::prepare(data)?;
        let database = config.database_folder();
        if database.exists() {
            return Err(Message::new("db-present").with("folder", database.as_path()));
        }
        let copy = data.join(UNFINISHED);
        copy_synced(backup, &copy).map_err(|cause| failed(backup, &cause))?;
        Ok(Self { copy, database })
    }

    /// Where the copy is.
    pub(crate) fn folder(&self) -> &Path {
        &self.copy
    }

    /// Makes the copy the database.
    pub(crate) fn finish(self, backup: &Path) -> Result<PathBuf, Message> {
        let database = self.database.clone();
        fs::rename(&self.copy, &database)
            .and_then(|()| sync_folder(database.parent().unwrap_or_else(|| Path::new("."))))
            .map_err(|cause| failed(backup, &cause))?;
        Ok(database)
    }
}

impl Drop for Restoring {
    /// What was not made the database is of no use.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.copy) {
            tracing::debug!(%error, "no unfinished copy is left");
        }
    }
}

fn failed(backup: &Path, cause: &io::Error) -> Message {
    Message::new("db-restore-failed")
        .with("folder", backup)
        .with_text("cause", &cause)
}

/// Copies the files of a folder (a backup has no folders in it), everything synced.
fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)?.take(FILES_MAX) {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            File::open(copy)?.sync_all()?;
        }
    }
    sync_folder(to)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}
