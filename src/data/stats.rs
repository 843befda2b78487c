//! How much a database holds, by table and by room: `belfry db stats`.
//!
//! Exists so that growth is seen before it hurts. Reads everything once, in pages; keeps a few
//! rooms in memory. Knows no engine, hence nothing of compression.

use belfry_kv::{Direction, Engine, Keyspace, Range, ReadError};
use ruma_common::OwnedRoomId;

use crate::{
    reader::rooms,
    rows::{CurrentState, RoomHead},
    state::WorkingSet,
    tables::keyspaces,
};

/// Rooms that are told apart.
pub const STATS_ROOMS_MAX: usize = 20;

const PAGE: usize = 1_000;

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Every table, by tag.
    pub tables: Vec<TableStats>,
    /// Rooms that this server knows.
    pub rooms: u64,
    /// Rooms whose current state is not in rows.
    pub rooms_without_rows: u64,
    /// The rooms with most state entries, most first, at most [`STATS_ROOMS_MAX`].
    pub largest: Vec<RoomStats>,
}

/// What a table holds, before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// The table's name.
    pub name: &'static str,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys.
    pub key_bytes: u64,
    /// Bytes of values.
    pub value_bytes: u64,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomStats {
    /// Which.
    pub room_id: OwnedRoomId,
    /// Entries of its current state.
    pub entries: usize,
    /// Joined members; `None` if the current state is not in rows.
    pub joined: Option<u32>,
    /// Forward extremities.
    pub extremities: usize,
}

/// Reads the whole database.
pub async fn stats(engine: &dyn Engine) -> Result<Stats, ReadError> {
    let mut stats = Stats::default();
    for space in keyspaces() {
        stats.tables.push(table(engine, space).await?);
    }
    let mut after: Option<OwnedRoomId> = None;
    loop {
        let snapshot = engine.snapshot().await?;
        let page = rooms(&*snapshot, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(last.clone());
        for (room_id, head) in page {
            let reader = crate::RoomReader::new(&*snapshot, &room_id);
            let entries = entries(&reader, &head).await?;
            stats.add_room(room_id, &head, entries);
        }
    }
    Ok(stats)
}

async fn entries(reader: &crate::RoomReader<'_>, head: &RoomHead) -> Result<usize, ReadError> {
    let mut set = WorkingSet::new();
    let root: Vec<_> = head.state.node().into_iter().collect();
    let loaded = reader.states().load(&mut set, &root).await;
    // A root that cannot be read is for the check to find.
    Ok(loaded
        .and_then(|()| set.len(head.state))
        .unwrap_or_default())
}

impl Stats {
    fn add_room(&mut self, room_id: OwnedRoomId, head: &RoomHead, entries: usize) {
        let joined = match head.current {
            CurrentState::Rows { members, .. } => Some(members.joined),
            CurrentState::Tree { .. } => None,
        };
        self.rooms += 1;
        self.rooms_without_rows += u64::from(joined.is_none());
        self.largest.push(RoomStats {
            room_id,
            entries,
            joined,
            extremities: head.extremities.len(),
        });
        self.largest
            .sort_by_key(|room| std::cmp::Reverse(room.entries));
        self.largest.truncate(STATS_ROOMS_MAX);
    }
}

async fn table(engine: &dyn Engine, space: &Keyspace) -> Result<TableStats, ReadError> {
    let mut stats = TableStats {
        name: space.name,
        rows: 0,
        key_bytes: 0,
        value_bytes: 0,
    };
    let mut rest = Some(Range::table(space));
    while let Some(range) = rest {
        let snapshot = engine.snapshot().await?;
        let page = snapshot.scan(range, Direction::Forward, PAGE).await?;
        for (key, value) in &page.rows {
            stats.rows += 1;
            stats.key_bytes += bytes(key.as_bytes());
            stats.value_bytes += bytes(value);
        }
        rest = page.rest;
    }
    Ok(stats)
}

fn bytes(of: &[u8]) -> u64 {
    u64::try_from(of.len()).unwrap_or(u64::MAX)
}
