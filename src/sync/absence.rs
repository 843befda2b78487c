//! Who has gone: whose presence ends because nothing was heard of them.
//!
//! It exists so that others learn that somebody is not there any more, also after a crash or a stop:
//! nobody says it for themselves. Deadlines are monotonic, so a wall clock that jumps ends nobody's
//! presence. Run by the notifier's task. It knows nothing of who is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_data::{
    CommitError, Engine,
    presence::{PresenceRow, PresenceState, end_presence, presence, presence_seen, presences},
};
use belfry_env::{Env, Moment};
use ruma_common::{OwnedUserId, UserId};

use crate::error::Fault;

/// Of whom nothing was heard for so long is not there any more: longer than a request waits
/// ([`crate::TIMEOUT_MAX`]), so that a client which polls stays there.
pub const PRESENCE_LIFE: Duration = Duration::from_secs(330);
/// How often all presence is looked through for what was missed.
pub const PRESENCE_LOOK_EVERY: Duration = Duration::from_mins(10);
/// Users whose end is watched for; that of others is found by looking through all.
pub const PRESENT_MAX: usize = 100_000;

/// Users read at once.
const PAGE: usize = 1_000;
/// How soon somebody is looked at again who could not be read.
const AGAIN: Duration = Duration::from_mins(1);

/// See the module.
pub(crate) struct Absence {
    engine: Arc<dyn Engine>,
    env: Env,
    /// When somebody's presence ends, and their last sign of life as it was then.
    due: BTreeMap<OwnedUserId, (Moment, u64)>,
    look_at: Moment,
}

impl Absence {
    pub(crate) fn new(engine: Arc<dyn Engine>, env: &Env) -> Self {
        Self {
            engine,
            due: BTreeMap::new(),
            look_at: env.clock.now(),
            env: env.clone(),
        }
    }

    /// When there is something to do.
    pub(crate) fn due(&self) -> Moment {
        let first = self.due.values().map(|(due, _)| *due).min();
        first.map_or(self.look_at, |first| first.min(self.look_at))
    }

    /// Watches users who said something of themselves.
    pub(crate) async fn watch(&mut self, users: BTreeSet<OwnedUserId>) {
        if users.is_empty() {
            return;
        }
        if let Err(fault) = self.read(users).await {
            tracing::info!(%fault, "presence could not be read; it is looked through later");
        }
    }

    async fn read(&mut self, users: BTreeSet<OwnedUserId>) -> Result<(), Fault> {
        let snapshot = self.engine.snapshot().await?;
        let names: Vec<&UserId> = users.iter().map(|user| &**user).collect();
        let rows = presence(&*snapshot, &names).await?;
        for (user, row) in users.iter().zip(rows) {
            if let Some((_, row)) = row {
                self.note(user.clone(), &row);
            }
        }
        Ok(())
    }

    fn note(&mut self, user: OwnedUserId, row: &PresenceRow) {
        if row.state == PresenceState::Offline {
            self.due.remove(&user);
            return;
        }
        if self
            .due
            .get(&user)
            .is_some_and(|(_, seen)| *seen == row.active_ts)
        {
            return;
        }
        let clock = &self.env.clock;
        let ago = Duration::from_millis(clock.wall_ms().saturating_sub(row.active_ts));
        let due = clock.now() + PRESENCE_LIFE.saturating_sub(ago);
        if self.due.len() < PRESENT_MAX || self.due.contains_key(&user) {
            self.due.insert(user, (due, row.active_ts));
        }
    }

    /// Does what is due.
    pub(crate) async fn work(&mut self) {
        let now = self.env.clock.now();
        if now >= self.look_at {
            self.look_at = now + PRESENCE_LOOK_EVERY;
            if let Err(fault) = self.look().await {
                tracing::info!(%fault, "presence could not be looked through; it is again later");
            }
        }
        let over = self.due.iter().filter(|(_, (due, _))| *due <= now);
        let over: Vec<_> = over
            .map(|(user, (_, seen))| (user.clone(), *seen))
            .collect();
        for (user, seen) in over {
            let again = (now + AGAIN, seen);
            self.due.remove(&user);
            match self.end(&user, seen).await {
                Ok(None) => {}
                Ok(Some(row)) => self.note(user, &row),
                Err(fault) => {
                    tracing::info!(%fault, "somebody's presence did not end; it does later");
                    self.due.insert(user, again);
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), Fault> {
        let snapshot = self.engine.snapshot().await?;
        let mut after: Option<OwnedUserId> = None;
        loop {
            let page = presences(&*snapshot, after.as_deref(), PAGE).await?;
            let last = page.len() < PAGE;
            after = page.last().map(|(user, _)| user.clone());
            for (user, row) in page {
                self.note(user, &row);
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Ends somebody's presence, unless they were active since; then what they say now.
    async fn end(&self, user: &UserId, active_ts: u64) -> Result<Option<PresenceRow>, Fault> {
        let snapshot = self.engine.snapshot().await?;
        let seen = presence_seen(&*snapshot, user).await?;
        let Some((_, row)) = seen.row.clone() else {
            return Ok(None);
        };
        if row.active_ts != active_ts || row.state == PresenceState::Offline {
            return Ok(Some(row));
        }
        let gone = PresenceRow {
            state: PresenceState::Offline,
            ..row.clone()
        };
        match self.engine.commit(end_presence(user, &seen, &gone)).await {
            Ok(_) => Ok(None),
            Err(CommitError::Conflict) => Ok(Some(row)),
            Err(error) => Err(Fault::Store(error)),
        }
    }
}
