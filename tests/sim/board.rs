//! What the clients of a run tell each other.
//!
//! It exists because whoever wants to join a room has heard of it from somebody. It knows nothing
//! of the server.

use std::collections::BTreeMap;

use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId};

use crate::dice::Dice;
use crate::shared::Shared;

/// A room that somebody has told of.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) room: OwnedRoomId,
    pub(crate) creator: OwnedUserId,
    pub(crate) version: RoomVersionId,
}

/// What the clients tell each other. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Board(Shared<Posted>);

#[derive(Default)]
struct Posted {
    rooms: Vec<Known>,
    wanted: usize,
    events: Vec<(OwnedRoomId, OwnedEventId)>,
    transactions: BTreeMap<(u64, OwnedRoomId, &'static str), u64>,
}

impl Board {
    /// Whether another room is to be created; if so, the caller is to do it.
    pub(crate) fn wants_room(&self, rooms: usize) -> bool {
        let mut posted = self.0.lock();
        let wants = posted.wanted < rooms;
        posted.wanted += usize::from(wants);
        wants
    }

    pub(crate) fn want_again(&self) {
        self.0.lock().wanted -= 1;
    }

    /// How many transactions the device has made at this endpoint, this one among them.
    pub(crate) fn count(&self, endpoint: (u64, OwnedRoomId, &'static str)) -> u64 {
        let mut posted = self.0.lock();
        let count = posted.transactions.entry(endpoint).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn tell(&self, room: Known) {
        self.0.lock().rooms.push(room);
    }

    pub(crate) fn tell_event(&self, room: &OwnedRoomId, event: &OwnedEventId) {
        let event = (room.clone(), event.clone());
        self.0.lock().events.push(event);
    }

    pub(crate) fn room(&self, dice: &Dice) -> Option<Known> {
        let posted = self.0.lock();
        (!posted.rooms.is_empty()).then(|| dice.pick(&posted.rooms).clone())
    }

    pub(crate) fn event(&self, dice: &Dice) -> Option<(OwnedRoomId, OwnedEventId)> {
        let posted = self.0.lock();
        (!posted.events.is_empty()).then(|| dice.pick(&posted.events).clone())
    }
}
