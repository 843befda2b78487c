//! Rate limits: how often a user, a network or a room may ask for something before it gets a 429.
//!
//! They exist so that one careless script or one guesser of passwords cannot take the server from
//! everybody else. The defaults are the field's, so that clients and bots behave as they do
//! elsewhere. Pure: the caller says what time it is. Knows nothing of HTTP, accounts or storage.

mod bucket;
mod limit;
mod table;

use std::{collections::BTreeMap, time::Duration};

use belfry_env::Moment;
use ruma_common::{OwnedRoomId, OwnedUserId};

pub use bucket::Rate;
pub use limit::{Limit, RateOptions};
use table::Table;

use crate::edge::Network;

/// Buckets remembered for each limit. Beyond it the longest unused are forgotten, which favours
/// their subjects: a limit is a courtesy to the others, not an access rule.
pub const BUCKETS_MAX: usize = 100_000;

/// Who is being limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account, whoever speaks for it.
    User(OwnedUserId),
    /// Everybody behind one address (IPv4) or one subscriber line (IPv6 /64).
    Network(Network),
    /// A room, whoever acts in it.
    Room(OwnedRoomId),
}

/// The subject has to wait this long. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// Every bucket of one server.
#[derive(Debug)]
pub struct Limits {
    tables: BTreeMap<Limit, Table>,
}

impl Limits {
    /// Full buckets for all limits that are switched on.
    pub fn new(options: &RateOptions) -> Self {
        let tables = options
            .rates()
            .map(|(limit, rate)| (limit, Table::new(rate, BUCKETS_MAX)))
            .collect();
        Self { tables }
    }

    /// Takes one token, if there is one. `now` is always of the same clock.
    pub fn charge(&self, limit: Limit, subject: Subject, now: Moment) -> Result<(), Wait> {
        self.tables
            .get(&limit)
            .map_or(Ok(()), |table| table.charge(subject, elapsed(now)))
    }

    /// Whether [`Self::charge`] would find a token; takes none.
    pub fn check(&self, limit: Limit, subject: &Subject, now: Moment) -> Result<(), Wait> {
        self.tables
            .get(&limit)
            .map_or(Ok(()), |table| table.check(subject, elapsed(now)))
    }

    /// Puts one token back, for an attempt that turned out to be none.
    pub fn refund(&self, limit: Limit, subject: &Subject) {
        if let Some(table) = self.tables.get(&limit) {
            table.refund(subject);
        }
    }
}

/// What the buckets count in.
fn elapsed(now: Moment) -> Duration {
    now.since(Moment::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(last: u8) -> Subject {
        Subject::Network(Network::of(std::net::IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn sixth_sign_in_has_to_wait_the_rest_of_the_interval() {
        let limits = Limits::new(&RateOptions::field_defaults());
        let now = Moment::default() + Duration::from_secs(1000);
        for _ in 0..5 {
            limits.charge(Limit::LoginNetwork, subject(1), now).unwrap();
        }
        let later = now + Duration::from_secs(100);
        let Wait(wait) = limits
            .charge(Limit::LoginNetwork, subject(1), later)
            .unwrap_err();
        assert_eq!(wait.as_secs(), 233);
        limits
            .charge(Limit::LoginNetwork, subject(2), later)
            .unwrap();
        limits
            .charge(Limit::LoginNetwork, subject(1), later + wait)
            .unwrap();
    }

    #[test]
    fn refunded_attempt_does_not_count() {
        let limits = Limits::new(&RateOptions::field_defaults());
        for _ in 0..100 {
            limits
                .charge(Limit::LoginNetwork, subject(1), Moment::default())
                .unwrap();
            limits.refund(Limit::LoginNetwork, &subject(1));
        }
    }

    #[test]
    fn check_takes_nothing() {
        let limits = Limits::new(&RateOptions::field_defaults());
        for _ in 0..100 {
            limits
                .check(Limit::LoginNetwork, &subject(1), Moment::default())
                .unwrap();
        }
        for _ in 0..5 {
            limits
                .charge(Limit::LoginNetwork, subject(1), Moment::default())
                .unwrap();
        }
        let error = limits
            .check(Limit::LoginNetwork, &subject(1), Moment::default())
            .unwrap_err();
        assert_eq!(error.0.as_secs(), 333);
    }

    #[test]
    fn limit_that_is_off_never_refuses() {
        let mut options = RateOptions::field_defaults();
        options.set(Limit::Message, None);
        let limits = Limits::new(&options);
        for _ in 0..1000 {
            limits
                .charge(Limit::Message, subject(1), Moment::default())
                .unwrap();
        }
    }
}
