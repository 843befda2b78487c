//! Tells other servers what happens here, each in order, and goes on where it stopped.
//!
//! Exists so that a server that is away costs one row and a wait. A sender runs while a server has
//! something to be told; it sends transactions of at most [`PDUS_MAX`] PDUs and [`EDUS_MAX`] EDUs,
//! one at a time, and backs off from a server that fails until it is heard of. Knows nothing of
//! who is concerned by what.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_data::{
    Commit, DestinationRow, EduRow, Engine, RoomReader, STAMP_FIRST, Stamp, destination, drop_edu,
    forget_destination, global_log, keep_destination, waiting_edus,
};
use belfry_env::Env;
use belfry_policy::Rules;
use http::Method;
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::{
    client::{Client, Path},
    fetch::Limits,
    queue::{Destination, Due, Queues},
    router::{self, RouteError},
    target::servers_in,
};

/// PDUs of one transaction (Server-Server API, "Transactions").
pub const PDUS_MAX: usize = 50;
/// EDUs of one transaction.
pub const EDUS_MAX: usize = 100;
/// Transactions to different servers under way at the same time.
pub const SENDING_MAX: usize = 100;
/// How long a server is left alone after a failure; after each further one twice as long.
pub const RETRY_MIN: Duration = Duration::from_secs(5);
/// Events read from the log for one server that come one by one; if there are more, each room's
/// last one stands for those before, and the server asks for them.
pub const CATCH_UP_MAX: usize = 500;
/// Characters of a transaction's ID.
const TXN_CHARS: usize = 24;

/// What one transaction may cost.
const TRANSACTION: Limits = Limits {
    bytes_max: 1024 * 1024,
    time_max: Duration::from_mins(1),
    redirects_max: 0,
};

/// What senders are told.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// How long a server that fails is left alone at most.
    pub retry_max: Duration,
}

/// What the router and all senders share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) env: Env,
    pub(crate) client: Arc<Client>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) queues: Queues,
    options: SenderOptions,
    sending: Semaphore,
    routed: Mutex<Stamp>,
}

/// The senders of this server. Cheap to clone.
#[derive(Clone)]
pub struct Senders(Arc<Shared>);

/// One transaction under construction, and what it stands for.
struct Parcel {
    id: String,
    body: Box<RawValue>,
    /// How many of the queue's events it holds.
    events: usize,
    /// The last event's place in the log.
    told: Option<Stamp>,
    /// EDUs of the database that it holds.
    stored: Vec<Stamp>,
    /// EDUs of the memory that it holds.
    passing: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Body<'b> {
    origin: &'b ServerName,
    origin_server_ts: u64,
    pdus: &'b [Box<RawValue>],
    edus: &'b [Box<RawValue>],
}

impl Senders {
    /// Senders over these, which do nothing before [`Self::start`].
    pub fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        client: Arc<Client>,
        rules: Arc<Rules>,
        options: SenderOptions,
    ) -> Self {
        Self(Arc::new(Shared {
            engine,
            env,
            client,
            rules,
            options,
            queues: Queues::default(),
            sending: Semaphore::new(SENDING_MAX),
            routed: Mutex::new(STAMP_FIRST),
        }))
    }

    /// Begins to read the log, where it stopped before.
    pub fn start(&self) {
        let shared = Arc::clone(&self.0);
        let tasks = &self.0.env.tasks;
        tasks.spawn("federation router", router::run(shared));
    }

    /// A server was heard of: what waits for it is sent at once.
    pub fn heard_of(&self, server: &ServerName) {
        self.0.client.heard_of(server);
        self.0.queues.with(server, |destination| {
            if let Some(row) = destination.row.as_mut().filter(|row| row.failures > 0) {
                row.retry_age_ms = 0;
                destination.wake.notify_one();
            }
        });
    }

    /// Tells these servers something that may be lost, such as that somebody types: an EDU, whole,
    /// as JSON. What has the same `key` and was not sent yet is replaced.
    pub fn pass(&self, servers: impl IntoIterator<Item = OwnedServerName>, key: &str, edu: &str) {
        for server in servers {
            if server == self.0.client.server() {
                continue;
            }
            self.0.queues.with_new(&server, |destination| {
                destination.pass(key.to_owned(), edu.to_owned());
            });
            self.0.wake(&server);
        }
    }

    /// The same to every other server in a room.
    pub fn tell_room(&self, room: OwnedRoomId, key: String, edu: String) {
        let own = self.clone();
        self.0.env.tasks.spawn("federation passing", async move {
            let found = async {
                let snapshot = own.0.engine.snapshot().await?;
                servers_in(&*snapshot, &room).await
            };
            match found.await {
                Ok(servers) => own.pass(servers.into_keys(), &key, &edu),
                Err(error) => tracing::debug!(%error, "what passes was not told"),
            }
        });
    }

    /// Servers that lag: how many events wait in memory, and how often each failed in a row.
    pub fn lagging(&self) -> Vec<(OwnedServerName, usize, u32)> {
        let queues = self.0.queues.lock();
        let each = queues.iter().map(|(server, destination)| {
            let failures = destination.row.as_ref().map_or(0, |row| row.failures);
            (server.clone(), destination.due.len(), failures)
        });
        each.collect()
    }
}

