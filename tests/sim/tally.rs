//! How often what happened in a run.
//!
//! It exists so that the runs of CI can be held to have met everything that they are there for. It
//! knows nothing of what is right.

use std::collections::BTreeMap;

use crate::door::Answer;
use crate::history::History;
use crate::view::View;

/// Counts by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts something.
    pub(crate) fn add(&mut self, what: impl Into<String>, count: u64) {
        if count > 0 {
            *self.0.entry(what.into()).or_default() += count;
        }
    }

    /// Adds what happened elsewhere.
    pub(crate) fn extend(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add(what, count);
        }
    }

    /// Whether it happened at all.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.0.contains_key(what)
    }

    /// Everything, by name.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }

    /// Counts what the clients did.
    pub(crate) fn add_history(&mut self, history: &History) {
        for op in &history.ops {
            self.add("acts", 1);
            for (_, answer) in op.answers() {
                self.add(format!("answer: {}", name(answer)), 1);
            }
            if op.act.has_txn() && op.events().count() > 1 {
                self.add("transactions answered more than once", 1);
            }
        }
        self.add("steps of the wall clock", history.steps.len() as u64);
    }

    /// Counts what the database holds.
    pub(crate) fn add_view(&mut self, view: &View) {
        for room in view.rooms.values() {
            self.add(format!("room version {}", room.rules.version()), 1);
        }
        for (_, event) in view.events() {
            self.add("events", 1);
            let redacted = event.stored.row.redacted_by.is_some();
            self.add("redacted events", u64::from(redacted));
        }
    }
}

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done(_) => "done",
        Answer::Refused(_) => "refused",
        Answer::Later(_) => "later",
        Answer::Unsure => "unsure",
        Answer::Unreached => "unreached",
        Answer::Silence => "silence",
        Answer::Broken(_) => "broken",
    }
}
