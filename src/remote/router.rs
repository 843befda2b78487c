//! Reads the server's log once and tells each destination's queue what concerns it.
//!
//! Exists so that an event is looked at once, however many servers it goes to, and so that nothing
//! is lost with the process: the cursor moves in the same commit that makes sure of a row for every
//! server concerned. Knows nothing of the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_data::{
    Commit, CommitError, CursorRow, DestinationRow, GlobalRow, LagRow, Position, ReadError,
    RoomReader, STAMP_FIRST, Snapshot, Stamp, StateError, cursor, destinations, global_log,
    keep_destination, move_cursor, note_lag,
};
use belfry_policy::Purpose;
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};

use crate::{
    device_list,
    queue::Due,
    sender::Shared,
    target::{Told, event_of, servers_in},
};

/// The router's cursor.
const CURSOR: &str = "federation router";
/// Entries of the log read at once.
pub(crate) const LOG_PAGE: usize = 200;
/// How long the router waits after it could not read or write.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a page was not dealt with; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Cursor(#[from] belfry_data::CursorTooLong),
}

/// What a page has for one server.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) due: Vec<Due>,
    pub(crate) outbox: bool,
}

/// Who is to be told what, by server.
pub(crate) type Parcels = BTreeMap<OwnedServerName, Parcel>;

/// Runs until the server stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut seen: Option<CursorRow> = loop {
        match begin(&shared).await {
            Ok(seen) => break seen,
            Err(error) => tracing::warn!(%error, "senders cannot begin; they try again"),
        }
        if pause(&shared).await {
            return;
        }
    };
    let mut page_max = LOG_PAGE;
    loop {
        match route(&shared, &mut seen, &mut page_max).await {
            Ok(None) => {}
            Ok(Some(read)) => {
                let changed = shared.engine.changed(read);
                if shared.env.shutdown.unless(changed).await.is_none() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "what happened was not handed to the senders yet");
                if pause(&shared).await {
                    return;
                }
            }
        }
        if shared.env.shutdown.begun() {
            return;
        }
    }
}

/// Waits a moment; whether the server stops.
async fn pause(shared: &Shared) -> bool {
    let waited = shared.env.clock.sleep(RETRY_AFTER);
    shared.env.shutdown.unless(waited).await.is_none()
}

/// Takes up the servers that lagged when the process ended.
async fn begin(shared: &Arc<Shared>) -> Result<Option<CursorRow>, RouteError> {
    let snapshot = shared.engine.snapshot().await?;
    let seen = cursor(&*snapshot, CURSOR).await?;
    shared.routed_to(seen.as_ref().map_or(STAMP_FIRST, |row| row.stamp));
    let mut after: Option<OwnedServerName> = None;
    loop {
        let page = destinations(&*snapshot, after.as_deref()).await?;
        let Some((last, _)) = page.last() else {
            return Ok(seen);
        };
        after = Some(last.clone());
        for (server, row) in page {
            shared.queues.with_new(&server, |destination| {
                destination.kept = row.failures > 0;
                destination.resumed = true;
                destination.row = Some(row);
                destination.whole = false;
                destination.outbox = true;
            });
            shared.wake(&server);
        }
    }
}

/// Deals with one page of the log; if there is none, how far the database was read. (Not every
/// commit has entries in the log.)
async fn route(
    shared: &Arc<Shared>,
    seen: &mut Option<CursorRow>,
    page_max: &mut usize,
) -> Result<Option<Position>, RouteError> {
    let after = seen.as_ref().map_or(STAMP_FIRST, |row| row.stamp);
    let snapshot = shared.engine.snapshot().await?;
    let page = global_log(&*snapshot, after, *page_max).await?;
    let Some((last, _)) = page.entries.last() else {
        return Ok(Some(snapshot.position()));
    };
    let to = CursorRow {
        stamp: *last,
        resume: Vec::new(),
    };
    let mut parcels = sort(shared, &*snapshot, &page.entries).await?;
    let lists = device_list::note(shared, &*snapshot, &page.entries).await?;
    lists.announce(&mut parcels);
    parcels.retain(|server, _| may_tell(shared, server));
    let mut commit = Commit::lazy();
    move_cursor(&mut commit, CURSOR, seen.as_ref(), &to)?;
    lists.store(shared, &*snapshot, &mut commit).await?;
    let pinned: Vec<_> = parcels
        .iter()
        .map(|(server, parcel)| (pin(shared, server, (after, parcel), &mut commit), server))
        .collect();
    if let Err(error) = shared.engine.commit(commit).await {
        for (pin, server) in pinned {
            unpin(shared, server, pin);
        }
        // A page that fits into no commit is dealt with in parts.
        *page_max = (*page_max / 2).max(1);
        *seen = cursor(&*shared.engine.snapshot().await?, CURSOR).await?;
        return Err(error.into());
    }
    *page_max = LOG_PAGE;
    // Before anything is queued: a catch-up that begins now covers it.
    shared.routed_to(to.stamp);
    let kept: Vec<_> = pinned.iter().map(|(pin, _)| pin.kept).collect();
    for ((server, parcel), kept) in parcels.into_iter().zip(kept) {
        shared.queues.with(&server, |destination| {
            destination.pins -= 1;
            destination.kept |= kept;
            destination.outbox |= parcel.outbox;
            for due in parcel.due {
                destination.push(due);
            }
        });
        shared.wake(&server);
    }
    *seen = Some(to);
    Ok(None)
}

