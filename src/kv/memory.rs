//! The reference engine: in memory, sequential, as strict as the contract allows.
//!
//! Exists for tests and simulation: it is the contract in its plainest form, it loses on a crash
//! whatever may be lost, and every fault is one that a test asked for. Knows nothing of files; it
//! owns no thread, no timer and no randomness, and reads no clock but the one it is given.
//!
//! Commits stand in one line. The newest state, [`State::tip`], has all of them and decides the
//! checks; readers see those that were answered; a crash keeps those that are durable:
//!
//! ```text
//!        durable            visible               tip
//!  ─ synced ─┼─ lazy ─ lazy ───┼─ held ─ held ─────┤
//!            └ a crash keeps a prefix of these ────┘
//! ```

use std::{
    collections::VecDeque,
    future::{self, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    contract::{
        BoxFuture, Commit, CommitError, Direction, Durability, Engine, GET_MANY_KEYS_MAX,
        LAZY_DELAY_MAX, Page, ReadError, SCAN_MANY_RANGES_MAX, SNAPSHOT_AGE_MAX, Snapshot,
        Unavailable,
    },
    fault::{Fault, FaultPlan, Record, Recorded},
    image::Image,
    key::{Key, Position, Range},
};

/// Most commits that wait for a sync; more are answered [`Unavailable::Busy`].
pub const QUEUED_COMMITS_MAX: usize = 4_096;
/// Most lazy commits that a crash may lose; older ones count as durable.
pub const LAZY_COMMITS_MAX: usize = 10_000;
/// By how much positions jump when the engine is opened again, as those of engines that reserve
/// positions ahead do.
const REOPEN_JUMP: u128 = 1_000;

/// The time since any fixed moment. Only differences count.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A database that lives as long as the process.
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// The last synced commit; `None` once closed.
    synced: Mutex<Option<Position>>,
    /// It has moved. Not a `watch`, which wakes in an order that no seed decides.
    moved: Notify,
    /// How many commits wait for a sync.
    queued: watch::Sender<usize>,
    clock: Clock,
}

struct State {
    durable: Image,
    /// Behind `durable`, oldest first: answered lazy commits.
    lazy: VecDeque<Lazy>,
    visible: Image,
    /// Behind `visible`, oldest first.
    waiting: VecDeque<Waiting>,
    tip: Image,
    next: Option<Position>,
    holding: bool,
    closed: bool,
    plan: FaultPlan,
    record: Record,
}

struct Lazy {
    after: Image,
    answered_at: Duration,
}

struct Waiting {
    /// The state with this commit; `None` if it was not applied.
    after: Option<Image>,
    durability: Durability,
    answer: Result<Position, CommitError>,
    caller: oneshot::Sender<Result<Position, CommitError>>,
}

impl Default for Memory {
    /// An empty database for which time stands still: snapshots do not expire.
    fn default() -> Self {
        Self::new(Arc::new(|| Duration::ZERO))
    }
}

impl Memory {
    /// An empty database.
    pub fn new(clock: Clock) -> Self {
        let first = Position::ZERO.successor();
        let state = State::from_image(Image::default(), first, Arc::new(|_| Fault::None));
        Self::open(state, clock)
    }

