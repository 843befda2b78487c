//! Which members' events a device was sent already, where members are loaded lazily.
//!
//! It exists so that a member's event is not sent again with each message. An event counts as sent
//! only to a request that comes with the token of the answer it was in, or a later one: a client that
//! lost the answer and asks again gets it again. Forgetting costs a redundant event, never a missing
//! one. It knows nothing of rooms.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use belfry_data::Position;
use belfry_event::EventHash;
use ruma_common::{OwnedDeviceId, OwnedUserId};

/// Events remembered for one device.
pub const SENT_TO_DEVICE_MAX: usize = 10_000;
/// Events remembered for all devices.
pub const SENT_MAX: usize = 400_000;

/// A device of a user.
pub(crate) type DeviceKey = (OwnedUserId, OwnedDeviceId);

/// What was sent to whom.
#[derive(Debug, Default)]
pub(crate) struct SentMembers(Mutex<Sent>);

#[derive(Debug, Default)]
struct Sent {
    devices: BTreeMap<DeviceKey, Device>,
    events: usize,
    uses: u64,
}

#[derive(Debug, Default)]
struct Device {
    /// Each with the position of the first answer that it was in.
    events: BTreeMap<EventHash, Position>,
    used: u64,
}

impl SentMembers {
    /// Whether each of these was sent in an answer that a client at `since` has.
    pub(crate) fn has(&self, device: &DeviceKey, since: Position, event: EventHash) -> bool {
        let sent = self.lock();
        let known = sent.devices.get(device);
        known.is_some_and(|known| known.events.get(&event).is_some_and(|at| *at <= since))
    }

    /// Remembers events that go into the answer which ends at `at`.
    pub(crate) fn note(&self, device: &DeviceKey, events: &[EventHash], at: Position) {
        if events.is_empty() {
            return;
        }
        let mut sent = self.lock();
        sent.note(device, events, at);
        while sent.events > SENT_MAX {
            sent.forget_oldest();
        }
    }

    /// Forgets what a device has: it starts anew.
    pub(crate) fn forget(&self, device: &DeviceKey) {
        self.lock().forget(device);
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    fn note(&mut self, key: &DeviceKey, events: &[EventHash], at: Position) {
        self.uses += 1;
        let device = self.devices.entry(key.clone()).or_default();
        device.used = self.uses;
        self.events -= device.events.len();
        if device.events.len() + events.len() > SENT_TO_DEVICE_MAX {
            device.events.clear();
        }
        for event in events.iter().take(SENT_TO_DEVICE_MAX) {
            let first = device.events.entry(*event).or_insert(at);
            *first = at.min(*first);
        }
        self.events += device.events.len();
    }

    fn forget(&mut self, key: &DeviceKey) {
        if let Some(device) = self.devices.remove(key) {
            self.events -= device.events.len();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.devices.iter().min_by_key(|(_, device)| device.used);
        match oldest.map(|(key, _)| key.clone()) {
            Some(key) => self.forget(&key),
            None => self.events = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::{owned_device_id, user_id};

    use super::*;

    fn at(number: u128) -> Position {
        Position::new(number).unwrap()
    }

    fn event(number: u64) -> EventHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EventHash::from(bytes)
    }

    fn device(name: &str) -> DeviceKey {
        (user_id!("@a:x").to_owned(), name.into())
    }

    #[test]
    fn event_counts_as_sent_once_its_answer_is_acknowledged() {
        let sent = SentMembers::default();
        let phone = device("PHONE");
        sent.note(&phone, &[event(1)], at(10));
        assert!(!sent.has(&phone, at(9), event(1)));
        assert!(sent.has(&phone, at(10), event(1)));
        assert!(!sent.has(&device("LAPTOP"), at(10), event(1)));
        sent.note(&phone, &[event(1)], at(20));
        assert!(
            sent.has(&phone, at(10), event(1)),
            "the first answer counts"
        );
        sent.forget(&phone);
        assert!(!sent.has(&phone, at(20), event(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let sent = SentMembers::default();
        let events: Vec<_> = (0..SENT_TO_DEVICE_MAX as u64 - 1).map(event).collect();
        for number in 0..60 {
            sent.note(&device(&number.to_string()), &events, at(1));
        }
        assert!(sent.lock().events <= SENT_MAX);
        assert!(sent.has(&device("59"), at(1), event(0)));
        assert!(
            !sent.has(&device("0"), at(1), event(0)),
            "the oldest is forgotten"
        );
        let own = (user_id!("@a:x").to_owned(), owned_device_id!("59"));
        sent.note(&own, &[event(u64::MAX), event(u64::MAX - 1)], at(2));
        assert!(!sent.has(&own, at(2), event(0)));
        assert!(sent.has(&own, at(2), event(u64::MAX)));
    }
}
