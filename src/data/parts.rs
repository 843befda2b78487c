//! Commits that come before the one that counts: nodes and outliers that no head refers to yet.
//!
//! Exists because joining a large room stores more than one commit holds. Knows nothing of heads.

use belfry_kv::{COMMIT_CHECKS_MAX, Commit};
use bytes::Bytes;
use ruma_common::RoomId;

use crate::{
    column::RoomKey,
    litter::note_litter,
    state::NodeHash,
    tables::EVENT,
    writes::{NewEvent, Place, put_event, put_nodes},
};

/// Bytes after which a part is sent.
const PART_BYTES_MAX: usize = 512 * 1024;
/// Writes after which a part is sent.
const PART_WRITES_MAX: usize = 4_000;

/// What is too much for one commit and may be written before it, in any number of commits: nodes
/// and outliers that no head refers to yet. If the last commit never comes, the nodes are garbage
/// for [`crate::Sweep`] and the outliers harmless.
#[derive(Debug, Clone)]
pub struct PartWrites {
    room: RoomKey,
    commit: Commit,
}

impl PartWrites {
    /// Nothing yet.
    pub fn new(room: &RoomId) -> Self {
        let (room, commit) = (RoomKey::from(room), Commit::synced());
        let mut parts = Self { room, commit };
        parts.begin();
        parts
    }

    /// Every part says itself that the room is to be swept: one may be applied without another.
    fn begin(&mut self) {
        self.commit = Commit::synced();
        note_litter(&mut self.commit, &self.room);
    }

    /// Stores a node.
    pub fn node(&mut self, hash: NodeHash, bytes: Bytes) {
        put_nodes(&mut self.commit, &self.room, vec![(hash, bytes)]);
    }

    /// Stores an event as an outlier, unless it is stored in any way: then the commit conflicts,
    /// and whoever sent it asks again which events are stored. `event.place` does not matter.
    pub fn outlier(&mut self, event: &NewEvent<'_>) {
        let key = (self.room.clone(), *event.pdu.hash().as_bytes());
        EVENT.check_absent(&mut self.commit, &key);
        let event = NewEvent {
            place: Place::Outlier,
            known: false,
            ..*event
        };
        put_event(&mut self.commit, &self.room, &event, None);
    }

    /// The commit so far, if it is large enough to be sent; what follows goes into the next.
    pub fn take_full(&mut self) -> Option<Commit> {
        let checks = self.commit.checks.len() > COMMIT_CHECKS_MAX / 2;
        let writes = self.commit.writes.len() > PART_WRITES_MAX;
        if checks || writes || self.commit.bytes() > PART_BYTES_MAX {
            let full = self.commit.clone();
            self.begin();
            Some(full)
        } else {
            None
        }
    }

    /// What is left; `None` if nothing is.
    pub fn finish(self) -> Option<Commit> {
        // The first write is the note.
        let empty = self.commit.writes.len() <= 1;
        (!empty).then_some(self.commit)
    }
}
