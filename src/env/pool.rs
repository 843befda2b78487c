//! CPU work off the async threads, with a limit on how much runs and how much waits.
//!
//! Hashing a password takes 50 ms of a core: without a limit a burst of sign-ins would take every
//! core and queue without end. Work that has begun cannot be taken back.

use std::{fmt, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::task::{Registration, Tasks};

/// How much work a pool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Calls that run at the same time; at least one does.
    pub running_max: usize,
    /// Calls that wait for their turn, in order of arrival; further ones are refused.
    pub waiting_max: usize,
}

/// Why the work gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolError {
    /// [`PoolLimits::waiting_max`] calls wait already; the work was not begun.
    Full(&'static str),
    /// The work panicked with this message; already counted and logged.
    Panicked(String),
    /// The server is stopping; the work was not begun.
    Closed,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(name) => write!(f, "too much work waits for «{name}»; try again later"),
            Self::Panicked(message) => write!(f, "the work panicked: {message}; report this bug"),
            Self::Closed => f.write_str("the server is stopping; try again later"),
        }
    }
}

impl std::error::Error for PoolError {}

/// A named, bounded place for CPU work. Cheap to clone; clones share the limits.
#[derive(Debug, Clone)]
pub struct Pool {
    tasks: Tasks,
    name: &'static str,
    /// One permit for each call that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each call that runs.
    running: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(tasks: Tasks, name: &'static str, limits: PoolLimits) -> Self {
        let running_max = limits.running_max.clamp(1, Semaphore::MAX_PERMITS);
        let admitted_max = running_max.saturating_add(limits.waiting_max);
        Self {
            tasks,
            name,
            admitted: Arc::new(Semaphore::new(admitted_max.min(Semaphore::MAX_PERMITS))),
            running: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// Runs `work` on a blocking thread, when its turn comes. If the caller gives up, work that waits
    /// is dropped and work that has begun runs to its end.
    pub async fn run<T, W>(&self, work: W) -> Result<T, PoolError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let admission = Arc::clone(&self.admitted).try_acquire_owned();
        let admission = admission.map_err(|_full| PoolError::Full(self.name))?;
        let turn = Arc::clone(&self.running).acquire_owned().await;
        let turn = turn.map_err(|_closed| PoolError::Closed)?;
        let registration = self.tasks.register(self.name).ok_or(PoolError::Closed)?;
        let place = Place {
            registration,
            _permits: [turn, admission],
        };
        if self.tasks.runs_in_place() {
            tokio::task::yield_now().await;
            place.run(work)
        } else {
            self.run_elsewhere(place, work).await
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that uses blocking threads; the work is registered and bounded"
    )]
    async fn run_elsewhere<T, W>(&self, place: Place, work: W) -> Result<T, PoolError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let runtime = self.tasks.runtime();
        let joined = runtime.spawn_blocking(move || place.run(work)).await;
        // A runtime that shuts down drops work unbegun.
        joined.unwrap_or(Err(PoolError::Closed))
    }
}

/// What a call holds while it runs.
struct Place {
    registration: Registration,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Place {
    fn run<T>(self, work: impl FnOnce() -> T) -> Result<T, PoolError> {
        self.registration.catch(work).map_err(PoolError::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::runtime::Handle;

    use super::*;

    const ONE_AND_ONE: PoolLimits = PoolLimits {
        running_max: 1,
        waiting_max: 1,
    };

    #[tokio::test]
    async fn work_runs_off_the_async_thread() {
        let pool = Tasks::new(Handle::current()).pool("hashing", ONE_AND_ONE);
        let here = std::thread::current().id();
        let there = pool.run(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
    }

    #[tokio::test]
    async fn in_place_work_runs_on_the_async_thread() {
        let pool = Tasks::in_place(Handle::current()).pool("hashing", ONE_AND_ONE);
        let here = std::thread::current().id();
        assert_eq!(pool.run(|| std::thread::current().id()).await, Ok(here));
    }

    #[tokio::test]
    async fn one_runs_one_waits_the_third_is_refused() {
        let tasks = Tasks::new(Handle::current());
        let pool = tasks.pool("hashing", ONE_AND_ONE);
        let (release, gate) = mpsc::channel::<()>();
        let own = pool.clone();
        let first = tasks.spawn("first", async move { own.run(move || gate.recv()).await });
        let own = pool.clone();
        let second = tasks.spawn("second", async move { own.run(|| 2).await });
        while pool.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 3).await, Err(PoolError::Full("hashing")));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(Ok(())));
        assert_eq!(second.await.unwrap(), Ok(2));
        assert_eq!(pool.run(|| 4).await, Ok(4), "room again");
    }

    #[tokio::test]
    async fn never_more_run_than_the_limit() {
        let tasks = Tasks::new(Handle::current());
        let limits = PoolLimits {
            running_max: 2,
            waiting_max: 100,
        };
        let pool = tasks.pool("hashing", limits);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let (pool, now, most) = (pool.clone(), Arc::clone(&now), Arc::clone(&most));
                tasks.spawn("caller", async move {
                    pool.run(move || {
                        let running = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(running, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await
                })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), Ok(()));
        }
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_frees_its_place() {
        for tasks in [
            Tasks::new(Handle::current()),
            Tasks::in_place(Handle::current()),
        ] {
            let pool = tasks.pool("hashing", ONE_AND_ONE);
            let panicked = pool.run(|| panic!("boom")).await;
            assert_eq!(panicked, Err::<(), _>(PoolError::Panicked("boom".into())));
            assert_eq!(tasks.panics(), 1);
            assert_eq!(pool.run(|| 1).await, Ok(1));
        }
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_while_waiting_leaves_no_trace() {
        let tasks = Tasks::new(Handle::current());
        let pool = tasks.pool("hashing", ONE_AND_ONE);
        let (release, gate) = mpsc::channel::<()>();
        let own = pool.clone();
        let first = tasks.spawn("first", async move { own.run(move || gate.recv()).await });
        let own = pool.clone();
        let second = tasks.spawn("second", async move { own.run(|| 2).await });
        while pool.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.is_err());
        assert_eq!(pool.admitted.available_permits(), 1);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(Ok(())));
    }

    #[tokio::test]
    async fn nothing_begins_once_the_server_has_stopped() {
        let tasks = Tasks::new(Handle::current());
        let pool = tasks.pool("hashing", ONE_AND_ONE);
        assert!(tasks.join(Duration::ZERO).await.is_clean());
        assert_eq!(pool.run(|| 1).await, Err(PoolError::Closed));
    }

    #[tokio::test]
    async fn a_stop_waits_for_work_that_has_begun() {
        let tasks = Tasks::new(Handle::current());
        let pool = tasks.pool("hashing", ONE_AND_ONE);
        let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
        let (release, gate) = mpsc::channel::<()>();
        let call = pool.run(move || {
            begun.send(()).ok();
            gate.recv().is_ok()
        });
        let stop = async {
            has_begun.await.unwrap();
            assert_eq!(tasks.running(), ["hashing"]);
            release.send(()).unwrap();
            tasks.join(Duration::from_mins(1)).await
        };
        let (answer, stopped) = tokio::join!(call, stop);
        assert_eq!(answer, Ok(true));
        assert!(stopped.is_clean(), "{stopped:?}");
    }
}
