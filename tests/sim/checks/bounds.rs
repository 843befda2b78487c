//! Bounds: no commit is larger than the contract allows, what an event costs does not depend on the
//! room, and no more is under way for a room than its worker may have.
//!
//! A worker that writes more the longer a room lives works in every small test and fails in the
//! first town.

use std::sync::LazyLock;

use belfry_data::{Commit, keyspaces};
use belfry_kv::Write;

use super::{Evidence, Voice};
use crate::disk::room_of;

/// Commits that a worker may have under way (`FLIGHTS_MAX` there).
const FLIGHTS_MAX: usize = 2;
/// Writes of any commit: head, and what belongs to no single event.
const WRITES_FIXED: usize = 4;
/// Writes that an event costs: its row, room, edge, places in three orders, tail, transaction, what
/// its device knows it by, and the expiry of both; of a redaction also its target.
const WRITES_PER_EVENT: usize = 12;
/// Writes that a state event costs on top: its entry, citations, rows of its member, and the nodes
/// on the way to its entry.
const WRITES_PER_STATE: usize = 16;
/// Bytes that an event costs besides its JSON.
const BYTES_PER_EVENT: usize = 2_500;
/// Bytes that a state event costs on top: mostly nodes of at most 4 KiB.
const BYTES_PER_STATE: usize = 12_000;

/// The first bytes of the keys that are counted.
struct Tags {
    room_log: u8,
    room_state: u8,
    event: u8,
}

static TAGS: LazyLock<Tags> = LazyLock::new(|| {
    let tag = |name: &str| {
        let space = keyspaces().iter().find(|space| space.name == name);
        space.expect("the table is there").tag
    };
    Tags {
        room_log: tag("room_log"),
        room_state: tag("room_state"),
        event: tag("event"),
    }
});

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    for recorded in evidence.commits {
        size(&recorded.commit, voice);
    }
    let flights = evidence.flights_max;
    voice.expect(flights <= FLIGHTS_MAX, || {
        format!("{flights} commits were under way for one room")
    });
}

/// What a commit does, as far as it counts here.
#[derive(Debug, Default)]
struct Load {
    events: usize,
    states: usize,
    json: usize,
}

impl Load {
    fn of(commit: &Commit) -> Self {
        let mut load = Self::default();
        for write in &commit.writes {
            match write {
                Write::Append { prefix, .. } if prefix.tag() == TAGS.room_log => load.events += 1,
                Write::Put(key, _) if key.tag() == TAGS.room_state => load.states += 1,
                Write::Put(key, value) | Write::Stamp { key, value } if key.tag() == TAGS.event => {
                    load.json += value.len();
                }
                _ => {}
            }
        }
        load
    }
}

/// That one commit is no larger than its events explain.
pub(crate) fn size(commit: &Commit, voice: &mut Voice<'_>) {
    if let Err(limit) = commit.within_limits() {
        voice.complain(format!("a commit is beyond a limit: {limit}"));
    }
    if room_of(commit).is_none() {
        return;
    }
    let load = Load::of(commit);
    let writes = WRITES_FIXED + WRITES_PER_EVENT * load.events + WRITES_PER_STATE * load.states;
    voice.expect(commit.writes.len() <= writes, || {
        let count = commit.writes.len();
        format!("{load:?} took {count} writes, at most {writes} are explained")
    });
    let bytes = load.json + BYTES_PER_EVENT * (load.events + 1) + BYTES_PER_STATE * load.states;
    voice.expect(commit.bytes() <= bytes, || {
        let count = commit.bytes();
        format!("{load:?} took {count} bytes, at most {bytes} are explained")
    });
}
