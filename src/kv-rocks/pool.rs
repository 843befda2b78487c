//! The threads that read what no cache holds. Knows nothing of what they read.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use belfry_kv::{ReadError, Unavailable};
use tokio::sync::{mpsc, oneshot};

use crate::threads;

/// Reads that may wait for a thread; further callers wait for room.
pub(crate) const READ_QUEUE_MAX: usize = 1_024;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads and a bounded queue before them.
pub(crate) struct Pool {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Starts `threads` threads, at least one.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(READ_QUEUE_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..threads.max(1))
            .map(|number| {
                let jobs = Arc::clone(&receiver);
                threads::start(&format!("belfry-read-{number}"), move || work(&jobs))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            jobs: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
        })
    }

    /// What `read` returns, from one of the threads. If the caller goes away first, a read that
    /// has not begun is left out.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let closed = || ReadError::Unavailable(Unavailable::Closed.to_string());
        let jobs = lock(&self.jobs).clone().ok_or_else(closed)?;
        let (answer, found) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !answer.is_closed() {
                // The caller may have gone meanwhile.
                drop(answer.send(read()));
            }
        });
        jobs.send(job).await.map_err(|_| closed())?;
        drop(jobs);
        found.await.map_err(|_| closed())
    }

    /// Finishes the reads that wait, then ends the threads.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        for thread in lock(&self.threads).drain(..) {
            threads::join("belfry-read", thread);
        }
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // Holding the lock while waiting lets the other idle threads wait for it instead.
        let job = lock(jobs).blocking_recv();
        match job {
            // A damaged row must not cost a thread.
            Some(job) => {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a read panicked");
                }
            }
            None => break,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
