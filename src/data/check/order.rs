//! Orders: that each event is where it belongs and nothing else is.

use belfry_kv::{Direction, Engine, Key, KeyCodec, Layout, ReadError, Snapshot, Stamp};
use serde::Deserialize;

use super::{
    event::{At, stored},
    finding::{FindingKind, Report},
    pages::{Pages, Row},
};
use crate::{
    column::RoomKey,
    rows::{EventRow, GlobalRow, LogRow},
    tables::{EVENT, EventKey, GLOBAL_LOG, ROOM_GAP, ROOM_LOG, ROOM_TAIL, ROOM_TIMELINE},
};

/// Events of one depth that are looked through for one.
const DEPTH_ROWS: usize = 1_000;

#[derive(Deserialize)]
struct Depth {
    depth: i64,
}

fn depth_of(event: &EventRow) -> Option<i64> {
    let event: Depth = serde_json::from_str(&event.json).ok()?;
    Some(event.depth)
}

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    check_room_log(engine, report).await?;
    check_global_log(engine, report).await?;
    check_timeline(engine, report).await?;
    check_timeline_is_whole(engine, report).await?;
    check_tails(engine, report).await?;
    check_gaps(engine, report).await
}

fn expect_visible(event: Option<&EventRow>, at: At<'_>, report: &mut Report) {
    report.expect(
        event.is_some(),
        FindingKind::Dangling,
        at,
        "the event is not stored",
    );
    let visible = event.is_none_or(EventRow::is_visible);
    report.expect(
        visible,
        FindingKind::WrongOrder,
        at,
        "the event is not for clients to see",
    );
}

async fn events_of<K: KeyCodec, R: Layout>(
    snapshot: &dyn Snapshot,
    rows: &[Row<K, R>],
    key: impl Fn(&Row<K, R>) -> EventKey,
) -> Result<Vec<Option<EventRow>>, ReadError> {
    let keys: Vec<_> = rows.iter().map(key).collect();
    stored(snapshot, &keys).await
}

async fn check_room_log(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_LOG);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key =
            |row: &Row<(RoomKey, Stamp), LogRow>| (row.key.0.clone(), *row.row.event.as_bytes());
        let events = events_of(&*snapshot, &rows, key).await?;
        for (row, event) in rows.iter().zip(&events) {
            expect_visible(event.as_ref(), (ROOM_LOG.space(), &row.raw), report);
        }
    }
    Ok(())
}

async fn check_global_log(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&GLOBAL_LOG);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let GlobalRow::Event { room, event } = &row.row else {
                continue;
            };
            let at = (GLOBAL_LOG.space(), &row.raw);
            let Ok(room) = <&ruma_common::RoomId>::try_from(&**room) else {
                report.add(
                    FindingKind::Undecodable,
                    at.0,
                    at.1,
                    "the entry names no room",
                );
                continue;
            };
            let key = (RoomKey::from(room), *event.as_bytes());
            let events = stored(&*snapshot, &[key]).await?;
            expect_visible(events.first().and_then(Option::as_ref), at, report);
        }
    }
    Ok(())
}

async fn check_timeline(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_TIMELINE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |row: &Row<(RoomKey, i64, Stamp), LogRow>| {
            (row.key.0.clone(), *row.row.event.as_bytes())
        };
        let events = events_of(&*snapshot, &rows, key).await?;
        for (row, event) in rows.iter().zip(&events) {
            let at = (ROOM_TIMELINE.space(), &row.raw);
            expect_visible(event.as_ref(), at, report);
            let depth = event.as_ref().and_then(depth_of);
            let right = depth.is_none_or(|depth| depth == row.key.1);
            report.expect(
                right,
                FindingKind::WrongOrder,
                at,
                "the event has another depth",
            );
        }
    }
    Ok(())
}

/// Every visible event is in its room's timeline.
async fn check_timeline_is_whole(
    engine: &dyn Engine,
    report: &mut Report,
) -> Result<(), ReadError> {
    let mut pages = Pages::new(&EVENT);
    // What does not decode was found before.
    let mut silent = Report::new(0);
    while let Some((snapshot, rows)) = pages.next(engine, &mut silent).await? {
        for row in rows.iter().filter(|row| row.row.1.is_visible()) {
            if let Some(depth) = depth_of(&row.row.1) {
                let found = is_in_timeline(&*snapshot, &row.key, depth).await?;
                let at = (EVENT.space(), &row.raw);
                report.expect(
                    found,
                    FindingKind::WrongOrder,
                    at,
                    "the timeline lacks the event",
                );
            }
        }
    }
    Ok(())
}

async fn is_in_timeline(
    snapshot: &dyn Snapshot,
    (room, hash): &EventKey,
    depth: i64,
) -> Result<bool, ReadError> {
    let range = ROOM_TIMELINE.prefix(&(room.clone(), depth));
    let page = snapshot.scan(range, Direction::Forward, DEPTH_ROWS).await?;
    let mut rows = page.rows.iter();
    let found = rows.any(|(_, value)| {
        let row = ROOM_TIMELINE.decode_row(value);
        row.is_ok_and(|row| row.event.as_bytes() == hash)
    });
    Ok(found || page.rest.is_some())
}

async fn check_tails(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_TAIL);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let last = last_in_log(&*snapshot, &row.key.0).await?;
            let right = last.is_none_or(|last| last.position == row.row.0.position);
            let at = (ROOM_TAIL.space(), &row.raw);
            report.expect(
                right,
                FindingKind::WrongOrder,
                at,
                "the log's end is elsewhere",
            );
            report.expect(
                last.is_some(),
                FindingKind::Orphan,
                at,
                "the room has no log",
            );
        }
    }
    Ok(())
}

async fn last_in_log(snapshot: &dyn Snapshot, room: &RoomKey) -> Result<Option<Stamp>, ReadError> {
    let range = ROOM_LOG.prefix(&(room.clone(),));
    let page = snapshot.scan(range, Direction::Backward, 1).await?;
    let key: Option<&Key> = page.rows.first().map(|(key, _)| key);
    Ok(key
        .and_then(|key| ROOM_LOG.decode_key(key).ok())
        .map(|(_, stamp)| stamp))
}

async fn check_gaps(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_GAP);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let events = events_of(&*snapshot, &rows, |row| row.key.clone()).await?;
        for (row, event) in rows.iter().zip(&events) {
            let missing = event.as_ref().is_none_or(EventRow::is_outlier);
            let at = (ROOM_GAP.space(), &row.raw);
            report.expect(missing, FindingKind::Orphan, at, "the event is not missing");
        }
    }
    Ok(())
}
