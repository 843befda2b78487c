//! Who is to be woken: follows the server's log and tells each user's ring which rooms changed.
//!
//! It exists so that thousands of requests wait at the cost of a channel each, and a request that
//! comes back finds what changed by one look. It knows nothing of what changed in a room.
//!
//! A task follows the engine; a request that took a snapshot further along reads the rest of the log
//! itself, so that the ring never lags behind the snapshot that it is used with. A ring begins when
//! its user comes first; what was before, or fell out, is found by the rooms' tails instead. After a
//! restart all rings are new.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::{Engine, GlobalRow, Position, STAMP_LAST, Snapshot, Stamp, global_log};
use belfry_env::Env;
use ruma_common::{OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{self, watch};

use crate::{
    audience::{Audiences, Listeners},
    error::{Fault, ViewError},
    ring::Ring,
    room_view::behind,
};

/// Requests of one user that wait at the same time.
pub const WAITING_PER_USER_MAX: usize = 64;
/// Requests of all users that wait at the same time.
pub const WAITING_MAX: usize = 100_000;
/// Users that have a ring; the one who came longest ago loses theirs first.
pub const RINGS_MAX: usize = 100_000;

/// Entries of the log read at once.
const LOG_PAGE: usize = 1_000;
/// How long the task waits after it could not read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    /// Held by whoever reads the log.
    audiences: sync::Mutex<Audiences>,
    users: Mutex<Users>,
}

#[derive(Debug, Default)]
struct Users {
    /// How far the log was read; `None` before the first snapshot.
    head: Option<Stamp>,
    slots: BTreeMap<OwnedUserId, Slot>,
    waiting: usize,
    uses: u64,
}

#[derive(Debug)]
struct Slot {
    ring: Ring,
    /// The latest that concerns the user.
    news: watch::Sender<Stamp>,
    waiting: usize,
    used: u64,
}

/// A request that may wait.
#[derive(Debug)]
pub(crate) struct Waiter {
    notifier: Arc<Notifier>,
    user: OwnedUserId,
    news: watch::Receiver<Stamp>,
    counted: bool,
}

