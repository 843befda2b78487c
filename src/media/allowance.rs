//! How much of other servers' files one may have fetched.
//!
//! Exists so that nobody uses this server to fill its own disk and line. Knows nothing of what is
//! fetched; who pays is a text.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use belfry_env::Moment;

/// Bytes that one may have fetched at once.
pub const FETCHED_BYTES_MAX: u64 = 500 << 20;
/// Bytes that come back every second.
pub const FETCHED_BYTES_PER_SECOND: u64 = 87_000;
/// Payers that are remembered; beyond, those who owe least are forgotten.
pub const PAYERS_MAX: usize = 10_000;

/// What everybody has used.
#[derive(Debug, Default)]
pub(crate) struct Allowance(Mutex<BTreeMap<String, Debt>>);

#[derive(Debug, Clone, Copy)]
struct Debt {
    bytes: u64,
    at: Moment,
}

impl Debt {
    fn by(self, now: Moment) -> Self {
        let paid = now.since(self.at).as_secs() * FETCHED_BYTES_PER_SECOND;
        if paid == 0 {
            // The part of a second that has passed counts next time.
            return self;
        }
        Self {
            bytes: self.bytes.saturating_sub(paid),
            at: now,
        }
    }
}

impl Allowance {
    /// Whether anything is left; else how long until there is.
    pub(crate) fn check(&self, payer: &str, now: Moment) -> Result<(), Duration> {
        let debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = debts.get(payer).map_or(0, |debt| debt.by(now).bytes);
        match owed.checked_sub(FETCHED_BYTES_MAX) {
            None => Ok(()),
            Some(over) => Err(Duration::from_secs(over / FETCHED_BYTES_PER_SECOND + 1)),
        }
    }

    /// Takes what was fetched already.
    pub(crate) fn take(&self, payer: &str, bytes: u64, now: Moment) {
        let mut debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if debts.len() >= PAYERS_MAX && !debts.contains_key(payer) {
            debts.retain(|_, debt| debt.by(now).bytes > FETCHED_BYTES_MAX / 2);
            if debts.len() >= PAYERS_MAX {
                debts.pop_first();
            }
        }
        let fresh = Debt { bytes: 0, at: now };
        let debt = debts.entry(payer.to_owned()).or_insert(fresh);
        *debt = debt.by(now);
        debt.bytes = debt.bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_paid_back_in_time() {
        let allowance = Allowance::default();
        let now = Moment::default() + Duration::from_mins(1);
        allowance.take("@a:b", FETCHED_BYTES_MAX - 1, now);
        assert_eq!(allowance.check("@a:b", now), Ok(()));
        allowance.take("@a:b", FETCHED_BYTES_PER_SECOND + 1, now);
        assert_eq!(allowance.check("@a:b", now), Err(Duration::from_secs(2)));
        assert_eq!(allowance.check("@c:b", now), Ok(()));
        let later = now + Duration::from_secs(2);
        assert_eq!(allowance.check("@a:b", later), Ok(()));
    }

    #[test]
    fn no_number_of_payers_takes_all_memory() {
        let allowance = Allowance::default();
        for number in 0..=PAYERS_MAX {
            allowance.take(&number.to_string(), 1, Moment::default());
        }
        assert!(allowance.0.lock().unwrap().len() <= PAYERS_MAX);
    }
}
