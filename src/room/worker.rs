//! One room's worker: takes jobs from its mailbox, plans them on top of each other, commits them
//! together, and answers once that is durable.
//!
//! It exists so that a room's events are in one order without a lock, and so that a slow disk
//! costs one wait a batch, not one an event: while one batch is made durable, the next is planned
//! on top of it. The engine's check of the room's head turns the next away if the first fails. It
//! knows nothing of tables and of who asks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use belfry_data::{BoxFuture, Commit, CommitError, Engine, Position};
use ruma_common::OwnedRoomId;
use tokio::select;
use tokio::sync::mpsc;

use crate::batch::{Batch, TASKS_MAX, Task};
use crate::chore::Chores;
use crate::desk::Desk;
use crate::error::RoomError;
use crate::job::Job;
use crate::planner::{Plan, Planner};
use crate::rooms::Shared;

/// Batches that are being made durable at the same time.
const FLIGHTS_MAX: usize = 2;
/// How long a worker keeps its room in memory without a job.
const IDLE_AFTER: Duration = Duration::from_mins(1);
/// How often a job is planned anew because the room changed under the worker.
pub(crate) const ATTEMPTS_MAX: u32 = 5;
/// State nodes that a worker keeps between batches.
const STATE_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// A batch that is being made durable.
struct Flight {
    batch: Batch,
    commit: BoxFuture<'static, Result<Position, CommitError>>,
}

/// See the module.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    room_id: OwnedRoomId,
    inbox: mpsc::Receiver<Job>,
    desk: Option<Desk>,
    flights: VecDeque<Flight>,
    /// Jobs to be planned again, before any from the inbox.
    again: VecDeque<Task>,
    chores: Chores,
}