    fn open(state: State, clock: Clock) -> Self {
        Self {
            synced: Mutex::new(Some(state.visible.position())),
            moved: Notify::new(),
            queued: watch::Sender::new(0),
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    /// Lets the plan decide the fate of each commit from now on, also after a crash or a reopen.
    pub fn set_faults(&self, plan: impl Fn(&Commit) -> Fault + Send + Sync + 'static) {
        self.lock().plan = Arc::new(plan);
    }

    /// Whether synced commits wait for [`Self::sync`] from now on, as if each had met
    /// [`Fault::Delay`].
    pub fn hold(&self, holding: bool) {
        self.lock().holding = holding;
    }

    /// Resolves once a commit waits for [`Self::sync`]. A simulated disk is a loop over this, a
    /// pause on the simulated clock, and `sync`.
    pub async fn queued(&self) {
        let mut queued = self.queued.subscribe();
        if queued.wait_for(|count| *count > 0).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Makes all that waits durable, and answers it in order. How many commits that were.
    pub fn sync(&self) -> usize {
        let mut state = self.lock();
        let count = state.waiting.len();
        self.settle(&mut state, count);
        count
    }

    /// As [`Self::sync`], for the commits up to the next synced one only.
    pub fn sync_next(&self) -> usize {
        let mut state = self.lock();
        let synced = |waiting: &Waiting| waiting.durability == Durability::Synced;
        let before = state.waiting.iter().position(synced);
        let count = before.map_or(state.waiting.len(), |before| before + 1);
        self.settle(&mut state, count);
        count
    }

    /// How many commits a crash would put at risk now.
    pub fn at_risk(&self) -> usize {
        let mut state = self.lock();
        state.settle_lazy((self.clock)());
        state.at_risk().count()
    }

    /// The power fails. Of the commits at risk the `survivors` first are kept, the others lost
    /// (choose a number up to [`Self::at_risk`], for instance by seed). This handle is closed, its
    /// waiting commits are answered [`CommitError::Unknown`]; the answer is the database as the
    /// restarted machine finds it, with the same clock and plan, nothing held, nothing recorded.
    #[must_use]
    pub fn crash(&self, survivors: usize) -> Self {
        let mut state = self.lock();
        state.settle_lazy((self.clock)());
        let last = survivors
            .checked_sub(1)
            .and_then(|last| state.at_risk().take(last + 1).last().cloned());
        let kept = last.unwrap_or_else(|| state.durable.clone());
        for waiting in state.waiting.drain(..) {
            let outage = CommitError::Unknown("the machine lost power".to_owned());
            // The caller may have gone: that takes no commit back.
            drop(waiting.caller.send(Err(outage)));
        }
        self.close(&mut state, kept)
    }

    /// Closes the database in good order, so that nothing is lost, and opens it again. This handle
    /// is closed.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut state = self.lock();
        let count = state.waiting.len();
        self.settle(&mut state, count);
        let kept = state.visible.clone();
        self.close(&mut state, kept)
    }

    fn close(&self, state: &mut State, kept: Image) -> Self {
        state.closed = true;
        self.announce(None);
        self.queued.send_replace(0);
        let next = state
            .next
            .and_then(|next| Position::new(next.number() + REOPEN_JUMP));
        Self::open(
            State::from_image(kept, next, Arc::clone(&state.plan)),
            Arc::clone(&self.clock),
        )
    }

    /// Keeps every commit from now on for [`Self::take_record`].
    pub fn record(&self) {
        self.lock().record.start();
    }

    /// The commits since recording began or this was last called, in the order of the calls.
    pub fn take_record(&self) -> Vec<Recorded> {
        self.lock().record.take()
    }

    /// Wakes those who wait in `changed`, in the order in which they came.
    fn announce(&self, synced: Option<Position>) {
        *self.synced.lock().unwrap_or_else(PoisonError::into_inner) = synced;
        self.moved.notify_waiters();
    }

    fn last_synced(&self) -> Option<Position> {
        *self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides the commit's answer and queues it, unless it is refused at once.
    fn queue(
        &self,
        commit: Commit,
    ) -> Result<oneshot::Receiver<Result<Position, CommitError>>, CommitError> {
        commit.within_limits().map_err(CommitError::TooLarge)?;
        let plan = Arc::clone(&self.lock().plan);
        // Asked without the lock, so that a plan may look at the engine.
        let fault = plan(&commit);
        let mut state = self.lock();
        state.admit()?;
        let held = state.holding && commit.durability == Durability::Synced;
        let held = held || fault == Fault::Delay || !state.waiting.is_empty();
        let answer = state.enqueue(commit, fault);
        if held {
            self.queued.send_replace(state.waiting.len());
        } else {
            self.settle(&mut state, 1);
        }
        Ok(answer)
    }

    /// Answers the `count` oldest of those that wait.
    fn settle(&self, state: &mut State, count: usize) {
        let now = (self.clock)();
        for _ in 0..count {
            let Some(waiting) = state.waiting.pop_front() else {
                break;
            };
            if let Some(after) = waiting.after {
                let position = after.position();
                state.publish(after, waiting.durability, now);
                if waiting.durability == Durability::Synced {
                    self.announce(Some(position));
                }
            }
            // The caller may have gone: that takes no commit back.
            drop(waiting.caller.send(waiting.answer));
        }
        self.queued.send_replace(state.waiting.len());
    }
}

impl State {
    fn from_image(image: Image, next: Option<Position>, plan: FaultPlan) -> Self {
        Self {
            durable: image.clone(),
            lazy: VecDeque::new(),
            visible: image.clone(),
            waiting: VecDeque::new(),
            tip: image,
            next,
            holding: false,
            closed: false,
            plan,
            record: Record::default(),
        }
    }

    fn admit(&self) -> Result<(), CommitError> {
        let cause = if self.closed {
            Unavailable::Closed
        } else if self.waiting.len() >= QUEUED_COMMITS_MAX {
            Unavailable::Busy
        } else {
            return Ok(());
        };
        Err(CommitError::Unavailable(cause))
    }

    fn enqueue(
        &mut self,
        commit: Commit,
        fault: Fault,
    ) -> oneshot::Receiver<Result<Position, CommitError>> {
        let (answer, after) = match self.decide(&commit, &fault) {
            Ok(after) if fault == Fault::UnknownApplied => (Err(unknown()), Some(after)),
            Ok(after) => (Ok(after.position()), Some(after)),
            Err(error) => (Err(error), None),
        };
        if let Some(after) = &after {
            self.tip = after.clone();
            self.next = after.position().successor();
        }
        let (caller, receiver) = oneshot::channel();
        self.waiting.push_back(Waiting {
            after,
            durability: commit.durability,
            answer: answer.clone(),
            caller,
        });
        self.record.add(|| Recorded {
            commit,
            fault,
            answer,
        });
        receiver
    }

    fn decide(&self, commit: &Commit, fault: &Fault) -> Result<Image, CommitError> {
        match fault {
            Fault::Conflict => return Err(CommitError::Conflict),
            Fault::UnknownLost => return Err(unknown()),
            Fault::Unavailable(cause) => return Err(CommitError::Unavailable(cause.clone())),
            Fault::None | Fault::UnknownApplied | Fault::Delay => {}
        }
        let exhausted = || Unavailable::Failed("no positions are left".to_owned());
        let position = self
            .next
            .ok_or_else(|| CommitError::Unavailable(exhausted()))?;
        self.tip.after(commit, position)
    }

    /// Shows a commit to readers.
    fn publish(&mut self, after: Image, durability: Durability, now: Duration) {
        self.visible = after.clone();
        match durability {
            Durability::Synced => {
                self.durable = after;
                self.lazy.clear();
            }
            Durability::Lazy => {
                self.lazy.push_back(Lazy {
                    after,
                    answered_at: now,
                });
                self.settle_lazy(now);
            }
        }
    }

    /// Counts lazy commits as durable that are old enough, or too many.
    fn settle_lazy(&mut self, now: Duration) {
        while let Some(oldest) = self.lazy.front() {
            let aged = now.saturating_sub(oldest.answered_at) >= LAZY_DELAY_MAX;
            if !aged && self.lazy.len() <= LAZY_COMMITS_MAX {
                break;
            }
            self.durable = oldest.after.clone();
            self.lazy.pop_front();
        }
    }

    /// The states behind the durable one, oldest first.
    fn at_risk(&self) -> impl Iterator<Item = &Image> {
        let lazy = self.lazy.iter().map(|lazy| &lazy.after);
        lazy.chain(
            self.waiting
                .iter()
                .filter_map(|waiting| waiting.after.as_ref()),
        )
    }
}

fn unknown() -> CommitError {
    CommitError::Unknown("a fault was injected".to_owned())
}

impl Engine for Memory {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        let state = self.lock();
        let view = if state.closed {
            Err(ReadError::Unavailable(Unavailable::Closed.to_string()))
        } else {
            Ok(Arc::new(View {
                image: state.visible.clone(),
                taken_at: (self.clock)(),
                clock: Arc::clone(&self.clock),
            }) as Arc<dyn Snapshot>)
        };
        Box::pin(future::ready(view))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        let queued = self.queue(commit);
        Box::pin(async move {
            let lost = |_| CommitError::Unknown("the database was dropped".to_owned());
            queued?.await.map_err(lost)?
        })
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        Box::pin(async move {
            loop {
                let moved = self.moved.notified();
                match self.last_synced() {
                    Some(last) if last > after => return last,
                    Some(_) => moved.await,
                    None => pending().await,
                }
            }
        })
    }
}

struct View {
    image: Image,
    taken_at: Duration,
    clock: Clock,
}

impl View {
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Image) -> Result<T, ReadError>,
    ) -> BoxFuture<'static, Result<T, ReadError>> {
        let age = (self.clock)().saturating_sub(self.taken_at);
        let answer = if age > SNAPSHOT_AGE_MAX {
            Err(ReadError::Expired)
        } else {
            read(&self.image)
        };
        Box::pin(future::ready(answer))
    }
}

impl Snapshot for View {
    fn position(&self) -> Position {
        self.image.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        self.read(|image| {
            at_most(keys.len(), GET_MANY_KEYS_MAX)?;
            Ok(keys.iter().map(|key| image.get(key)).collect())
        })
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.read(|image| Ok(image.page(range, direction, limit)))
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        self.read(|image| {
            at_most(ranges.len(), SCAN_MANY_RANGES_MAX)?;
            Ok(image.pages(ranges, limit_each))
        })
    }
}

fn at_most(count: usize, max: usize) -> Result<(), ReadError> {
    if count > max {
        Err(ReadError::TooLarge)
    } else {
        Ok(())
    }
}
