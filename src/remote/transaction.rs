//! One transaction: what it holds, and sending it.
//!
//! Exists so that a transaction is a value that can be sent again as it was. Knows nothing of when
//! it is sent.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::{
    Commit, EduRow, RoomReader, Snapshot, Stamp, drop_edu,
    keys::{DeviceDue, drop_device_due},
    waiting_edus,
};
use belfry_policy::Purpose;
use http::Method;
use ruma_common::{OwnedRoomId, ServerName};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    catch_up::{self, Caught},
    client::Path,
    device_list,
    fetch::Limits,
    queue::{Catching, Destination, Due},
    router::RouteError,
    sender::Shared,
};

/// PDUs of one transaction (Server-Server API, "Transactions").
pub const PDUS_MAX: usize = 50;
/// EDUs of one transaction.
pub const EDUS_MAX: usize = 100;
/// Bytes of the EDUs of one transaction, if it is more than one.
pub(crate) const EDU_BYTES_MAX: usize = 512 * 1024;
/// Characters of a transaction's ID.
const TXN_CHARS: usize = 24;

/// What one transaction may cost.
const TRANSACTION: Limits = Limits {
    bytes_max: 1024 * 1024,
    time_max: Duration::from_mins(1),
    redirects_max: 0,
};

/// One transaction, and what it stands for.
pub(crate) struct Parcel {
    id: String,
    body: Box<RawValue>,
    nothing: bool,
    /// How many of the queue's events it holds.
    events: usize,
    /// Up to where the log has been told once it is taken.
    pub(crate) told: Option<Stamp>,
    /// Where the catch-up stands then, if it is of one.
    caught: Option<Progress>,
    /// EDUs of the database that it holds.
    stored: Vec<Stamp>,
    /// Changed devices that it tells of.
    lists: Vec<DeviceDue>,
    /// EDUs of the memory that it holds.
    passing: BTreeMap<String, String>,
}

/// How far a catch-up is.
enum Progress {
    /// Rooms up to this one are told.
    UpTo(OwnedRoomId),
    /// All are.
    Done,
}

/// What a parcel is made of.
#[derive(Default)]
struct Contents {
    pdus: Vec<Box<RawValue>>,
    events: usize,
    told: Option<Stamp>,
    caught: Option<Progress>,
    stored: Vec<(Stamp, EduRow)>,
    lists: Vec<(DeviceDue, String)>,
    passing: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Body<'b> {
    origin: &'b ServerName,
    origin_server_ts: u64,
    pdus: &'b [Box<RawValue>],
    edus: &'b [Box<RawValue>],
}

impl Parcel {
    /// Whether it holds more than what may be lost.
    pub(crate) fn must_arrive(&self) -> bool {
        self.events > 0
            || self.caught.is_some()
            || !self.stored.is_empty()
            || !self.lists.is_empty()
    }

    /// Takes it off what waits in memory.
    pub(crate) fn take_off(&self, destination: &mut Destination) {
        let sent = self.events.min(destination.due.len());
        destination.due.drain(..sent);
        for (key, edu) in &self.passing {
            if destination.passing.get(key) == Some(edu) {
                destination.passing.remove(key);
            }
        }
        match &self.caught {
            None => {}
            Some(Progress::Done) => destination.catching = None,
            Some(Progress::UpTo(room)) => {
                if let Some(catching) = &mut destination.catching {
                    catching.after = Some(room.clone());
                }
            }
        }
    }

    /// Takes its EDUs off those that wait in the database.
    pub(crate) fn drop_stored(&self, commit: &mut Commit, server: &ServerName) {
        for stamp in &self.stored {
            drop_edu(commit, server, *stamp);
        }
    }

    /// A commit that takes off the changed devices that it told of, unless something was added to
    /// one of them: then all are told again.
    pub(crate) fn drop_lists(&self, server: &ServerName) -> Option<Commit> {
        let mut commit = Commit::lazy();
        for due in &self.lists {
            drop_device_due(&mut commit, server, due);
        }
        (!commit.writes.is_empty()).then_some(commit)
    }
}

