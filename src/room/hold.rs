//! Rooms that must not be swept for a while, because parts of a commit are on their way.
//!
//! It exists because such parts are referred to by nothing until the commit that counts. It knows
//! this process only: a room is worked on by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma_common::{OwnedRoomId, RoomId};

type Counts = BTreeMap<OwnedRoomId, usize>;

/// How many hold which room.
#[derive(Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<Counts>>);

/// Keeps a room from being swept while it lives. Take it before the first part is made.
pub(crate) struct Hold {
    holds: Holds,
    room_id: OwnedRoomId,
}

impl Holds {
    pub(crate) fn hold(&self, room_id: &RoomId) -> Hold {
        *self.lock().entry(room_id.to_owned()).or_default() += 1;
        Hold {
            holds: self.clone(),
            room_id: room_id.to_owned(),
        }
    }

    pub(crate) fn is_held(&self, room_id: &RoomId) -> bool {
        self.lock().contains_key(room_id)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut counts = self.holds.lock();
        if let Some(count) = counts.get_mut(&self.room_id) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.room_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::room_id;

    use super::*;

    #[test]
    fn a_room_is_held_until_the_last_lets_go() {
        let (holds, room) = (Holds::default(), room_id!("!r"));
        let (one, other) = (holds.hold(room), holds.hold(room));
        drop(one);
        assert!(holds.is_held(room));
        drop(other);
        assert!(!holds.is_held(room));
    }
}
