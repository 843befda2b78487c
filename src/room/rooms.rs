//! The rooms of this server: one worker for each room that is being worked on.
//!
//! It exists so that a request finds its room's worker, wherever that is, through one door, and so
//! that the number of workers and of waiting requests has a limit. It knows nothing of what the
//! workers do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use belfry_data::Engine;
use belfry_env::Env;
use belfry_event::{Pdu, RoomRules, SigningKey};
use ruma_common::{OwnedRoomId, OwnedServerName, RoomId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::bell::Inbounds;
use crate::chore::Swept;
use crate::create::CreateRoom;
use crate::error::RoomError;
use crate::hold::Holds;
use crate::isolated::Isolated;
use crate::job::{Append, Appended, Founding, Job, Reply, Sent, Txn};
use crate::line::Lines;
use crate::peers::{Keys, Peers};
use crate::worker::Worker;

/// Requests that wait for one room; more are answered [`RoomError::Busy`].
pub const MAILBOX_JOBS_MAX: usize = 512;
/// Rooms worked on at the same time; requests to further rooms are answered [`RoomError::Busy`].
pub const WORKERS_MAX: usize = 10_000;
/// How often a new room's ID is drawn anew when it is taken.
const FOUNDING_ATTEMPTS_MAX: u32 = 4;
/// A clock that shows so much less than the last create event says was set back.
const FOUNDED_AHEAD_MAX_MS: u64 = 1_000;
/// Characters of the local part of room IDs, before room version 12.
const ROOM_ID_CHARACTERS: usize = 18;

/// Who this server is to others.
#[derive(Debug)]
pub struct Identity {
    /// Its server name.
    pub server_name: OwnedServerName,
    /// What it signs its events with.
    pub key: SigningKey,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) env: Env,
    pub(crate) identity: Identity,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) keys: Arc<dyn Keys>,
    workers: Mutex<BTreeMap<OwnedRoomId, mpsc::Sender<Job>>>,
    /// Rooms into which parts of commits are being written.
    pub(crate) holds: Holds,
    /// Events that wait for the signature of their room's policy server.
    pub(crate) lines: Lines,
    /// Rooms whose staged events are worked on.
    pub(crate) inbounds: Inbounds,
    /// The last timestamp given to a create event: no two rooms of this server are created in the
    /// same millisecond, for equal create events would be the same room (room version 12).
    last_founded_ms: AtomicU64,
}

/// The door to the rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(pub(crate) Arc<Shared>);

impl Rooms {
    /// The rooms in the database, none of them worked on yet, of a server that knows no others.
    pub fn new(engine: Arc<dyn Engine>, env: Env, identity: Identity) -> Self {
        Self::federated(
            engine,
            env,
            identity,
            Arc::new(Isolated),
            Arc::new(Isolated),
        )
    }

    /// The rooms in the database of a server that speaks to others.
    pub fn federated(
        engine: Arc<dyn Engine>,
        env: Env,
        identity: Identity,
        peers: Arc<dyn Peers>,
        keys: Arc<dyn Keys>,
    ) -> Self {
        Self(Arc::new(Shared {
            engine,
            env,
            identity,
            peers,
            keys,
            workers: Mutex::default(),
            holds: Holds::default(),
            lines: Lines::default(),
            inbounds: Inbounds::default(),
            last_founded_ms: AtomicU64::new(0),
        }))
    }

    /// Sends an event into a room and waits until it is durable. If the room has a policy server,
    /// that one is asked to sign the event first (Server-Server API, "Policy Servers").
    pub async fn append(&self, room_id: &RoomId, append: Append) -> Result<Appended, RoomError> {
        append.txn.as_ref().map(Txn::row).transpose()?;
        match self.send(room_id, Box::new(append), None).await? {
            Sent::Done(appended) => Ok(appended),
            Sent::Held(held) => self.append_held(room_id, held).await,
        }
    }

    /// Has the worker send the event, or take the one that is `signed` now.
    pub(crate) async fn send(
        &self,
        room_id: &RoomId,
        append: Box<Append>,
        signed: Option<Arc<Pdu>>,
    ) -> Result<Sent, RoomError> {
        self.ask(room_id, |reply| Job::Append {
            append,
            signed,
            reply,
        })
        .await
    }

