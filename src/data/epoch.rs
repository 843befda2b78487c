//! Building the rows of a whole current state beside those in use.
//!
//! Exists because a join of a large room, or a resolution that changes much, is more than one
//! commit: the head first names the tree only, the rows are written in parts, and a later head
//! names their epoch. Each part checks the row that says how far the building came, so that it is
//! done once, whatever is sent again. Runs in the room's worker. Knows nothing of events but their
//! memberships.

use belfry_kv::{Commit, ReadError, Seen};
use ruma_common::{RoomId, ServerName};

use crate::{
    column::{RoomKey, ServerKey},
    reader::RoomReader,
    rows::{CurrentRow, CurrentState, EpochRow, EpochStage, MemberCounts, Membership, RoomHead},
    state::{Change, Entry, Path, Root, StateError, StateTuple, WorkingSet},
    tables::{ROOM_EPOCH, ROOM_SERVER, ROOM_STATE},
    writes::{Before, drop_rows, member_of, put_member, state_key},
};

/// Changes of the current state that one commit takes in; beyond that the head names the tree and
/// a new epoch is built.
pub const CURRENT_CHANGES_MAX: usize = 500;

/// Entries that one step of a building takes in, about.
pub const EPOCH_STEP_ENTRIES: usize = 500;

/// One step of a building.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochStep {
    /// How far the building is once the commit applied.
    pub row: EpochRow,
    /// To be sent; on a conflict read again.
    pub commit: Commit,
}

