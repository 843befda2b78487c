//! Which events relate to which (Client-Server API, "Forming relationships between events").
//!
//! Exists so that what relates to an event, and how much of it, is read without looking at the
//! room's other events. Its rows follow from single events and are written in the commit that puts
//! the event into the room: whoever reads an event finds what it relates to at the same position,
//! and nothing has to catch up. They are written without being read, so that an event costs the
//! same however many there are. Knows nothing of who may see what.
//!
//! A redacted event relates to nothing: it is taken from the counts and from the edits. It stays in
//! the orders, where whoever shows events passes it over, as its content tells.

mod child;
mod read;

#[cfg(test)]
mod relation_tests;

use belfry_event::{EventHash, HASH_BYTES, Pdu};
use belfry_kv::{Commit, Counter, Keyspace, Kind, Shape, Stamp, Table, Temperature};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    reader::StoredEvent,
    rows::LogRow,
    tables::{EventKey, HashKey},
};
use child::Child;
pub use read::{PARTICIPANTS_MAX, RelationPage, ThreadTail};

/// Longest `rel_type` in bytes; events with a longer one relate to nothing.
pub const REL_TYPE_BYTES_MAX: usize = 255;

const THREAD: &str = "m.thread";

/// The column of those rows that stand for all relation types, or for all senders.
const ALL: &str = "";

/// An event that relates to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationRow {
    /// The event.
    pub event: EventHash,
    /// Its `rel_type`.
    pub rel_type: Box<str>,
    /// Its type.
    pub event_type: Box<str>,
}
postcard_row!(RelationRow);

/// The latest event of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ThreadRow {
    pub(crate) latest: EventHash,
}
postcard_row!(ThreadRow);

const fn space(tag: u8, name: &'static str, shape: Shape) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature: Temperature::Cold,
        kind: Kind::Derived,
        row_version: 1,
    }
}

/// An event, the relation type or none for all, and by depth, then arrival what relates to it.
pub(crate) static RELATION: Table<(RoomKey, HashKey, String, i64, Stamp), RelationRow> =
    Table::new(space(70, "relation", Shape::Log));

/// Column that puts the latest of two edits of one moment first: complemented characters.
pub(crate) type EditOrder = [u8; EDIT_ORDER_BYTES];
const EDIT_ORDER_BYTES: usize = 43;

/// Event, sender, type, and edits of that sender and type, latest first: the complement of their
/// time, then of their IDs.
pub(crate) static EDIT: Table<(RoomKey, HashKey, UserKey, String, u64, EditOrder), LogRow> =
    Table::new(space(71, "edit", Shape::Scan));

/// Event, relation type or none for all, sender or none for all: how many relate to the event.
pub(crate) static RELATION_COUNT: Counter<(RoomKey, HashKey, String, String)> =
    Counter::new(Keyspace {
        row_version: 0,
        ..space(72, "relation_count", Shape::Counter)
    });

/// The same, row by row.
pub(crate) static RELATION_COUNT_ROWS: Table<(RoomKey, HashKey, String, String), i64> =
    Table::new(*RELATION_COUNT.space());

/// By arrival the events of threads, each as its thread's first event.
pub(crate) static THREAD_LOG: Table<(RoomKey, Stamp), LogRow> =
    Table::new(space(73, "thread_log", Shape::Log));

/// A thread's first event: when its latest one came, and which it is. The stamp is the one that
/// follows that of its entry in the log of threads.
pub(crate) static THREAD_TAIL: Table<EventKey, (Stamp, ThreadRow)> =
    Table::new(space(74, "thread_tail", Shape::Point));

/// Notes what an event relates to, behind the event and before its places in other orders: a place
/// in the timeline thus tells on which side of it a relation stands. `new` events move their
/// threads to the front.
pub(crate) fn relate(commit: &mut Commit, room: &RoomKey, pdu: &Pdu, new: bool) {
    let Some(child) = Child::read(pdu.json(), pdu.hash()) else {
        return;
    };
    let row = RelationRow {
        event: child.event,
        rel_type: child.rel_type.as_str().into(),
        event_type: child.event_type.as_str().into(),
    };
    for kind in [ALL, &child.rel_type] {
        let prefix = (room.clone(), child.parent, kind.to_owned(), pdu.depth());
        RELATION.append(commit, &prefix, &row);
    }
    if child.rel_type == THREAD && new {
        let event = EventHash::from(child.parent);
        THREAD_LOG.append(commit, &(room.clone(),), &LogRow { event });
        let latest = child.event;
        THREAD_TAIL.stamp(commit, &(room.clone(), child.parent), &ThreadRow { latest });
    }
    if child.is_edit {
        let event = child.event;
        EDIT.put(commit, &edit_key(room, &child), &LogRow { event });
    }
    count(commit, room, &child, 1);
}

/// Takes back what follows from an event that is being redacted.
pub(crate) fn unrelate(commit: &mut Commit, room: &RoomKey, event: &StoredEvent) {
    // Redacted before, it was taken back then; never shown, it was never counted.
    if event.row.redacted_by.is_some() || !event.row.is_visible() {
        return;
    }
    let Some(child) = Child::read(&event.row.json, event.hash) else {
        return;
    };
    if child.is_edit {
        EDIT.delete(commit, &edit_key(room, &child));
    }
    count(commit, room, &child, -1);
}

fn count(commit: &mut Commit, room: &RoomKey, child: &Child, change: i64) {
    let counted = [
        (&*child.rel_type, ALL),
        (&*child.rel_type, child.sender.0.as_str()),
        (ALL, child.sender.0.as_str()),
    ];
    for (rel_type, sender) in counted {
        let key = (
            room.clone(),
            child.parent,
            rel_type.to_owned(),
            sender.to_owned(),
        );
        RELATION_COUNT.add(commit, &key, change);
    }
}

fn edit_key(room: &RoomKey, child: &Child) -> (RoomKey, HashKey, UserKey, String, u64, EditOrder) {
    (
        room.clone(),
        child.parent,
        child.sender.clone(),
        child.event_type.clone(),
        u64::MAX - child.sent_ms,
        edit_order(child.event),
    )
}

/// The ID's characters, complemented. Rooms of version 3 write two of the 64 digits of a hash in
/// another way, which may turn round edits of the same millisecond there.
fn edit_order(event: EventHash) -> EditOrder {
    let id = event.to_event_id(belfry_event::Alphabet::UrlSafe);
    let mut order = [0; EDIT_ORDER_BYTES];
    for (place, byte) in order.iter_mut().zip(id.as_bytes().iter().skip(1)) {
        *place = !byte;
    }
    order
}

/// The hash column of an event.
fn column(event: EventHash) -> [u8; HASH_BYTES] {
    *event.as_bytes()
}
