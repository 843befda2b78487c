//! What happened in a run, line by line, with the simulated time.
//!
//! It exists so that a failing seed can be read, and so that two runs of one seed can be compared
//! byte by byte. It knows nothing of what it is told.

use std::fmt::Display;

use belfry_env::{Clock, Moment};

use crate::shared::Shared;

/// Lines in order. Cheap to clone; clones write into the same.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Shared<Vec<String>>,
    clock: Clock,
}

impl Trace {
    /// Empty.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            lines: Shared::default(),
            clock: clock.clone(),
        }
    }

    /// Adds a line.
    pub(crate) fn note(&self, text: impl Display) {
        let at_ms = self.clock.now().since(Moment::default()).as_millis();
        let line = format!("{:>6}.{:03} {text}", at_ms / 1_000, at_ms % 1_000);
        self.lines.lock().push(line);
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}
