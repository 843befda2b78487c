//! Which of the events that arrive lie in the past of what the room has accepted.
//!
//! Exists because who said something may have left since, which says nothing of what they said before:
//! an event that an accepted one builds on, be it by others that still wait, is judged by what was
//! before it alone. Knows nothing of how events are judged.
//!
//! Whether those that wait are rightly signed does not matter here: the accepted event names them by
//! hash, and they name those before them, so nobody can put an event into this past afterwards.

use std::collections::BTreeSet;

use belfry_data::RoomReader;
use belfry_event::EventHash;
use ruma_common::RoomId;

use crate::error::RoomError;
use crate::pool::Pool;
use crate::verification::parse;

/// Events of a round that are looked up at once.
const PAGE: usize = 500;
/// Gaps of a room that are looked at, besides those that arriving events fill.
const GAPS_MAX: usize = 500;
/// Events that are gone back through; those beyond are judged by the present as well.
const WALK_MAX: usize = 5_000;

/// Of the events `order`, which are in the pool, those that lie in the past. With `waits`, others of
/// the room may be staged that are not in the pool.
pub(crate) async fn past(
    reader: &RoomReader<'_>,
    (room_id, pool): (&RoomId, &Pool),
    order: &[EventHash],
    waits: bool,
) -> Result<BTreeSet<EventHash>, RoomError> {
    let mut next = BTreeSet::new();
    for some in order.chunks(PAGE) {
        let gaps = some.iter().zip(reader.are_gaps(some).await?);
        let gaps = gaps.filter_map(|(hash, gap)| gap.then_some(*hash));
        next.extend(built_on(reader, gaps.collect()).await?);
    }
    if waits {
        let gaps = reader.gaps(None, GAPS_MAX).await?;
        let gaps: Vec<_> = gaps.into_iter().map(|(hash, _)| hash).collect();
        let staged = gaps.iter().zip(reader.are_staged(&gaps).await?);
        let staged = staged.filter_map(|(hash, staged)| staged.then_some(*hash));
        next.extend(built_on(reader, staged.collect()).await?);
    }
    let mut seen = BTreeSet::new();
    while !next.is_empty() && seen.len() < WALK_MAX {
        let before = before(reader, (room_id, pool), &next, waits).await?;
        seen.append(&mut next);
        next = before.difference(&seen).copied().collect();
    }
    Ok(order
        .iter()
        .filter(|hash| seen.contains(hash))
        .copied()
        .collect())
}

/// Those of these gaps on which an accepted event builds.
async fn built_on(
    reader: &RoomReader<'_>,
    gaps: Vec<EventHash>,
) -> Result<Vec<EventHash>, RoomError> {
    let covered = reader.covered(&gaps).await?;
    let covered = gaps.into_iter().zip(covered);
    Ok(covered
        .filter_map(|(hash, covered)| covered.then_some(hash))
        .collect())
}

/// What these events build on, as far as they are in the pool or wait.
async fn before(
    reader: &RoomReader<'_>,
    (room_id, pool): (&RoomId, &Pool),
    events: &BTreeSet<EventHash>,
    waits: bool,
) -> Result<BTreeSet<EventHash>, RoomError> {
    let (mut before, mut elsewhere) = (BTreeSet::new(), Vec::new());
    for hash in events {
        match pool.events.get(hash) {
            Some(waiting) => before.extend(waiting.pdu.prev_hashes()),
            None => elsewhere.push(*hash),
        }
    }
    elsewhere.truncate(if waits { PAGE } else { 0 });
    for staged in reader.staged_at(&elsewhere).await?.into_iter().flatten() {
        if let Ok(event) = parse(pool.rules, room_id, &staged.row.json) {
            before.extend(event.unverified().prev_hashes());
        }
    }
    Ok(before)
}
