//! What each server is still to be told, in memory.
//!
//! Exists so that the router, which reads the log, and the senders, which wait for other servers,
//! share one picture that is right at every moment. What is here is also in the database: in the
//! log, behind the row that says how far the server was told, or, of a server that lags, as the rooms
//! that it lags in. Knows nothing of the network.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_data::{DestinationRow, Stamp};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use tokio::sync::Notify;

/// Events that wait in memory for one server; beyond, it is told of each room how it stands then.
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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Destination {
    /// The row; as it is stored, unless a commit with it is under way.
    pub(crate) row: Option<DestinationRow>,
    /// What is told one by one, in this order.
    pub(crate) due: VecDeque<Due>,
    /// Whether `due` is all that there is to tell beyond `catching`; else a catch-up begins.
    pub(crate) whole: bool,
    /// The catch-up under way, room by room.
    pub(crate) catching: Option<Catching>,
    /// What stands in the log up to here is not put into `due` by the router.
    pub(crate) covered: Option<Stamp>,
    /// Whether the rooms of all that is due are in the database too.
    pub(crate) kept: bool,
    /// Whether an earlier life may have left rooms in the database.
    pub(crate) resumed: bool,
    /// EDUs that may be lost: by what they replace.
    pub(crate) passing: BTreeMap<String, String>,
    /// Whether EDUs wait in the database.
    pub(crate) outbox: bool,
    /// Before this age of the installation, not even a server that is heard of is tried again.
    pub(crate) soonest_age_ms: u64,
    /// Commits under way that count on the row.
    pub(crate) pins: usize,
    /// Whether a sender runs.
    pub(crate) running: bool,
    /// Wakes the sender.
    pub(crate) wake: Arc<Notify>,
}

/// How far a catch-up came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Catching {
    /// Rooms up to this one are told.
    pub(crate) after: Option<OwnedRoomId>,
    /// What stands in the log up to here is told at its end.
    pub(crate) until: Stamp,
}

impl Destination {
    /// Whether there is nothing to tell.
    pub(crate) fn is_done(&self) -> bool {
        let nothing = self.due.is_empty() && self.passing.is_empty() && self.catching.is_none();
        nothing && self.whole && !self.outbox && self.pins == 0
    }

    /// Whether its sender has nothing to do but to wait for what the router is about to queue.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing = self.due.is_empty() && self.passing.is_empty() && self.catching.is_none();
        nothing && self.whole && !self.outbox && self.pins > 0
    }

    /// How often it failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.row.as_ref().map_or(0, |row| row.failures)
    }

    /// Whether the rooms of `more` further events are to be kept in the database, so that the queue
    /// may be given up.
    pub(crate) fn lags(&self, more: usize) -> bool {
        !self.whole || self.kept || self.due.len().saturating_add(more) > QUEUED_MAX
    }

    /// Adds an event that is not there yet; if there are too many, a catch-up stands for all.
    pub(crate) fn push(&mut self, due: Due) {
        if self.covered.is_some_and(|covered| due.stamp <= covered) {
            return;
        }
        if self.whole && (self.due.len() < QUEUED_MAX || !self.kept) {
            self.due.push_back(due);
        } else {
            self.whole = false;
            self.due.clear();
        }
    }

    /// Begins to catch up with what stands in the log up to here.
    pub(crate) fn begin_catching(&mut self, until: Stamp) {
        self.whole = true;
        self.due.clear();
        self.covered = Some(until);
        self.catching = Some(Catching { after: None, until });
    }

    /// Adds an EDU in the place of an older one of the same meaning, unless the server does not
    /// answer: what passes is not told late.
    pub(crate) fn pass(&mut self, key: String, edu: String) {
        if self.failures() > 0 {
            return;
        }
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

#[cfg(test)]
mod tests {
    use belfry_data::Position;
    use ruma_common::room_id;

    use super::*;

    fn at(position: u128) -> Stamp {
        Stamp {
            position: Position::new(position).unwrap(),
            ordinal: 0,
        }
    }

    fn due(position: u128) -> Due {
        Due {
            stamp: at(position),
            room: room_id!("!r:x").to_owned(),
            event: EventHash::from([0; 32]),
        }
    }

    fn fresh() -> Destination {
        Destination {
            whole: true,
            ..Destination::default()
        }
    }

    #[test]
    fn a_queue_that_is_kept_nowhere_else_is_not_given_up() {
        let mut queue = fresh();
        for position in 1..=QUEUED_MAX as u128 + 5 {
            queue.push(due(position));
        }
        assert!(queue.whole && queue.lags(0));
        queue.kept = true;
        queue.push(due(10_000));
        assert!(!queue.whole && queue.due.is_empty() && !queue.is_done());
    }

    #[test]
    fn what_a_catch_up_covers_is_not_queued_again() {
        let mut queue = fresh();
        queue.whole = false;
        queue.begin_catching(at(7));
        queue.push(due(7));
        queue.push(due(8));
        assert_eq!(queue.due, [due(8)]);
        assert!(!queue.is_done());
    }

    #[test]
    fn what_passes_is_not_kept_for_a_server_that_does_not_answer() {
        let mut queue = fresh();
        queue.row = Some(DestinationRow {
            told: at(1),
            failures: 1,
            retry_age_ms: 5,
        });
        queue.pass("k".into(), "{}".into());
        assert!(queue.passing.is_empty());
    }
}
