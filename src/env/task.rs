//! The one place that spawns. Every task has a name and an owner; a panic in one is caught, counted
//! and logged, and shutdown waits for all of them.
//!
//! It limits nothing: whoever spawns for each connection or each room bounds these. CPU work goes
//! through a [`Pool`], which has limits.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::AbortHandle,
};
use tracing::Instrument;

use crate::{
    clock,
    pool::{Pool, PoolLimits},
};

/// How long [`Tasks::join`] waits for aborted tasks to be gone; one that never awaits stays.
pub const JOIN_GRACE: Duration = Duration::from_secs(1);

/// Spawns tasks and owns them. Cheap to clone; clones own the same tasks.
#[derive(Clone)]
pub struct Tasks(Arc<Owner>);

struct Owner {
    runtime: Handle,
    /// Blocking work runs where it is asked for, so that a simulation repeats itself.
    in_place: bool,
    state: Mutex<State>,
    emptied: Notify,
    panics: AtomicU64,
}

#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, Running>,
    closed: bool,
}

struct Running {
    name: &'static str,
    /// `None` for a moment after the start, and for blocking work, which cannot be aborted.
    abort: Option<AbortHandle>,
}

/// Why a task has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It panicked with this message; already counted and logged.
    Panicked(String),
    /// It was aborted, or spawned after [`Tasks::join`].
    Aborted,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "the task panicked: {message}; report this bug"),
            Self::Aborted => f.write_str("the task was aborted because the server is stopping"),
        }
    }
}

impl std::error::Error for Ended {}

/// What [`Tasks::join`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// Names of the tasks that had not ended at the deadline, in order of start.
    pub aborted: Vec<&'static str>,
    /// Those of them that were still there after [`JOIN_GRACE`].
    pub stuck: Vec<&'static str>,
    /// How many tasks and blocking calls have panicked since the start.
    pub panics: u64,
}

impl Stopped {
    /// Whether every task ended by itself and without a panic.
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty() && self.panics == 0
    }
}

impl Tasks {
    /// Tasks that run on `runtime`; blocking work runs on its blocking threads.
    pub fn new(runtime: Handle) -> Self {
        Self::with(runtime, false)
    }

    /// Like [`Self::new`], but blocking work runs in place, after one yield: on a current-thread
    /// runtime everything then happens in an order that only the seed decides.
    pub fn in_place(runtime: Handle) -> Self {
        Self::with(runtime, true)
    }

    fn with(runtime: Handle, in_place: bool) -> Self {
        Self(Arc::new(Owner {
            runtime,
            in_place,
            state: Mutex::default(),
            emptied: Notify::new(),
            panics: AtomicU64::new(0),
        }))
    }