impl Waiter {
    /// Resolves once something that concerns the user happened behind `until`.
    pub(crate) async fn news(&mut self, until: Stamp) {
        let told = self.news.wait_for(|last| *last > until).await.is_ok();
        if !told {
            // Only a ring that nobody waits for is dropped.
            pending::<()>().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.counted {
            self.notifier.lock().leave(&self.user);
        }
    }
}

impl Notifier {
    /// Begins to keep a ring for the user, if there is none. With `waits`, the request counts
    /// among those that wait until the waiter is dropped.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        user: &UserId,
        waits: bool,
    ) -> Result<Waiter, ViewError> {
        let mut users = self.lock();
        let too_many = users.waiting >= WAITING_MAX;
        let slot = users.slot(user);
        if waits && (too_many || slot.waiting >= WAITING_PER_USER_MAX) {
            return Err(ViewError::TooManyWaiting);
        }
        slot.waiting += usize::from(waits);
        let news = slot.news.subscribe();
        users.waiting += usize::from(waits);
        Ok(Waiter {
            notifier: Arc::clone(self),
            user: user.to_owned(),
            news,
            counted: waits,
        })
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// The user's rooms that changed behind `since`; `None` if that is too long ago to tell. Call
    /// [`Self::advance`] before.
    pub(crate) fn changed(&self, user: &UserId, since: Stamp) -> Option<BTreeSet<OwnedRoomId>> {
        self.lock().slots.get(user)?.ring.since(since)
    }

    /// Follows the engine until the server stops.
    pub(crate) async fn follow(self: Arc<Self>, engine: Arc<dyn Engine>, env: Env) {
        let mut seen = Position::ZERO;
        while !env.shutdown.begun() {
            let Some(last) = env.shutdown.unless(engine.changed(seen)).await else {
                return;
            };
            match self.catch_up(&*engine).await {
                Ok(()) => seen = last,
                Err(fault) => {
                    tracing::warn!(%fault, "the log could not be followed; trying again");
                    let pause = env.clock.sleep(RETRY_AFTER);
                    _ = env.shutdown.unless(pause).await;
                }
            }
        }
    }

    async fn catch_up(&self, engine: &dyn Engine) -> Result<(), Fault> {
        let snapshot = engine.snapshot().await?;
        self.advance(&*snapshot).await
    }

    /// Reads the log as far as the snapshot goes, unless somebody else has.
    pub(crate) async fn advance(&self, snapshot: &dyn Snapshot) -> Result<(), Fault> {
        let target = behind(snapshot);
        if self.lock().head.is_some_and(|head| head >= target) {
            return Ok(());
        }
        let mut audiences = self.audiences.lock().await;
        let mut next = self.lock().left_to_read(target);
        while let Some(head) = next {
            let page = global_log(snapshot, head, LOG_PAGE).await?;
            let last = page.entries.last().map(|(stamp, _)| *stamp);
            let reached = last.filter(|_| page.more).unwrap_or(target);
            let changed = Changed::of(page.entries);
            let names: Vec<_> = changed.rooms.keys().map(|room| &**room).collect();
            let (listeners, learnt) = audiences.listeners(snapshot, &names).await?;
            // Nothing awaits from here: a request that is given up leaves no half-told page.
            self.lock().deliver(&changed, listeners, target, reached);
            audiences.keep(learnt);
            next = page.more.then_some(reached);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run of the log is about, each with the last entry.
#[derive(Debug, Default)]
struct Changed {
    rooms: BTreeMap<OwnedRoomId, Stamp>,
    users: BTreeMap<OwnedUserId, Stamp>,
}

impl Changed {
    fn of(entries: Vec<(Stamp, GlobalRow)>) -> Self {
        let mut changed = Self::default();
        for (stamp, row) in entries {
            match row {
                GlobalRow::Event { room, .. } => {
                    let room = OwnedRoomId::try_from(&*room).ok();
                    changed.rooms.extend(room.map(|room| (room, stamp)));
                }
                GlobalRow::AccountData { user } => {
                    let user = OwnedUserId::try_from(&*user).ok();
                    changed.users.extend(user.map(|user| (user, stamp)));
                }
            }
        }
        changed
    }
}

impl Users {
    /// Where to read on to reach `target`; `None` if it is reached. The first to ask begins there,
    /// and no ring promises more.
    fn left_to_read(&mut self, target: Stamp) -> Option<Stamp> {
        let Some(head) = self.head else {
            self.head = Some(target);
            for slot in self.slots.values_mut() {
                slot.ring = Ring::new(target);
            }
            return None;
        };
        if self.slots.is_empty() {
            self.head = self.head.max(Some(target));
            return None;
        }
        (head < target).then_some(head)
    }

    fn deliver(
        &mut self,
        changed: &Changed,
        listeners: Vec<Option<Listeners>>,
        target: Stamp,
        reached: Stamp,
    ) {
        for ((room, at), listeners) in changed.rooms.iter().zip(listeners) {
            let Some(listeners) = listeners else { continue };
            for user in listeners.joined() {
                self.tell(user, Some(room), *at);
            }
            // Memberships are those at `target`: they may have changed behind this page.
            for user in listeners.changed() {
                self.tell(user, Some(room), target);
            }
        }
        for (user, at) in &changed.users {
            self.tell(user, None, *at);
        }
        self.head = self.head.max(Some(reached));
    }

    fn tell(&mut self, user: &UserId, room: Option<&OwnedRoomId>, at: Stamp) {
        let Some(slot) = self.slots.get_mut(user) else {
            return;
        };
        if let Some(room) = room {
            slot.ring.push(room, at);
        }
        slot.news.send_if_modified(|last| {
            let newer = at > *last;
            *last = at.max(*last);
            newer
        });
    }

    fn slot(&mut self, user: &UserId) -> &mut Slot {
        self.uses += 1;
        let now = self.uses;
        if !self.slots.contains_key(user) && self.slots.len() >= RINGS_MAX {
            self.drop_oldest();
        }
        // Before the first snapshot a ring can promise nothing.
        let floor = self.head.unwrap_or(STAMP_LAST);
        let slot = self.slots.entry(user.to_owned());
        let slot = slot.or_insert_with(|| Slot {
            ring: Ring::new(floor),
            news: watch::Sender::new(Stamp::default()),
            waiting: 0,
            used: now,
        });
        slot.used = now;
        slot
    }

    fn drop_oldest(&mut self) {
        let idle = self.slots.iter().filter(|(_, slot)| slot.waiting == 0);
        let oldest = idle.min_by_key(|(_, slot)| slot.used);
        if let Some(user) = oldest.map(|(user, _)| user.clone()) {
            self.slots.remove(&user);
        }
    }

    fn leave(&mut self, user: &UserId) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(user) {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
    }
}
