//! What time it is. Two times that are never mixed: *wall* time, which people and other servers
//! read and which may jump either way, and *monotonic* time, which waits and deadlines use.
//!
//! A wall clock that jumps (a dead battery, a wrong NTP server, a restored virtual machine) moves
//! no deadline, ends no wait and expires nothing that is measured by [`Moment`] or [`crate::Age`].

use std::{
    future::Future,
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::age::Age;

/// A step of the wall clock that [`WallWatch`] reports: larger than what slewing does in a minute.
pub const JUMP_MIN_MS: u64 = 1_000;

/// A monotonic time: how long ago its clock was made. Only comparable with moments of the same
/// clock, and gone with the process: store an [`Age`] instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment that much later, or the last one there is.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The time limit came before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late;

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the time limit passed; try again later")
    }
}

impl std::error::Error for Late {}

/// The hand of a simulated wall clock. Cheap to clone; one may serve several clocks, as one time
/// server does.
#[derive(Debug, Clone)]
pub struct SimulatedWall {
    start_ms: u64,
    jumped_ms: Arc<AtomicI64>,
    origin: Instant,
}

impl SimulatedWall {
    /// A wall clock that shows `start_ms` now and advances as the runtime's time does.
    pub fn at(start_ms: u64) -> Self {
        Self {
            start_ms,
            jumped_ms: Arc::default(),
            origin: instant(),
        }
    }

    /// Sets the clock forward, or back if negative; monotonic time does not notice.
    pub fn jump_ms(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    fn wall_ms(&self) -> u64 {
        self.start_ms
            .saturating_add(whole_ms(instant().duration_since(self.origin)))
            .saturating_add_signed(self.jumped_ms.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Clone)]
enum Wall {
    System,
    Simulated(SimulatedWall),
}

/// Tells both times and waits by the monotonic one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    wall: Wall,
    origin: Instant,
    /// What [`Self::age_ms`] was at `origin`.
    age_base_ms: Arc<AtomicU64>,
}

impl Clock {
    /// The operating system's clocks.
    pub fn system() -> Self {
        Self::new(Wall::System)
    }

    /// A clock that shows `wall`'s time. Both its times follow the runtime's, so that a paused
    /// runtime which skips ahead to the next wake-up advances both.
    pub fn simulated(wall: &SimulatedWall) -> Self {
        Self::new(Wall::Simulated(wall.clone()))
    }

    fn new(wall: Wall) -> Self {
        Self {
            wall,
            origin: instant(),
            age_base_ms: Arc::default(),
        }
    }

    /// Milliseconds since 1970-01-01T00:00Z without leap seconds, as the machine believes: for
    /// `origin_server_ts`, validity of keys and certificates, and people. May jump either way
    /// between two calls. Zero before 1970.
    pub fn wall_ms(&self) -> u64 {
        match &self.wall {
            Wall::System => system_wall_ms(),
            Wall::Simulated(wall) => wall.wall_ms(),
        }
    }

    /// Now, for measuring spans and setting deadlines inside this process.
    pub fn now(&self) -> Moment {
        Moment(instant().duration_since(self.origin))
    }

    /// Milliseconds that this installation has lived: never goes back, not even over a restart if
    /// [`Self::resume`] was called. What Belfry itself hands out and must expire (sessions, one-time
    /// links, cached answers) is measured by it. Time while the machine was suspended is not
    /// counted.
    pub fn age_ms(&self) -> u64 {
        self.age_base_ms
            .load(Ordering::SeqCst)
            .saturating_add(whole_ms(self.now().0))
    }

    /// The age together with the wall time, to be stored now and then and given to
    /// [`Self::resume`] after a restart.
    pub fn age(&self) -> Age {
        Age {
            age_ms: self.age_ms(),
            wall_ms: self.wall_ms(),
        }
    }

    /// Goes on from the age that was stored last. The time since then is taken from the wall clock,
    /// but not more than [`crate::DOWNTIME_MAX`] and not less than nothing. Age never goes back: a
    /// second call with an older value changes nothing.
    pub fn resume(&self, stored: Age) {
        let age_ms = stored.resumed_ms(self.wall_ms());
        let lived_ms = whole_ms(self.now().0);
        self.age_base_ms
            .fetch_max(age_ms.saturating_sub(lived_ms), Ordering::SeqCst);
    }

    /// Returns after `span` of monotonic time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }

    /// Returns once `moment` is reached; at once if it is past.
    pub async fn sleep_until(&self, moment: Moment) {
        wake_at(self.origin.checked_add(moment.0)).await;
    }

    /// The future's answer, if it comes within `span`; the future is dropped otherwise. An answer
    /// that is ready at the same instant counts.
    pub async fn within<F: Future>(&self, span: Duration, future: F) -> Result<F::Output, Late> {
        within(span, future).await
    }
}

/// [`Clock::within`] for this crate, where no clock is at hand; all clocks wait alike.
pub(crate) async fn within<F: Future>(span: Duration, future: F) -> Result<F::Output, Late> {
    let limit = instant().checked_add(span);
    tokio::select! {
        biased;
        answer = future => Ok(answer),
        () = wake_at(limit) => Err(Late),
    }
}

/// Notices jumps of the wall clock, for a log line and a metric.
#[derive(Debug)]
pub struct WallWatch {
    seen: Moment,
    seen_wall_ms: u64,
}

impl WallWatch {
    /// Starts from the present.
    pub fn new(clock: &Clock) -> Self {
        Self {
            seen: clock.now(),
            seen_wall_ms: clock.wall_ms(),
        }
    }

