//! The disk below one life of a server: syncs that take time, reads that may fail, and the moment
//! at which the power does.
//!
//! It exists so that a crash can be put anywhere in the way of a commit, and so that nothing that
//! happens after it is seen by anybody. It knows nothing of rooms, and of what the commits hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use belfry_data::{
    BoxFuture, Commit, CommitError, Engine, Position, ReadError, Snapshot, Unavailable, keyspaces,
};
use belfry_env::Clock;
use belfry_kv::{Check, Direction, Key, Memory, Page, Range};
use bytes::Bytes;
use tokio::select;

use crate::dice::Dice;
use crate::plan::{Doom, Plan, Point};
use crate::shared::Shared;
use crate::signal::Signal;
use crate::trace::Trace;
use crate::weather::{ReadFate, Weather};

/// Commits of one life beyond which the server is not working but turning in circles.
const COMMITS_MAX: u64 = 20_000;
/// Reads of one life, likewise.
const READS_MAX: u64 = 400_000;

/// How a life is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// As it should.
    Running,
    /// The disk has failed: nothing more can be written.
    Wedged,
    /// The power has failed. Nothing that happens now is seen by anybody.
    Dead,
}

/// The disk. Cheap to clone; clones are the same disk.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Inner>);

struct Inner {
    memory: Arc<Memory>,
    /// The memory engine, or what a test put in its place to see a checker fail.
    engine: Arc<dyn Engine>,
    weather: Weather,
    clock: Clock,
    dice: Dice,
    trace: Trace,
    sync_ms: (u64, u64),
    stalls: u64,
    doom: Option<Doom>,
    fate: Signal<Fate>,
    state: Shared<State>,
}

#[derive(Default)]
struct State {
    submitted: u64,
    settled: u64,
    reads: u64,
    /// Commits under way, by the room head that they check.
    flights: BTreeMap<Key, usize>,
    flights_max: usize,
    runaway: Option<&'static str>,
    /// The doom, once it has come by a commit.
    struck: Option<Point>,
    /// Whether the doom comes no more.
    spared: bool,
}

/// What a disk is made of.
pub(crate) struct Parts {
    pub(crate) memory: Arc<Memory>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) weather: Weather,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
}

impl Disk {
    /// A disk that holds what `memory` holds, and fails as `doom` says.
    pub(crate) fn new(parts: Parts, plan: &Plan, doom: Option<Doom>) -> Self {
        parts.memory.hold(true);
        Self(Arc::new(Inner {
            memory: parts.memory,
            engine: parts.engine,
            weather: parts.weather,
            clock: parts.clock,
            dice: parts.dice,
            trace: parts.trace,
            sync_ms: plan.sync_ms,
            stalls: plan.stalls,
            doom,
            fate: Signal::new(Fate::Running),
            state: Shared::default(),
        }))
    }

    /// How the life is going.
    pub(crate) fn fate(&self) -> Fate {
        self.0.fate.get()
    }

    /// Returns once the life is no longer going as it should.
    pub(crate) async fn failed(&self) -> Fate {
        self.0.fate.until(|fate| fate != Fate::Running).await
    }

    /// Returns once the power has failed.
    pub(crate) async fn died(&self) {
        self.0.fate.until(|fate| fate == Fate::Dead).await;
    }

    /// The power fails now.
    pub(crate) fn kill(&self) {
        self.0.fate.set(Fate::Dead);
    }

    /// The most commits that were under way for one room at the same time.
    pub(crate) fn flights_max(&self) -> usize {
        self.0.state.lock().flights_max
    }

    /// The doom, if it has come by a commit.
    pub(crate) fn struck(&self) -> Option<Point> {
        self.0.state.lock().struck
    }

    /// The doom, if it has not come yet, comes no more: nobody would watch for it.
    pub(crate) fn spare(&self) {
        self.0.state.lock().spared = true;
    }

