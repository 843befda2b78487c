//! Bringing a server up to date that was away: room by room, each as it stands now.
//!
//! Exists so that a server which was away for days is told of every room that it shares and asks for
//! what it wants to know besides: what led to a room's last events follows from these. Knows nothing
//! of transactions and of when to try.

use belfry_data::{
    Acceptance, Commit, RoomReader, Snapshot, Stamp, StoredEvent, global_log, lagging_rooms,
};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    queue::{Catching, Due, QUEUED_MAX},
    router::{self, LOG_PAGE, RouteError},
    sender::Shared,
    target::servers_in,
    transaction::{PDUS_MAX, raw},
};

/// Rooms of one transaction, if each has one last event.
const ROOMS_MAX: usize = PDUS_MAX;
/// Commits in which a long queue is written down.
const NOTED_AT_ONCE: usize = 1_000;

/// What one transaction of a catch-up holds.
pub(crate) struct Caught {
    pub(crate) pdus: Vec<Box<RawValue>>,
    /// The last room that it holds; `None` if there is none behind.
    pub(crate) after: Option<OwnedRoomId>,
}

#[derive(Deserialize)]
struct Sent {
    sender: OwnedUserId,
}

/// Finds out what a server is still to be told, unless that is known: what a server was about to be
/// told when the process ended is in the log; what one that lags is to be told, by room.
pub(crate) async fn begin(shared: &Shared, server: &ServerName) -> Result<(), RouteError> {
    let begun = shared.queues.with(server, |destination| {
        if destination.whole {
            return None;
        }
        let until = shared.routed();
        destination.begin_catching(until);
        let row = destination.row.as_ref();
        // The rooms of a server that failed are all kept.
        let told = row.filter(|row| row.failures == 0 && !destination.kept);
        Some((told.map(|row| row.told), until))
    });
    let Some(Some((Some(told), until))) = begun else {
        return Ok(());
    };
    let found = replay(shared, server, told, until).await;
    let found = found.inspect_err(|_| {
        shared.queues.with(server, |destination| {
            destination.whole = false;
        });
    })?;
    let Some(found) = found else {
        return Ok(());
    };
    shared.queues.with(server, |destination| {
        // It stands for the catch-up, at whose end the server would count as told of all of it.
        destination.catching = None;
        for due in found.into_iter().rev() {
            destination.due.push_front(due);
        }
    });
    Ok(())
}

/// What the log has for the server between two places; `None` if that is more than a queue holds:
/// then all of it is written down by room.
async fn replay(
    shared: &Shared,
    server: &ServerName,
    told: Stamp,
    until: Stamp,
) -> Result<Option<Vec<Due>>, RouteError> {
    let (mut after, mut found) = (told, Vec::new());
    let mut noted = false;
    while after < until {
        let snapshot = shared.engine.snapshot().await?;
        let mut page = global_log(&*snapshot, after, LOG_PAGE).await?;
        page.entries.retain(|(stamp, _)| *stamp <= until);
        let Some((last, _)) = page.entries.last() else {
            break;
        };
        after = *last;
        let mut parcels = router::sort(shared, &*snapshot, &page.entries).await?;
        found.extend(parcels.remove(server).unwrap_or_default().due);
        noted |= found.len() > QUEUED_MAX;
        if noted && found.len() >= NOTED_AT_ONCE {
            note(shared, server, std::mem::take(&mut found)).await?;
        }
    }
    if noted {
        note(shared, server, found).await?;
        return Ok(None);
    }
    Ok(Some(found))
}

async fn note(shared: &Shared, server: &ServerName, due: Vec<Due>) -> Result<(), RouteError> {
    let mut commit = Commit::lazy();
    router::note_lags(&mut commit, server, due.iter());
    if !commit.writes.is_empty() {
        shared.engine.commit(commit).await?;
    }
    shared
        .queues
        .with(server, |destination| destination.kept = true);
    Ok(())
}

/// The next rooms, as many as one transaction holds.
pub(crate) async fn page(
    shared: &Shared,
    server: &ServerName,
    catching: &Catching,
) -> Result<Caught, RouteError> {
    let snapshot = shared.engine.snapshot().await?;
    let told = shared.queues.with(server, |destination| {
        destination.row.as_ref().map(|row| row.told)
    });
    let told = told.flatten();
    let after = catching.after.as_deref();
    let rooms = lagging_rooms(&*snapshot, server, after, ROOMS_MAX).await?;
    let more = rooms.len() == ROOMS_MAX;
    let (mut pdus, mut last) = (Vec::new(), None);
    for (room, row) in rooms {
        if told.is_none_or(|told| row.stamp() > told) {
            let ends = ends(shared, &*snapshot, server, (&room, row.event)).await?;
            if !pdus.is_empty() && pdus.len() + ends.len() > PDUS_MAX {
                return Ok(Caught { pdus, after: last });
            }
            pdus.extend(ends.into_iter().take(PDUS_MAX));
        }
        last = Some(room);
    }
    let after = last.filter(|_| more);
    Ok(Caught { pdus, after })
}

/// What the server is told of a room: its last events, but those of the server itself, and the event
/// that it was to be told of last, unless others follow it: who has left and come back since does not
/// refer to it. If the server is not in the room any more, that event alone.
async fn ends(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    server: &ServerName,
    (room, due): (&RoomId, EventHash),
) -> Result<Vec<Box<RawValue>>, RouteError> {
    let reader = RoomReader::new(snapshot, room);
    let in_room = servers_in(snapshot, room).await?;
    let here = in_room.contains(server) && in_room.contains(shared.client.server());
    let head = reader.head().await?.filter(|_| here);
    let mut wanted = head.map(|head| head.extremities).unwrap_or_default();
    let followed = reader.covered(&[due]).await?.contains(&true);
    if wanted.is_empty() || !(followed || wanted.contains(&due)) {
        wanted.push(due);
    }
    let events = reader.events(&wanted).await?.into_iter().flatten();
    let tellable = |event: &StoredEvent| event.row.acceptance == Acceptance::Accepted;
    let events = events.filter(|event| tellable(event) && !is_of(event, server));
    Ok(events.filter_map(|event| raw(&event.row.json)).collect())
}

fn is_of(event: &StoredEvent, server: &ServerName) -> bool {
    let sent: Result<Sent, _> = serde_json::from_str(&event.row.json);
    sent.is_ok_and(|sent| sent.sender.server_name() == server)
}
