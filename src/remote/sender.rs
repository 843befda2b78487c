//! Tells other servers what happens here, each in order, and goes on where it stopped.
//!
//! Exists so that a server that is away costs one row and a wait. A sender runs while a server has
//! something to be told; it sends one transaction at a time (`transaction`), and backs off from a
//! server that fails until it is heard of. Knows nothing of who is concerned by what.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_data::{
    Commit, CommitError, DestinationRow, Engine, STAMP_FIRST, Stamp, forget_destination,
    forget_lag, keep_destination,
};
use belfry_env::Env;
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, ServerName};
use tokio::sync::Semaphore;

use crate::{
    catch_up,
    client::Client,
    device_list,
    queue::{Destination, Queues},
    router,
    target::servers_in,
    transaction::{self, Parcel},
};

/// Transactions to different servers under way at the same time.
pub const SENDING_MAX: usize = 100;
/// How long a server is left alone after a failure; after each further one twice as long.
pub const RETRY_MIN: Duration = Duration::from_secs(5);
/// Servers that [`Senders::standings`] tells of.
pub const STANDINGS_MAX: usize = 10_000;

/// How it stands with another server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events that wait in memory.
    pub queued: usize,
    /// EDUs that may be lost and wait.
    pub passing: usize,
    /// Whether it is told, room by room, what it missed.
    pub catching_up: bool,
    /// Transactions in a row that it did not take.
    pub failures: u32,
    /// In how many milliseconds it is tried again, if it failed.
    pub retry_in_ms: Option<u64>,
    /// When it was heard of last since the start, in milliseconds since the Unix epoch.
    pub heard_ms: Option<u64>,
}

impl Standing {
    fn of(heard_ms: Option<u64>) -> Self {
        Self {
            heard_ms,
            ..Self::default()
        }
    }
}

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
    pub(crate) queues: Queues,
    options: SenderOptions,
    pub(crate) sending: Semaphore,
    routed: Mutex<Stamp>,
}

/// The senders of this server. Cheap to clone.
#[derive(Clone)]
pub struct Senders(Arc<Shared>);

impl Senders {
    /// Senders over these, which do nothing before [`Self::start`].
    pub fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        client: Arc<Client>,
        options: SenderOptions,
    ) -> Self {
        Self(Arc::new(Shared {
            engine,
            env,
            client,
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
            let soonest_ms = destination.soonest_age_ms;
            if let Some(row) = destination.row.as_mut().filter(|row| row.failures > 0) {
                // One that speaks but does not listen is not asked at every word.
                row.retry_age_ms = row.retry_age_ms.min(soonest_ms);
                destination.wake.notify_one();
            }
        });
    }

    /// Tells these servers something that may be lost, such as that somebody types: an EDU, whole,
    /// as JSON. What has the same `key` and was not sent yet is replaced. Servers that policy does not
    /// let us tell are passed over.
    pub fn pass(&self, servers: impl IntoIterator<Item = OwnedServerName>, key: &str, edu: &str) {
        for server in servers {
            if server == self.0.client.server() || !router::may_tell(&self.0, &server) {
                continue;
            }
            self.0.queues.with_new(&server, |destination| {
                destination.pass(key.to_owned(), edu.to_owned());
            });
            self.0.wake(&server);
        }
    }

    /// The same to every other server that shares a room with the user, who is of this one.
    pub fn tell_neighbours(&self, user: OwnedUserId, key: String, edu: String) {
        let own = self.clone();
        self.0.env.tasks.spawn("federation passing", async move {
            match device_list::neighbours(&own.0, &user).await {
                Ok(servers) => own.pass(servers, &key, &edu),
                Err(error) => tracing::debug!(%error, "what passes was not told"),
            }
        });
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
                Ok(servers) => own.pass(servers, &key, &edu),
                Err(error) => tracing::debug!(%error, "what passes was not told"),
            }
        });
    }

    /// How it stands with every server that was spoken to lately or has something to be told, by
    /// name; at most [`STANDINGS_MAX`], those that do not answer first.
    pub fn standings(&self) -> Vec<(OwnedServerName, Standing)> {
        let now_ms = self.0.env.clock.age_ms();
        let heard = self.0.client.remembered().into_iter();
        let heard = heard.map(|(server, heard_ms)| (server, Standing::of(heard_ms)));
        let mut found: BTreeMap<_, _> = heard.collect();
        for (server, destination) in self.0.queues.lock().iter() {
            let standing = found.entry(server.clone()).or_default();
            standing.queued = destination.due.len();
            standing.passing = destination.passing.len();
            standing.catching_up = !destination.whole || destination.catching.is_some();
            standing.failures = destination.failures();
            let row = destination.row.as_ref().filter(|row| row.failures > 0);
            standing.retry_in_ms = row.map(|row| row.retry_age_ms.saturating_sub(now_ms));
        }
        let mut named: Vec<_> = found.into_iter().collect();
        named.sort_by_key(|(_, standing)| standing.failures == 0);
        named.truncate(STANDINGS_MAX);
        named
    }
}