    /// What the server did without end, if it did.
    pub(crate) fn runaway(&self) -> Option<&'static str> {
        self.0.state.lock().runaway
    }

    /// Syncs what is queued, again and again, until the life ends.
    pub(crate) async fn spin(self) {
        let inner = &*self.0;
        loop {
            select! { biased;
                _ = self.failed() => return,
                () = inner.memory.queued() => {}
            }
            inner.clock.sleep(inner.sync_time()).await;
            if self.fate() != Fate::Running {
                return;
            }
            let one = inner.dice.chance(150);
            let settled = if one {
                inner.memory.sync_next()
            } else {
                inner.memory.sync()
            };
            let settled = inner.settle(settled);
            if self.dooms(Point::Synced, settled) {
                self.kill();
            }
        }
    }

    /// Whether the doom comes with a commit up to this number, at this point.
    fn dooms(&self, point: Point, number: u64) -> bool {
        let spared = self.0.state.lock().spared;
        let due = self.0.doom.filter(|doom| doom.point == point && !spared);
        let comes = due.is_some_and(|doom| match point {
            Point::Synced => doom.commit <= number,
            _ => doom.commit == number,
        });
        if comes {
            let trace = &self.0.trace;
            trace.note(format_args!("doom: {point:?} at commit {number}"));
            self.0.state.lock().struck = Some(point);
        }
        comes
    }

    async fn read(&self) -> Result<(), ReadError> {
        self.0.count_read(self);
        match self.0.weather.read_fate() {
            ReadFate::Prompt => {}
            ReadFate::Slow(pause) => self.0.clock.sleep(pause).await,
            ReadFate::Fails => {
                self.0.trace.note("a read fails");
                return Err(ReadError::Unavailable("a read was made to fail".to_owned()));
            }
        }
        if self.fate() == Fate::Dead {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl Inner {
    fn sync_time(&self) -> Duration {
        if self.dice.chance(self.stalls) && !self.weather.is_peaceful() {
            self.trace.note("the disk stalls");
            return self.dice.pause(2_000, 9_000);
        }
        self.dice.pause(self.sync_ms.0, self.sync_ms.1)
    }

    fn settle(&self, count: usize) -> u64 {
        let mut state = self.state.lock();
        state.settled += count as u64;
        state.settled
    }

    fn count_read(&self, disk: &Disk) {
        let mut state = self.state.lock();
        state.reads += 1;
        if state.reads > READS_MAX {
            state.runaway = Some("reads without end");
            drop(state);
            disk.kill();
        }
    }

    fn count_commit(&self, disk: &Disk) -> u64 {
        let mut state = self.state.lock();
        state.submitted += 1;
        let number = state.submitted;
        if number > COMMITS_MAX {
            state.runaway = Some("commits without end");
            drop(state);
            disk.kill();
        }
        number
    }

    fn launch(self: &Arc<Self>, commit: &Commit) -> Flight {
        let room = room_of(commit);
        if let Some(room) = &room {
            let mut state = self.state.lock();
            let flights = state.flights.entry(room.clone()).or_default();
            *flights += 1;
            let flights = *flights;
            state.flights_max = state.flights_max.max(flights);
        }
        Flight {
            disk: Arc::clone(self),
            room,
        }
    }
}

/// A commit under way, until this is dropped.
struct Flight {
    disk: Arc<Inner>,
    room: Option<Key>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if let Some(room) = &self.room
            && let Some(flights) = state.flights.get_mut(room)
        {
            *flights -= 1;
        }
    }
}

/// The head that a room's commit checks.
pub(crate) fn room_of(commit: &Commit) -> Option<Key> {
    let heads = keyspaces().iter().find(|space| space.name == "room_head");
    let tag = heads.expect("rooms have heads").tag;
    commit.checks.iter().find_map(|check| match check {
        Check::Absent(key) | Check::Equals(key, _) | Check::Within { key, .. } => {
            (key.tag() == tag).then(|| key.clone())
        }
    })
}

impl Engine for Disk {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        Box::pin(async {
            self.read().await?;
            let view = self.0.engine.snapshot().await?;
            let disk = self.clone();
            Ok(Arc::new(View { disk, view }) as Arc<dyn Snapshot>)
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        match self.fate() {
            Fate::Running => {}
            Fate::Wedged => {
                let failed = Unavailable::Failed("the disk has failed".to_owned());
                return Box::pin(async { Err(CommitError::Unavailable(failed)) });
            }
            Fate::Dead => return Box::pin(std::future::pending()),
        }
        let number = self.0.count_commit(self);
        if self.dooms(Point::Before, number) {
            self.kill();
            return Box::pin(std::future::pending());
        }
        let flight = self.0.launch(&commit);
        let answer = self.0.engine.commit(commit);
        if self.dooms(Point::Queued, number) {
            self.kill();
        } else if self.dooms(Point::Wedged, number) {
            self.0.fate.set(Fate::Wedged);
        }
        let disk = self.clone();
        Box::pin(async move {
            let _flight = flight;
            let answer = select! { biased;
                () = disk.wedged() => Err(CommitError::Unknown("the disk has failed".to_owned())),
                answer = answer => answer,
            };
            if disk.fate() == Fate::Dead {
                std::future::pending::<()>().await;
            }
            answer
        })
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        self.0.engine.changed(after)
    }
}

impl Disk {
    /// Returns once the disk has failed; never if the power fails.
    async fn wedged(&self) {
        if self.failed().await == Fate::Dead {
            std::future::pending::<()>().await;
        }
    }
}

/// A snapshot behind the disk.
struct View {
    disk: Disk,
    view: Arc<dyn Snapshot>,
}

impl Snapshot for View {
    fn position(&self) -> Position {
        self.view.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        Box::pin(async move {
            self.disk.read().await?;
            self.view.get_many(keys).await
        })
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.disk.read().await?;
            self.view.scan(range, direction, limit).await
        })
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        Box::pin(async move {
            self.disk.read().await?;
            self.view.scan_many(ranges, limit_each).await
        })
    }
}
