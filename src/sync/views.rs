//! The door to everything that is read of rooms for clients.
//!
//! It exists so that requests share what is worth sharing: who is to be woken, facts that never
//! change, what a device was sent. It knows nothing of what each request reads.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use belfry_data::{Engine, SharedSnapshot, Snapshot, Stamp, account};
use belfry_env::{Env, Moment};
use ruma_common::{OwnedServerName, UserId};

use crate::{
    counts::Counts,
    error::{Fault, ViewError},
    facts::Facts,
    filter::Filter,
    note_trim::Notified,
    notifier::Notifier,
    parsed::Filters,
    projector::Projector,
    push::Noted,
    sent::SentMembers,
    shared_news::SharedNews,
    token::Tokens,
};

/// How often an answer is begun anew because a snapshot grew too old under it.
const SNAPSHOTS_MAX: usize = 3;

/// Rooms as clients see them. Cheap to clone.
#[derive(Clone)]
pub struct Views(pub(crate) Arc<Shared>);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) env: Env,
    pub(crate) server_name: OwnedServerName,
    pub(crate) tokens: Tokens,
    pub(crate) facts: Facts,
    pub(crate) news: SharedNews,
    pub(crate) filters: Filters,
    pub(crate) sent: SentMembers,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) noted: Arc<Noted>,
    pub(crate) notified: Arc<Notified>,
    pub(crate) lately: Mutex<Option<Lately>>,
}

/// The snapshot that was taken last, for as long as somebody reads it.
pub(crate) struct Lately {
    snapshot: Weak<SharedSnapshot>,
    taken: Moment,
    /// It holds the notes of what happened up to here.
    counted: Stamp,
}

impl Views {
    /// Views of the database that `engine` holds, whose incarnation tells its tokens from those of
    /// others. Starts the task that wakes waiting requests; it ends when the server stops.
    pub fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        server_name: OwnedServerName,
        incarnation: [u8; 16],
    ) -> Self {
        let notifier = Arc::new(Notifier::default());
        let follow = Arc::clone(&notifier).follow(Arc::clone(&engine), env.clone());
        env.tasks.spawn("sync notifier", follow);
        let counts = Arc::new(Counts::default());
        let noted = Arc::new(Noted::default());
        let to_trim = Arc::new(Notified::default());
        let projector = Projector::new(
            Arc::clone(&engine),
            env.clone(),
            server_name.clone(),
            Arc::clone(&counts),
            Arc::clone(&notifier),
            (Arc::clone(&noted), Arc::clone(&to_trim)),
        );
        env.tasks.spawn("sync projector", projector.run());
        let views = Self(Arc::new(Shared {
            engine,
            env,
            server_name,
            tokens: Tokens::new(incarnation),
            facts: Facts::default(),
            news: SharedNews::default(),
            filters: Filters::default(),
            sent: SentMembers::default(),
            notifier,
            counts,
            noted,
            notified: to_trim,
            lately: Mutex::default(),
        }));
        let trimming = views.clone().keep_notes_trimmed();
        views.0.env.tasks.spawn("note trimming", trimming);
        views
    }

    /// How many requests wait for something new.
    pub fn waiting(&self) -> usize {
        self.0.notifier.waiting()
    }

    /// Looks for what was written without being durable, such as who types: nobody who waits is
    /// woken by that alone.
    pub fn nudge(&self) {
        self.0.notifier.nudge();
    }

    /// The filter that a `filter` parameter means: a definition, or the ID of one that the user has
    /// stored. Without a parameter everything is wanted.
    ///
    /// # Errors
    /// [`ViewError::Filter`], [`ViewError::UnknownFilter`], [`ViewError::Fault`].
    pub async fn filter(
        &self,
        user: &UserId,
        parameter: Option<&str>,
    ) -> Result<Filter, ViewError> {
        let Some(parameter) = parameter else {
            return Ok(Filter::default());
        };
        if parameter.starts_with('{') {
            return Ok(self.0.filters.read(parameter)?);
        }
        if parameter.len() > FILTER_ID_BYTES_MAX {
            return Err(ViewError::UnknownFilter);
        }
        let snapshot = self.0.engine.snapshot().await?;
        let row = account::filter(&*snapshot, user, parameter).await?;
        let row = row.ok_or(ViewError::UnknownFilter)?;
        Ok(self.0.filters.read(&row.definition)?)
    }
}

/// How long an answer waits for its events to be counted.
pub const PROJECTOR_WAIT_MAX: Duration = Duration::from_secs(1);

/// How old a snapshot may be that one more request reads: long before it expires.
const LATELY_MAX: Duration = Duration::from_secs(1);

/// Longest ID of a filter that is looked up.
const FILTER_ID_BYTES_MAX: usize = 255;

impl Shared {
    pub(crate) async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Fault> {
        Ok(self.engine.snapshot().await?)
    }

    /// A snapshot that holds what happened up to `at`, and the notes of what happened up to
    /// `counted`, which are there. It may be one that others read already: what they have read is
    /// remembered, so that a thousand who are woken by one event read it once.
    pub(crate) async fn snapshot_with(
        &self,
        at: Stamp,
        counted: Stamp,
    ) -> Result<Arc<dyn Snapshot>, Fault> {
        let now = self.env.clock.now();
        let lately = || self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let held = lately().as_ref().and_then(|lately| {
            let young = now.since(lately.taken) < LATELY_MAX && lately.counted >= counted;
            lately.snapshot.upgrade().filter(|_| young)
        });
        if let Some(held) = held.filter(|held| held.position() >= at.position) {
            return Ok(held);
        }
        let counted = self.counts.done();
        let snapshot = Arc::new(SharedSnapshot::new(self.snapshot().await?));
        *lately() = Some(Lately {
            snapshot: Arc::downgrade(&snapshot),
            taken: now,
            counted,
        });
        Ok(snapshot)
    }

    /// A snapshot that holds the notes of what happened up to `until`; if they do not come in time,
    /// the same snapshot, and the rooms are told again when they come.
    pub(crate) async fn counted(
        &self,
        snapshot: &Arc<dyn Snapshot>,
        until: Stamp,
    ) -> Result<Arc<dyn Snapshot>, Fault> {
        let at = Stamp {
            position: snapshot.position(),
            ..until
        };
        if self.counts.reached(until) {
            return self.snapshot_with(at, until).await;
        }
        let wait = self.counts.wait(until);
        if self
            .env
            .clock
            .within(PROJECTOR_WAIT_MAX, wait)
            .await
            .is_ok()
        {
            return self.snapshot_with(at, until).await;
        }
        self.counts.give_up(until);
        Ok(Arc::clone(snapshot))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.env.clock.wall_ms()
    }

    /// Reads on one snapshot; once more on a later one if it grew too old.
    pub(crate) async fn read<T, F>(
        &self,
        read: impl Fn(Arc<dyn Snapshot>) -> F,
    ) -> Result<T, ViewError>
    where
        F: Future<Output = Result<T, ViewError>> + Send,
    {
        let mut tries = 0;
        loop {
            let snapshot = self.snapshot().await?;
            tries += 1;
            match Box::pin(read(snapshot)).await {
                Err(ViewError::Fault(fault)) if fault.is_expired() && tries < SNAPSHOTS_MAX => {}
                settled => return settled,
            }
        }
    }
}
