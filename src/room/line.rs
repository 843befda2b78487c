//! Events that wait until their room's policy server has signed them, in line.
//!
//! It exists so that what somebody says in a room stays in order while it is signed, and so that
//! the number of events that wait has a limit. It knows nothing of asking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Events of one room that wait for its policy server; more are answered
/// [`RoomError::Busy`](crate::RoomError::Busy).
pub const HELD_OF_ROOM_MAX: usize = 64;
/// Events of all rooms that wait for policy servers; more are answered
/// [`RoomError::Busy`](crate::RoomError::Busy).
pub const HELD_MAX: usize = 1_024;

/// Events of one sender in one room: one is signed at a time.
#[derive(Default)]
struct Line {
    held: usize,
    turn: Arc<Turn<()>>,
}

type Senders = BTreeMap<OwnedUserId, Line>;

/// The lines of all rooms.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<BTreeMap<OwnedRoomId, Senders>>>);

/// A place in a line, given up when it is dropped.
pub(crate) struct Place {
    lines: Lines,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    turn: Arc<Turn<()>>,
}

impl Lines {
    /// A place at the end of the sender's line; `None` if too many wait.
    pub(crate) fn enter(&self, room_id: &RoomId, sender: &UserId) -> Option<Place> {
        let mut rooms = self.lock();
        let held = |senders: &Senders| senders.values().map(|line| line.held).sum::<usize>();
        let of_room = rooms.get(room_id).map_or(0, held);
        if of_room >= HELD_OF_ROOM_MAX || rooms.values().map(held).sum::<usize>() >= HELD_MAX {
            return None;
        }
        let senders = rooms.entry(room_id.to_owned()).or_default();
        let line = senders.entry(sender.to_owned()).or_default();
        line.held += 1;
        Some(Place {
            lines: self.clone(),
            room_id: room_id.to_owned(),
            sender: sender.to_owned(),
            turn: Arc::clone(&line.turn),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OwnedRoomId, Senders>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The turn, if nobody is before.
    pub(crate) fn at_once(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// The turn, once those before had theirs.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.lines.lock();
        let Some(senders) = rooms.get_mut(&self.room_id) else {
            return;
        };
        if let Some(line) = senders.get_mut(&self.sender) {
            line.held = line.held.saturating_sub(1);
            if line.held == 0 {
                senders.remove(&self.sender);
            }
        }
        if senders.is_empty() {
            rooms.remove(&self.room_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::{room_id, user_id};

    use super::*;

    #[tokio::test]
    async fn one_of_a_sender_has_the_turn_and_others_do_not_wait_for_it() {
        let (lines, room) = (Lines::default(), room_id!("!r"));
        let first = lines.enter(room, user_id!("@a:x")).unwrap();
        let second = lines.enter(room, user_id!("@a:x")).unwrap();
        let other = lines.enter(room, user_id!("@b:x")).unwrap();
        let turn = first.at_once().unwrap();
        assert!(second.at_once().is_none());
        assert!(other.at_once().is_some());
        drop((turn, first));
        drop(second.turn().await);
        drop((second, other));
        assert!(lines.lock().is_empty());
    }

    #[test]
    fn a_room_and_all_rooms_hold_so_many() {
        let lines = Lines::default();
        let room = |n: usize| OwnedRoomId::try_from(format!("!{n}:x")).unwrap();
        let sender = |n: usize| OwnedUserId::try_from(format!("@{}:x", n % 3)).unwrap();
        let of_room = |n: usize| {
            let many = (0..).map_while(|of| lines.enter(&room(n), &sender(of)));
            many.collect::<Vec<_>>()
        };
        let mut held = of_room(0);
        assert_eq!(held.len(), HELD_OF_ROOM_MAX);
        for n in 1..=HELD_MAX / HELD_OF_ROOM_MAX {
            held.extend(of_room(n));
        }
        assert_eq!(held.len(), HELD_MAX);
        drop(held);
        assert!(lines.enter(&room(0), &sender(0)).is_some());
    }
}