impl Shared {
    /// How far the router has come.
    pub(crate) fn routed_to(&self, stamp: Stamp) {
        *self.routed.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    pub(crate) fn routed(&self) -> Stamp {
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
    let mut held = None;
    while !shared.env.shutdown.begun() {
        if wait_for_turn(&shared, &server, held.is_some())
            .await
            .is_none()
        {
            return;
        }
        if let Err(error) = send_some(&shared, &server, &mut held).await {
            tracing::warn!(%server, %error, "sending to a server stands still for a moment");
            let pause = shared.env.clock.sleep(RETRY_MIN);
            if shared.env.shutdown.unless(pause).await.is_none() {
                return;
            }
        }
        if held.is_none() && finish(&shared, &server).await {
            return;
        }
    }
}

/// Sends what there is, transaction by transaction, until there is nothing or the server fails. What
/// it did not take is held, to be sent again as it was.
async fn send_some(
    shared: &Shared,
    server: &ServerName,
    held: &mut Option<Parcel>,
) -> Result<(), router::RouteError> {
    loop {
        if held.is_none() {
            catch_up::begin(shared, server).await?;
            *held = transaction::next(shared, server).await?;
        }
        let Some(parcel) = held else {
            return Ok(());
        };
        let sent = transaction::send(shared, server, parcel);
        match shared.env.shutdown.unless(sent).await {
            None => return Ok(()),
            Some(true) => {
                let outcome = taken(shared, server, parcel).await;
                *held = None;
                outcome?;
            }
            Some(false) => {
                *held = held.take().filter(Parcel::must_arrive);
                return failed(shared, server).await;
            }
        }
    }
}

/// Until there is something to send and the time to try; `None` when the server stops.
async fn wait_for_turn(shared: &Shared, server: &ServerName, holds: bool) -> Option<()> {
    loop {
        let now_ms = shared.env.clock.age_ms();
        let (until_ms, idle, wake) = shared.queues.with(server, |destination| {
            let row = destination.row.as_ref();
            let until_ms = row.map_or(0, |row| row.retry_age_ms);
            let wake = Arc::clone(&destination.wake);
            (until_ms, !holds && destination.is_idle(), wake)
        })?;
        let left_ms = until_ms.saturating_sub(now_ms);
        if left_ms == 0 && !idle {
            return Some(());
        }
        let time = async {
            if left_ms == 0 {
                std::future::pending::<()>().await;
            }
            shared.env.clock.sleep(Duration::from_millis(left_ms)).await;
        };
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

/// Remembers what the server has taken, and that it answers.
async fn taken(
    shared: &Shared,
    server: &ServerName,
    parcel: &Parcel,
) -> Result<(), router::RouteError> {
    let mut commit = Commit::lazy();
    parcel.drop_stored(&mut commit, server);
    shared.queues.with(server, |destination| {
        parcel.take_off(destination);
        if let Some(row) = &mut destination.row {
            row.told = parcel.told.unwrap_or(row.told).max(row.told);
            (row.failures, row.retry_age_ms) = (0, 0);
            keep_destination(&mut commit, server, row);
        }
    });
    if !commit.writes.is_empty() {
        shared.engine.commit(commit).await?;
    }
    if let Some(told) = parcel.drop_lists(server) {
        match shared.engine.commit(told).await {
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Backs off; the row says until when, so that a restart does not hammer.
async fn failed(shared: &Shared, server: &ServerName) -> Result<(), router::RouteError> {
    let now_ms = shared.env.clock.age_ms();
    let mut commit = Commit::lazy();
    let kept = shared.queues.with(server, |destination| {
        // What may be lost is not told late.
        destination.passing.clear();
        let row = destination.row.get_or_insert_with(|| DestinationRow {
            told: shared.routed(),
            failures: 0,
            retry_age_ms: 0,
        });
        let pause = RETRY_MIN.saturating_mul(1 << row.failures.min(16));
        let pause_ms = whole_ms(pause.min(shared.options.retry_max));
        row.failures = row.failures.saturating_add(1);
        destination.soonest_age_ms = now_ms.saturating_add(whole_ms(RETRY_MIN));
        row.retry_age_ms = now_ms.saturating_add(pause_ms);
        if destination.pins > 0 && !destination.kept {
            // A row that says so stands for rooms that are all kept, and those that the router is
            // about to queue are not.
            return false;
        }
        keep_destination(&mut commit, server, row);
        if destination.kept {
            return false;
        }
        router::note_lags(&mut commit, server, destination.due.iter());
        destination.kept = true;
        true
    });
    if commit.writes.is_empty() {
        return Ok(());
    }
    let stored = shared.engine.commit(commit).await;
    if stored.is_err() && kept == Some(true) {
        shared
            .queues
            .with(server, |destination| destination.kept = false);
    }
    stored?;
    Ok(())
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Ends the sender if there is nothing left; whether it did.
async fn finish(shared: &Shared, server: &ServerName) -> bool {
    let now_ms = shared.env.clock.age_ms();
    let forgotten = {
        let mut queues = shared.queues.lock();
        let done = |destination: &Destination| {
            let row = destination.row.as_ref();
            destination.is_done() && row.is_none_or(|row| row.retry_age_ms <= now_ms)
        };
        if !queues.get(server).is_none_or(done) {
            return false;
        }
        let gone = queues.remove(server);
        // Handed in while nobody can make a new row, which must come behind.
        gone.and_then(|gone| {
            let row = gone.row?;
            let mut commit = Commit::lazy();
            forget_destination(&mut commit, server, &row);
            if gone.kept || gone.resumed {
                forget_lag(&mut commit, server);
            }
            Some(shared.engine.commit(commit))
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
