//! Which rooms' staged events are worked on, and waking whoever does.
//!
//! It exists so that there is one such task for a room and a limit for all, and so that no event is
//! staged unnoticed while the task ends. It knows nothing of events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma_common::{OwnedRoomId, RoomId};
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

    pub(crate) async fn rung(&self) {
        self.ringing.notified().await;
    }
}

type Bells = BTreeMap<OwnedRoomId, Arc<Bell>>;

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
        bells.remove(room_id);
        true
    }
}

impl Shared {
    /// Has the room's staged events worked on. `false` if too many rooms are.
    pub(crate) fn wake(self: &Arc<Self>, room_id: &RoomId) -> bool {
        if self.env.shutdown.begun() {
            return false;
        }
        let mut bells = self.inbounds.lock();
        if let Some(bell) = bells.get(room_id) {
            bell.ring();
            return true;
        }
        if bells.len() >= INBOUNDS_MAX {
            return false;
        }
        let bell = Arc::new(Bell::default());
        bells.insert(room_id.to_owned(), Arc::clone(&bell));
        let inbound = Inbound::new(Arc::clone(self), room_id.to_owned(), bell);
        self.env.tasks.spawn("room inbound", inbound.run());
        true
    }
}
