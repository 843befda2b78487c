//! What each server is still to be told, in memory.
//!
//! Exists so that the router, which reads the log, and the senders, which wait for other servers,
//! share one picture that is right at every moment. What is here is also in the database: in the
//! log, behind the row that says how far the server was told. Knows nothing of the network.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_data::{DestinationRow, Stamp};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use tokio::sync::Notify;

/// Events that wait in memory for one server; beyond, they are read from the log again.
pub const QUEUED_MAX: usize = 1_000;
/// EDUs that may be lost and wait for one server; beyond, the oldest is.
pub const PASSING_MAX: usize = 100;

/// An event that a server is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its place in the log.
    pub(crate) stamp: Stamp,
    /// Its room.
    pub(crate) room: OwnedRoomId,
    /// Which event.
    pub(crate) event: EventHash,
}

/// A server that is to be told something.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    /// The row, as it is stored.
    pub(crate) row: Option<DestinationRow>,
    /// Everything behind `row.told`, if `whole`.
    pub(crate) due: VecDeque<Due>,
    /// Whether `due` is all; else the log has to be read again.
    pub(crate) whole: bool,
    /// How far the log was read for this server alone.
    pub(crate) covered: Option<Stamp>,
    /// EDUs that may be lost: by what they replace.
    pub(crate) passing: BTreeMap<String, String>,
    /// Whether EDUs wait in the database.
    pub(crate) outbox: bool,
    /// Commits under way that count on the row.
    pub(crate) pins: usize,
    /// Whether a sender runs.
    pub(crate) running: bool,
    /// Wakes the sender.
    pub(crate) wake: Arc<Notify>,
}

impl Destination {
    /// Whether there is nothing to tell.
    pub(crate) fn is_done(&self) -> bool {
        let nothing = self.due.is_empty() && self.passing.is_empty();
        nothing && self.whole && !self.outbox && self.pins == 0
    }

    /// Adds an event that is not there yet; if there are too many, the log is read again instead.
    pub(crate) fn push(&mut self, due: Due) {
        if self.covered.is_some_and(|covered| due.stamp <= covered) {
            return;
        }
        if self.whole && self.due.len() < QUEUED_MAX {
            self.due.push_back(due);
        } else {
            self.whole = false;
            self.due.clear();
        }
    }

    /// Adds an EDU in the place of an older one of the same meaning.
    pub(crate) fn pass(&mut self, key: String, edu: String) {
        if self.passing.len() >= PASSING_MAX && !self.passing.contains_key(&key) {
            self.passing.pop_first();
        }
        self.passing.insert(key, edu);
    }
}

/// Every server that is to be told something.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<BTreeMap<OwnedServerName, Destination>>);

impl Queues {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<OwnedServerName, Destination>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a server's queue, if there is one.
    pub(crate) fn with<T>(
        &self,
        server: &ServerName,
        work: impl FnOnce(&mut Destination) -> T,
    ) -> Option<T> {
        self.lock().get_mut(server).map(work)
    }

    /// Works on a server's queue, which is made if there is none.
    pub(crate) fn with_new<T>(
        &self,
        server: &ServerName,
        work: impl FnOnce(&mut Destination) -> T,
    ) -> T {
        let mut queues = self.lock();
        let fresh = || Destination {
            whole: true,
            ..Destination::default()
        };
        work(queues.entry(server.to_owned()).or_insert_with(fresh))
    }
}
