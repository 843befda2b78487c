//! What changed in a room's state since a place that a client has seen.
//!
//! It exists because a client's state is what it was told, not what the graph says of any one event:
//! where the room forked, the difference is taken against every state that the client may hold, so
//! that it may be told something twice, never too little. It knows nothing of what is shown of it.

use std::collections::BTreeSet;

use belfry_data::{Changes, Direction, Root, STAMP_FIRST, Stamp, StateError};
use belfry_event::EventHash;

use crate::{error::Fault, event::RoomEvent, room_view::RoomView, window::Window};

/// Entries that may differ; if more do, the whole state is told.
pub const STATE_CHANGES_MAX: usize = 20_000;

/// The states that a client may hold that has seen everything up to `since`. `window` begins there,
/// or later if it is limited.
pub(crate) async fn bases(
    view: &mut RoomView<'_>,
    since: Stamp,
    window: &Window,
) -> Result<BTreeSet<Root>, Fault> {
    if window.limited || window.skipped {
        return across_gap(view, since).await;
    }
    let Some(oldest) = window.oldest_state else {
        return Ok(BTreeSet::from([view.state]));
    };
    let left = |hash: &&EventHash| !window.looked_at.contains(*hash);
    let tips = view.head.extremities.iter().filter(left).copied();
    let tips: BTreeSet<_> = tips.chain(window.outside.iter().copied()).collect();
    if tips.len() <= 1 && tips == window.outside {
        return Ok(BTreeSet::from([oldest]));
    }
    let tips: Vec<_> = tips.into_iter().collect();
    let seen = |event: &RoomEvent| event.stamp() <= since;
    let seen: Vec<_> = view.events(&tips).await?.into_iter().filter(seen).collect();
    let mut bases = BTreeSet::new();
    for event in &seen {
        bases.insert(view.state_after(event).await?);
    }
    if bases.is_empty() {
        bases.insert(oldest);
    }
    Ok(bases)
}

/// The state after the last event seen, and that before the first not seen: the same, unless the
/// room forked.
async fn across_gap(view: &mut RoomView<'_>, since: Stamp) -> Result<BTreeSet<Root>, Fault> {
    let mut bases = BTreeSet::from([view.state_at(since).await?]);
    let last = view
        .reader
        .log(STAMP_FIRST, since, Direction::Backward, 1)
        .await?;
    let last: Vec<_> = last.entries.into_iter().map(|(_, event)| event).collect();
    for event in view.events(&last).await? {
        bases.insert(view.state_after(&event).await?);
    }
    Ok(bases)
}

/// What any of these states has otherwise than the view's; `None` if that is too much.
pub(crate) async fn changes(
    view: &mut RoomView<'_>,
    bases: &BTreeSet<Root>,
) -> Result<Option<Changes>, Fault> {
    let mut all = Changes::new();
    for base in bases {
        match view.changes(*base, view.state, STATE_CHANGES_MAX).await {
            Ok(changes) => all.extend(changes),
            Err(Fault::Read(StateError::TooMany(_))) => return Ok(None),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some(all))
}
