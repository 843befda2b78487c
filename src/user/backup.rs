//! Key backups (spec, "Server-side key backups"): versions, and room keys of each.
//!
//! A version is one aggregate: every change of its keys checks its row and writes it with another
//! etag. Only the newest version takes keys. Knows nothing of what a key opens.

mod upload;

use std::collections::BTreeMap;

use belfry_data::{
    Commit, ReadError, Seen, Snapshot,
    keys::{self as rows, BackupPart, BackupSession, BackupSessionRow, BackupVersionRow},
};
use belfry_policy::{Action, Denial};

use self::upload::{commits_of, flatten, is_better};
use crate::{Requester, Users, fault::Fault, store::Tries};

/// Largest `auth_data`, as JSON.
pub const AUTH_DATA_BYTES_MAX: usize = 32 * 1024;
/// Longest name of an algorithm.
pub const BACKUP_ALGORITHM_BYTES_MAX: usize = 255;
/// Versions of one user that are not deleted.
pub const BACKUP_VERSIONS_MAX: usize = 100;
/// Keys in one version.
pub const BACKUP_KEYS_MAX: u64 = 500_000;
/// Keys in one request.
pub const BACKUP_UPLOAD_MAX: usize = 10_000;
/// Largest `session_data`, as JSON.
pub const SESSION_DATA_BYTES_MAX: usize = 16 * 1024;
/// Longest room ID or session ID.
pub const SESSION_NAME_BYTES_MAX: usize = 255;

/// Why a backup was not read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// No such version, or no such key.
    #[error("there is no such backup, or nothing of that in it")]
    NotFound,
    /// Not the newest version, which is named.
    #[error("this version of the backup takes no more keys; use the current one")]
    WrongVersion(u64),
    /// The algorithm of a version never changes, nor does its name.
    #[error("the algorithm or version differs; make a new version of the backup")]
    OtherAlgorithm,
    /// Beyond a limit in bytes.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(&'static str, usize),
    /// Beyond [`BACKUP_KEYS_MAX`], [`BACKUP_UPLOAD_MAX`] or [`BACKUP_VERSIONS_MAX`].
    #[error("there would be too many {0}; delete an old backup, or send fewer")]
    TooMany(&'static str),
    /// Not the shape that the specification gives.
    #[error("{0}")]
    Shape(&'static str),
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for BackupError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its number.
    pub version: u64,
    /// The algorithm.
    pub algorithm: String,
    /// A JSON object.
    pub auth_data: String,
    /// How far it is.
    pub progress: BackupProgress,
}

/// How far a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// Keys stored.
    pub count: u64,
    /// Changes with every change of the keys.
    pub etag: u64,
}

/// A room key on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupKey {
    /// `first_message_index`
    pub first_message_index: u64,
    /// `forwarded_count`
    pub forwarded_count: u64,
    /// `is_verified`
    pub is_verified: bool,
    /// `session_data`, a JSON object.
    pub session_data: String,
}

/// Room keys by room and session.
pub type BackupKeys = BTreeMap<String, BTreeMap<String, BackupKey>>;

/// Which keys are meant: all, a room's, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupScope<'a> {
    /// All.
    All,
    /// Those of a room.
    Room(&'a str),
    /// One of a room.
    Session(&'a str, &'a str),
}

impl<'a> BackupScope<'a> {
    fn part(self) -> BackupPart<'a> {
        match self {
            Self::All => BackupPart::All,
            Self::Room(room) => BackupPart::Room(room),
            Self::Session(room, session) => BackupPart::Session(room, session),
        }
    }

    fn is_possible(self) -> bool {
        let short = |name: &str| name.len() <= SESSION_NAME_BYTES_MAX;
        match self {
            Self::All => true,
            Self::Room(room) => short(room),
            Self::Session(room, session) => short(room) && short(session),
        }
    }
}

fn progress(row: &BackupVersionRow) -> BackupProgress {
    BackupProgress {
        count: row.count,
        etag: row.etag,
    }
}

fn backup((version, row): (u64, BackupVersionRow)) -> Backup {
    Backup {
        version,
        progress: progress(&row),
        algorithm: row.algorithm.into(),
        auth_data: row.auth_data.into(),
    }
}

