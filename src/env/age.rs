//! How long an installation has lived: a time for expiry that neither a wrong wall clock nor a
//! restart can move by more than a bound.

use std::time::Duration;

/// The longest time between two runs that counts as lived. What lives shorter than this and was
/// handed out before a longer stop expires; nothing else does, whatever the clock says.
pub const DOWNTIME_MAX: Duration = Duration::from_hours(30 * 24);

const DOWNTIME_MAX_MS: u64 = DOWNTIME_MAX.as_secs() * 1_000;

/// An age and the wall time at which it was read; to be stored together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Age {
    /// Milliseconds lived.
    pub age_ms: u64,
    /// What the wall clock showed then, milliseconds since 1970.
    pub wall_ms: u64,
}

impl Age {
    /// The age of a process that starts when the wall clock shows `wall_ms`.
    pub(crate) fn resumed_ms(self, wall_ms: u64) -> u64 {
        let stopped_ms = wall_ms.saturating_sub(self.wall_ms).min(DOWNTIME_MAX_MS);
        self.age_ms.saturating_add(stopped_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600 * 1_000;
    const STORED: Age = Age {
        age_ms: 1_000 * HOUR_MS,
        wall_ms: 470_000 * HOUR_MS,
    };

    #[test]
    fn an_ordinary_stop_counts_in_full() {
        let resumed_ms = STORED.resumed_ms(STORED.wall_ms + 5 * HOUR_MS);
        assert_eq!(resumed_ms, 1_005 * HOUR_MS);
    }

    #[test]
    fn ten_years_forward_count_as_thirty_days() {
        let resumed_ms = STORED.resumed_ms(STORED.wall_ms + 87_660 * HOUR_MS);
        assert_eq!(resumed_ms, (1_000 + 30 * 24) * HOUR_MS);
    }

    #[test]
    fn a_day_back_counts_as_nothing() {
        let resumed_ms = STORED.resumed_ms(STORED.wall_ms - 24 * HOUR_MS);
        assert_eq!(resumed_ms, STORED.age_ms);
    }
}