/// What happened while the worker waited.
enum Turn {
    Landed(Result<Position, CommitError>),
    Job(Job),
    Again,
    Chore,
    Idle,
    Stop,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        room_id: OwnedRoomId,
        inbox: mpsc::Receiver<Job>,
    ) -> Self {
        let (flights, again) = (VecDeque::new(), VecDeque::new());
        Self {
            shared,
            room_id,
            inbox,
            desk: None,
            flights,
            again,
            chores: Chores::default(),
        }
    }

    /// Works until the room has been idle for a while, or the server stops.
    pub(crate) async fn run(mut self) {
        loop {
            match self.turn().await {
                Turn::Landed(landed) => self.land(landed).await,
                Turn::Job(Job::Sweep { reply }) => self.chores.sweep(&self.room_id, reply),
                Turn::Job(job) => self.again.push_back(Task::new(job)),
                Turn::Chore => {
                    let (shared, room_id) = (&self.shared, &self.room_id);
                    self.chores.step(shared, room_id, &mut self.desk).await;
                }
                Turn::Again => {
                    let task = self.again.pop_front();
                    let tasks = task.map(|task| self.take(task)).unwrap_or_default();
                    self.work(tasks).await;
                }
                Turn::Idle if self.shared.retire(&self.room_id, &mut self.inbox) => return,
                Turn::Idle => {}
                Turn::Stop => return self.stop().await,
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let flying = self.flights.len();
        let next = self.again.front();
        let calm = next.is_none() && self.inbox.is_empty();
        let now = self.shared.env.clock.now();
        // Chores wait for a pause, but not for ever; none comes between a commit and its end.
        let chore_due = self.chores.due(self.desk.as_ref(), calm, now);
        if chore_due && flying == 0 {
            return Turn::Chore;
        }
        let next = next.filter(|_| !chore_due);
        if next.is_some_and(|task| flying == 0 || (task.shares_batch() && flying < FLIGHTS_MAX)) {
            return Turn::Again;
        }
        let may_fly = flying < FLIGHTS_MAX && next.is_none() && !chore_due;
        let chore_at = self.chores.next_at(self.desk.as_ref());
        let env = &self.shared.env;
        let flying = self.flights.front_mut();
        let waits = flying.is_none();
        let landing = async {
            match flying {
                Some(flight) => (&mut flight.commit).await,
                None => std::future::pending().await,
            }
        };
        // In this order: what is durable is answered before more is taken on.
        select! { biased;
            landed = landing => Turn::Landed(landed),
            () = env.shutdown.wait() => Turn::Stop,
            Some(job) = self.inbox.recv(), if may_fly => Turn::Job(job),
            () = env.clock.sleep_until(chore_at.unwrap_or(now)), if waits && chore_at.is_some() => {
                Turn::Chore
            }
            () = env.clock.sleep(IDLE_AFTER), if waits && chore_at.is_none() => Turn::Idle,
        }
    }

    /// The task, and as many as wait and fit into a batch.
    fn take(&mut self, first: Task) -> Vec<Task> {
        let mut tasks = vec![first];
        while tasks.len() < TASKS_MAX && tasks.iter().all(Task::shares_batch) {
            let next = self
                .again
                .pop_front()
                .map_or_else(|| self.inbox.try_recv().ok().map(Task::new), Some);
            match next {
                Some(task) if task.shares_batch() => tasks.push(task),
                Some(task) => {
                    self.again.push_front(task);
                    break;
                }
                None => break,
            }
        }
        tasks
    }

    /// Plans the tasks and sends them off.
    async fn work(&mut self, tasks: Vec<Task>) {
        if self.flights.is_empty()
            && let Some(desk) = &mut self.desk
        {
            desk.tidy(STATE_BYTES_KEPT);
        }
        let pending = self
            .flights
            .iter()
            .flat_map(|flight| flight.batch.transactions())
            .collect();
        let planner = Planner::new(&self.shared, &self.room_id, pending);
        let Plan {
            batch,
            parts,
            commit,
            roots,
            left,
        } = planner.plan(&mut self.desk, tasks).await;
        for task in left.into_iter().rev() {
            self.again.push_front(task);
        }
        self.chores.committed(&roots);
        let engine = Arc::clone(&self.shared.engine);
        if let Err(error) = apply(&*engine, parts).await {
            self.desk = None;
            return batch.refuse(&error.into());
        }
        let commit: BoxFuture<'static, _> = match commit {
            Some(commit) => self.shared.engine.commit(commit),
            None if self.flights.is_empty() => return batch.answer(),
            // Answers follow the batches that they were decided on.
            None => Box::pin(async { Ok(Position::ZERO) }),
        };
        self.flights.push_back(Flight { batch, commit });
    }

    /// The first flight has come to its end.
    async fn land(&mut self, landed: Result<Position, CommitError>) {
        let Some(flight) = self.flights.pop_front() else {
            return;
        };
        match landed {
            Ok(_) => flight.batch.answer(),
            Err(CommitError::Conflict) => self.start_over(flight.batch.into_tasks()).await,
            Err(CommitError::Unknown(cause)) => self.settle(flight.batch, &cause).await,
            Err(error) => {
                self.start_over(Vec::new()).await;
                flight.batch.refuse(&RoomError::from(error));
            }
        }
    }

    /// The room is not as this worker thought: everything that is not durable is planned anew.
    async fn start_over(&mut self, mut tasks: Vec<Task>) {
        self.desk = None;
        self.chores.give_up();
        while let Some(Flight { batch, commit }) = self.flights.pop_front() {
            match commit.await {
                // Planned on what was not applied, it can only have been without effect.
                Ok(_) if !batch.writes() => tasks.extend(batch.into_tasks()),
                Ok(_) => batch.answer(),
                Err(CommitError::Unknown(_)) => match batch.was_applied(&self.shared).await {
                    Ok(true) => batch.answer(),
                    _ => tasks.extend(batch.into_unsure_tasks()),
                },
                Err(_) => tasks.extend(batch.into_tasks()),
            }
        }
        for task in tasks.into_iter().rev() {
            if let Some(task) = task.again() {
                self.again.push_front(task);
            }
        }
    }

    /// Finds out what became of a commit that the engine cannot tell about.
    async fn settle(&mut self, batch: Batch, cause: &str) {
        tracing::warn!(room_id = %self.room_id, cause, "a commit's outcome is not known");
        match batch.was_applied(&self.shared).await {
            Ok(true) => {
                batch.answer();
                self.start_over(Vec::new()).await;
            }
            Ok(false) => {
                let tasks = batch.into_unsure_tasks();
                self.start_over(tasks).await;
            }
            Err(_) => {
                self.start_over(Vec::new()).await;
                batch.refuse(&RoomError::Unsure);
            }
        }
    }

    /// Refuses what is waiting and answers what is being made durable.
    async fn stop(mut self) {
        self.inbox.close();
        let stopping = RoomError::Unavailable("the server is stopping; try again later".into());
        for task in self.again.drain(..) {
            task.refuse(stopping.clone());
        }
        while let Ok(job) = self.inbox.try_recv() {
            job.refuse(stopping.clone());
        }
        let mut failed = None;
        while let Some(Flight { batch, commit }) = self.flights.pop_front() {
            let error = match (commit.await, &failed) {
                // Without a commit of its own, it is as good as what it was planned on.
                (Ok(_), Some(error)) if !batch.writes() => RoomError::clone(error),
                (Ok(_), _) => {
                    batch.answer();
                    continue;
                }
                (Err(CommitError::Unknown(_)), _) => RoomError::Unsure,
                (Err(_), _) => stopping.clone(),
            };
            batch.refuse(&error);
            failed = Some(error);
        }
    }
}

/// Applies what must be there before a commit: only that of a batch that flies alone.
async fn apply(engine: &dyn Engine, parts: Vec<Commit>) -> Result<(), CommitError> {
    for part in parts {
        engine.commit(part).await?;
    }
    Ok(())
}
