//! What changed in a room's state since a place that a client has seen.
//!
//! It exists because a client's state is what it was told, not what the graph says of any one event:
//! where the room forked, the difference is taken against every state that the client may hold, so
//! that it may be told something twice, never too little. It knows nothing of what is shown of it.

use std::collections::BTreeSet;

use belfry_data::{Changes, Direction, Root, STAMP_FIRST, Stamp, StateError};
use belfry_event::EventHash;
use ruma_common::ServerName;

use crate::{
    error::Fault,
    event::RoomEvent,
    room_view::RoomView,
    window::{Cut, Window},
};

/// Entries that may differ; if more do, the whole state is told.
pub const STATE_CHANGES_MAX: usize = 20_000;

/// Events in a gap that are looked through for forks, in rooms that other servers are in. Across a
/// longer gap the states at its ends have to do, which is exact unless the room forked just there.
pub const GAP_EVENTS_MAX: usize = 1_000;

/// The states that a client may hold that has seen everything up to `since`. `window` begins there,
/// or later if it is limited. `local` is this server, whose events alone never fork a room.
pub(crate) async fn bases(
    view: &mut RoomView<'_>,
    since: Stamp,
    window: &Window,
    local: &ServerName,
) -> Result<BTreeSet<Root>, Fault> {
    if !window.limited && !window.skipped {
        return behind_cut(view, since, &window.cut).await;
    }
    let cut = if is_shared(view, local).await? {
        widened(view, since, &window.cut).await?
    } else {
        None
    };
    match cut {
        Some(cut) => behind_cut(view, since, &cut).await,
        None => across_gap(view, since).await,
    }
}

/// The states after what the head was at `since`: after every event that others of the cut refer to,
/// and every tip of the graph that is older than it. `cut` begins there.
async fn behind_cut(
    view: &mut RoomView<'_>,
    since: Stamp,
    cut: &Cut,
) -> Result<BTreeSet<Root>, Fault> {
    let Some((_, oldest)) = cut.oldest else {
        return Ok(BTreeSet::from([view.state]));
    };
    let left = |hash: &&EventHash| !cut.events.contains(*hash);
    let tips = view.head.extremities.iter().filter(left).copied();
    let tips: BTreeSet<_> = tips.chain(cut.outside.iter().copied()).collect();
    if tips.len() <= 1 && tips == cut.outside {
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

/// Whether users of other servers are in the room, or that is not known.
async fn is_shared(view: &RoomView<'_>, local: &ServerName) -> Result<bool, Fault> {
    let Some(epoch) = view.head.rows() else {
        return Ok(true);
    };
    let (servers, more) = view.reader.joined_servers(epoch, None, 2).await?;
    Ok(more.is_some() || servers.iter().any(|(server, _)| server != local))
}

/// The cut with what came between it and `since`; `None` if that is too much.
async fn widened(view: &RoomView<'_>, since: Stamp, cut: &Cut) -> Result<Option<Cut>, Fault> {
    let until = cut.oldest.map_or(view.until, |(stamp, _)| stamp);
    let limit = GAP_EVENTS_MAX;
    let page = view
        .reader
        .log(since, until, Direction::Backward, limit)
        .await?;
    if page.more {
        return Ok(None);
    }
    let hashes: Vec<_> = page.entries.into_iter().map(|(_, event)| event).collect();
    let mut cut = cut.clone();
    for event in view.events(&hashes).await? {
        cut.note(&event);
    }
    Ok(Some(cut))
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
