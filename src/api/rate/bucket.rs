//! A token bucket as one number: the time at which it will be full again.
//!
//! (The generic cell rate algorithm.) One duration per subject is all there is to remember, and a
//! bucket that is full need not be remembered at all.

use std::time::Duration;

/// Longest time between two tokens: a year. Keeps the arithmetic far from its ends.
const INTERVAL_MAX: Duration = Duration::from_hours(365 * 24);

/// How fast a bucket refills and how many tokens it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

impl Rate {
    /// One token every `interval`, at most `burst` at once. A burst of 0 counts as 1, an interval
    /// beyond a year as a year.
    pub const fn every(interval: Duration, burst: u32) -> Self {
        let interval = if interval.as_secs() < INTERVAL_MAX.as_secs() {
            interval
        } else {
            INTERVAL_MAX
        };
        let burst = if burst == 0 { 1 } else { burst };
        Self { interval, burst }
    }

    /// As configuration files say it; `None` unless `per_second` is positive and finite.
    pub fn per_second(per_second: f64, burst: u32) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(per_second.recip()).ok()?;
        (per_second > 0.0 && per_second.is_finite()).then(|| Self::every(interval, burst))
    }

    /// The bucket's new state after one token is taken, or how long until there is one.
    pub(super) fn take(self, full_at: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = full_at.max(now) + self.interval;
        let capacity = self.interval.saturating_mul(self.burst);
        let lack = next.saturating_sub(now + capacity);
        if lack.is_zero() { Ok(next) } else { Err(lack) }
    }

    /// The bucket's new state after one token is put back.
    pub(super) fn give(self, full_at: Duration) -> Duration {
        full_at.saturating_sub(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PER_SECOND: Rate = Rate::every(Duration::from_millis(500), 3);

    #[test]
    fn burst_then_one_per_interval() {
        let now = Duration::from_secs(9);
        let mut full_at = Duration::ZERO;
        for _ in 0..3 {
            full_at = TWO_PER_SECOND.take(full_at, now).unwrap();
        }
        assert_eq!(
            TWO_PER_SECOND.take(full_at, now),
            Err(Duration::from_millis(500))
        );
        let later = now + Duration::from_millis(500);
        full_at = TWO_PER_SECOND.take(full_at, later).unwrap();
        assert!(TWO_PER_SECOND.take(full_at, later).is_err());
    }

    #[test]
    fn token_given_back_can_be_taken_again() {
        let mut full_at = Duration::ZERO;
        for _ in 0..3 {
            full_at = TWO_PER_SECOND.take(full_at, Duration::ZERO).unwrap();
        }
        full_at = TWO_PER_SECOND.give(full_at);
        assert!(TWO_PER_SECOND.take(full_at, Duration::ZERO).is_ok());
    }

    #[test]
    fn rates_that_make_no_sense_are_refused() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::per_second(per_second, 1), None, "{per_second}");
        }
        let tenth = Rate::per_second(0.1, 5);
        assert_eq!(tenth, Some(Rate::every(Duration::from_secs(10), 5)));
    }
}
