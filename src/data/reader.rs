//! Reads of one room: its head, its events, its graph.
//!
//! Exists so that every event read is bound to its room by key: an event of another room is not
//! found, whatever a client or a server sent. Knows nothing of who may see what.

use std::collections::BTreeSet;

use belfry_event::{EventHash, Pdu, RoomRules, UnreadableEvent};
use belfry_kv::{Direction, ReadError, SCAN_MANY_RANGES_MAX, Seen, Snapshot, Stamp};
use ruma_common::{OwnedRoomId, RoomId};

use crate::{
    column::RoomKey,
    rows::{Acceptance, EventRow, RoomHead},
    state::{Root, StateReader},
    tables::{EVENT, EVENT_EDGE, EVENT_ROOM, EventKey, ROOM_GAP, ROOM_HEAD},
};

/// Children of one event that are looked through for one that covers it. An event with more
/// soft-failed children than this counts as covered.
pub const CHILDREN_MAX: usize = 100;

/// An event as stored, with its hash and the stamp of its arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The reference hash.
    pub hash: EventHash,
    /// When it arrived, or stopped being an outlier.
    pub stamp: Stamp,
    /// All else.
    pub row: EventRow,
}

impl StoredEvent {
    /// The event itself, read by the rules of its room's version.
    pub fn pdu(&self, rules: &'static RoomRules) -> Result<Pdu, UnreadableEvent> {
        let pdu = Pdu::from_stored(rules, self.hash, self.row.json.as_bytes())?;
        Ok(pdu.with_rejected(self.row.acceptance == Acceptance::Rejected))
    }
}

/// One room on one snapshot.
#[derive(Clone)]
pub struct RoomReader<'s> {
    pub(crate) snapshot: &'s dyn Snapshot,
    pub(crate) room: RoomKey,
}

impl<'s> RoomReader<'s> {
    /// Reads this room, which may not exist.
    pub fn new(snapshot: &'s dyn Snapshot, room: &RoomId) -> Self {
        Self {
            snapshot,
            room: RoomKey::from(room),
        }
    }

    /// The room's state trees.
    pub fn states(&self) -> StateReader<'s> {
        StateReader::of_key(self.snapshot, self.room.clone())
    }

    /// Where the room stands; `None` if this server has never been in it.
    pub async fn head(&self) -> Result<Option<RoomHead>, ReadError> {
        ROOM_HEAD.get(self.snapshot, &(self.room.clone(),)).await
    }

    /// The same, for a commit that checks it.
    pub async fn head_seen(&self) -> Result<Seen<RoomHead>, ReadError> {
        ROOM_HEAD
            .get_seen(self.snapshot, &(self.room.clone(),))
            .await
    }

    /// One event.
    pub async fn event(&self, hash: EventHash) -> Result<Option<StoredEvent>, ReadError> {
        Ok(self.events(&[hash]).await?.pop().flatten())
    }

    /// Events in the order asked, one round trip; at most [`belfry_kv::GET_MANY_KEYS_MAX`].
    pub async fn events(
        &self,
        hashes: &[EventHash],
    ) -> Result<Vec<Option<StoredEvent>>, ReadError> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(*hash)).collect();
        let rows = EVENT.get_many(self.snapshot, &keys).await?;
        let stored = hashes.iter().zip(rows).map(|(hash, found)| {
            found.map(|(stamp, row)| StoredEvent {
                hash: *hash,
                stamp,
                row,
            })
        });
        Ok(stored.collect())
    }

    /// For each event whether an accepted event of the room refers to it, so that it can be no
    /// forward extremity; in the order asked, at most [`SCAN_MANY_RANGES_MAX`].
    pub async fn covered(&self, hashes: &[EventHash]) -> Result<Vec<bool>, ReadError> {
        if hashes.len() > SCAN_MANY_RANGES_MAX {
            return Err(ReadError::TooLarge);
        }
        let prefix = |hash: &EventHash| EVENT_EDGE.prefix(&self.event_key(*hash));
        let ranges = hashes.iter().map(prefix).collect();
        let pages = EVENT_EDGE
            .scan_many(self.snapshot, ranges, CHILDREN_MAX)
            .await?;
        let covered = pages.iter().map(|page| {
            page.rows.len() == CHILDREN_MAX || page.rows.iter().any(|(_, edge)| edge.covers)
        });
        Ok(covered.collect())
    }

    /// The room's backward extremities: missing events, each with the depth of an event that
    /// refers to it. At most `limit`, by hash, behind `after`.
    pub async fn gaps(
        &self,
        after: Option<EventHash>,
        limit: usize,
    ) -> Result<Vec<(EventHash, i64)>, ReadError> {
        let prefix = (self.room.clone(),);
        let range = match after {
            Some(hash) => ROOM_GAP.range_after(&prefix, &self.event_key(hash)),
            None => ROOM_GAP.prefix(&prefix),
        };
        let page = ROOM_GAP
            .scan(self.snapshot, range, Direction::Forward, limit)
            .await?;
        let gaps = page.rows.into_iter();
        Ok(gaps
            .map(|((_, hash), gap)| (EventHash::from(hash), gap.depth))
            .collect())
    }

    /// Which of these events are backward extremities, in the order asked.
    pub async fn are_gaps(&self, hashes: &[EventHash]) -> Result<Vec<bool>, ReadError> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(*hash)).collect();
        let rows = ROOM_GAP.get_many(self.snapshot, &keys).await?;
        Ok(rows.iter().map(Option::is_some).collect())
    }

    /// The states before the room's events, for [`crate::Sweep::retain`]: those of at most `limit`
    /// events by hash, behind `after`, each state once; and where to go on, `None` at the end.
    pub async fn state_roots(
        &self,
        after: Option<EventHash>,
        limit: usize,
    ) -> Result<(BTreeSet<Root>, Option<EventHash>), ReadError> {
        let prefix = (self.room.clone(),);
        let range = match after {
            Some(hash) => EVENT.range_after(&prefix, &self.event_key(hash)),
            None => EVENT.prefix(&prefix),
        };
        let page = EVENT
            .scan(self.snapshot, range, Direction::Forward, limit)
            .await?;
        let last = page.rows.last().filter(|_| page.rest.is_some());
        let next = last.map(|((_, hash), _)| EventHash::from(*hash));
        let roots = page
            .rows
            .iter()
            .filter_map(|(_, (_, row))| row.state_before);
        Ok((roots.collect(), next))
    }

    pub(crate) fn event_key(&self, hash: EventHash) -> EventKey {
        (self.room.clone(), *hash.as_bytes())
    }
}

/// The rooms of these events, in the order asked: for the few requests that name no room.
pub async fn rooms_of_events(
    snapshot: &dyn Snapshot,
    hashes: &[EventHash],
) -> Result<Vec<Option<OwnedRoomId>>, ReadError> {
    let keys: Vec<_> = hashes.iter().map(|hash| (*hash.as_bytes(),)).collect();
    let rows = EVENT_ROOM.get_many(snapshot, &keys).await?;
    let rooms = rows.into_iter().map(|row| row.map(|row| row.0.0));
    Ok(rooms.collect())
}

/// The rooms that this server knows, by ID: at most `limit`, behind `after`.
pub async fn rooms(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(OwnedRoomId, RoomHead)>, ReadError> {
    let range = match after {
        Some(room) => ROOM_HEAD.range_after(&(), &(RoomKey::from(room),)),
        None => ROOM_HEAD.whole(),
    };
    let page = ROOM_HEAD
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rooms = page.rows.into_iter();
    Ok(rooms.map(|((room,), head)| (room.0, head)).collect())
}