/// What was done for a server in a commit that is under way.
#[derive(Debug, Clone, Copy)]
struct Pin {
    /// Its row is new.
    created: bool,
    /// The rooms of what is due are in the commit.
    kept: bool,
}

/// Makes sure that the server has a row, and that it keeps it until the commit is done.
fn pin(
    shared: &Shared,
    server: &ServerName,
    (told, parcel): (Stamp, &Parcel),
    commit: &mut Commit,
) -> Pin {
    shared.queues.with_new(server, |destination| {
        destination.pins += 1;
        let kept = destination.lags(parcel.due.len());
        if kept {
            let before = (!destination.kept).then_some(&destination.due);
            let all = before.into_iter().flatten().chain(&parcel.due);
            note_lags(commit, server, all);
        }
        let created = destination.row.is_none();
        if created {
            let row = DestinationRow {
                told,
                failures: 0,
                retry_age_ms: 0,
            };
            keep_destination(commit, server, &row);
            destination.row = Some(row);
        }
        Pin { created, kept }
    })
}

/// As it was before the commit, which failed.
fn unpin(shared: &Shared, server: &ServerName, pin: Pin) {
    shared.queues.with(server, |destination| {
        destination.pins -= 1;
        if pin.created && destination.failures() == 0 {
            destination.row = None;
        }
    });
}

/// Keeps the rooms of these events, each with its last.
pub(crate) fn note_lags<'d>(
    commit: &mut Commit,
    server: &ServerName,
    due: impl Iterator<Item = &'d Due>,
) {
    let last: BTreeMap<_, _> = due.map(|due| (&due.room, due)).collect();
    for (room, due) in last {
        note_lag(commit, server, room, &LagRow::new(due.stamp, due.event));
    }
}

/// Whether policy lets us tell that server what happens.
pub(crate) fn may_tell(shared: &Shared, server: &ServerName) -> bool {
    shared.client.permit(server, Purpose::Exchange).is_ok()
}

/// An entry of the log that others may be told of.
struct Entry {
    due: Due,
    relayed: bool,
}

/// Who is concerned by what. Each room's servers are read once.
pub(crate) async fn sort(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    entries: &[(Stamp, GlobalRow)],
) -> Result<Parcels, RouteError> {
    let mut rooms: BTreeMap<OwnedRoomId, Vec<Entry>> = BTreeMap::new();
    let mut parcels = Parcels::new();
    for (stamp, row) in entries {
        if let GlobalRow::Outbox { server } = row {
            if let Ok(server) = OwnedServerName::try_from(&**server) {
                parcels.entry(server).or_default().outbox = true;
            }
        } else if let Some((room, event, relayed)) = event_of(row) {
            let due = Due {
                stamp: *stamp,
                room: room.clone(),
                event,
            };
            rooms.entry(room).or_default().push(Entry { due, relayed });
        }
    }
    let mut all: Vec<(Due, BTreeSet<OwnedServerName>)> = Vec::new();
    for (room, entries) in rooms {
        let hashes: Vec<_> = entries.iter().map(|entry| entry.due.event).collect();
        let servers = servers_in(snapshot, &room).await?;
        let reader = RoomReader::new(snapshot, &room);
        let events = reader.events(&hashes).await?;
        for (entry, event) in entries.into_iter().zip(events) {
            let Some(told) = event.as_ref().and_then(Told::of) else {
                continue;
            };
            let before = told.before_entry(shared.client.server());
            if !before.is_empty() && reader.are_gaps(&before).await?.contains(&true) {
                continue;
            }
            let own = shared.client.server();
            if let Some(entrant) = told.entrant(own).filter(|it| servers.contains(it)) {
                for due in unseen(&reader, own, &entry.due).await? {
                    all.push((due, [entrant.clone()].into()));
                }
            }
            let targets = told.targets(own, &servers, entry.relayed);
            all.push((entry.due, targets));
        }
    }
    all.sort_unstable_by_key(|(due, _)| due.stamp);
    for (due, targets) in all {
        for server in targets {
            parcels.entry(server).or_default().due.push(due.clone());
        }
    }
    Ok(parcels)
}

/// This server's events at the end of the room: who has just come in may be told of them by nobody,
/// as they were sent before this server knew, and the entry does not refer to them.
async fn unseen(
    reader: &RoomReader<'_>,
    own: &ServerName,
    entry: &Due,
) -> Result<Vec<Due>, RouteError> {
    let Some(head) = reader.head().await? else {
        return Ok(Vec::new());
    };
    let events = reader.events(&head.extremities).await?;
    let ends = head.extremities.iter().zip(events);
    let own_ends = ends.filter(|(_, event)| {
        let told = event.as_ref().and_then(Told::of);
        told.is_some_and(|told| told.is_of(own))
    });
    let dues = own_ends.map(|(event, _)| Due {
        event: *event,
        ..entry.clone()
    });
    Ok(dues.collect())
}