impl Users {
    /// Makes a new version; its number.
    pub async fn create_backup(
        &self,
        requester: &Requester,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<u64, BackupError> {
        self.allow(requester, Action::ManageKeys)?;
        check_auth_data(algorithm, auth_data)?;
        let user = &*requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let (_, versions) = rows::latest_backup(&*snapshot, user).await?;
            if versions >= BACKUP_VERSIONS_MAX {
                return Err(BackupError::TooMany("versions"));
            }
            let last = rows::last_backup(&*snapshot, user).await?;
            let version = last.as_ref().map_or(1, |(version, _)| version + 1);
            let row = BackupVersionRow {
                algorithm: algorithm.into(),
                auth_data: auth_data.into(),
                count: 0,
                etag: 0,
            };
            let mut commit = Commit::synced();
            let seen = rows::backup_seen(&*snapshot, user, version).await?;
            rows::put_backup(&mut commit, user, version, &seen, &row);
            if let Some((before, _)) = last.filter(|(_, row)| row.is_deleted()) {
                rows::drop_backup(&mut commit, user, before);
            }
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(version);
            }
        }
    }

    /// A version; the newest if none is named.
    pub async fn backup(
        &self,
        requester: &Requester,
        version: Option<u64>,
    ) -> Result<Backup, BackupError> {
        self.allow(requester, Action::Read)?;
        let user = &*requester.user_id;
        let snapshot = self.0.store.snapshot().await?;
        let found = match version {
            None => rows::latest_backup(&*snapshot, user).await?.0,
            Some(version) => {
                let seen = rows::backup_seen(&*snapshot, user, version).await?;
                let row = seen.row.filter(|row| !row.is_deleted());
                row.map(|row| (version, row))
            }
        };
        found.map(backup).ok_or(BackupError::NotFound)
    }

    /// Sets a version's `auth_data`; the algorithm must be the same.
    pub async fn update_backup(
        &self,
        requester: &Requester,
        version: u64,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<(), BackupError> {
        self.allow(requester, Action::ManageKeys)?;
        check_auth_data(algorithm, auth_data)?;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let (seen, mut row) = alive(&*snapshot, requester, version).await?;
            if *row.algorithm != *algorithm {
                return Err(BackupError::OtherAlgorithm);
            }
            row.auth_data = auth_data.into();
            let mut commit = Commit::synced();
            rows::put_backup(&mut commit, &requester.user_id, version, &seen, &row);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// Deletes a version with its keys. Its number is not given again.
    pub async fn delete_backup(
        &self,
        requester: &Requester,
        version: u64,
    ) -> Result<(), BackupError> {
        self.allow(requester, Action::ManageKeys)?;
        let user = &*requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let (seen, row) = alive(&*snapshot, requester, version).await?;
            let last = rows::last_backup(&*snapshot, user).await?;
            let mut commit = Commit::synced();
            let gone = BackupVersionRow {
                auth_data: "".into(),
                count: 0,
                ..row
            };
            rows::put_backup(&mut commit, user, version, &seen, &gone);
            if last.is_some_and(|(last, _)| last != version) {
                rows::drop_backup(&mut commit, user, version);
            }
            rows::delete_backup_sessions(&mut commit, user, version, BackupPart::All);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// Stores keys, of those that are there already the better ones.
    pub async fn put_backup_keys(
        &self,
        requester: &Requester,
        version: u64,
        keys: BackupKeys,
    ) -> Result<BackupProgress, BackupError> {
        self.allow(requester, Action::ManageKeys)?;
        let keys = flatten(keys)?;
        let mut done = None;
        for part in commits_of(&keys) {
            done = Some(self.put_some(requester, version, part).await?);
        }
        match done {
            Some(done) => Ok(done),
            None => self.put_some(requester, version, &[]).await,
        }
    }

    async fn put_some(
        &self,
        requester: &Requester,
        version: u64,
        keys: &[BackupSession],
    ) -> Result<BackupProgress, BackupError> {
        let user = &*requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let (seen, mut row) = newest(&*snapshot, requester, version).await?;
            let named: Vec<_> = keys.iter().map(|key| (&*key.room, &*key.session)).collect();
            let stored = rows::backup_sessions_named(&*snapshot, user, version, &named).await?;
            let mut commit = Commit::synced();
            for (key, stored) in keys.iter().zip(&stored) {
                if stored
                    .as_ref()
                    .is_none_or(|stored| is_better(&key.row, stored))
                {
                    rows::put_backup_session(&mut commit, user, version, key);
                    row.count += u64::from(stored.is_none());
                }
            }
            if row.count > BACKUP_KEYS_MAX {
                return Err(BackupError::TooMany("keys"));
            }
            if commit.writes.is_empty() {
                return Ok(progress(&row));
            }
            row.etag += 1;
            rows::put_backup(&mut commit, user, version, &seen, &row);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(progress(&row));
            }
        }
    }

    /// Keys of a version, page by page: `each` is handed every one, by room and session.
    pub async fn backup_keys(
        &self,
        requester: &Requester,
        version: u64,
        scope: BackupScope<'_>,
        mut each: impl FnMut(&str, &str, &BackupSessionRow) + Send,
    ) -> Result<(), BackupError> {
        self.allow(requester, Action::Read)?;
        let user = &*requester.user_id;
        alive(&*self.0.store.snapshot().await?, requester, version).await?;
        if !scope.is_possible() {
            return Ok(());
        }
        let mut last = None;
        loop {
            // A large backup takes longer than a snapshot lives.
            let snapshot = self.0.store.snapshot().await?;
            let page =
                rows::backup_sessions(&*snapshot, user, version, scope.part(), last.as_ref());
            let page = page.await?;
            for key in &page {
                each(&key.room, &key.session, &key.row);
            }
            match page.into_iter().last() {
                Some(key) => last = Some(key),
                None => return Ok(()),
            }
        }
    }

    /// Deletes keys of a version.
    pub async fn delete_backup_keys(
        &self,
        requester: &Requester,
        version: u64,
        scope: BackupScope<'_>,
    ) -> Result<BackupProgress, BackupError> {
        self.allow(requester, Action::ManageKeys)?;
        let user = &*requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let (seen, mut row) = alive(&*snapshot, requester, version).await?;
            let going = if scope.is_possible() {
                count(&*snapshot, requester, version, scope).await?
            } else {
                0
            };
            if going == 0 {
                return Ok(progress(&row));
            }
            row.count = row.count.saturating_sub(going);
            row.etag += 1;
            let mut commit = Commit::synced();
            rows::put_backup(&mut commit, user, version, &seen, &row);
            rows::delete_backup_sessions(&mut commit, user, version, scope.part());
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(progress(&row));
            }
        }
    }
}