    /// By how many milliseconds the wall clock was set forward (or back, if negative) since the
    /// last look; `None` if it differs from monotonic time by less than [`JUMP_MIN_MS`].
    pub fn jump_ms(&mut self, clock: &Clock) -> Option<i64> {
        let (now, wall_ms) = (clock.now(), clock.wall_ms());
        let expected_ms = self
            .seen_wall_ms
            .saturating_add(whole_ms(now.since(self.seen)));
        *self = Self {
            seen: now,
            seen_wall_ms: wall_ms,
        };
        let size_ms = wall_ms.abs_diff(expected_ms);
        let signed_ms = i64::try_from(size_ms).unwrap_or(i64::MAX);
        (size_ms >= JUMP_MIN_MS).then_some(if wall_ms < expected_ms {
            -signed_ms
        } else {
            signed_ms
        })
    }
}

/// Never, if the instant lies beyond the end of time.
#[expect(clippy::disallowed_methods, reason = "the one place that waits")]
async fn wake_at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
fn instant() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn system_wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, whole_ms)
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    const TEN_YEARS_MS: i64 = 3_652 * DAY_MS;

    fn world() -> (SimulatedWall, Clock) {
        let wall = SimulatedWall::at(START_MS);
        let clock = Clock::simulated(&wall);
        (wall, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_time_advances_both_clocks() {
        let (_, clock) = world();
        let before = clock.now();
        clock.sleep(Duration::from_hours(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_hours(3));
        assert_eq!(clock.wall_ms(), START_MS + 3 * 3_600 * 1_000);
        assert_eq!(clock.age_ms(), 3 * 3_600 * 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_jump_moves_no_deadline_and_no_age() {
        for jump_ms in [TEN_YEARS_MS, -DAY_MS] {
            let (wall, clock) = world();
            let deadline = clock.now() + Duration::from_mins(5);
            let age_ms = clock.age_ms();
            wall.jump_ms(jump_ms);
            assert_eq!(clock.wall_ms(), START_MS.saturating_add_signed(jump_ms));
            assert_eq!(deadline.since(clock.now()), Duration::from_mins(5));
            assert_eq!(clock.age_ms(), age_ms);
            clock.sleep_until(deadline).await;
            assert_eq!(clock.now(), deadline);
            assert_eq!(clock.age_ms(), age_ms + 5 * 60 * 1_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_under_way_does_not_notice_a_wall_jump() {
        for jump_ms in [TEN_YEARS_MS, -DAY_MS] {
            let (wall, clock) = world();
            let before = clock.now();
            let jump = async {
                clock.sleep(Duration::from_secs(10)).await;
                wall.jump_ms(jump_ms);
            };
            tokio::join!(clock.sleep(Duration::from_mins(1)), jump);
            assert_eq!(clock.now().since(before), Duration::from_mins(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_reports_each_jump_once() {
        let (wall, clock) = world();
        let mut watch = WallWatch::new(&clock);
        clock.sleep(Duration::from_mins(1)).await;
        assert_eq!(watch.jump_ms(&clock), None, "time that passes is no jump");
        for jump_ms in [TEN_YEARS_MS, -DAY_MS] {
            wall.jump_ms(jump_ms);
            assert_eq!(watch.jump_ms(&clock), Some(jump_ms));
            assert_eq!(watch.jump_ms(&clock), None);
        }
        wall.jump_ms(999);
        assert_eq!(watch.jump_ms(&clock), None, "slewing is no jump");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_before_1970_shows_zero() {
        let (wall, clock) = world();
        wall.jump_ms(i64::MIN);
        assert_eq!(clock.wall_ms(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn within_gives_the_answer_or_the_limit() {
        let (_, clock) = world();
        let slow = clock.sleep(Duration::from_secs(2));
        assert_eq!(clock.within(Duration::from_secs(1), slow).await, Err(Late));
        let limit = Duration::from_secs(2);
        assert_eq!(clock.within(limit, clock.sleep(limit)).await, Ok(()));
        assert_eq!(clock.now().since(Moment::default()), limit + limit / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_moment_never_comes() {
        let (_, clock) = world();
        let end = clock.now() + Duration::MAX;
        let waited = clock
            .within(Duration::from_hours(1), clock.sleep_until(end))
            .await;
        assert_eq!(waited, Err(Late));
    }

    #[tokio::test(start_paused = true)]
    async fn age_goes_on_after_a_restart() {
        let (_, before) = world();
        before.sleep(Duration::from_hours(1)).await;
        let stored = before.age();
        let wall = SimulatedWall::at(stored.wall_ms + 60_000);
        let after = Clock::simulated(&wall);
        after.resume(stored);
        assert_eq!(after.age_ms(), 3_600_000 + 60_000);
        after.sleep(Duration::from_secs(1)).await;
        after.resume(stored);
        assert_eq!(
            after.age_ms(),
            3_600_000 + 61_000,
            "resuming twice changes nothing"
        );
    }

    #[test]
    fn the_system_clock_agrees_with_itself() {
        let clock = Clock::system();
        let (first, wall_ms) = (clock.now(), clock.wall_ms());
        assert!(clock.now() >= first);
        assert!(wall_ms > START_MS, "this test was written after 2023");
    }
}