impl RoomReader<'_> {
    /// How far the building of an epoch is, if one is under way.
    pub async fn epoch(&self) -> Result<Option<EpochRow>, ReadError> {
        Ok(self.epoch_seen().await?.row)
    }

    async fn epoch_seen(&self) -> Result<Seen<EpochRow>, ReadError> {
        ROOM_EPOCH
            .get_seen(self.snapshot, &(self.room.clone(),))
            .await
    }

    /// Begins to build rows for the state of a head that names the tree: gives up whatever
    /// building is under way. `None` if the head names rows.
    pub async fn begin_epoch(&self, head: &RoomHead) -> Result<Option<EpochStep>, ReadError> {
        let CurrentState::Tree { behind } = head.current else {
            return Ok(None);
        };
        let seen = self.epoch_seen().await?;
        let row = EpochRow {
            epoch: head.sequence,
            root: head.state,
            behind,
            stage: EpochStage::Entries,
            next: Path::FIRST.to_bytes(),
            members: MemberCounts::default(),
        };
        let mut commit = self.epoch_commit(&seen, &row);
        if let Some(given_up) = seen.row {
            drop_rows(&mut commit, &self.room, given_up.epoch);
        }
        drop_rows(&mut commit, &self.room, row.epoch);
        Ok(Some(EpochStep { row, commit }))
    }

    /// The next step of the building under way; `None` if there is none, or if it is ready to be
    /// published ([`crate::RoomWrites::publish`]). `head` and `before` are the room's as of this
    /// snapshot.
    pub async fn step_epoch(
        &self,
        local: &ServerName,
        head: &RoomHead,
        before: Before<'_>,
    ) -> Result<Option<EpochStep>, StateError> {
        let seen = self.epoch_seen().await?;
        let Some(row) = seen.row.clone() else {
            return Ok(None);
        };
        match row.stage {
            EpochStage::Entries => self.step_entries(&seen, row).await.map(Some),
            EpochStage::Users => {
                let mut step = self.step_users(local, head.state, &seen, row).await?;
                before.check(&mut step.commit, &self.room.0);
                Ok(Some(step))
            }
            EpochStage::Ready => Ok(None),
        }
    }

    async fn step_entries(
        &self,
        seen: &Seen<EpochRow>,
        mut row: EpochRow,
    ) -> Result<EpochStep, StateError> {
        let page = self
            .states()
            .page(row.root, row.next(), EPOCH_STEP_ENTRIES)
            .await?;
        let memberships = self.memberships(&page.entries).await?;
        for membership in &memberships {
            row.members = row.members.after(None, *membership);
        }
        advance(&mut row, page.next, EpochStage::Users);
        let mut commit = self.epoch_commit(seen, &row);
        for (entry, membership) in page.entries.iter().zip(memberships) {
            put_entry(&mut commit, &self.room, row.epoch, entry, membership);
        }
        Ok(EpochStep { row, commit })
    }

    /// The users whose entries changed, by what the head says now: the room may have gone on.
    async fn step_users(
        &self,
        local: &ServerName,
        state: Root,
        seen: &Seen<EpochRow>,
        mut row: EpochRow,
    ) -> Result<EpochStep, StateError> {
        let page = self
            .states()
            .diff_page(row.behind, row.root, row.next(), EPOCH_STEP_ENTRIES)
            .await?;
        advance(&mut row, page.next, EpochStage::Ready);
        let mut commit = self.epoch_commit(seen, &row);
        for (tuple, entry) in self.members_now(state, page.changes).await? {
            if let Some(user) = member_of(&tuple) {
                put_member(&mut commit, local, &self.room, user, entry.as_ref());
            }
        }
        Ok(EpochStep { row, commit })
    }

    async fn members_now(
        &self,
        state: Root,
        changes: Vec<Change>,
    ) -> Result<Vec<(StateTuple, Option<CurrentRow>)>, StateError> {
        let tuples = changes.into_iter().map(|change| change.tuple);
        let tuples: Vec<_> = tuples.filter(|tuple| member_of(tuple).is_some()).collect();
        let mut set = WorkingSet::new();
        self.states().gather(&mut set, &[state], &tuples).await?;
        let mut entries = Vec::new();
        for tuple in &tuples {
            let tuple = tuple.clone();
            let event = set.get(state, &tuple)?;
            entries.extend(event.map(|event| Entry { tuple, event }));
        }
        let memberships = self.memberships(&entries).await?;
        let mut now = entries.into_iter().zip(memberships).peekable();
        let found = tuples.into_iter().map(|tuple| {
            let entry = now.next_if(|(entry, _)| entry.tuple == tuple);
            let row =
                entry.map(|(Entry { event, .. }, membership)| CurrentRow { event, membership });
            (tuple, row)
        });
        Ok(found.collect())
    }

    fn epoch_commit(&self, seen: &Seen<EpochRow>, row: &EpochRow) -> Commit {
        let mut commit = Commit::synced();
        let key = (self.room.clone(),);
        ROOM_EPOCH.check_unchanged(&mut commit, &key, seen);
        ROOM_EPOCH.put(&mut commit, &key, row);
        commit
    }
}

fn advance(row: &mut EpochRow, next: Option<Path>, then: EpochStage) {
    if next.is_none() {
        row.stage = then;
    }
    row.next = next.unwrap_or(Path::FIRST).to_bytes();
}

fn put_entry(
    commit: &mut Commit,
    room: &RoomKey,
    epoch: u64,
    entry: &Entry,
    membership: Option<Membership>,
) {
    let row = CurrentRow {
        event: entry.event,
        membership,
    };
    ROOM_STATE.put(commit, &state_key(room, epoch, &entry.tuple), &row);
    if let Some(user) = member_of(&entry.tuple)
        && membership == Some(Membership::Join)
    {
        let key = (room.clone(), epoch, ServerKey::from(user.server_name()));
        ROOM_SERVER.add(commit, &key, 1);
    }
}

/// Gives up a building, as of a plan that will not be carried out.
pub fn abandon_epoch(commit: &mut Commit, room: &RoomId, row: &EpochRow) {
    let room = RoomKey::from(room);
    ROOM_EPOCH.check_equals(commit, &(room.clone(),), Some(row));
    ROOM_EPOCH.delete(commit, &(room.clone(),));
    drop_rows(commit, &room, row.epoch);
}
