//! Room keys on their way into a backup: checked, compared, and split into commits.
//!
//! Knows nothing of versions.

use belfry_data::keys::{BackupSession, BackupSessionRow};

use super::{
    BACKUP_UPLOAD_MAX, BackupError, BackupKeys, SESSION_DATA_BYTES_MAX, SESSION_NAME_BYTES_MAX,
};

/// Keys that one commit writes, and their bytes: a larger upload is several commits.
const COMMIT_KEYS_MAX: usize = 500;
const COMMIT_BYTES_MAX: usize = 512 * 1024;

/// The rule of the specification: verified first, then the lower index, then fewer hands.
pub(super) fn is_better(new: &BackupSessionRow, stored: &BackupSessionRow) -> bool {
    let rank = |row: &BackupSessionRow| {
        (
            !row.is_verified,
            row.first_message_index,
            row.forwarded_count,
        )
    };
    rank(new) < rank(stored)
}

pub(super) fn flatten(keys: BackupKeys) -> Result<Vec<BackupSession>, BackupError> {
    let mut all = Vec::new();
    for (room, sessions) in keys {
        for (session, key) in sessions {
            let longest = room.len().max(session.len());
            if longest > SESSION_NAME_BYTES_MAX {
                let name = "a room or session ID";
                return Err(BackupError::TooLarge(name, SESSION_NAME_BYTES_MAX));
            }
            if key.session_data.len() > SESSION_DATA_BYTES_MAX {
                let name = "session_data";
                return Err(BackupError::TooLarge(name, SESSION_DATA_BYTES_MAX));
            }
            if !key.session_data.starts_with('{') {
                return Err(BackupError::Shape("session_data is not an object"));
            }
            let row = BackupSessionRow {
                first_message_index: key.first_message_index,
                forwarded_count: key.forwarded_count,
                is_verified: key.is_verified,
                session_data: key.session_data.into(),
            };
            let room = room.clone();
            all.push(BackupSession { room, session, row });
        }
    }
    if all.len() > BACKUP_UPLOAD_MAX {
        return Err(BackupError::TooMany("keys in one upload"));
    }
    Ok(all)
}

/// Runs of keys, each of which one commit takes.
pub(super) fn commits_of(keys: &[BackupSession]) -> Vec<&[BackupSession]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, key) in keys.iter().enumerate() {
        let own = key.row.session_data.len() + 2 * (key.room.len() + key.session.len());
        let full = bytes + own > COMMIT_BYTES_MAX || index - start >= COMMIT_KEYS_MAX;
        if full && index > start {
            parts.extend(keys.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += own;
    }
    parts.extend(keys.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(verified: bool, index: u64, forwarded: u64) -> BackupSessionRow {
        BackupSessionRow {
            first_message_index: index,
            forwarded_count: forwarded,
            is_verified: verified,
            session_data: "{}".into(),
        }
    }

    #[test]
    fn better_key_is_verified_then_earlier_then_less_forwarded() {
        assert!(is_better(&key(true, 9, 9), &key(false, 0, 0)));
        assert!(!is_better(&key(false, 0, 0), &key(true, 9, 9)));
        assert!(is_better(&key(true, 1, 9), &key(true, 2, 0)));
        assert!(is_better(&key(true, 1, 0), &key(true, 1, 1)));
        assert!(!is_better(&key(true, 1, 1), &key(true, 1, 1)));
    }

    #[test]
    fn uploads_are_split_into_commits() {
        let keys: Vec<_> = (0..1_234)
            .map(|number| BackupSession {
                room: "!r".into(),
                session: number.to_string(),
                row: key(true, 0, 0),
            })
            .collect();
        let parts = commits_of(&keys);
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.concat(), keys);
        assert!(commits_of(&[]).is_empty());
    }
}
