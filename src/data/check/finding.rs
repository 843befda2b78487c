//! What a check reports.

use std::fmt;

use belfry_kv::{Key, Keyspace};

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A key or a row does not decode.
    Undecodable,
    /// A row refers to one that is not there.
    Dangling,
    /// A row is there for something that is not.
    Orphan,
    /// Content does not have the hash that it is stored by.
    WrongHash,
    /// A state tree's node is not what its place demands.
    WrongShape,
    /// The rows of the current state are not what the tree says.
    WrongState,
    /// Rows about a member do not agree.
    WrongMember,
    /// A count is not what is counted.
    WrongCount,
    /// An event is in an order where it does not belong, or not in one where it does.
    WrongOrder,
    /// A row about an event says what the event does not.
    WrongEvent,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// In which table.
    pub table: &'static str,
    /// At which key.
    pub key: Key,
    /// In words.
    pub explanation: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key) = (self.table, self.key.as_bytes().escape_ascii());
        write!(f, "{table} {key}: {}", self.explanation)
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, as far as the report holds it.
    pub findings: Vec<Finding>,
    /// How many findings there were besides.
    pub more: u64,
    /// Rows read.
    pub rows: u64,
    findings_max: usize,
}

impl Report {
    pub(super) fn new(findings_max: usize) -> Self {
        Self {
            findings: Vec::new(),
            more: 0,
            rows: 0,
            findings_max,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        space: &'static Keyspace,
        key: &Key,
        explanation: impl Into<String>,
    ) {
        if self.findings.len() >= self.findings_max {
            self.more += 1;
            return;
        }
        self.findings.push(Finding {
            kind,
            table: space.name,
            key: key.clone(),
            explanation: explanation.into(),
        });
    }

    /// Adds a finding unless `holds`.
    pub(super) fn expect(
        &mut self,
        holds: bool,
        kind: FindingKind,
        row: (&'static Keyspace, &Key),
        explanation: &str,
    ) {
        if !holds {
            self.add(kind, row.0, row.1, explanation);
        }
    }
}
