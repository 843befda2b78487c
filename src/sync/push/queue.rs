//! Whose turn it is: first come, first served, nobody twice at the same time.
//!
//! It exists so that somebody with much to push keeps nobody waiting. It knows nothing of pushers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use belfry_env::Moment;
use ruma_common::OwnedUserId;

/// What became of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether there is more to push at once.
    pub(super) more: bool,
    /// When to try again what failed.
    pub(super) later: Option<Moment>,
}

impl Outcome {
    /// What became of both.
    pub(super) fn and(self, other: Self) -> Self {
        let earlier = match (self.later, other.later) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            more: self.more || other.more,
            later: earlier,
        }
    }
}

/// See the module. Bounded by the number of users who have pushers.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<OwnedUserId>,
    queued: BTreeSet<OwnedUserId>,
    /// Who has their turn, and whether something came meanwhile.
    busy: BTreeMap<OwnedUserId, bool>,
    later: BTreeMap<OwnedUserId, Moment>,
}

impl Queue {
    /// There is something for these.
    pub(super) fn add(&mut self, users: BTreeSet<OwnedUserId>) {
        for user in users {
            self.later.remove(&user);
            if let Some(again) = self.busy.get_mut(&user) {
                *again = true;
            } else if self.queued.insert(user.clone()) {
                self.waiting.push_back(user);
            }
        }
    }

    /// Whose turn it is.
    pub(super) fn begin(&mut self) -> Option<OwnedUserId> {
        let user = self.waiting.pop_front()?;
        self.queued.remove(&user);
        self.busy.insert(user.clone(), false);
        Some(user)
    }

    /// The turn is over.
    pub(super) fn end(&mut self, user: OwnedUserId, outcome: Outcome) {
        let came = self.busy.remove(&user).unwrap_or_default();
        if came || outcome.more {
            self.add(BTreeSet::from([user]));
        } else if let Some(at) = outcome.later {
            self.later.insert(user, at);
        }
    }

    /// When somebody is to have another try.
    pub(super) fn next(&self) -> Option<Moment> {
        self.later.values().min().copied()
    }

    /// It is that time.
    pub(super) fn wake(&mut self, now: Moment) {
        let due = self.later.iter().filter(|(_, at)| **at <= now);
        let due = due.map(|(user, _)| user.clone()).collect();
        self.add(due);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ruma_common::user_id;

    use super::*;

    #[test]
    fn turns_go_round_and_nobody_has_two_at_once() {
        let (a, b) = (user_id!("@a:x").to_owned(), user_id!("@b:x").to_owned());
        let mut queue = Queue::default();
        queue.add([a.clone(), b.clone()].into());
        queue.add([a.clone()].into());
        assert_eq!(queue.begin(), Some(a.clone()));
        queue.add([a.clone()].into());
        assert_eq!(queue.begin(), Some(b.clone()));
        assert_eq!(queue.begin(), None, "a is busy");
        queue.end(a.clone(), Outcome::default());
        assert_eq!(queue.begin(), Some(a.clone()), "something came meanwhile");
        let soon = Moment::default() + Duration::from_secs(1);
        let failed = Outcome {
            more: false,
            later: Some(soon),
        };
        queue.end(a.clone(), failed);
        queue.end(b, Outcome::default());
        assert_eq!((queue.begin(), queue.next()), (None, Some(soon)));
        queue.wake(Moment::default());
        assert_eq!(queue.begin(), None);
        queue.wake(soon);
        assert_eq!(queue.begin(), Some(a));
        assert_eq!(queue.next(), None);
    }
}
