//! Request bodies that come too slowly end with an error.
//!
//! Only the time for which a route *waited* for bytes counts, so that a busy disk is not held
//! against the peer, and large uploads over slow lines pass.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use belfry_env::{Clock, Moment};
use bytes::Buf;
use hyper::body::{Body, Frame, SizeHint};

/// How long a body may be waited for, whatever its size.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);
/// Each so many bytes that have come allow one second more.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 1024;

/// The body came too slowly.
#[derive(Debug)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body came too slowly; send it again over a faster connection")
    }
}

impl Error for TooSlow {}

type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body with a pace to keep.
pub(super) struct Paced<B> {
    body: B,
    clock: Clock,
    bytes: u64,
    waited: Duration,
    /// Since when it is being waited for, and the alarm.
    waiting: Option<(Moment, Alarm)>,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, clock: Clock) -> Self {
        Self {
            body,
            clock,
            bytes: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }

    /// Polls the alarm, set for when the time left is over.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = (WAIT_MAX + Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN))
            .saturating_sub(self.waited);
        let clock = &self.clock;
        let (_, alarm) = self.waiting.get_or_insert_with(|| {
            let own = clock.clone();
            let alarm: Alarm = Box::pin(async move { own.sleep(left).await });
            (clock.now(), alarm)
        });
        alarm.as_mut().poll(context)
    }

    fn stop_waiting(&mut self) {
        if let Some((since, _)) = self.waiting.take() {
            self.waited += self.clock.now().since(since);
        }
    }
}

impl<B: Body<Error: Error + Send + Sync + 'static> + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.poll_wait(context));
            self.stop_waiting();
            return Poll::Ready(Some(Err(TooSlow.into())));
        };
        self.stop_waiting();
        if let Some(Ok(data)) = frame
            .as_ref()
            .map(|frame| frame.as_ref().map(Frame::data_ref))
        {
            let bytes = data.map_or(0, Buf::remaining);
            self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
