//! Redacting an event that is stored, beside the room's own commits.
//!
//! Exists for redactions that are no events of the room (MSC4293): they change nothing that the
//! room's head is about, so that the event's own row is all that they check. Knows nothing of who
//! may redact.

use belfry_event::EventHash;
use belfry_kv::Commit;
use ruma_common::RoomId;

use crate::{
    column::RoomKey, reader::StoredEvent, relation::unrelate, rows::EventRow, tables::EVENT,
};

/// Notes that `by` redacts an event, if the event is as it was read; it keeps its place.
pub fn redact_stored(commit: &mut Commit, room: &RoomId, target: &StoredEvent, by: EventHash) {
    let room = RoomKey::from(room);
    let key = (room.clone(), *target.hash.as_bytes());
    EVENT.check_equals(commit, &key, Some(&(target.stamp, target.row.clone())));
    let row = EventRow {
        redacted_by: Some(by),
        ..target.row.clone()
    };
    EVENT.put(commit, &key, &(target.stamp, row));
    unrelate(commit, &room, target);
}
