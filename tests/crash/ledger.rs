//! What an actor asked for, by marker, and what it was told.

use std::collections::BTreeMap;

use crate::act::Act;

/// A request and, once it was acknowledged, the event or room that the answer named.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) act: Act,
    pub(crate) outcome: Option<String>,
}

/// Every request of one user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Notes that a request is about to be sent, for the first time or again.
    pub(crate) fn attempt(&mut self, marker: &str, act: &Act) {
        let entry = Entry {
            act: act.clone(),
            outcome: None,
        };
        self.entries.entry(marker.to_owned()).or_insert(entry);
    }

    /// Notes an acknowledgement.
    pub(crate) fn acknowledge(&mut self, marker: &str, outcome: String) {
        let entry = self.entries.get_mut(marker).unwrap();
        let before = entry.outcome.replace(outcome);
        assert!(
            before.is_none(),
            "{marker} was acknowledged before: {entry:?}"
        );
    }

    /// How many requests were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        let entries = self.entries.values();
        entries.filter(|entry| entry.outcome.is_some()).count()
    }
}
