//! Buckets by subject, bounded: two generations, of which the older is dropped whole.
//!
//! A subject that comes back is carried into the younger generation, so what is dropped was not
//! used for half a table's worth of other subjects. No sweep, no order, constant time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Subject, Wait, bucket::Rate};

#[derive(Debug)]
pub(super) struct Table {
    rate: Rate,
    generation_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Subject, Duration>,
    old: HashMap<Subject, Duration>,
}

impl Table {
    /// A table that remembers at most `buckets_max` subjects.
    pub(super) fn new(rate: Rate, buckets_max: usize) -> Self {
        Self {
            rate,
            generation_max: (buckets_max / 2).max(1),
            generations: Mutex::default(),
        }
    }

    pub(super) fn charge(&self, subject: Subject, now: Duration) -> Result<(), Wait> {
        let mut generations = self.lock();
        let full_at = generations.get(&subject);
        let next = self.rate.take(full_at, now).map_err(Wait)?;
        generations.set(subject, next, self.generation_max);
        Ok(())
    }

    pub(super) fn check(&self, subject: &Subject, now: Duration) -> Result<(), Wait> {
        let full_at = self.lock().get(subject);
        self.rate.take(full_at, now).map(drop).map_err(Wait)
    }

    pub(super) fn refund(&self, subject: &Subject) {
        let mut generations = self.lock();
        let given = self.rate.give(generations.get(subject));
        if let Some(full_at) = generations.get_mut(subject) {
            *full_at = given;
        }
    }

    /// A panic while the lock was held leaves whole entries behind: go on with them.
    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&self, subject: &Subject) -> Duration {
        let found = self.young.get(subject).or_else(|| self.old.get(subject));
        found.copied().unwrap_or_default()
    }

    fn get_mut(&mut self, subject: &Subject) -> Option<&mut Duration> {
        self.young
            .get_mut(subject)
            .or_else(|| self.old.get_mut(subject))
    }

    fn set(&mut self, subject: Subject, full_at: Duration, generation_max: usize) {
        if self.young.len() >= generation_max && !self.young.contains_key(&subject) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, full_at);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::edge::Network;

    fn subject(number: u32) -> Subject {
        Subject::Network(Network::of(IpAddr::V4(Ipv4Addr::from(number))))
    }

    #[test]
    fn table_never_outgrows_its_limit() {
        let table = Table::new(Rate::every(Duration::from_secs(1), 1), 100);
        for number in 0..10_000 {
            table.charge(subject(number), Duration::ZERO).unwrap();
        }
        let generations = table.lock();
        assert!(generations.young.len() + generations.old.len() <= 100);
    }

    #[test]
    fn subject_in_use_survives_a_crowd() {
        let table = Table::new(Rate::every(Duration::from_secs(1), 1000), 100);
        let regular = subject(u32::MAX);
        for number in 0..1000 {
            table.charge(subject(number), Duration::ZERO).unwrap();
            table.charge(regular.clone(), Duration::ZERO).unwrap();
        }
        assert!(table.charge(regular, Duration::ZERO).is_err());
    }
}
