//! What a room's worker does beside its jobs, a step at a time: rebuild the rows of the current
//! state, sweep state nodes that nothing needs.
//!
//! It exists so that both happen in the only place that changes the room, between its commits,
//! and so that no step makes a job wait for long. It knows nothing of jobs.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{
    Before, Commit, CommitError, CurrentState, ReadError, RoomReader, Root, StateError, Sweep,
    SweepError, SweepStep, WorkingSet, clear_litter,
};
use belfry_env::Moment;
use belfry_event::EventHash;
use ruma_common::RoomId;

use crate::desk::Desk;
use crate::epoch::step_epoch;
use crate::error::RoomError;
use crate::job::Reply;
use crate::planner::load;
use crate::rooms::Shared;

/// Batches of jobs after which a chore has its turn although jobs wait.
const BATCHES_BETWEEN: u32 = 8;
/// How long a chore rests after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Events whose states are looked up, or state nodes looked at, in one step.
const STEP_ROWS: usize = 500;

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// State nodes in use.
    pub kept: usize,
    /// State nodes removed.
    pub removed: usize,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<Undone> for RoomError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Room(error) => error,
            Undone::Read(error) | Undone::Sweep(SweepError::Read(error)) => error.into(),
            Undone::State(error) | Undone::Sweep(SweepError::State(error)) => error.into(),
            Undone::Sweep(error) => Self::Fault(error.to_string()),
            Undone::Commit(error) => error.into(),
        }
    }
}

/// A sweep under way.
struct Sweeping {
    sweep: Sweep,
    /// Whether all states in use are known.
    roots_known: bool,
    /// Where to go on looking for them.
    roots_after: Option<EventHash>,
    removed: usize,
    replies: Vec<Reply<Swept>>,
}

/// The chores of one room.
#[derive(Default)]
pub(crate) struct Chores {
    sweeping: Option<Sweeping>,
    /// Batches since the last step.
    batches: u32,
    rest_until: Option<Moment>,
}

impl Chores {
    /// Asks for a sweep; one that is under way does for all who ask.
    pub(crate) fn sweep(&mut self, room_id: &RoomId, reply: Reply<Swept>) {
        let sweeping = self.sweeping.get_or_insert_with(|| Sweeping {
            sweep: Sweep::new(room_id),
            roots_known: false,
            roots_after: None,
            removed: 0,
            replies: Vec::new(),
        });
        sweeping.replies.push(reply);
    }

    /// Whether a step is to be done now. `calm` is whether no job waits.
    pub(crate) fn due(&self, desk: Option<&Desk>, calm: bool, now: Moment) -> bool {
        let rested = self.rest_until.is_none_or(|until| now >= until);
        self.any(desk) && rested && (calm || self.batches >= BATCHES_BETWEEN)
    }

    /// When there is something to be done, if it rests now.
    pub(crate) fn next_at(&self, desk: Option<&Desk>) -> Option<Moment> {
        self.rest_until.filter(|_| self.any(desk))
    }

    fn any(&self, desk: Option<&Desk>) -> bool {
        let builds = desk.is_some_and(needs_rows);
        builds || self.sweeping.is_some()
    }

    /// A commit with these states has been sent.
    pub(crate) fn committed(&mut self, roots: &[Root]) {
        self.batches = self.batches.saturating_add(1);
        let Some(sweeping) = &mut self.sweeping else {
            return;
        };
        if let Err(error) = sweeping.sweep.retain(roots.iter().copied()) {
            self.end_sweep(&Err(Undone::from(error).into()));
        }
    }

    /// The room is not as its worker thought: a sweep may have missed states in use.
    pub(crate) fn give_up(&mut self) {
        self.end_sweep(&Err(RoomError::Busy));
    }

    fn end_sweep(&mut self, result: &Result<Swept, RoomError>) {
        if let Some(sweeping) = self.sweeping.take() {
            for reply in sweeping.replies {
                // Whoever asked may be gone.
                drop(reply.send(result.clone()));
            }
        }
    }

    /// Does one step. No commit of the room is under way.
    pub(crate) async fn step(
        &mut self,
        shared: &Arc<Shared>,
        room_id: &RoomId,
        desk: &mut Option<Desk>,
    ) {
        self.batches = 0;
        self.rest_until = None;
        if let Err(undone) = self.try_step(shared, room_id, desk).await {
            tracing::warn!(%room_id, error = %undone, "a room's chore was not done; it is tried again");
            *desk = None;
            self.end_sweep(&Err(undone.into()));
            self.rest_until = Some(shared.env.clock.now() + RETRY_AFTER);
        }
    }

    async fn try_step(
        &mut self,
        shared: &Arc<Shared>,
        room_id: &RoomId,
        desk: &mut Option<Desk>,
    ) -> Result<(), Undone> {
        if let Some(open) = desk
            && needs_rows(open)
        {
            return step_epoch(shared, room_id, open).await;
        }
        if shared.holds.is_held(room_id) {
            self.give_up();
            return Ok(());
        }
        let Some(sweeping) = &mut self.sweeping else {
            return Ok(());
        };
        let swept = sweeping.step(shared, room_id, desk).await?;
        if let Some(swept) = swept {
            self.end_sweep(&Ok(swept));
        }
        Ok(())
    }
}

impl Drop for Chores {
    fn drop(&mut self) {
        let stopping = "the server is stopping; try again later".to_owned();
        self.end_sweep(&Err(RoomError::Unavailable(stopping)));
    }
}

fn needs_rows(desk: &Desk) -> bool {
    matches!(desk.head.current, CurrentState::Tree { .. })
}

impl Sweeping {
    /// What came of it, once it is done.
    async fn step(
        &mut self,
        shared: &Arc<Shared>,
        room_id: &RoomId,
        desk: &mut Option<Desk>,
    ) -> Result<Option<Swept>, Undone> {
        let snapshot = shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        if desk.is_none() {
            *desk = load(&reader, room_id).await?;
        }
        if !self.roots_known {
            let after = self.roots_after;
            let (roots, next) = reader.state_roots(after, STEP_ROWS).await?;
            self.sweep.retain(roots)?;
            self.sweep
                .retain(desk.as_ref().map(|desk| desk.head.state))?;
            self.roots_known = next.is_none();
            self.roots_after = next;
            return Ok(None);
        }
        let mut commit = Commit::synced();
        let before = desk
            .as_ref()
            .map_or(Before::New, |desk| desk.known.before());
        before.check(&mut commit, room_id);
        let mut none = WorkingSet::new();
        let set = desk.as_mut().map_or(&mut none, |desk| &mut desk.working);
        let step = self
            .sweep
            .step(&*snapshot, set, &mut commit, STEP_ROWS)
            .await?;
        match step {
            SweepStep::Marked | SweepStep::Swept { deleted: 0 } => return Ok(None),
            SweepStep::Swept { deleted } => self.removed += deleted,
            SweepStep::Done => clear_litter(&mut commit, room_id),
        }
        // Nothing may come between this and handing over the commit: whoever takes hold of the
        // room afterwards writes after it.
        if shared.holds.is_held(room_id) {
            return Err(RoomError::Busy.into());
        }
        shared.engine.commit(commit).await?;
        Ok((step == SweepStep::Done).then(|| Swept {
            kept: self.sweep.marked(),
            removed: self.removed,
        }))
    }
}
