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

use belfry_data::{Engine, Position, STAMP_LAST, Snapshot, Stamp, global_log};
use belfry_env::Env;
use ruma_common::{DeviceId, OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{self, watch};

use crate::{
    absence::Absence,
    audience::{Audiences, Listeners},
    device_list,
    error::{Fault, ViewError},
    ignored::Ignored,
    news::Changed,
    passing::Passing,
    presence,
    ring::Ring,
    room_view::behind,
};

/// Requests of one user that wait at the same time.
pub const WAITING_PER_USER_MAX: usize = 64;
/// Requests of all users that wait at the same time.
pub const WAITING_MAX: usize = 100_000;
/// Users that have a ring; the one who came longest ago loses theirs first.
pub const RINGS_MAX: usize = 100_000;

/// Devices of one user of which it is remembered that no messages are kept for them; then all are
/// forgotten.
pub const EMPTIED_DEVICES_MAX: usize = 16;

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
    nudged: sync::Notify,
}

#[derive(Debug, Default)]
struct Users {
    /// How far the log was read; `None` before the first snapshot.
    head: Option<Stamp>,
    slots: BTreeMap<OwnedUserId, Slot>,
    waiting: usize,
    uses: u64,
    /// Rooms in which somebody types whose time will be up.
    typing: BTreeSet<OwnedRoomId>,
    /// Users who said something of their presence.
    said: BTreeSet<OwnedUserId>,
    /// Whether anybody's presence changed.
    presence_kept: bool,
}

#[derive(Debug)]
struct Slot {
    ring: Ring<OwnedRoomId>,
    /// Whose presence changed.
    presence: Ring<OwnedUserId>,
    /// The latest that concerns the user.
    news: watch::Sender<Stamp>,
    /// The latest of that, events in rooms and presence apart.
    aside: Stamp,
    /// Whom the user ignores, as of this place.
    ignored: Option<(Stamp, Ignored)>,
    /// Devices for which no messages were kept up to these places.
    emptied: BTreeMap<OwnedDeviceId, Stamp>,
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
    /// The latest that is known to concern the user.
    pub(crate) fn latest(&self) -> Stamp {
        *self.news.borrow()
    }

    /// Whether nothing that is known concerns the user behind `since`, a place from which on
    /// everything is known or will wake them.
    pub(crate) fn is_quiet(&self, since: Stamp) -> bool {
        let users = self.notifier.lock();
        let slot = users.slots.get(&self.user);
        slot.is_some_and(|slot| {
            slot.ring.reaches(since) && slot.presence.reaches(since) && *slot.news.borrow() <= since
        })
    }

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

    /// Whether nothing behind `since` concerns the user but what happened in rooms and presence: no
    /// account data, no message to a device. Call [`Self::advance`] before.
    pub(crate) fn is_quiet_aside(&self, user: &UserId, since: Stamp) -> bool {
        let users = self.lock();
        let slot = users.slots.get(user);
        slot.is_some_and(|slot| slot.aside <= since)
    }

    /// Whom the user ignores at `until`, if that is remembered. Call [`Self::advance`] before.
    pub(crate) fn ignored(&self, user: &UserId, until: Stamp) -> Option<Ignored> {
        let users = self.lock();
        let slot = users.slots.get(user)?;
        let (at, ignored) = slot.ignored.as_ref()?;
        (slot.aside <= until.min(*at)).then(|| ignored.clone())
    }

    /// Remembers whom the user ignores, for as long as none of their account data changes.
    pub(crate) fn note_ignored(&self, user: &UserId, until: Stamp, ignored: &Ignored) {
        let mut users = self.lock();
        if let Some(slot) = users.slots.get_mut(user) {
            slot.ignored = ignored.is_small().then(|| (until, ignored.clone()));
        }
    }

    /// Whether no messages are kept for the device, as far as is known: one that has just come may
    /// not be.
    pub(crate) fn has_no_messages(&self, user: &UserId, device: &DeviceId) -> bool {
        let users = self.lock();
        let slot = users.slots.get(user);
        slot.is_some_and(|slot| slot.emptied.get(device).is_some_and(|at| slot.aside <= *at))
    }

    /// No messages up to `at` are kept for the device.
    pub(crate) fn note_no_messages(&self, user: &UserId, device: &DeviceId, at: Stamp) {
        let mut users = self.lock();
        if let Some(slot) = users.slots.get_mut(user) {
            if slot.emptied.len() >= EMPTIED_DEVICES_MAX {
                slot.emptied.clear();
            }
            slot.emptied.insert(device.to_owned(), at);
        }
    }

