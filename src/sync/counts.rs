//! How far the projector came, for those who wait for it.
//!
//! It exists so that an answer which shows an event shows its count as well, and so that one which
//! could not wait is followed by another. It knows nothing of what is counted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use belfry_data::{STAMP_LAST, Stamp};
use ruma_common::{OwnedRoomId, RoomId};
use tokio::sync::Notify;

/// Rooms whose counts came late that are remembered; the earliest is forgotten first.
pub const LATE_ROOMS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Everything up to here is counted.
    done: Mutex<Stamp>,
    /// It has moved. Not a `watch`, which wakes in an order that no seed decides.
    moved: Notify,
    /// Somebody waits.
    wanted: Notify,
    late: Mutex<Late>,
}

#[derive(Debug)]
struct Late {
    /// Somebody was answered without the counts of events up to here.
    until: Stamp,
    /// When the counts of a room came after all.
    rooms: BTreeMap<OwnedRoomId, Stamp>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            done: Mutex::new(Stamp::default()),
            moved: Notify::new(),
            wanted: Notify::new(),
            late: Mutex::new(Late {
                // What a server that ended did not count may have been shown.
                until: STAMP_LAST,
                rooms: BTreeMap::new(),
            }),
        }
    }
}

impl Counts {
    /// Whether everything up to `until` is counted.
    pub(crate) fn reached(&self, until: Stamp) -> bool {
        self.done() >= until
    }

    /// Up to where everything is counted.
    pub(crate) fn done(&self) -> Stamp {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once it is.
    pub(crate) async fn wait(&self, until: Stamp) {
        self.wanted.notify_one();
        loop {
            // Before the look, so that what comes in between wakes as well.
            let moved = self.moved.notified();
            if self.reached(until) {
                return;
            }
            moved.await;
        }
    }

    /// Somebody waits for more than is done.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Has the projector look again.
    pub(crate) fn poke(&self) {
        self.wanted.notify_one();
    }

    /// Whoever waited for this is answered without it.
    pub(crate) fn give_up(&self, until: Stamp) {
        let mut late = self.lock();
        late.until = until.max(late.until);
    }

    /// Whether somebody may have been shown an event that came at `at` without its count.
    pub(crate) fn is_late(&self, at: Stamp) -> bool {
        at <= self.lock().until
    }

    /// The counts of a room came, late, with a commit that is visible from `at` on.
    pub(crate) fn note_late(&self, room: &RoomId, at: Stamp) {
        let mut late = self.lock();
        late.rooms.insert(room.to_owned(), at);
        if late.rooms.len() > LATE_ROOMS_MAX {
            let first = late.rooms.iter().min_by_key(|(_, at)| **at);
            if let Some(room) = first.map(|(room, _)| room.clone()) {
                late.rooms.remove(&room);
            }
        }
    }

    /// Whether the counts of this room came late behind `since`.
    pub(crate) fn came_late(&self, room: &RoomId, since: Stamp) -> bool {
        self.lock().rooms.get(room).is_some_and(|at| *at > since)
    }

    /// Everything up to `until` is counted. `first` if the server has just started: from now on
    /// nothing is late unless somebody gives up.
    pub(crate) fn settle(&self, until: Stamp, first: bool) {
        if first {
            self.lock().until = until;
        }
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.moved.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
