//! The orders that events stand in: a room's log by arrival, its timeline by depth, the server's
//! log.
//!
//! Exists because /sync and the senders read what is new, while /messages reads what is next.
//! Pages end where they end: a token is the stamp or the point of the last entry. Knows nothing of
//! tokens on the wire.

use belfry_event::EventHash;
use belfry_kv::{Direction, Key, Position, Range, ReadError, Snapshot, Stamp};
use ruma_common::RoomId;

use crate::{
    column::RoomKey,
    reader::RoomReader,
    rows::GlobalRow,
    tables::{GLOBAL_LOG, ROOM_LOG, ROOM_TAIL, ROOM_TIMELINE},
};

/// Before every stamp that an engine gives.
pub const STAMP_FIRST: Stamp = Stamp {
    position: Position::ZERO,
    ordinal: 0,
};

/// Behind every stamp.
pub const STAMP_LAST: Stamp = Stamp {
    position: Position::MAX,
    ordinal: u16::MAX,
};

/// A place in a room's timeline. Later in the room is greater: by depth, then by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelinePoint {
    /// The event's depth.
    pub depth: i64,
    /// When the event arrived.
    pub stamp: Stamp,
}

impl TimelinePoint {
    /// Before everything.
    pub const FIRST: Self = Self {
        depth: i64::MIN,
        stamp: STAMP_FIRST,
    };
    /// Behind everything.
    pub const LAST: Self = Self {
        depth: i64::MAX,
        stamp: STAMP_LAST,
    };
}

/// A run of entries of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage<T> {
    /// Place and event, in the direction asked.
    pub entries: Vec<(T, EventHash)>,
    /// Whether there may be more.
    pub more: bool,
}

/// A run of the server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalPage {
    /// What happened, oldest first.
    pub entries: Vec<(Stamp, GlobalRow)>,
    /// Whether there may be more.
    pub more: bool,
}

impl RoomReader<'_> {
    /// New events of the room by arrival, those behind `after` and not behind `until`.
    pub async fn log(
        &self,
        after: Stamp,
        until: Stamp,
        direction: Direction,
        limit: usize,
    ) -> Result<OrderPage<Stamp>, ReadError> {
        let range = between(
            &ROOM_LOG.key(&(self.room.clone(), after)),
            &ROOM_LOG.key(&(self.room.clone(), until)),
        );
        let page = ROOM_LOG
            .scan(self.snapshot, range, direction, limit)
            .await?;
        let entries = page.rows.into_iter();
        Ok(OrderPage {
            entries: entries.map(|((_, at), row)| (at, row.event)).collect(),
            more: page.rest.is_some(),
        })
    }

    /// Events of the room by depth, those behind `after` and not behind `until`: going backward
    /// from an event at `point`, `until` is what stands before it.
    pub async fn timeline(
        &self,
        after: TimelinePoint,
        until: TimelinePoint,
        direction: Direction,
        limit: usize,
    ) -> Result<OrderPage<TimelinePoint>, ReadError> {
        let key = |at: TimelinePoint| ROOM_TIMELINE.key(&(self.room.clone(), at.depth, at.stamp));
        let range = between(&key(after), &key(until));
        let page = ROOM_TIMELINE
            .scan(self.snapshot, range, direction, limit)
            .await?;
        let entries = page.rows.into_iter().map(|((_, depth, stamp), row)| {
            let point = TimelinePoint { depth, stamp };
            (point, row.event)
        });
        Ok(OrderPage {
            entries: entries.collect(),
            more: page.rest.is_some(),
        })
    }

    /// When the room last got a new event.
    pub async fn tail(&self) -> Result<Option<Stamp>, ReadError> {
        let row = ROOM_TAIL.get(self.snapshot, &(self.room.clone(),)).await?;
        Ok(row.map(|(stamp, ())| stamp))
    }
}

/// When each of these rooms last got a new event, in the order asked; one round trip.
pub async fn tails(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
) -> Result<Vec<Option<Stamp>>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| (RoomKey::from(*room),)).collect();
    let rows = ROOM_TAIL.get_many(snapshot, &keys).await?;
    Ok(rows
        .into_iter()
        .map(|row| row.map(|(stamp, ())| stamp))
        .collect())
}

/// What happened on the server behind `after`, oldest first.
pub async fn global_log(
    snapshot: &dyn Snapshot,
    after: Stamp,
    limit: usize,
) -> Result<GlobalPage, ReadError> {
    let range = GLOBAL_LOG.range_after(&(), &(after,));
    let page = GLOBAL_LOG
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let entries = page.rows.into_iter();
    Ok(GlobalPage {
        entries: entries.map(|((stamp,), row)| (stamp, row)).collect(),
        more: page.rest.is_some(),
    })
}

/// Behind the one key and up to the other.
fn between(after: &Key, until: &Key) -> Range {
    Range {
        from: after.successor(),
        to: until.successor(),
    }
}
