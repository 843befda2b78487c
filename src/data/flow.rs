//! Flows: acts over several rooms or accounts that were begun and are not done yet.
//!
//! Exists so that such an act survives a crash: its row is written by the commit that begins it,
//! moved on by the commits of its steps, and gone with the last one. Knows nothing of what the
//! steps do.

use belfry_kv::{Commit, Direction, ReadError, Shape, Snapshot, Stamp, Table, Temperature};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, tables::ground};

/// Most flows that [`flows`] gives at once.
pub const FLOWS_PAGE_MAX: usize = 100;

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowAct {
    /// An account was closed: it leaves its rooms, declines its invites, takes back its knocks.
    LeaveRooms {
        /// Whose account it was.
        user: OwnedUserId,
    },
    /// A display name or avatar was changed: the user's rooms show the new one.
    ShowProfile {
        /// Whose profile.
        user: OwnedUserId,
    },
    /// A room was replaced by a new one, which exists: what points at the old one is moved.
    ReplaceRoom {
        /// The room that was replaced.
        old: OwnedRoomId,
        /// Its successor.
        new: OwnedRoomId,
        /// Who replaces it.
        by: OwnedUserId,
    },
    /// A user came into the successor of a room: tags and push rules go with them.
    InheritSettings {
        /// Whose settings.
        user: OwnedUserId,
        /// The room that was replaced.
        old: OwnedRoomId,
        /// Its successor.
        new: OwnedRoomId,
    },
    /// A user was removed from a room, and what they sent there goes with them (MSC4293).
    RedactSent {
        /// Which room.
        room: OwnedRoomId,
        /// Whose events.
        user: OwnedUserId,
        /// The member event that removed them.
        by: OwnedEventId,
    },
}

impl FlowAct {
    /// What it is known by: the same act on the same things is one flow, which begins anew when it
    /// is begun again.
    pub fn name(&self) -> String {
        match self {
            Self::LeaveRooms { user } => format!("leave {user}"),
            Self::ShowProfile { user } => format!("profile {user}"),
            Self::ReplaceRoom { old, .. } => format!("replace {old}"),
            Self::InheritSettings { user, new, .. } => format!("inherit {user} {new}"),
            Self::RedactSent { by, .. } => format!("redact {by}"),
        }
    }
}

/// How far a flow came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// What is being done.
    pub act: FlowAct,
    /// Which of its stages is next.
    pub stage: u32,
    /// Where in that stage; what it means is the stage's.
    pub cursor: String,
}
postcard_row!(FlowRow);

/// Every flow that is not done, by [`FlowAct::name`].
pub(crate) static FLOW: Table<(String,), (Stamp, FlowRow)> =
    Table::new(ground(65, "flow", Shape::Scan, Temperature::Cold));

/// A flow as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    name: String,
    stamp: Stamp,
    /// How far it came.
    pub row: FlowRow,
}

impl Flow {
    /// What it is known by.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Begins a flow, from its beginning also if it is under way.
pub fn start_flow(commit: &mut Commit, act: FlowAct) {
    let key = (act.name(),);
    let row = FlowRow {
        act,
        stage: 0,
        cursor: String::new(),
    };
    FLOW.stamp(commit, &key, &row);
}

/// At most `limit` flows behind the name `after`; at most [`FLOWS_PAGE_MAX`].
pub async fn flows(
    snapshot: &dyn Snapshot,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Flow>, ReadError> {
    let range = match after {
        Some(after) => FLOW.range_after(&(), &(after.to_owned(),)),
        None => FLOW.whole(),
    };
    let limit = limit.min(FLOWS_PAGE_MAX);
    let page = FLOW
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|((name,), (stamp, row))| Flow { name, stamp, row })
        .collect())
}

/// The flow of this name; `None` if it is done, or never began.
pub async fn flow(snapshot: &dyn Snapshot, name: &str) -> Result<Option<Flow>, ReadError> {
    let found = FLOW.get(snapshot, &(name.to_owned(),)).await?;
    let name = name.to_owned();
    Ok(found.map(|(stamp, row)| Flow { name, stamp, row }))
}

/// Moves a flow on, if nobody has begun it anew since it was read.
pub fn advance_flow(commit: &mut Commit, flow: &Flow, stage: u32, cursor: String) {
    check(commit, flow);
    let row = FlowRow {
        act: flow.row.act.clone(),
        stage,
        cursor,
    };
    FLOW.stamp(commit, &(flow.name.clone(),), &row);
}

/// Ends a flow, if nobody has begun it anew since it was read.
pub fn end_flow(commit: &mut Commit, flow: &Flow) {
    check(commit, flow);
    FLOW.delete(commit, &(flow.name.clone(),));
}

fn check(commit: &mut Commit, flow: &Flow) {
    let seen = (flow.stamp, flow.row.clone());
    FLOW.check_equals(commit, &(flow.name.clone(),), Some(&seen));
}

#[cfg(test)]
mod tests {
    use belfry_kv::{CommitError, Engine as _, Memory};
    use ruma_common::user_id;

    use super::*;

    fn act() -> FlowAct {
        let user = user_id!("@alice:a.org").to_owned();
        FlowAct::LeaveRooms { user }
    }

    async fn start(engine: &Memory) {
        let mut commit = Commit::synced();
        start_flow(&mut commit, act());
        engine.commit(commit).await.unwrap();
    }

    async fn read(engine: &Memory) -> Vec<Flow> {
        let snapshot = engine.snapshot().await.unwrap();
        flows(&*snapshot, None, 10).await.unwrap()
    }

    #[tokio::test]
    async fn a_flow_that_was_begun_anew_is_not_moved_by_an_older_step() {
        let engine = Memory::default();
        start(&engine).await;
        let old = read(&engine).await.pop().unwrap();
        start(&engine).await;
        let mut late = Commit::synced();
        advance_flow(&mut late, &old, 0, "!r".to_owned());
        assert_eq!(engine.commit(late).await, Err(CommitError::Conflict));
        let new = read(&engine).await.pop().unwrap();
        assert_eq!((new.row.stage, &*new.row.cursor), (0, ""));
        let mut end = Commit::synced();
        end_flow(&mut end, &new);
        engine.commit(end).await.unwrap();
        assert!(read(&engine).await.is_empty());
    }

    #[tokio::test]
    async fn flows_are_read_in_pages() {
        let engine = Memory::default();
        start(&engine).await;
        let mut commit = Commit::synced();
        let user = user_id!("@bob:a.org").to_owned();
        start_flow(&mut commit, FlowAct::ShowProfile { user });
        engine.commit(commit).await.unwrap();
        let snapshot = engine.snapshot().await.unwrap();
        let first = flows(&*snapshot, None, 1).await.unwrap();
        let rest = flows(&*snapshot, Some(first[0].name()), 10).await.unwrap();
        assert_eq!(rest[0].name(), "profile @bob:a.org");
        assert_eq!(rest.len(), 1);
    }
}
