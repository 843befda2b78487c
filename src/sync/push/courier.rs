//! The task that pushes: a few users at a time, each pusher from its place on.
//!
//! It exists so that one slow gateway holds up one place among many. It knows nothing of what a push
//! says.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::{
    Commit, CommitError, Position, Seen, Stamp,
    note::notes_behind,
    pusher::{
        PushPlace, PushPlaceRow, PusherKey, PusherRow, delete_pusher, move_pushes, push_place,
        pushers, reached, users_with_pushers,
    },
    stir::{StirRow, stirred},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ruma_common::{OwnedUserId, UserId};

use super::{
    Gateway, GatewayError, PUSH_PAUSE_MAX, PUSHES_PER_TURN_MAX,
    gates::Gates,
    queue::{Outcome, Queue},
    told::{Target, badge},
};
use crate::{error::Fault, room_view::behind, views::Shared};

/// Users who are pushed to at the same time.
pub const PUSHED_AT_ONCE_MAX: usize = 32;
/// How often a gateway may refuse one push before it is given up.
pub const REFUSALS_MAX: u32 = 3;
/// How soon it is looked who has read: a badge may be late by as much.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Users, or entries of the log of what passes, read at once.
const PAGE: usize = 1_000;

/// See the module.
pub(super) struct Courier {
    shared: Arc<Shared>,
    gateway: Arc<dyn Gateway>,
    gates: Mutex<Gates>,
}

/// One pusher's turn.
struct Turn<'a> {
    courier: &'a Courier,
    user: &'a UserId,
    key: &'a PusherKey,
    target: Target<'a>,
    seen: Seen<PushPlace>,
}

/// What a gateway said.
enum Answer {
    Taken,
    Rejected,
    /// Not now.
    Later(Outcome),
    /// Never.
    GivenUp,
}

impl Courier {
    pub(super) fn new(shared: Arc<Shared>, gateway: Arc<dyn Gateway>) -> Self {
        Self {
            shared,
            gateway,
            gates: Mutex::default(),
        }
    }

    /// Pushes until the server stops.
    pub(super) async fn run(self) {
        let (env, noted) = (&self.shared.env, &self.shared.noted);
        let mut queue = Queue::default();
        let mut passed = self.begin(&mut queue).await;
        // When to look who has read, if something was written since it was last looked.
        let (mut seen, mut look_at) = (Position::ZERO, None);
        let mut under_way = FuturesUnordered::new();
        while !env.shutdown.begun() {
            while under_way.len() < PUSHED_AT_ONCE_MAX
                && let Some(user) = queue.begin()
            {
                under_way.push(self.serve(user));
            }
            let next = [queue.next(), look_at].into_iter().flatten().min();
            let next = next.unwrap_or_else(|| env.clock.now() + PUSH_PAUSE_MAX);
            let watches = look_at.is_none() && noted.shows_badges();
            tokio::select! {
                biased;
                () = env.shutdown.wait() => return,
                Some((user, outcome)) = under_way.next() => queue.end(user, outcome),
                () = noted.bell.notified() => queue.add(noted.take()),
                () = env.clock.sleep_until(next) => {
                    let now = env.clock.now();
                    queue.wake(now);
                    if look_at.take_if(|at| *at <= now).is_some() {
                        queue.add(self.readers(&mut passed).await);
                    }
                }
                last = self.shared.engine.changed(seen), if watches => {
                    (seen, look_at) = (last, Some(env.clock.now() + LOOK_AFTER));
                }
            }
        }
    }

    /// Whoever has pushers: what notified them before the server started may wait. From where on
    /// the log of what passes is to be followed.
    async fn begin(&self, queue: &mut Queue) -> Stamp {
        loop {
            match self.everybody(queue).await {
                Ok(place) => return place,
                Err(fault) => {
                    tracing::warn!(%fault, "pushers could not be read; trying again");
                    let pause = self.shared.env.clock.sleep(super::PUSH_PAUSE);
                    if self.shared.env.shutdown.unless(pause).await.is_none() {
                        return Stamp::default();
                    }
                }
            }
        }
    }

