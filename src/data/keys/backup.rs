//! Key backups: versions, and the room keys of each.

use belfry_kv::{Commit, Direction, ReadError, Rows, Seen, Snapshot};
use ruma_common::UserId;

use super::{
    device::FORWARD,
    rows::{BackupSessionRow, BackupVersionRow},
    tables::{BACKUP_SESSION, BACKUP_VERSION},
};
use crate::column::UserKey;

/// Most rows that one read of a backup gives.
pub const BACKUP_PAGE_MAX: usize = 1_000;

/// Versions of one user that are looked at.
const VERSIONS_MAX: usize = 1_000;

/// A backed-up room key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSession {
    /// The room's ID, as the client wrote it.
    pub room: String,
    /// The session's ID.
    pub session: String,
    /// The key.
    pub row: BackupSessionRow,
}

/// The user's newest version that is not deleted, and how many of those there are.
pub async fn latest_backup(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<(Option<(u64, BackupVersionRow)>, usize), ReadError> {
    let rows = versions(snapshot, user, VERSIONS_MAX).await?.rows;
    let mut alive = rows
        .into_iter()
        .filter(|(_, row)| !row.is_deleted())
        .map(|((_, version), row)| (version, row));
    let latest = alive.next();
    let others = alive.count();
    Ok((latest.clone(), others + usize::from(latest.is_some())))
}

/// The user's last version, with its row also if it is deleted.
pub async fn last_backup(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Option<(u64, BackupVersionRow)>, ReadError> {
    let last = versions(snapshot, user, 1).await?.rows.pop();
    Ok(last.map(|((_, version), row)| (version, row)))
}

/// Newest first.
async fn versions(
    snapshot: &dyn Snapshot,
    user: &UserId,
    limit: usize,
) -> Result<Rows<(UserKey, u64), BackupVersionRow>, ReadError> {
    let range = BACKUP_VERSION.prefix(&(UserKey::from(user),));
    let page = BACKUP_VERSION.scan(snapshot, range, Direction::Backward, limit);
    page.await
}

/// A version, for a commit that checks it.
pub async fn backup_seen(
    snapshot: &dyn Snapshot,
    user: &UserId,
    version: u64,
) -> Result<Seen<BackupVersionRow>, ReadError> {
    let key = (UserKey::from(user), version);
    BACKUP_VERSION.get_seen(snapshot, &key).await
}

/// Writes a version, if it is still as it was seen.
pub fn put_backup(
    commit: &mut Commit,
    user: &UserId,
    version: u64,
    seen: &Seen<BackupVersionRow>,
    row: &BackupVersionRow,
) {
    let key = (UserKey::from(user), version);
    BACKUP_VERSION.check_unchanged(commit, &key, seen);
    BACKUP_VERSION.put(commit, &key, row);
}

/// Removes the row of a version that is deleted and no longer the last.
pub fn drop_backup(commit: &mut Commit, user: &UserId, version: u64) {
    BACKUP_VERSION.delete(commit, &(UserKey::from(user), version));
}

/// Stores a room key.
pub fn put_backup_session(commit: &mut Commit, user: &UserId, version: u64, key: &BackupSession) {
    let at = (
        UserKey::from(user),
        version,
        key.room.clone(),
        key.session.clone(),
    );
    BACKUP_SESSION.put(commit, &at, &key.row);
}

/// Which keys of a version are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupPart<'a> {
    /// All.
    All,
    /// Those of a room.
    Room(&'a str),
    /// One of a room.
    Session(&'a str, &'a str),
}

/// The keys of a part behind `after`, by room and session, at most `limit`, of at most
/// [`BACKUP_PAGE_MAX`]. Empty if there are no more; shorter pages may have others behind them.
pub async fn backup_sessions(
    snapshot: &dyn Snapshot,
    user: &UserId,
    version: u64,
    part: BackupPart<'_>,
    after: Option<&BackupSession>,
) -> Result<Vec<BackupSession>, ReadError> {
    let mut range = range_of(user, version, part);
    if let Some(after) = after {
        let key = (
            UserKey::from(user),
            version,
            after.room.clone(),
            after.session.clone(),
        );
        range.from = BACKUP_SESSION.key(&key).successor();
    }
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let page = BACKUP_SESSION.scan(snapshot, range, FORWARD, BACKUP_PAGE_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows
        .map(|((_, _, room, session), row)| BackupSession { room, session, row })
        .collect())
}

/// These keys of a version, in the order asked; one round trip.
pub async fn backup_sessions_named(
    snapshot: &dyn Snapshot,
    user: &UserId,
    version: u64,
    named: &[(&str, &str)],
) -> Result<Vec<Option<BackupSessionRow>>, ReadError> {
    let key = |(room, session): &(&str, &str)| {
        (
            UserKey::from(user),
            version,
            (*room).to_owned(),
            (*session).to_owned(),
        )
    };
    let keys: Vec<_> = named.iter().map(key).collect();
    BACKUP_SESSION.get_many(snapshot, &keys).await
}

/// Deletes the keys of a part.
pub fn delete_backup_sessions(
    commit: &mut Commit,
    user: &UserId,
    version: u64,
    part: BackupPart<'_>,
) {
    let range = range_of(user, version, part);
    commit.writes.push(belfry_kv::Write::DeleteRange(range));
}

fn range_of(user: &UserId, version: u64, part: BackupPart<'_>) -> belfry_kv::Range {
    let user = UserKey::from(user);
    match part {
        BackupPart::All => BACKUP_SESSION.prefix(&(user, version)),
        BackupPart::Room(room) => BACKUP_SESSION.prefix(&(user, version, room.to_owned())),
        BackupPart::Session(room, session) => {
            let key = (user, version, room.to_owned(), session.to_owned());
            BACKUP_SESSION.prefix(&key)
        }
    }
}
