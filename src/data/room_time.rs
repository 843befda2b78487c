//! The events of a room by the time that their senders gave them.
//!
//! Exists for jumping to a date: neither arrival nor depth tells when something was said. A row per
//! event, written in its commit, since a search by halves over the timeline finds nothing where
//! clocks disagreed. Knows nothing of who may see what.

use belfry_event::{EventHash, Pdu};
use belfry_kv::{Commit, Direction, Keyspace, Kind, Range, ReadError, Shape, Stamp, Table};

use crate::{
    column::RoomKey,
    order::{OrderPage, STAMP_FIRST, STAMP_LAST},
    reader::RoomReader,
    rows::LogRow,
};

/// Room, milliseconds since the Unix epoch, arrival.
pub(crate) static ROOM_TIME: Table<(RoomKey, u64, Stamp), LogRow> = Table::new(Keyspace {
    name: "room_time",
    tag: 75,
    shape: Shape::Log,
    temperature: belfry_kv::Temperature::Cold,
    kind: Kind::Derived,
    row_version: 1,
});

/// Notes when an event of the room's timeline was sent.
pub(crate) fn note_time(commit: &mut Commit, room: &RoomKey, pdu: &Pdu) {
    let prefix = (room.clone(), u64::from(pdu.origin_server_ts().get()));
    let event: EventHash = pdu.hash();
    ROOM_TIME.append(commit, &prefix, &LogRow { event });
}

/// A place among a room's events by time: milliseconds since the Unix epoch, then arrival.
pub type TimePoint = (u64, Stamp);

impl RoomReader<'_> {
    /// The room's visible events by time: forward those sent at `from_ms` or later, earliest first;
    /// backward those sent at `from_ms` or earlier, latest first. Goes on behind `passed`, a place
    /// of an earlier page.
    pub async fn by_time(
        &self,
        from_ms: u64,
        passed: Option<TimePoint>,
        direction: Direction,
        limit: usize,
    ) -> Result<OrderPage<TimePoint>, ReadError> {
        let key = |(at_ms, stamp): TimePoint| ROOM_TIME.key(&(self.room.clone(), at_ms, stamp));
        let whole = ROOM_TIME.prefix(&(self.room.clone(),));
        let range = match direction {
            Direction::Forward => Range {
                from: passed.map_or_else(
                    || key((from_ms, STAMP_FIRST)),
                    |passed| key(passed).successor(),
                ),
                to: whole.to,
            },
            Direction::Backward => Range {
                from: whole.from,
                to: passed.map_or_else(|| key((from_ms, STAMP_LAST)).successor(), key),
            },
        };
        let page = ROOM_TIME
            .scan(self.snapshot, range, direction, limit)
            .await?;
        let entries = page.rows.into_iter();
        Ok(OrderPage {
            entries: entries
                .map(|((_, at_ms, stamp), row)| ((at_ms, stamp), row.event))
                .collect(),
            more: page.rest.is_some(),
        })
    }
}
