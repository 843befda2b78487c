//! The suite passes on the memory engine, and fails on engines with one flaw each.
#![expect(
    clippy::disallowed_methods,
    reason = "the simulated disk is a task of the test"
)]

mod flaws;

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::task::{AbortHandle, yield_now};

use crate::{
    BoxFuture, Commit, CommitError, Direction, Engine, Key, Memory, Page, Position, Range,
    ReadError, Snapshot,
    conformance::{self, Harness, NAMES},
    engine_conformance,
};

type Answer = BoxFuture<'static, Result<Position, CommitError>>;

/// What an engine does wrong; nothing unless overridden.
trait Flaw: Send + Sync + Sized + 'static {
    /// Whether commits wait in groups for a disk.
    const GROUPS: bool = true;

    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        engine.inner.commit(commit)
    }

    fn changed(engine: &Flawed<Self>, after: Position) -> BoxFuture<'_, Position> {
        engine.inner.changed(after)
    }

    fn see(_: &Flawed<Self>, view: Arc<dyn Snapshot>) -> Arc<dyn Snapshot> {
        view
    }

    fn page(
        view: &dyn Snapshot,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> PageFuture<'_> {
        view.scan(range, direction, limit)
    }
}

type PageFuture<'a> = BoxFuture<'a, Result<Page, ReadError>>;

struct Flawed<F> {
    inner: Arc<Memory>,
    /// Where the database stood when it was opened.
    opened_at: Position,
    flaw: PhantomData<F>,
}

impl<F: Flaw> Engine for Flawed<F> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        Box::pin(async {
            let inner = F::see(self, self.inner.snapshot().await?);
            let flaw = PhantomData::<F>;
            Ok(Arc::new(Viewed { inner, flaw }) as Arc<dyn Snapshot>)
        })
    }

    fn commit(&self, commit: Commit) -> Answer {
        F::commit(self, commit)
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        F::changed(self, after)
    }
}

struct Viewed<F> {
    inner: Arc<dyn Snapshot>,
    flaw: PhantomData<F>,
}

impl<F: Flaw> Snapshot for Viewed<F> {
    fn position(&self) -> Position {
        self.inner.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        self.inner.get_many(keys)
    }

    fn scan(&self, range: Range, direction: Direction, limit: usize) -> PageFuture<'_> {
        F::page(&*self.inner, range, direction, limit)
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        self.inner.scan_many(ranges, limit_each)
    }
}

/// A memory engine with a simulated clock and disk.
struct Subject<F> {
    memory: Arc<Memory>,
    opened_at: Position,
    clock_ms: Arc<AtomicU64>,
    disk: Option<AbortHandle>,
    /// Chooses what a crash keeps.
    chance: usize,
    flaw: PhantomData<F>,
}

impl<F: Flaw> Subject<F> {
    async fn start(&mut self, memory: Memory) {
        self.opened_at = memory.snapshot().await.unwrap().position();
        self.memory = Arc::new(memory);
        if F::GROUPS {
            self.memory.hold(true);
            let disk = Arc::clone(&self.memory);
            let turns = tokio::spawn(async move {
                loop {
                    disk.queued().await;
                    yield_now().await;
                    disk.sync();
                }
            });
            if let Some(stopped) = self.disk.replace(turns.abort_handle()) {
                stopped.abort();
            }
        }
    }
}

impl<F: Flaw> Harness for Subject<F> {
    async fn open() -> Self {
        let clock_ms = Arc::new(AtomicU64::new(0));
        let ms = Arc::clone(&clock_ms);
        let clock = Arc::new(move || Duration::from_millis(ms.load(Ordering::Relaxed)));
        let mut subject = Self {
            memory: Arc::default(),
            opened_at: Position::ZERO,
            clock_ms,
            disk: None,
            chance: 0,
            flaw: PhantomData,
        };
        subject.start(Memory::new(clock)).await;
        subject
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(Flawed {
            inner: Arc::clone(&self.memory),
            opened_at: self.opened_at,
            flaw: PhantomData::<F>,
        })
    }

    async fn reopen(&mut self) {
        let next = self.memory.reopen();
        self.start(next).await;
    }

    async fn crash(&mut self) {
        self.chance = (self.chance + 1) * 7;
        let survivors = self.chance % (self.memory.at_risk() + 1);
        let next = self.memory.crash(if F::GROUPS { survivors } else { 0 });
        self.start(next).await;
    }

    fn advance(&self, time: Duration) {
        let ms = time.as_millis().try_into().unwrap();
        self.clock_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

struct Nothing;
impl Flaw for Nothing {}

struct NothingAtOnce;
impl Flaw for NothingAtOnce {
    const GROUPS: bool = false;
}

type Grouping = Subject<Nothing>;
type Prompt = Subject<NothingAtOnce>;

engine_conformance!(memory_with_groups, Grouping);
engine_conformance!(memory_at_once, Prompt);

/// Runs the cases and demands that every one fails.
fn assert_caught<F: Flaw>(cases: &[&str]) {
    for name in cases {
        assert!(NAMES.contains(name), "{name} is a case");
        let caught = catch_unwind(AssertUnwindSafe(|| {
            // Paused time: a case that hangs is over at once.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            runtime.block_on(conformance::run::<Subject<F>>(name));
        }));
        assert!(
            caught.is_err(),
            "{name} overlooks {}",
            std::any::type_name::<F>()
        );
    }
}
