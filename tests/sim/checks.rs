//! The checkers, by name, and what they go by.
//!
//! It exists so that all of them are run at the same moments (after every crash, after every stop,
//! and at the end) over the same evidence: what the clients were told, what the database holds, and
//! what it held before. Each is a function of values in a file of its own that says why it exists.
//! Those that need a running world (liveness, the database's own check, logs) are run by the world.

pub(crate) mod atomicity;
pub(crate) mod authorisation;
pub(crate) mod bounds;
pub(crate) mod calm;
pub(crate) mod durability;
pub(crate) mod honesty;
pub(crate) mod idempotency;
pub(crate) mod order;
pub(crate) mod state;
pub(crate) mod timestamps;

use std::fmt;

use belfry_event::KeyRing;
use belfry_kv::{Position, Recorded};

use crate::history::History;
use crate::plan::Plan;
use crate::view::View;

/// Complaints of one checker at one moment; further ones say nothing new.
const COMPLAINTS_MAX: usize = 8;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Whose.
    pub(crate) checker: &'static str,
    pub(crate) text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.checker, self.text)
    }
}

/// What checkers go by.
pub(crate) struct Evidence<'e> {
    pub(crate) plan: &'e Plan,
    pub(crate) history: &'e History,
    /// What the database holds.
    pub(crate) view: &'e View,
    /// What readers saw right before the server's life ended.
    pub(crate) seen: &'e View,
    /// What the database held when the checkers were last run.
    pub(crate) checked: &'e View,
    /// The commits since then, as the engine got them.
    pub(crate) commits: &'e [Recorded],
    /// The last position answered before those.
    pub(crate) position: Position,
    /// The most commits under way for one room at the same time.
    pub(crate) flights_max: usize,
    /// The servers' keys.
    pub(crate) keys: &'e KeyRing,
    /// What the wall clock shows.
    pub(crate) wall_ms: u64,
}

/// A checker's voice.
pub(crate) struct Voice<'v> {
    checker: &'static str,
    said: usize,
    complaints: &'v mut Vec<Complaint>,
}

impl<'v> Voice<'v> {
    /// The voice of a checker.
    pub(crate) fn new(checker: &'static str, complaints: &'v mut Vec<Complaint>) -> Self {
        Self {
            checker,
            said: 0,
            complaints,
        }
    }

    /// Complains.
    pub(crate) fn complain(&mut self, text: impl Into<String>) {
        self.said += 1;
        if self.said <= COMPLAINTS_MAX {
            self.complaints.push(Complaint {
                checker: self.checker,
                text: text.into(),
            });
        }
    }

    /// Complains unless it holds.
    pub(crate) fn expect(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.complain(text());
        }
    }
}

type Checker = fn(&Evidence<'_>, &mut Voice<'_>);

/// Every checker that goes by evidence alone.
pub(crate) const CHECKERS: [(&str, Checker); 10] = [
    ("durability", durability::check),
    ("idempotency", idempotency::check),
    ("honesty", honesty::check),
    ("atomicity", atomicity::check),
    ("order", order::check),
    ("authorisation", authorisation::check),
    ("state", state::check),
    ("bounds", bounds::check),
    ("timestamps", timestamps::check),
    ("calm", calm::check),
];

/// Runs all of them.
pub(crate) fn run(evidence: &Evidence<'_>, complaints: &mut Vec<Complaint>) {
    for (name, checker) in CHECKERS {
        checker(evidence, &mut Voice::new(name, complaints));
    }
}
