//! What changed lately for one user (rooms, others' presence), each once, by when it changed last.
//!
//! It exists so that a request whose token is not too old finds what changed without looking at any
//! room that did not. It knows nothing of rooms' members.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::Stamp;

/// Rooms in a ring; the one that changed longest ago goes first.
pub const RING_ROOMS_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring<K> {
    /// Whatever changed behind this is here.
    floor: Stamp,
    rooms: BTreeMap<K, Stamp>,
    order: BTreeSet<(Stamp, K)>,
}

impl<K: Ord + Clone> Ring<K> {
    /// A ring that is told of everything behind `floor`.
    pub(crate) fn new(floor: Stamp) -> Self {
        Self {
            floor,
            rooms: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// The room changed.
    pub(crate) fn push(&mut self, room: &K, at: Stamp) {
        if let Some(last) = self.rooms.get_mut(room) {
            if *last >= at {
                return;
            }
            let mut entry = (*last, room.clone());
            *last = at;
            self.order.remove(&entry);
            entry.0 = at;
            self.order.insert(entry);
            return;
        }
        self.rooms.insert(room.clone(), at);
        self.order.insert((at, room.clone()));
        if self.rooms.len() > RING_ROOMS_MAX
            && let Some((stamp, oldest)) = self.order.pop_first()
        {
            self.rooms.remove(&oldest);
            self.floor = stamp.max(self.floor);
        }
    }

    /// Whether what changed behind `since` is known.
    pub(crate) fn reaches(&self, since: Stamp) -> bool {
        since >= self.floor
    }

    /// Whether it changed lately.
    pub(crate) fn holds(&self, room: &K) -> bool {
        self.rooms.contains_key(room)
    }

    /// The rooms that changed behind `since`; `None` if that is too long ago to tell.
    pub(crate) fn since(&self, since: Stamp) -> Option<BTreeSet<K>> {
        if !self.reaches(since) {
            return None;
        }
        let newest_first = self.order.iter().rev();
        let news = newest_first.take_while(|(at, _)| *at > since);
        Some(news.map(|(_, room)| room.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use belfry_data::Position;
    use ruma_common::OwnedRoomId;

    use super::*;

    fn at(position: u128) -> Stamp {
        Stamp {
            position: Position::new(position).unwrap(),
            ordinal: 0,
        }
    }

    fn room(number: usize) -> OwnedRoomId {
        OwnedRoomId::try_from(format!("!{number}:x")).unwrap()
    }

    #[test]
    fn rooms_are_told_once_by_their_last_change() {
        let mut ring = Ring::new(at(5));
        ring.push(&room(1), at(6));
        ring.push(&room(2), at(7));
        ring.push(&room(1), at(9));
        ring.push(&room(1), at(8));
        assert_eq!(ring.since(at(4)), None, "before its time");
        assert_eq!(ring.since(at(5)), Some([room(1), room(2)].into()));
        assert_eq!(ring.since(at(7)), Some([room(1)].into()));
        assert_eq!(ring.since(at(9)), Some(BTreeSet::new()));
    }

    #[test]
    fn overflow_raises_the_floor_and_a_busy_room_takes_one_place() {
        let mut ring = Ring::new(at(0));
        for position in 1..10_000 {
            ring.push(&room(0), at(position));
        }
        assert!(ring.since(at(0)).is_some());
        for number in 1..=RING_ROOMS_MAX {
            ring.push(&room(number), at(10_000 + number as u128));
        }
        assert_eq!(ring.since(at(9_998)), None, "room 0 fell out");
        assert_eq!(ring.since(at(9_999)).unwrap().len(), RING_ROOMS_MAX);
        assert_eq!(ring.order.len(), ring.rooms.len());
    }
}