impl Shared {
    /// How far the router has come.
    pub(crate) fn routed_to(&self, stamp: Stamp) {
        *self.routed.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    fn routed(&self) -> Stamp {
        *self.routed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the server's sender look, which is started if there is none.
    pub(crate) fn wake(self: &Arc<Self>, server: &ServerName) {
        let starts = self.queues.with(server, |destination| {
            destination.wake.notify_one();
            !std::mem::replace(&mut destination.running, true)
        });
        if starts == Some(true) {
            let sender = send_all(Arc::clone(self), server.to_owned());
            self.env.tasks.spawn("federation sender", sender);
        }
    }
}

/// Sends until the server knows everything.
async fn send_all(shared: Arc<Shared>, server: OwnedServerName) {
    while !shared.env.shutdown.begun() {
        if wait_for_turn(&shared, &server).await.is_none() {
            return;
        }
        let outcome = match next(&shared, &server).await {
            Ok(Some(parcel)) => deliver(&shared, &server, parcel).await,
            Ok(None) => {
                if finish(&shared, &server).await {
                    return;
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%server, %error, "sending to a server stands still for a moment");
            let pause = shared.env.clock.sleep(RETRY_MIN);
            if shared.env.shutdown.unless(pause).await.is_none() {
                return;
            }
        }
    }
}

/// Until the time to try again, or until the server is heard of; `None` when the server stops.
async fn wait_for_turn(shared: &Shared, server: &ServerName) -> Option<()> {
    loop {
        let now_ms = shared.env.clock.age_ms();
        let (until_ms, wake) = shared.queues.with(server, |destination| {
            let row = destination.row.as_ref();
            let until_ms = row.map_or(0, |row| row.retry_age_ms);
            (until_ms, Arc::clone(&destination.wake))
        })?;
        let Some(left_ms) = until_ms.checked_sub(now_ms).filter(|left| *left > 0) else {
            return Some(());
        };
        let time = shared.env.clock.sleep(Duration::from_millis(left_ms));
        let either = async {
            tokio::select! {
                biased;
                () = wake.notified() => {}
                () = time => {}
            }
        };
        shared.env.shutdown.unless(either).await?;
    }
}

/// What is sent next, if anything is.
async fn next(shared: &Shared, server: &ServerName) -> Result<Option<Parcel>, RouteError> {
    let whole = shared.queues.with(server, |destination| destination.whole);
    if whole == Some(false) {
        catch_up(shared, server).await?;
    }
    let waiting = shared.queues.with(server, |destination| {
        let due: Vec<_> = destination.due.iter().take(PDUS_MAX).cloned().collect();
        (due, destination.passing.clone(), destination.outbox)
    });
    let Some((due, passing, outbox)) = waiting else {
        return Ok(None);
    };
    let snapshot = shared.engine.snapshot().await?;
    let stored = if outbox {
        waiting_edus(&*snapshot, server, EDUS_MAX).await?
    } else {
        Vec::new()
    };
    if stored.is_empty() && outbox {
        shared
            .queues
            .with(server, |destination| destination.outbox = false);
    }
    if due.is_empty() && passing.is_empty() && stored.is_empty() {
        return Ok(None);
    }
    let mut pdus = Vec::new();
    for one in &due {
        let found = RoomReader::new(&*snapshot, &one.room)
            .event(one.event)
            .await?;
        pdus.extend(found.and_then(|event| raw(&event.row.json)));
    }
    Ok(Some(parcel(shared, &due, &pdus, stored, passing)))
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

fn parcel(
    shared: &Shared,
    due: &[Due],
    pdus: &[Box<RawValue>],
    stored: Vec<(Stamp, EduRow)>,
    mut passing: BTreeMap<String, String>,
) -> Parcel {
    let room = EDUS_MAX.saturating_sub(stored.len());
    while passing.len() > room {
        passing.pop_last();
    }
    let texts = stored.iter().map(|(_, row)| &*row.json);
    let texts = texts.chain(passing.values().map(String::as_str));
    let edus: Vec<_> = texts.filter_map(raw).collect();
    let body = Body {
        origin: shared.client.server(),
        origin_server_ts: shared.env.clock.wall_ms(),
        pdus,
        edus: &edus,
    };
    Parcel {
        id: shared.env.random.token(TXN_CHARS),
        body: serde_json::value::to_raw_value(&body).unwrap_or_default(),
        events: due.len(),
        told: due.last().map(|due| due.stamp),
        stored: stored.into_iter().map(|(stamp, _)| stamp).collect(),
        passing,
    }
}

/// Sends one transaction until it is taken, and remembers that it was.
async fn deliver(shared: &Shared, server: &ServerName, parcel: Parcel) -> Result<(), RouteError> {
    loop {
        let path = Path::new("/_matrix/federation/v1/send").segment(&parcel.id);
        let place = shared.sending.acquire().await;
        let sent = shared
            .client
            .send(server, Method::PUT, path, Some(&*parcel.body), TRANSACTION);
        let Some(sent) = shared.env.shutdown.unless(sent).await else {
            return Ok(());
        };
        drop(place);
        match sent {
            Ok(_) => return taken(shared, server, parcel).await,
            Err(error) => tracing::debug!(%server, %error, "a server did not take a transaction"),
        }
        failed(shared, server).await;
        // What may be lost is not told late.
        shared
            .queues
            .with(server, |destination| destination.passing.clear());
        if parcel.events == 0 && parcel.stored.is_empty() {
            return Ok(());
        }
        if wait_for_turn(shared, server).await.is_none() || shared.env.shutdown.begun() {
            return Ok(());
        }
    }
}

async fn taken(shared: &Shared, server: &ServerName, parcel: Parcel) -> Result<(), RouteError> {
    let mut commit = Commit::lazy();
    for stamp in &parcel.stored {
        drop_edu(&mut commit, server, *stamp);
    }
    shared.queues.with(server, |destination| {
        destination
            .due
            .drain(..parcel.events.min(destination.due.len()));
        for (key, edu) in &parcel.passing {
            if destination.passing.get(key) == Some(edu) {
                destination.passing.remove(key);
            }
        }
        if let Some(row) = &mut destination.row {
            row.told = parcel.told.unwrap_or(row.told).max(row.told);
            (row.failures, row.retry_age_ms) = (0, 0);
            keep_destination(&mut commit, server, row);
        }
    });
    if !commit.writes.is_empty() {
        shared.engine.commit(commit).await?;
    }
    Ok(())
}

/// Backs off; the row says until when, so that a restart does not hammer.
async fn failed(shared: &Shared, server: &ServerName) {
    let now_ms = shared.env.clock.age_ms();
    let mut commit = Commit::lazy();
    shared.queues.with(server, |destination| {
        let row = destination.row.get_or_insert_with(|| DestinationRow {
            told: shared.routed(),
            failures: 0,
            retry_age_ms: 0,
        });
        let pause = RETRY_MIN.saturating_mul(1 << row.failures.min(16));
        let pause_ms = pause.min(shared.options.retry_max).as_millis();
        row.failures = row.failures.saturating_add(1);
        row.retry_age_ms = now_ms.saturating_add(u64::try_from(pause_ms).unwrap_or(u64::MAX));
        keep_destination(&mut commit, server, row);
    });
    if let Err(error) = shared.engine.commit(commit).await {
        tracing::debug!(%error, "that a server failed was not stored");
    }
}

/// Reads from the log what the server was not told, up to where the router is.
async fn catch_up(shared: &Shared, server: &ServerName) -> Result<(), RouteError> {
    let snapshot = shared.engine.snapshot().await?;
    let stored = destination(&*snapshot, server).await?.row;
    drop(snapshot);
    let until = shared.routed();
    let told = shared.queues.with(server, |destination| {
        destination.row = destination.row.take().or(stored);
        destination.row.as_ref().map(|row| row.told)
    });
    let mut after = told.flatten().unwrap_or(until);
    let mut due: Vec<Due> = Vec::new();
    let mut condensed = false;
    while after < until {
        let snapshot = shared.engine.snapshot().await?;
        let mut page = global_log(&*snapshot, after, router::LOG_PAGE).await?;
        page.entries.retain(|(stamp, _)| *stamp <= until);
        let Some((last, _)) = page.entries.last() else {
            break;
        };
        after = *last;
        let mut parcels = router::sort(shared, &*snapshot, &page.entries).await?;
        due.extend(parcels.remove(server).unwrap_or_default().due);
        if condensed || due.len() > CATCH_UP_MAX {
            condensed = true;
            due = condense(due);
        }
    }
    shared.queues.with(server, |destination| {
        // Whatever the router added meanwhile is in the log behind `until`, and read then.
        if shared.routed() == until {
            destination.due = due.into();
            destination.whole = true;
            destination.covered = Some(until);
        }
    });
    Ok(())
}

/// Each room's last event: it names those before, and the server asks for them.
fn condense(due: Vec<Due>) -> Vec<Due> {
    let mut last = BTreeMap::new();
    for one in due {
        last.insert(one.room.clone(), one);
    }
    let mut due: Vec<_> = last.into_values().collect();
    due.sort_unstable_by_key(|one| one.stamp);
    due
}

/// Ends the sender if there is nothing left; whether it did.
async fn finish(shared: &Shared, server: &ServerName) -> bool {
    let forgotten = {
        let mut queues = shared.queues.lock();
        if !queues.get(server).is_none_or(Destination::is_done) {
            return false;
        }
        let row = queues.remove(server).and_then(|gone| gone.row);
        // Handed in while nobody can make a new row, which must come behind.
        row.map(|row| {
            let mut commit = Commit::lazy();
            forget_destination(&mut commit, server, &row);
            shared.engine.commit(commit)
        })
    };
    if let Some(forgotten) = forgotten {
        // A row that stays is found to say nothing new at the next start.
        if let Err(error) = forgotten.await {
            tracing::debug!(%error, "that a server knows everything was not stored");
        }
    }
    true
}
