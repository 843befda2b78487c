//! Questions about one room for one round trip, with whatever else a worker asks at once.
//!
//! Exists because a worker drains its mailbox and then reads everything that the batch needs
//! together: heads, transactions, entries of the current state, events. Knows nothing of what for.

use belfry_event::EventHash;
use belfry_kv::{Batch, Handle, Seen, Stamp};
use ruma_common::RoomId;

use crate::{
    column::RoomKey,
    rows::{CurrentRow, EventRow, GapRow, RoomHead},
    state::StateTuple,
    tables::{EVENT, ROOM_GAP, ROOM_HEAD, ROOM_STATE},
    writes::state_key,
};

/// A room to be asked about.
#[derive(Debug, Clone)]
pub struct RoomQuestions {
    room: RoomKey,
}

impl RoomQuestions {
    /// About this room.
    pub fn new(room: &RoomId) -> Self {
        Self {
            room: RoomKey::from(room),
        }
    }

    /// Where the room stands, for a commit that checks it.
    pub fn head(&self, batch: &mut Batch) -> Handle<Seen<RoomHead>> {
        batch.get_seen(&ROOM_HEAD, &(self.room.clone(),))
    }

    /// Events, in the order asked, each with its stamp.
    pub fn events(
        &self,
        batch: &mut Batch,
        hashes: &[EventHash],
    ) -> Handle<Vec<Option<(Stamp, EventRow)>>> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(hash)).collect();
        batch.get_many(&EVENT, &keys)
    }

    /// Entries of the current state, in the order asked. `epoch` is the head's
    /// ([`RoomHead::rows`]).
    pub fn entries(
        &self,
        batch: &mut Batch,
        epoch: u64,
        tuples: &[StateTuple],
    ) -> Handle<Vec<Option<CurrentRow>>> {
        let key = |tuple: &StateTuple| state_key(&self.room, epoch, tuple);
        let keys: Vec<_> = tuples.iter().map(key).collect();
        batch.get_many(&ROOM_STATE, &keys)
    }

    /// Which of these events are backward extremities, in the order asked.
    pub fn gaps(&self, batch: &mut Batch, hashes: &[EventHash]) -> Handle<Vec<Option<GapRow>>> {
        let keys: Vec<_> = hashes.iter().map(|hash| self.event_key(hash)).collect();
        batch.get_many(&ROOM_GAP, &keys)
    }

    fn event_key(&self, hash: &EventHash) -> (RoomKey, [u8; 32]) {
        (self.room.clone(), *hash.as_bytes())
    }
}
