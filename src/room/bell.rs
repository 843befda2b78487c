//! Which rooms' staged events are worked on, and waking whoever does.
//!
//! It exists so that there is one such task for a room and a limit for all, and so that no event is
//! staged unnoticed while the task ends. It knows nothing of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma_common::{OwnedRoomId, OwnedServerName, RoomId, ServerName};
use tokio::sync::Notify;

use crate::inbound::Inbound;
use crate::rooms::Shared;

/// Rooms whose staged events are worked on at the same time; others wait to be woken again.
pub(crate) const INBOUNDS_MAX: usize = 1_000;

/// Rung when something was staged in a room.
#[derive(Default)]
pub(crate) struct Bell {
    rang: AtomicBool,
    ringing: Notify,
    /// Servers that were heard of.
    heard: Mutex<BTreeSet<OwnedServerName>>,
}

impl Bell {
    fn ring(&self) {
        self.rang.store(true, Ordering::SeqCst);
        self.ringing.notify_one();
    }

    /// Whatever is staged from here on rings again.
    pub(crate) fn hush(&self) {
        self.rang.store(false, Ordering::SeqCst);
    }

    /// The servers that were heard of since this was asked last.
    pub(crate) fn take_heard(&self) -> BTreeSet<OwnedServerName> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn rung(&self) {
        self.ringing.notified().await;
    }
}

#[derive(Default)]
struct Bells {
    rooms: BTreeMap<OwnedRoomId, Arc<Bell>>,
    /// Rooms with events that rest until a server is heard of.
    listening: BTreeMap<OwnedServerName, BTreeSet<OwnedRoomId>>,
}

/// The rooms with a task.
#[derive(Default)]
pub(crate) struct Inbounds(Mutex<Bells>);

impl Inbounds {
    fn lock(&self) -> MutexGuard<'_, Bells> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the room off the list; `false` if something was staged in the meantime.
    pub(crate) fn end(&self, room_id: &RoomId, bell: &Bell) -> bool {
        let mut bells = self.lock();
        if bell.rang.swap(false, Ordering::SeqCst) {
            return false;
        }
        bells.rooms.remove(room_id);
        true
    }

    /// Has the room's bell rung once any of these servers is heard of.
    pub(crate) fn listen(&self, room_id: &RoomId, servers: BTreeSet<OwnedServerName>) {
        let mut bells = self.lock();
        for server in servers {
            let rooms = bells.listening.entry(server).or_default();
            rooms.insert(room_id.to_owned());
        }
    }

    /// A server was heard of.
    pub(crate) fn heard_of(&self, server: &ServerName) {
        let mut bells = self.lock();
        let Some(rooms) = bells.listening.remove(server) else {
            return;
        };
        for bell in rooms.iter().filter_map(|room| bells.rooms.get(room)) {
            let mut heard = bell.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.insert(server.to_owned());
            bell.ring();
        }
    }
}

impl Shared {
    /// Has the room's staged events worked on. `false` if too many rooms are.
    pub(crate) fn wake(self: &Arc<Self>, room_id: &RoomId) -> bool {
        if self.env.shutdown.begun() {
            return false;
        }
        let mut bells = self.inbounds.lock();
        if let Some(bell) = bells.rooms.get(room_id) {
            bell.ring();
            return true;
        }
        if bells.rooms.len() >= INBOUNDS_MAX {
            return false;
        }
        let bell = Arc::new(Bell::default());
        bells.rooms.insert(room_id.to_owned(), Arc::clone(&bell));
        let inbound = Inbound::new(Arc::clone(self), room_id.to_owned(), bell);
        self.env.tasks.spawn("room inbound", inbound.run());
        true
    }
}
