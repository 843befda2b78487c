//! Whether the server is stopping: one flag that is set once and that any task can wait for.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;

/// The shutdown signal. Cheap to clone; clones share the flag.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Says that the server is stopping. There is no way back; a second call changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the server is stopping.
    pub fn begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the server is stopping; at once if it already is.
    pub async fn wait(&self) {
        let mut flag = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _stopping = flag.wait_for(|begun| *begun).await;
    }

    /// The future's answer, or `None` if the server began to stop first; the future is dropped
    /// then. An answer that is ready at the same time counts.
    pub async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            answer = future => Some(answer),
            () = self.wait() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everyone_waiting_is_told_and_latecomers_too() {
        let shutdown = Shutdown::default();
        assert!(!shutdown.begun());
        let clone = shutdown.clone();
        tokio::join!(shutdown.wait(), clone.wait(), async { clone.begin() });
        assert!(shutdown.begun());
        shutdown.begin();
        shutdown.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_until_the_server_stops() {
        let shutdown = Shutdown::default();
        assert_eq!(shutdown.unless(async { 1 }).await, Some(1));
        let endless = shutdown.unless(std::future::pending::<()>());
        let (cut, ()) = tokio::join!(endless, async { shutdown.begin() });
        assert_eq!(cut, None);
        assert_eq!(
            shutdown.unless(async { 2 }).await,
            Some(2),
            "a ready answer counts"
        );
    }
}
