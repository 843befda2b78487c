//! Events of other servers on their way into a room, and what became of them.
//!
//! It exists so that whoever prepares events (inbound transactions, joins) and the room's worker
//! speak of the same values. It knows nothing of how events are come by and how they are judged.

use std::sync::Arc;

use belfry_data::{Acceptance, Root, StagedEvent};
use belfry_event::{EventHash, Pdu, RoomRules};

/// Events that one delivery holds.
const DELIVERY_EVENTS_MAX: usize = 20;
/// Bytes of JSON that one delivery holds, unless its only event is longer.
const DELIVERY_BYTES_MAX: usize = 256 * 1024;

/// Where the state before an event is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Its previous events, which are all stored.
    PrevEvents,
    /// The same, of a membership that another server's user came by: this server tells the others
    /// in the room of it.
    Handshake,
    /// Another server told it; its nodes and events are stored. Previous events may be missing.
    Told(Root),
    /// The same, of a join by which this server comes into the room, or into it again: what the
    /// server knew of the room's present says nothing.
    Joined(Root),
    /// The event is before what is known of the room; another server told the state, if its
    /// previous events are not all stored.
    Backfilled(Option<Root>),
}

/// An event with the right form, hash and signatures, to be judged and stored.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) ground: Ground,
    /// An accepted event refers to it already, or to one that comes with it and builds on it: it
    /// fills a gap of the past, of which the current state says nothing.
    pub(crate) past: bool,
    /// If it waited in the database, the row to take off.
    pub(crate) staged: Option<StagedEvent>,
}

/// Events for the room's worker, each after those that it refers to.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) rules: &'static RoomRules,
    pub(crate) arrivals: Vec<Arrival>,
    /// Staged events that are dropped.
    pub(crate) dropped: Vec<StagedEvent>,
}

impl Delivery {
    /// Nothing yet.
    pub(crate) fn empty(rules: &'static RoomRules) -> Self {
        Self {
            rules,
            arrivals: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// As many deliveries as these events take, in order.
    pub(crate) fn split(rules: &'static RoomRules, arrivals: Vec<Arrival>) -> Vec<Self> {
        let mut deliveries: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for arrival in arrivals {
            let length = arrival.pdu.json().len();
            bytes += length;
            // A redaction rewrites an event, which must be in the database for that.
            let alone = arrival.pdu.redacts().is_some() || bytes > DELIVERY_BYTES_MAX;
            match deliveries.last_mut() {
                Some(last) if !alone && last.arrivals.len() < DELIVERY_EVENTS_MAX => {
                    last.arrivals.push(arrival);
                }
                _ => {
                    bytes = length;
                    let mut next = Self::empty(rules);
                    next.arrivals.push(arrival);
                    deliveries.push(next);
                }
            }
        }
        deliveries
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is stored with this verdict, and the reason if that is not acceptance.
    Judged(Acceptance, Option<String>),
    /// It was stored before.
    Known(Acceptance),
    /// These events must be stored first.
    Waits(Vec<EventHash>),
    /// Judging it takes more than the budget: it stays where it is.
    Stuck(String),
}
