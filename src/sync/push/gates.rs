//! Which gateways are left alone, and until when.
//!
//! It exists so that a gateway that is down costs one try now and then, however many use it. It knows
//! nothing of what is pushed.

use std::{collections::BTreeMap, time::Duration};

use belfry_env::Moment;

use super::{PUSH_PAUSE, PUSH_PAUSE_MAX};

/// Gateways that are remembered as failing; the one that is tried again first is forgotten first.
pub const GATES_MAX: usize = 10_000;

/// See the module. Keys are URLs, or stand for one pusher.
#[derive(Debug, Default)]
pub(super) struct Gates(BTreeMap<String, Pause>);

#[derive(Debug)]
struct Pause {
    span: Duration,
    until: Moment,
    failures: u32,
}

impl Gates {
    /// Until when it is left alone, if it is.
    pub(super) fn closed(&self, key: &str, now: Moment) -> Option<Moment> {
        let pause = self.0.get(key)?;
        (pause.until > now).then_some(pause.until)
    }

    /// It failed: until when it is left alone, and how often it failed in a row.
    pub(super) fn close(&mut self, key: &str, now: Moment) -> (Moment, u32) {
        if let Some(until) = self.closed(key, now) {
            // Somebody else saw the same failure.
            return (until, self.0.get(key).map_or(1, |pause| pause.failures));
        }
        if self.0.len() >= GATES_MAX && !self.0.contains_key(key) {
            let first = self.0.iter().min_by_key(|(_, pause)| pause.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.0.remove(&first);
            }
        }
        let pause = self.0.entry(key.to_owned()).or_insert(Pause {
            span: PUSH_PAUSE / 2,
            until: now,
            failures: 0,
        });
        pause.span = (pause.span * 2).min(PUSH_PAUSE_MAX);
        pause.until = now + pause.span;
        pause.failures = pause.failures.saturating_add(1);
        (pause.until, pause.failures)
    }

    /// It answers.
    pub(super) fn open(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end_with_an_answer() {
        let (mut gates, now) = (Gates::default(), Moment::default());
        assert_eq!(gates.closed("a", now), None);
        let (first, _) = gates.close("a", now);
        assert_eq!(first, now + PUSH_PAUSE);
        assert_eq!(gates.close("a", now), (first, 1), "the same failure");
        assert_eq!(gates.closed("a", now), Some(first));
        assert_eq!(gates.closed("a", first), None);
        let (second, failures) = gates.close("a", first);
        assert_eq!((second, failures), (first + PUSH_PAUSE * 2, 2));
        gates.open("a");
        assert_eq!(gates.closed("a", now), None);
    }

    #[test]
    fn what_is_remembered_and_how_long_is_bounded() {
        let (mut gates, mut now) = (Gates::default(), Moment::default());
        for number in 0..=GATES_MAX {
            gates.close(&number.to_string(), now);
        }
        assert_eq!(gates.0.len(), GATES_MAX);
        for _ in 0..20 {
            now = gates.close("a", now).0;
        }
        assert_eq!(gates.close("a", now).0, now + PUSH_PAUSE_MAX);
    }
}