type SeenVersion = (Seen<BackupVersionRow>, BackupVersionRow);

async fn alive(
    snapshot: &dyn Snapshot,
    requester: &Requester,
    version: u64,
) -> Result<SeenVersion, BackupError> {
    let seen = rows::backup_seen(snapshot, &requester.user_id, version).await?;
    let row = seen.row.clone().filter(|row| !row.is_deleted());
    row.map(|row| (seen, row)).ok_or(BackupError::NotFound)
}

/// The version, if it is the one that takes keys.
async fn newest(
    snapshot: &dyn Snapshot,
    requester: &Requester,
    version: u64,
) -> Result<SeenVersion, BackupError> {
    let (latest, _) = rows::latest_backup(snapshot, &requester.user_id).await?;
    match latest.map(|(latest, _)| latest) {
        None => Err(BackupError::NotFound),
        Some(latest) if latest == version => alive(snapshot, requester, version).await,
        Some(latest) => Err(BackupError::WrongVersion(latest)),
    }
}

/// How many keys there are; the whole of a version need not be counted.
async fn count(
    snapshot: &dyn Snapshot,
    requester: &Requester,
    version: u64,
    scope: BackupScope<'_>,
) -> Result<u64, BackupError> {
    let (user, part) = (&*requester.user_id, scope.part());
    let mut counted = 0;
    let mut last = None;
    loop {
        let page = rows::backup_sessions(snapshot, user, version, part, last.as_ref()).await?;
        counted += u64::try_from(page.len()).unwrap_or(u64::MAX);
        match page.into_iter().last() {
            Some(key) => last = Some(key),
            None => return Ok(counted),
        }
    }
}

fn check_auth_data(algorithm: &str, auth_data: &str) -> Result<(), BackupError> {
    if !(1..=BACKUP_ALGORITHM_BYTES_MAX).contains(&algorithm.len()) {
        return Err(BackupError::Shape("the algorithm is empty or too long"));
    }
    if auth_data.len() > AUTH_DATA_BYTES_MAX {
        return Err(BackupError::TooLarge("auth_data", AUTH_DATA_BYTES_MAX));
    }
    if auth_data.starts_with('{') {
        Ok(())
    } else {
        Err(BackupError::Shape("auth_data is not an object"))
    }
}
