//! The task that works flows off: one step of each in turn, until none is left.
//!
//! It exists so that flows need no thread of their own and no order among them. It knows nothing of
//! what a step does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use belfry_data::{
    Commit, CommitError, Engine, FLOWS_PAGE_MAX, Flow, advance_flow, end_flow, flows,
};
use belfry_env::Env;
use belfry_room::Rooms;
use belfry_user::Users;
use tokio::sync::Notify;

use crate::step::{Halt, Next};

/// How long flows wait after a round in which none could go on; twice as long each time.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest such wait.
pub const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Pages of flows in one round; the rest waits for the next.
pub const ROUND_PAGES_MAX: usize = 100;

/// The flows of one server. Cheap to clone.
#[derive(Clone)]
pub struct Flows(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) env: Env,
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
    /// Rings when a delayed event is scheduled or changed.
    pub(crate) bell: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: bool,
    /// Something was begun since the task looked last.
    again: bool,
}

/// What a round came to; the later one outweighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Round {
    /// There was nothing to do.
    Idle,
    /// No flow could go on.
    Stuck,
    /// Some did.
    Moved,
}

/// Says that the task has ended, also if it panicked.
struct Running {
    inner: Arc<Inner>,
    retired: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.retired {
            self.inner.lock().running = false;
        }
    }
}

impl Flows {
    /// The flows in this database; none goes on before [`Self::resume`].
    pub fn new(engine: Arc<dyn Engine>, env: Env, rooms: Rooms, users: Users) -> Self {
        Self(Arc::new(Inner {
            engine,
            env,
            rooms,
            users,
            bell: Notify::new(),
            state: Mutex::default(),
        }))
    }

    /// Goes on with whatever is begun and not done, if that is not under way already. The task
    /// ends when there is nothing left, and when the server stops.
    pub fn resume(&self) {
        let mut state = self.0.lock();
        state.again = true;
        if state.running || self.0.env.shutdown.begun() {
            return;
        }
        state.running = true;
        let running = Running {
            inner: Arc::clone(&self.0),
            retired: false,
        };
        self.0.env.tasks.spawn("flows", run(running));
    }
}

async fn run(mut running: Running) {
    let inner = Arc::clone(&running.inner);
    let mut pause = PAUSE_MIN;
    while !inner.env.shutdown.begun() {
        inner.lock().again = false;
        match inner.round().await {
            Round::Idle => {
                if inner.retire() {
                    running.retired = true;
                    return;
                }
            }
            Round::Moved => pause = PAUSE_MIN,
            Round::Stuck => {
                let waited = inner.env.shutdown.unless(inner.env.clock.sleep(pause));
                if waited.await.is_none() {
                    return;
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task, unless something was begun in the meantime.
    fn retire(&self) -> bool {
        let mut state = self.lock();
        if !state.again {
            state.running = false;
        }
        !state.again
    }

    /// One step of every flow.
    async fn round(&self) -> Round {
        let mut round = Round::Idle;
        let mut after: Option<String> = None;
        for _ in 0..ROUND_PAGES_MAX {
            let page = match self.page(after.as_deref()).await {
                Ok(page) => page,
                Err(halt) => {
                    tracing::info!(%halt, "flows could not be read; they wait");
                    return round.max(Round::Stuck);
                }
            };
            for flow in &page {
                if self.env.shutdown.begun() {
                    return round;
                }
                round = round.max(self.take_step(flow).await);
            }
            if page.len() < FLOWS_PAGE_MAX {
                break;
            }
            after = page.last().map(|flow| flow.name().to_owned());
        }
        round
    }

    async fn page(&self, after: Option<&str>) -> Result<Vec<Flow>, Halt> {
        let snapshot = self.engine.snapshot().await?;
        Ok(flows(&*snapshot, after, FLOWS_PAGE_MAX).await?)
    }

    pub(crate) async fn take_step(&self, flow: &Flow) -> Round {
        let stepped = match self.step(flow).await {
            Ok(next) => self.keep(flow, next).await,
            Err(halt) => Err(halt),
        };
        match stepped {
            Ok(()) => Round::Moved,
            Err(halt) => {
                tracing::info!(flow = flow.name(), %halt, "a flow waits; its step is tried again");
                Round::Stuck
            }
        }
    }

    /// Remembers how far the flow came. Begun anew meanwhile, it stays at its beginning.
    async fn keep(&self, flow: &Flow, next: Next) -> Result<(), Halt> {
        let mut commit = Commit::synced();
        match next {
            Next::Done => end_flow(&mut commit, flow),
            Next::At { stage, cursor } => advance_flow(&mut commit, flow, stage, cursor),
        }
        match self.engine.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