    /// Creates a room and waits until it is durable. All of its first events are in one commit.
    pub async fn create(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomError> {
        let rules = RoomRules::new(&request.version)
            .ok_or_else(|| RoomError::UnsupportedVersion(request.version.to_string()))?;
        if let Some(alias) = &request.alias {
            self.check_alias(alias)?;
        }
        let request = Arc::new(request);
        for _ in 0..FOUNDING_ATTEMPTS_MAX {
            let founding = self.found(rules, &request)?;
            let room_id = founding.room_id().to_owned();
            let founding = Box::new(founding);
            if self
                .ask(&room_id, |reply| Job::Found { founding, reply })
                .await?
            {
                return Ok(room_id);
            }
        }
        Err(RoomError::Busy)
    }

    /// Removes the room's state nodes that no event and no head refers to. Refused with
    /// [`RoomError::Busy`] while a join or a fetch writes into the room.
    pub async fn sweep(&self, room_id: &RoomId) -> Result<Swept, RoomError> {
        self.ask(room_id, |reply| Job::Sweep { reply }).await
    }

    /// How many rooms are being worked on.
    pub fn workers(&self) -> usize {
        self.0.lock_workers().len()
    }

    fn found(
        &self,
        rules: &'static RoomRules,
        request: &Arc<CreateRoom>,
    ) -> Result<Founding, RoomError> {
        let Shared {
            env,
            identity,
            last_founded_ms,
            ..
        } = &*self.0;
        let now_ms = env.clock.wall_ms();
        let last_ms = last_founded_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last_ms| {
                Some(founding_ms(last_ms, now_ms))
            })
            .unwrap_or_default();
        let room_id = format!(
            "!{}:{}",
            env.random.token(ROOM_ID_CHARACTERS),
            identity.server_name
        );
        Founding::new(
            identity,
            rules,
            Arc::clone(request),
            &room_id,
            founding_ms(last_ms, now_ms),
        )
    }

    pub(crate) async fn ask<T>(
        &self,
        room_id: &RoomId,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, RoomError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(room_id, job(reply))?;
        // A worker that ends without an answer may have committed before.
        answer.await.unwrap_or(Err(RoomError::Unsure))
    }
}

impl Shared {
    fn lock_workers(&self) -> MutexGuard<'_, BTreeMap<OwnedRoomId, mpsc::Sender<Job>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the job to the room's worker, which is started if it is not there.
    pub(crate) fn post(self: &Arc<Self>, room_id: &RoomId, job: Job) -> Result<(), RoomError> {
        if self.env.shutdown.begun() {
            return Err(RoomError::Unavailable(
                "the server is stopping; try again later".into(),
            ));
        }
        let mut workers = self.lock_workers();
        let left = match workers.get(room_id) {
            Some(worker) => hand(worker, job)?,
            None => Some(job),
        };
        let Some(job) = left else { return Ok(()) };
        if workers.len() >= WORKERS_MAX {
            return Err(RoomError::Busy);
        }
        let (mailbox, inbox) = mpsc::channel(MAILBOX_JOBS_MAX);
        hand(&mailbox, job)?;
        workers.insert(room_id.to_owned(), mailbox);
        let worker = Worker::new(Arc::clone(self), room_id.to_owned(), inbox);
        self.env.tasks.spawn("room worker", worker.run());
        Ok(())
    }

    /// Takes the worker off the list, so that the next job starts another; `false` if jobs came
    /// in the meantime.
    pub(crate) fn retire(&self, room_id: &RoomId, inbox: &mut mpsc::Receiver<Job>) -> bool {
        let mut workers = self.lock_workers();
        if !inbox.is_empty() {
            return false;
        }
        inbox.close();
        workers.remove(room_id);
        true
    }
}

/// Gives the job to the worker; gives it back if the worker has ended.
fn hand(worker: &mpsc::Sender<Job>, job: Job) -> Result<Option<Job>, RoomError> {
    match worker.try_send(job) {
        Ok(()) => Ok(None),
        Err(TrySendError::Full(_)) => Err(RoomError::Busy),
        Err(TrySendError::Closed(job)) => Ok(Some(job)),
    }
}

/// The timestamp of a create event, given the one before: now, but not the same. After the clock
/// was set back it may be one of long ago again; if that makes an equal event, another is tried.
fn founding_ms(last_ms: u64, now_ms: u64) -> u64 {
    if now_ms.saturating_add(FOUNDED_AHEAD_MAX_MS) < last_ms {
        now_ms
    } else {
        now_ms.max(last_ms.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_of_one_millisecond_are_told_apart() {
        assert_eq!(founding_ms(0, 5_000), 5_000);
        assert_eq!(founding_ms(5_000, 5_000), 5_001);
        assert_eq!(founding_ms(5_001, 5_000), 5_002);
    }

    #[test]
    fn a_room_made_while_the_clock_was_wrong_does_not_date_the_next() {
        let day_ms = 24 * 3_600 * 1_000;
        assert_eq!(founding_ms(5_000 + day_ms, 5_000), 5_000);
        assert_eq!(founding_ms(5_000, 5_000 + day_ms), 5_000 + day_ms);
    }
}
