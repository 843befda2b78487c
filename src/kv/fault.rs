//! What can go wrong with a commit, and what did: the memory engine's seams for simulation.
//!
//! Exists so that a test puts faults at one line and reads commits as values. Knows no seed and no
//! clock: which commit fails is decided by the plan that is given.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    contract::{Commit, CommitError, Unavailable},
    key::Position,
};

/// Most commits that a record holds; older ones are dropped.
pub const RECORD_COMMITS_MAX: usize = 100_000;

/// What happens to one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Answered [`CommitError::Conflict`], whatever its checks.
    Conflict,
    /// Applied as any other, answered [`CommitError::Unknown`].
    UnknownApplied,
    /// Not applied, answered [`CommitError::Unknown`].
    UnknownLost,
    /// Not applied, answered [`CommitError::Unavailable`].
    Unavailable(Unavailable),
    /// Waits with all that are queued behind it for the next [`crate::Memory::sync`]; a crash
    /// before may lose it.
    Delay,
}

/// Decides the fate of each commit, in the order of the calls.
pub type FaultPlan = Arc<dyn Fn(&Commit) -> Fault + Send + Sync>;

/// One commit as the engine got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The value that the caller built.
    pub commit: Commit,
    /// What the plan did to it.
    pub fault: Fault,
    /// What the caller is answered, now or after the next sync.
    pub answer: Result<Position, CommitError>,
}

/// The commits of the time since recording began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    commits: VecDeque<Recorded>,
    on: bool,
}

impl Record {
    pub(crate) fn start(&mut self) {
        self.on = true;
    }

    pub(crate) fn add(&mut self, recorded: impl FnOnce() -> Recorded) {
        if self.on {
            if self.commits.len() == RECORD_COMMITS_MAX {
                self.commits.pop_front();
            }
            self.commits.push_back(recorded());
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.commits).into()
    }
}