    async fn everybody(&self, queue: &mut Queue) -> Result<Stamp, Fault> {
        let snapshot = self.shared.snapshot().await?;
        let place = behind(&*snapshot);
        let mut after: Option<OwnedUserId> = None;
        loop {
            let page = users_with_pushers(&*snapshot, after.as_deref(), PAGE).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(place);
            };
            after = Some(last);
            queue.add(page.into_iter().collect());
        }
    }

    /// Those who read something behind `passed`, and whose gateways show a badge.
    async fn readers(&self, passed: &mut Stamp) -> BTreeSet<OwnedUserId> {
        let mut readers = BTreeSet::new();
        if let Err(fault) = self.read_passing(passed, &mut readers).await {
            // A badge is mended with the next push.
            tracing::info!(%fault, "who has read was not looked for");
        }
        readers
    }

    async fn read_passing(
        &self,
        passed: &mut Stamp,
        readers: &mut BTreeSet<OwnedUserId>,
    ) -> Result<(), Fault> {
        let snapshot = self.shared.snapshot().await?;
        loop {
            let page = stirred(&*snapshot, *passed, PAGE).await?;
            for (stamp, row) in page.entries {
                *passed = stamp;
                if let StirRow::Receipt { user, .. } = row
                    && let Ok(user) = OwnedUserId::try_from(&*user)
                    && self.shared.noted.shows_badge(&user)
                {
                    readers.insert(user);
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// One user's turn.
    async fn serve(&self, user: OwnedUserId) -> (OwnedUserId, Outcome) {
        let outcome = match self.serve_pushers(&user).await {
            Ok(outcome) => outcome,
            Err(fault) => {
                tracing::info!(%fault, "pushes could not be read; they are tried again");
                Outcome {
                    more: false,
                    later: Some(self.shared.env.clock.now() + super::PUSH_PAUSE),
                }
            }
        };
        (user, outcome)
    }

    async fn serve_pushers(&self, user: &UserId) -> Result<Outcome, Fault> {
        let snapshot = self.shared.snapshot().await?;
        let all = pushers(&*snapshot, user).await?;
        drop(snapshot);
        let (mut outcome, mut badge) = (Outcome::default(), 0);
        for (key, row) in &all {
            let (became, told) = self.serve_pusher(user, key, row).await?;
            outcome = outcome.and(became);
            badge = told.max(badge);
        }
        self.shared.noted.set_badge(user, badge > 0);
        Ok(outcome)
    }

    /// What became of a pusher's turn, and the badge that its gateway shows.
    async fn serve_pusher(
        &self,
        user: &UserId,
        key: &PusherKey,
        row: &PusherRow,
    ) -> Result<(Outcome, u64), Fault> {
        let snapshot = self.shared.snapshot().await?;
        let seen = push_place(&*snapshot, user, key).await?;
        drop(snapshot);
        let target = Target::new(user, key, row);
        let mut turn = Turn {
            courier: self,
            user,
            key,
            target,
            seen,
        };
        let outcome = turn.run().await?;
        Ok((outcome, turn.badge()))
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The badge that was told last.
    fn badge(&self) -> u64 {
        self.seen.row.as_ref().map_or(0, |(_, row)| row.badge)
    }

    async fn run(&mut self) -> Result<Outcome, Fault> {
        let shared = &self.courier.shared;
        let Some(place) = &self.seen.row else {
            // It was removed, or it is from before places were kept and has nothing to wait for.
            return Ok(Outcome::default());
        };
        let snapshot = shared.snapshot().await?;
        let found = notes_behind(&*snapshot, self.user, reached(place), PUSHES_PER_TURN_MAX);
        let found = found.await?;
        drop(snapshot);
        let more = found.len() == PUSHES_PER_TURN_MAX;
        for (at, note) in found {
            let snapshot = shared.snapshot().await?;
            let badge = badge(&*snapshot, self.user).await?;
            let push = self.target.push(shared, &*snapshot, (at, &note), badge);
            let push = push.await?;
            drop(snapshot);
            let Some(body) = push else {
                self.advance(at, self.badge()).await?;
                continue;
            };
            match self.ask(body).await {
                Answer::Taken => self.advance(at, badge).await?,
                Answer::GivenUp => self.advance(at, self.badge()).await?,
                Answer::Rejected => return self.remove().await,
                Answer::Later(outcome) => return Ok(outcome),
            }
        }
        if more {
            return Ok(Outcome { more, later: None });
        }
        self.lower_badge().await
    }

    /// Tells the gateway if less is unread than it was told.
    async fn lower_badge(&mut self) -> Result<Outcome, Fault> {
        let told = self.badge();
        let Some(place) = self.seen.row.as_ref().filter(|_| told > 0) else {
            return Ok(Outcome::default());
        };
        let at = reached(place);
        let snapshot = self.courier.shared.snapshot().await?;
        let now = badge(&*snapshot, self.user).await?;
        drop(snapshot);
        if now >= told {
            return Ok(Outcome::default());
        }
        if let Some(body) = self.target.badge_alone(now) {
            match self.ask(body).await {
                Answer::Taken | Answer::GivenUp => {}
                Answer::Rejected => return self.remove().await,
                Answer::Later(outcome) => return Ok(outcome),
            }
        }
        self.advance(at, now).await?;
        Ok(Outcome::default())
    }

    async fn ask(&self, body: String) -> Answer {
        let (now, url) = (self.courier.shared.env.clock.now(), self.target.url());
        let own = format!("{} {} {}", self.user, self.key.app_id, self.key.pushkey);
        let later = |at| {
            Answer::Later(Outcome {
                more: false,
                later: Some(at),
            })
        };
        {
            let gates = self.courier.gates();
            let closed = gates.closed(url, now).or_else(|| gates.closed(&own, now));
            if let Some(until) = closed {
                return later(until);
            }
        }
        let answered = self.courier.gateway.notify(url, body).await;
        let (now, mut gates) = (self.courier.shared.env.clock.now(), self.courier.gates());
        match answered {
            Ok(rejected) => {
                gates.open(url);
                gates.open(&own);
                if rejected.contains(&self.key.pushkey) {
                    Answer::Rejected
                } else {
                    Answer::Taken
                }
            }
            Err(GatewayError::Unreachable(cause)) => {
                tracing::info!(
                    url,
                    cause,
                    "a push gateway does not answer; it is tried again"
                );
                later(gates.close(url, now).0)
            }
            Err(GatewayError::Refused(cause)) => {
                tracing::info!(url, cause, "a push gateway refuses a push");
                gates.open(url);
                let (until, refusals) = gates.close(&own, now);
                if refusals < REFUSALS_MAX {
                    return later(until);
                }
                gates.open(&own);
                Answer::GivenUp
            }
        }
    }

    /// All up to here is done. Whoever removed the pusher meanwhile wins.
    async fn advance(&mut self, at: Stamp, badge: u64) -> Result<(), Fault> {
        let shared = &self.courier.shared;
        let commit = move_pushes(
            self.user,
            self.key,
            &self.seen,
            PushPlaceRow::new(at, badge),
        );
        match shared.engine.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(error) => return Err(Fault::Store(error)),
        }
        let snapshot = shared.snapshot().await?;
        self.seen = push_place(&*snapshot, self.user, self.key).await?;
        Ok(())
    }

    /// The key is good no more.
    async fn remove(&mut self) -> Result<Outcome, Fault> {
        let mut commit = Commit::synced();
        delete_pusher(&mut commit, self.user, self.key);
        let shared = &self.courier.shared;
        shared.engine.commit(commit).await.map_err(Fault::Store)?;
        self.seen.row = None;
        Ok(Outcome::default())
    }
}
