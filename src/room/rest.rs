//! Staged events that rest because what they need is not to be had now.
//!
//! It exists so that a server which cannot be reached is not asked without end, and is asked at once
//! when it is heard of. It knows nothing of what the events need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use belfry_env::Moment;
use belfry_event::EventHash;
use ruma_common::{OwnedServerName, ServerName};

/// How long an event rests at first; each time twice as long.
const REST_FIRST: Duration = Duration::from_secs(15);
/// How long it rests at most.
const REST_MAX: Duration = Duration::from_mins(30);
/// How often it rests before it is dropped, some four hours in all, if others were asked and did not
/// have what it needs. If a later event refers to it, it is asked for again then.
const RESTS_MAX: u32 = 14;
/// How long in any case.
const WAIT_MAX: Duration = Duration::from_hours(14 * 24);

/// Why an event rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Others were asked and did not have what it needs.
    Lacking,
    /// What is in its way says nothing of the event: who would have what it needs could not be asked,
    /// or the room takes in no more for now.
    Hindered,
}

/// An event that rests.
#[derive(Debug, Clone)]
struct Rest {
    origin: OwnedServerName,
    /// Since when it has not been judged.
    first: Moment,
    since: Moment,
    until: Moment,
    times: u32,
    /// Of these times, how often others were asked.
    answered: u32,
    /// Why it rests this time.
    cause: Cause,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Resting(BTreeMap<EventHash, Rest>);

impl Resting {
    /// Has an event rest; `false` if it has rested often enough.
    pub(crate) fn add(
        &mut self,
        hash: EventHash,
        (origin, cause): (&ServerName, Cause),
        now: Moment,
    ) -> bool {
        let rest = self.0.entry(hash).or_insert_with(|| Rest {
            origin: origin.to_owned(),
            first: now,
            since: now,
            until: now,
            times: 0,
            answered: 0,
            cause,
        });
        rest.cause = cause;
        rest.answered += u32::from(cause == Cause::Lacking);
        if rest.answered > RESTS_MAX || now.since(rest.first) > WAIT_MAX {
            self.0.remove(&hash);
            return false;
        }
        let span = REST_FIRST.saturating_mul(1 << rest.times.min(16));
        rest.times += 1;
        rest.since = now;
        rest.until = now + span.min(REST_MAX);
        true
    }

    /// Has an event rest as long as another that it follows does; `false` if that does not.
    pub(crate) fn follow(&mut self, hash: EventHash, before: EventHash, now: Moment) -> bool {
        let Some(rest) = self.0.get(&before).filter(|rest| rest.until > now) else {
            return false;
        };
        let own = self.0.get(&hash);
        let rest = Rest {
            first: own.map_or(now, |own| own.first),
            times: own.map_or(0, |own| own.times),
            answered: own.map_or(0, |own| own.answered),
            ..rest.clone()
        };
        self.0.insert(hash, rest);
        true
    }

    /// Whether any event rests.
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the event rests.
    pub(crate) fn holds(&self, hash: EventHash, now: Moment) -> bool {
        self.0.get(&hash).is_some_and(|rest| rest.until > now)
    }

    /// How long the event has not been judged because of what it lacks.
    pub(crate) fn age(&self, hash: EventHash, now: Moment) -> Duration {
        let rest = self.0.get(&hash);
        rest.map_or(Duration::ZERO, |rest| now.since(rest.first))
    }

    /// When the first of them is to be looked at again.
    pub(crate) fn first(&self) -> Option<Moment> {
        self.0.values().map(|rest| rest.until).min()
    }

    /// Whose events rest.
    pub(crate) fn origins(&self) -> BTreeSet<OwnedServerName> {
        self.0.values().map(|rest| rest.origin.clone()).collect()
    }

    /// These servers were heard of: what rests because they could not be asked rests no longer than
    /// at first.
    pub(crate) fn wake(&mut self, heard: &BTreeSet<OwnedServerName>) {
        for rest in self.0.values_mut() {
            if rest.cause == Cause::Hindered && heard.contains(&rest.origin) {
                rest.until = rest.until.min(rest.since + REST_FIRST);
            }
        }
    }

    /// Forgets all but these.
    pub(crate) fn retain(&mut self, staged: &BTreeSet<EventHash>) {
        self.0.retain(|hash, _| staged.contains(hash));
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::server_name;

    use super::*;

    fn hash(number: u8) -> EventHash {
        EventHash::from([number; 32])
    }

    #[test]
    fn rests_grow_up_to_a_limit_and_end() {
        let (mut resting, now) = (Resting::default(), Moment::default());
        let origin = (server_name!("b"), Cause::Lacking);
        assert!(resting.add(hash(1), origin, now));
        assert_eq!(resting.first(), Some(now + REST_FIRST));
        for _ in 1..RESTS_MAX {
            assert!(resting.add(hash(1), origin, now));
        }
        assert_eq!(resting.first(), Some(now + REST_MAX));
        assert!(!resting.add(hash(1), origin, now));
        assert_eq!(resting.first(), None);
    }

    #[test]
    fn who_cannot_be_asked_is_waited_for() {
        let (mut resting, now) = (Resting::default(), Moment::default());
        let unreached = (server_name!("b"), Cause::Hindered);
        for _ in 0..10 * RESTS_MAX {
            assert!(resting.add(hash(1), unreached, now));
        }
        assert_eq!(resting.age(hash(1), now + REST_MAX), REST_MAX);
        assert!(resting.add(hash(1), unreached, now + WAIT_MAX));
        let later = now + WAIT_MAX + REST_FIRST;
        assert!(!resting.add(hash(1), unreached, later));
    }

    #[test]
    fn an_event_rests_with_the_one_before_it_and_wakes_with_its_server() {
        let (mut resting, now) = (Resting::default(), Moment::default());
        for _ in 0..5 {
            assert!(resting.add(hash(1), (server_name!("b"), Cause::Hindered), now));
        }
        assert!(resting.follow(hash(2), hash(1), now));
        assert!(!resting.follow(hash(2), hash(3), now));
        let later = now + REST_FIRST;
        assert!(resting.holds(hash(2), later));
        resting.wake(&[server_name!("c").to_owned()].into());
        assert!(resting.holds(hash(1), later));
        resting.wake(&[server_name!("b").to_owned()].into());
        assert!(!resting.holds(hash(1), later) && !resting.holds(hash(2), later));
        assert!(resting.holds(hash(1), now), "it was asked a moment ago");
    }
}
