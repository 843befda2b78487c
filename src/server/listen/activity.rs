//! Whether a connection is still of use: what it does, and since when it does nothing.
//!
//! Three rules. While a request is being answered the connection lives (the pace of the request's
//! body is `pace.rs`'s concern). Else a request whose first byte has come must have its whole head
//! within [`HEAD_MAX`]. Else the connection lives for [`IDLE_MAX`] after the last byte that the peer
//! took: what a peer *sends* without completing a request counts for nothing.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use belfry_env::{Clock, Moment};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long the head of a request may take from its first byte.
pub(super) const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long a connection may do nothing. Longer than the 60 s for which common reverse proxies keep
/// a connection: they must be the side that closes, or a request is lost now and then.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(75);

/// What one connection does; clones share it.
#[derive(Clone)]
pub(super) struct Activity {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Requests that a route is answering.
    running: usize,
    /// When the peer last took a byte, or a request last began or ended.
    progressed: Moment,
    /// When the first byte after the last request came.
    heard: Option<Moment>,
    /// Whether it speaks HTTP/2, where bytes between requests are no request's head.
    multiplexed: bool,
}

impl Activity {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State {
            running: 0,
            progressed: clock.now(),
            heard: None,
            multiplexed: false,
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A request's head is here; it runs until the answer is dropped.
    pub(super) fn begin(&self, multiplexed: bool) -> Running {
        let mut state = self.lock();
        state.running += 1;
        state.heard = None;
        state.multiplexed |= multiplexed;
        Running(self.clone())
    }

    /// Whether the connection should be closed.
    pub(super) fn is_overdue(&self) -> bool {
        let now = self.clock.now();
        let state = self.lock();
        let slow_head = !state.multiplexed
            && state
                .heard
                .is_some_and(|heard| now.since(heard) >= HEAD_MAX);
        let idle = now.since(state.progressed) >= IDLE_MAX;
        state.running == 0 && (slow_head || idle)
    }

    fn progress(&self) {
        let now = self.clock.now();
        self.lock().progressed = now;
    }

    fn hear(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.running == 0 {
            state.heard.get_or_insert(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment, so the state is whole whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub(super) struct Running(Activity);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.progress();
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
    }
}

/// A stream whose bytes are noticed.
pub(super) struct Metered<S> {
    stream: S,
    activity: Activity,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.activity.progress();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.activity.progress();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