/// What is sent next, if anything is.
pub(crate) async fn next(
    shared: &Shared,
    server: &ServerName,
) -> Result<Option<Parcel>, RouteError> {
    let waiting = shared.queues.with(server, |destination| {
        let due: Vec<_> = destination.due.iter().take(PDUS_MAX).cloned().collect();
        let passing = destination.passing.clone();
        (
            due,
            destination.catching.clone(),
            passing,
            destination.outbox,
        )
    });
    let Some((due, catching, passing, outbox)) = waiting else {
        return Ok(None);
    };
    let (mut stored, mut lists) = (Vec::new(), Vec::new());
    if outbox {
        // Before the snapshot: what the router announces from now on is looked for again.
        let says = |says: bool| move |it: &mut Destination| it.outbox = says;
        shared.queues.with(server, says(false));
        let found = stored_edus(shared, server).await;
        let nothing = |it: &Stored| it.0.is_empty() && it.1.is_empty();
        if !found.as_ref().is_ok_and(nothing) {
            shared.queues.with(server, says(true));
        }
        (stored, lists) = found?;
    }
    let waits = !(passing.is_empty() && stored.is_empty() && lists.is_empty());
    if due.is_empty() && catching.is_none() && !waits {
        return Ok(None);
    }
    let snapshot = shared.engine.snapshot().await?;
    let mut contents = events(shared, &*snapshot, server, (due, catching)).await?;
    (contents.stored, contents.lists, contents.passing) = (stored, lists, passing);
    Ok(Some(parcel(shared, contents)))
}

/// EDUs of the database, and changed devices.
type Stored = (Vec<(Stamp, EduRow)>, Vec<(DeviceDue, String)>);

/// As many as one transaction holds of what waits in the database; one at least.
async fn stored_edus(shared: &Shared, server: &ServerName) -> Result<Stored, RouteError> {
    let snapshot = shared.engine.snapshot().await?;
    let mut stored = waiting_edus(&*snapshot, server, EDUS_MAX).await?;
    let mut bytes = 0;
    let mut fits = |more: usize| {
        bytes += more;
        bytes <= EDU_BYTES_MAX || bytes == more
    };
    let end = stored.iter().position(|(_, row)| !fits(row.json.len()));
    stored.truncate(end.unwrap_or(stored.len()));
    if end.is_some() {
        return Ok((stored, Vec::new()));
    }
    let room = EDUS_MAX.saturating_sub(stored.len());
    let mut lists = device_list::waiting(&*snapshot, server, room).await?;
    let end = lists.iter().position(|(_, edu)| !fits(edu.len()));
    lists.truncate(end.unwrap_or(lists.len()));
    Ok((stored, lists))
}

/// The catch-up goes first; then the queue, in its order.
async fn events(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    server: &ServerName,
    (due, catching): (Vec<Due>, Option<Catching>),
) -> Result<Contents, RouteError> {
    if let Some(catching) = catching {
        let Caught { pdus, after } = catch_up::page(shared, server, &catching).await?;
        let caught = after.map_or(Progress::Done, Progress::UpTo);
        return Ok(Contents {
            pdus,
            told: matches!(caught, Progress::Done).then_some(catching.until),
            caught: Some(caught),
            ..Contents::default()
        });
    }
    let mut pdus = Vec::new();
    for one in &due {
        let reader = RoomReader::new(snapshot, &one.room);
        let found = reader.event(one.event).await?;
        pdus.extend(found.and_then(|event| raw(&event.row.json)));
    }
    Ok(Contents {
        pdus,
        events: due.len(),
        told: due.last().map(|due| due.stamp),
        ..Contents::default()
    })
}

pub(crate) fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

fn parcel(shared: &Shared, contents: Contents) -> Parcel {
    let Contents {
        pdus,
        events,
        told,
        caught,
        stored,
        lists,
        mut passing,
    } = contents;
    let room = EDUS_MAX.saturating_sub(stored.len() + lists.len());
    while passing.len() > room {
        passing.pop_last();
    }
    let texts = stored.iter().map(|(_, row)| &*row.json);
    let texts = texts.chain(lists.iter().map(|(_, edu)| edu.as_str()));
    let texts = texts.chain(passing.values().map(String::as_str));
    let edus: Vec<_> = texts.filter_map(raw).collect();
    let body = Body {
        origin: shared.client.server(),
        origin_server_ts: shared.env.clock.wall_ms(),
        pdus: &pdus,
        edus: &edus,
    };
    Parcel {
        id: shared.env.random.token(TXN_CHARS),
        body: serde_json::value::to_raw_value(&body).unwrap_or_default(),
        nothing: pdus.is_empty() && edus.is_empty(),
        events,
        told,
        caught,
        stored: stored.into_iter().map(|(stamp, _)| stamp).collect(),
        lists: lists.into_iter().map(|(due, _)| due).collect(),
        passing,
    }
}

/// Sends it; whether it was taken.
pub(crate) async fn send(shared: &Shared, server: &ServerName, parcel: &Parcel) -> bool {
    if parcel.nothing {
        return true;
    }
    let _place = shared.sending.acquire().await;
    let path = Path::new(Purpose::Exchange, "/_matrix/federation/v1/send").segment(&parcel.id);
    let body: Option<&RawValue> = Some(&parcel.body);
    let sent = shared
        .client
        .send(server, Method::PUT, path, body, TRANSACTION);
    match sent.await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%server, %error, "a server did not take a transaction");
            false
        }
    }
}