    /// Starts a task. `name` says what it does, for logs and shutdown; many may share one. The
    /// handle may be dropped: the task goes on. After [`Self::join`] the future is dropped unrun
    /// and the handle answers [`Ended::Aborted`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that spawns; the task is registered"
    )]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let Some(registration) = self.register(name) else {
            return Task {
                answer,
                abort: None,
            };
        };
        let number = registration.number;
        let owned = Owned {
            future: Some(Box::pin(future)),
            answer: Some(sender),
            registration: Some(registration),
        };
        let span = tracing::info_span!("task", name);
        let abort = self.0.runtime.spawn(owned.instrument(span)).abort_handle();
        // Absent if the task has ended in the meantime.
        if let Some(running) = self.0.lock().running.get_mut(&number) {
            running.abort = Some(abort.clone());
        }
        Task {
            answer,
            abort: Some(abort),
        }
    }

    /// A bounded place for CPU work such as password hashing, at most a few per process.
    pub fn pool(&self, name: &'static str, limits: PoolLimits) -> Pool {
        Pool::new(self.clone(), name, limits)
    }

    /// Names of the tasks and blocking calls that have not ended, in order of start.
    pub fn running(&self) -> Vec<&'static str> {
        let state = self.0.lock();
        state.running.values().map(|running| running.name).collect()
    }

    /// How many tasks and blocking calls have panicked.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::SeqCst)
    }

    /// Waits until no task is left; those left after `deadline` are aborted. They may go on spawning
    /// until then; afterwards nothing can be spawned. A deadline of zero is a crash: every task ends
    /// at its next await. Must not be called from a task of the same owner: it would wait for itself.
    pub async fn join(&self, deadline: Duration) -> Stopped {
        let in_time = clock::within(deadline, self.emptied()).await.is_ok();
        let aborted = if in_time {
            Vec::new()
        } else {
            self.abort_all()
        };
        let stuck = match clock::within(JOIN_GRACE, self.emptied()).await {
            Ok(()) => Vec::new(),
            Err(clock::Late) => self.running(),
        };
        Stopped {
            aborted,
            stuck,
            panics: self.panics(),
        }
    }

    /// A guard for tests: dropping it panics if a task is still running or has panicked.
    pub fn leak_check(&self) -> LeakCheck {
        LeakCheck(self.clone())
    }

    pub(crate) fn runs_in_place(&self) -> bool {
        self.0.in_place
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// `None` once closed.
    pub(crate) fn register(&self, name: &'static str) -> Option<Registration> {
        let mut state = self.0.lock();
        if state.closed {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.running.insert(number, Running { name, abort: None });
        Some(Registration {
            owner: Arc::clone(&self.0),
            name,
            number,
        })
    }

    /// Returns once nothing runs, and closes in the same instant.
    async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            {
                let mut state = self.0.lock();
                if state.running.is_empty() {
                    state.closed = true;
                    return;
                }
            }
            emptied.await;
        }
    }

    fn abort_all(&self) -> Vec<&'static str> {
        let handles: Vec<_> = {
            let mut state = self.0.lock();
            state.closed = true;
            let running = state.running.values();
            running
                .map(|running| (running.name, running.abort.clone()))
                .collect()
        };
        // Without the lock: aborting may drop the task here and now, which takes it.
        for abort in handles.iter().filter_map(|(_, abort)| abort.as_ref()) {
            abort.abort();
        }
        handles.into_iter().map(|(name, _)| name).collect()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.running())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}

impl Owner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so the state is whole whatever happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One entry of the owner's list, taken off when dropped.
pub(crate) struct Registration {
    owner: Arc<Owner>,
    name: &'static str,
    number: u64,
}

impl Registration {
    /// Runs `step`; a panic is counted, logged and given as its message.
    pub(crate) fn catch<T>(&self, step: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(step)).map_err(|payload| {
            let message = panic_message(payload.as_ref());
            self.owner.panics.fetch_add(1, Ordering::SeqCst);
            tracing::error!(
                task = self.name,
                panic = message,
                "a task panicked; report this bug"
            );
            message
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.owner.lock();
        state.running.remove(&self.number);
        if state.running.is_empty() {
            self.owner.emptied.notify_waiters();
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

/// The future that the runtime drives. The inner future is dropped first, so that whoever sees the
/// task gone knows that all it held is gone too.
struct Owned<F: Future> {
    future: Option<Pin<Box<F>>>,
    answer: Option<oneshot::Sender<Result<F::Output, Ended>>>,
    registration: Option<Registration>,
}

impl<F: Future> Future for Owned<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let own = &mut *self;
        let (Some(future), Some(registration)) = (own.future.as_mut(), own.registration.as_ref())
        else {
            return Poll::Ready(());
        };
        let polled = registration.catch(|| future.as_mut().poll(context));
        let answer = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => Ok(answer),
            Err(message) => Err(Ended::Panicked(message)),
        };
        let spent = own.future.take();
        let answer = match registration.catch(|| drop(spent)) {
            Ok(()) => answer,
            Err(message) => Err(Ended::Panicked(message)),
        };
        own.registration = None;
        if let Some(sender) = own.answer.take() {
            // The handle may be gone; then nobody wants the answer.
            sender.send(answer).ok();
        }
        Poll::Ready(())
    }
}

/// A handle to a spawned task; awaiting it gives the task's answer.
#[derive(Debug)]
pub struct Task<T> {
    answer: oneshot::Receiver<Result<T, Ended>>,
    abort: Option<AbortHandle>,
}

impl<T> Task<T> {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|received| received.unwrap_or(Err(Ended::Aborted)))
    }
}

/// See [`Tasks::leak_check`].
#[derive(Debug)]
#[must_use = "it checks when it is dropped"]
pub struct LeakCheck(Tasks);

impl Drop for LeakCheck {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (running, panics) = (self.0.running(), self.0.panics());
        assert!(running.is_empty(), "tasks still running: {running:?}");
        assert!(panics == 0, "{panics} tasks have panicked; see the log");
    }
}
