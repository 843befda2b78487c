//! Events of other servers that wait for the room's worker.
//!
//! Exists so that `/send` is answered once events are durable, however long their ancestors take to
//! fetch. Each origin has a quota. Knows nothing of which events are right.

use belfry_event::EventHash;
use belfry_kv::{Commit, Direction, ReadError, Snapshot, Stamp};
use ruma_common::{OwnedRoomId, RoomId, ServerName};

use crate::{
    column::{RoomKey, ServerKey},
    reader::RoomReader,
    rows::StagedRow,
    tables::{STAGED, STAGED_BYTES},
};

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedEvent {
    /// The reference hash.
    pub hash: EventHash,
    /// When it was staged.
    pub stamp: Stamp,
    /// The event and where it came from.
    pub row: StagedRow,
}

/// Stages an event unless it is staged already (the commit then conflicts: read again, and leave
/// it out). The origin's events take at most `quota_bytes` together, checked before this commit:
/// one commit may go beyond by what it stages itself.
pub fn stage(
    commit: &mut Commit,
    room: &RoomId,
    hash: EventHash,
    row: &StagedRow,
    origin: &ServerName,
    quota_bytes: i64,
) {
    let key = (RoomKey::from(room), *hash.as_bytes());
    STAGED.check_absent(commit, &key);
    STAGED.stamp(commit, &key, row);
    let origin = (ServerKey::from(origin),);
    STAGED_BYTES.check_within(commit, &origin, i64::MIN, quota_bytes);
    STAGED_BYTES.add(commit, &origin, bytes(row));
}

/// Bytes staged from a server.
pub async fn staged_bytes(snapshot: &dyn Snapshot, origin: &ServerName) -> Result<i64, ReadError> {
    STAGED_BYTES
        .get(snapshot, &(ServerKey::from(origin),))
        .await
}

/// The first room behind `after` that has staged events: for starting workers again.
pub async fn next_staged_room(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
) -> Result<Option<OwnedRoomId>, ReadError> {
    let range = match after {
        Some(room) => STAGED.range_after(&(), &(RoomKey::from(room),)),
        None => STAGED.whole(),
    };
    let first = STAGED.first(snapshot, range, Direction::Forward).await?;
    Ok(first.map(|((room, _), _)| room.0))
}

impl RoomReader<'_> {
    /// Staged events of the room by hash: at most `limit`, behind `after`.
    pub async fn staged(
        &self,
        after: Option<EventHash>,
        limit: usize,
    ) -> Result<Vec<StagedEvent>, ReadError> {
        let prefix = (self.room.clone(),);
        let range = match after {
            Some(hash) => STAGED.range_after(&prefix, &self.event_key(hash)),
            None => STAGED.prefix(&prefix),
        };
        let page = STAGED
            .scan(self.snapshot, range, Direction::Forward, limit)
            .await?;
        let staged = page
            .rows
            .into_iter()
            .map(|((_, hash), (stamp, row))| StagedEvent {
                hash: EventHash::from(hash),
                stamp,
                row,
            });
        Ok(staged.collect())
    }

    /// Those of these events that are staged, in the order asked.
    pub async fn staged_at(
        &self,
        hashes: &[EventHash],
    ) -> Result<Vec<Option<StagedEvent>>, ReadError> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(*hash)).collect();
        let rows = STAGED.get_many(self.snapshot, &keys).await?;
        let found = hashes.iter().zip(rows);
        let staged = found.map(|(hash, row)| {
            row.map(|(stamp, row)| StagedEvent {
                hash: *hash,
                stamp,
                row,
            })
        });
        Ok(staged.collect())
    }

    /// Which of these events are staged, in the order asked.
    pub async fn are_staged(&self, hashes: &[EventHash]) -> Result<Vec<bool>, ReadError> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(*hash)).collect();
        let rows = STAGED.get_many(self.snapshot, &keys).await?;
        Ok(rows.iter().map(Option::is_some).collect())
    }
}

/// Takes an event off, with its share of the quota. Only in commits that check the room's head,
/// so that it is taken off once.
pub(crate) fn unstage(commit: &mut Commit, room: &RoomKey, staged: &StagedEvent) {
    STAGED.delete(commit, &(room.clone(), *staged.hash.as_bytes()));
    if let Ok(origin) = <&ServerName>::try_from(&*staged.row.origin) {
        STAGED_BYTES.add(commit, &(ServerKey::from(origin),), -bytes(&staged.row));
    }
}

pub(crate) fn bytes(row: &StagedRow) -> i64 {
    i64::try_from(row.json.len()).unwrap_or(i64::MAX)
}