    /// How far the logs were read.
    pub(crate) fn head(&self) -> Option<Stamp> {
        self.lock().head
    }

    /// Whose presence changed for this user behind `since`; `None` if that is too long ago to tell.
    pub(crate) fn presence(&self, user: &UserId, since: Stamp) -> Option<BTreeSet<OwnedUserId>> {
        self.lock().slots.get(user)?.presence.since(since)
    }

    /// Whether anybody's presence changed since the server started.
    pub(crate) fn knows_presence(&self) -> bool {
        self.lock().presence_kept
    }

    /// Something that only this process knows concerns everybody who was told of the room.
    pub(crate) fn tell_room(&self, room: &OwnedRoomId, at: Stamp) {
        let mut users = self.lock();
        let slots = users.slots.iter();
        let listening = slots.filter(|(_, slot)| slot.ring.holds(room));
        let listening: Vec<_> = listening.map(|(user, _)| user.clone()).collect();
        for user in listening {
            users.tell(&user, Some(room), at);
        }
    }

    /// Looks at the logs soon: something was written that wakes nobody by itself.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// The rooms in which somebody began to type, each once.
    pub(crate) fn take_typing(&self) -> BTreeSet<OwnedRoomId> {
        std::mem::take(&mut self.lock().typing)
    }

    /// Users who said something of their presence, each once.
    fn take_said(&self) -> BTreeSet<OwnedUserId> {
        std::mem::take(&mut self.lock().said)
    }

    /// Follows the engine until the server stops.
    pub(crate) async fn follow(self: Arc<Self>, engine: Arc<dyn Engine>, env: Env) {
        let mut seen = Position::ZERO;
        let mut passing = Passing::new(Arc::clone(&engine), &env);
        let mut absence = Absence::new(Arc::clone(&engine), &env);
        passing.begin().await;
        while !env.shutdown.begun() {
            let last = tokio::select! {
                biased;
                () = env.shutdown.wait() => return,
                last = engine.changed(seen) => last,
                () = self.nudged.notified() => seen,
                () = env.clock.sleep_until(passing.due().min(absence.due())) => seen,
            };
            passing.work(&self).await;
            absence.work().await;
            match self.catch_up(&*engine).await {
                Ok(()) => {
                    seen = last;
                    passing.watch(self.take_typing()).await;
                    absence.watch(self.take_said()).await;
                }
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
            let mut changed = Changed::of(page.entries);
            changed.add_stirred(snapshot, head, reached).await?;
            let present = std::mem::take(&mut changed.presence);
            changed.said = present.keys().cloned().collect();
            changed.present = presence::audience(snapshot, &audiences, present).await?;
            let lists = std::mem::take(&mut changed.lists);
            let told = device_list::audience(snapshot, &audiences, lists).await?;
            for (user, at) in told {
                let last = changed.users.entry(user).or_insert(at);
                *last = at.max(*last);
            }
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

impl Users {
    /// Where to read on to reach `target`; `None` if it is reached. The first to ask begins there,
    /// and no ring promises more.
    fn left_to_read(&mut self, target: Stamp) -> Option<Stamp> {
        let Some(head) = self.head else {
            self.head = Some(target);
            for slot in self.slots.values_mut() {
                slot.ring = Ring::new(target);
                slot.presence = Ring::new(target);
                slot.aside = target;
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
            self.tell_aside(user, None, *at);
        }
        for ((user, room), at) in &changed.own {
            self.tell_aside(user, Some(room), *at);
        }
        self.said.extend(changed.said.iter().cloned());
        for (user, other, at) in &changed.present {
            self.tell_presence(user, other, *at);
        }
        self.typing.extend(changed.typing.iter().cloned());
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

    fn tell_aside(&mut self, user: &UserId, room: Option<&OwnedRoomId>, at: Stamp) {
        if let Some(slot) = self.slots.get_mut(user) {
            slot.aside = at.max(slot.aside);
        }
        self.tell(user, room, at);
    }

    fn tell_presence(&mut self, user: &UserId, other: &OwnedUserId, at: Stamp) {
        self.presence_kept = true;
        if let Some(slot) = self.slots.get_mut(user) {
            slot.presence.push(other, at);
            self.tell(user, None, at);
        }
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
            presence: Ring::new(floor),
            news: watch::Sender::new(Stamp::default()),
            aside: floor,
            ignored: None,
            emptied: BTreeMap::new(),
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
