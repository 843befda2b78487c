//! Snapshots and commits, and how often an act is decided anew when another one came first.

use std::sync::Arc;

use belfry_data::{Commit, CommitError, Engine, Snapshot};

use crate::fault::Fault;

/// How often an act meets others in between before it is given up as [`Fault::Busy`].
const TRIES_MAX: u32 = 64;

/// The database, as acts on accounts use it.
#[derive(Clone)]
pub(crate) struct Store(Arc<dyn Engine>);

/// How often an act was tried.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Store {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self(engine)
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Fault> {
        Ok(self.0.snapshot().await?)
    }

    /// Applies the commit or says why not, without a further try.
    pub(crate) async fn try_commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.0.commit(commit).await.map(drop)
    }

    /// Whether the commit was applied; if not, the act is to be decided anew on a new snapshot.
    pub(crate) async fn commit(&self, commit: Commit, tries: &mut Tries) -> Result<bool, Fault> {
        match self.0.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) if tries.0 < TRIES_MAX => {
                tries.0 += 1;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
