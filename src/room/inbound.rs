//! One room's staged events: verified, completed with what they refer to, handed to the worker.
//!
//! It exists so that a room's worker never waits for other servers: an event whose ancestors are
//! missing is parked here while they are fetched, and local sends go on. It knows nothing of how
//! events are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use belfry_data::{RoomReader, StagedEvent, StuckRow, clear_stuck, flag_stuck};
use belfry_env::Moment;
use belfry_event::{EventHash, Pdu, auth_events_needed};
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use tokio::select;

use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::bell::Bell;
use crate::error::RoomError;
use crate::fetch::{Fetch, FetchError};
use crate::planner::rules_of;
use crate::pool::{Pool, Waiting, deliver};
use crate::rooms::Shared;
use crate::verification::verify_all;

/// Staged events taken on in one round.
const ROUND_EVENTS_MAX: usize = 500;
/// Events looked up at once.
const LOOKED_UP_AT_ONCE: usize = 500;
/// Answers with missing ancestors that are asked for in one round.
const GAP_ANSWERS_MAX: usize = 10;
/// States and auth chains that are asked for in one round.
const ROUND_FETCHES_MAX: usize = 20;
/// How long an event rests after what it needs was not to be had; doubled each time.
const HOLD_FIRST: Duration = Duration::from_secs(30);
/// How often that is tried before the event is dropped: some two hours.
const HOLDS_MAX: u32 = 8;
/// How long a round rests that the database or the worker ended.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An event that rests.
#[derive(Clone, Copy)]
struct Held {
    until: Moment,
    times: u32,
}

/// What a round came to.
enum Round {
    /// Nothing is staged.
    Empty,
    /// There may be more.
    Worked,
    /// Nothing can be done before then.
    Rests(Moment),
}

/// See the module.
pub(crate) struct Inbound {
    shared: Arc<Shared>,
    room_id: OwnedRoomId,
    /// Rung when something was staged.
    bell: Arc<Bell>,
    held: BTreeMap<EventHash, Held>,
    /// Events that are dropped in the next round.
    doomed: Vec<StagedEvent>,
    flagged: bool,
}

impl Inbound {
    pub(crate) fn new(shared: Arc<Shared>, room_id: OwnedRoomId, bell: Arc<Bell>) -> Self {
        Self {
            shared,
            room_id,
            bell,
            held: BTreeMap::new(),
            doomed: Vec::new(),
            // What an earlier life left is found out by ending without it.
            flagged: true,
        }
    }

    /// Works until nothing is staged, or the server stops.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shared.env.shutdown.clone();
        loop {
            self.bell.hush();
            let Some(round) = shutdown.unless(self.round()).await else {
                return;
            };
            let now = self.shared.env.clock.now();
            let until = match round {
                Ok(Round::Empty) if self.shared.inbounds.end(&self.room_id, &self.bell) => {
                    return;
                }
                Ok(Round::Empty | Round::Worked) => continue,
                Ok(Round::Rests(until)) => until,
                Err(error) => {
                    tracing::debug!(room_id = %self.room_id, %error, "staged events rest");
                    now + RETRY_AFTER
                }
            };
            select! { biased;
                () = shutdown.wait() => return,
                () = self.bell.rung() => {}
                () = self.shared.env.clock.sleep_until(until) => {}
            }
        }
    }

    async fn round(&mut self) -> Result<Round, RoomError> {
        // What is fetched is stored in parts.
        let _hold = self.shared.holds.hold(&self.room_id);
        let Some(mut pool) = self.gather().await? else {
            self.unflag().await?;
            return Ok(Round::Empty);
        };
        if pool.events.is_empty() && pool.dropped.is_empty() && !self.doomed.is_empty() {
            return Ok(Round::Worked);
        }
        if pool.events.is_empty() && pool.dropped.is_empty() {
            let first = self.held.values().map(|held| held.until).min();
            let now = self.shared.env.clock.now();
            return Ok(Round::Rests(first.unwrap_or(now + RETRY_AFTER)));
        }
        self.complete(&mut pool).await?;
        let order = pool.order();
        self.deliver(pool, order).await?;
        Ok(Round::Worked)
    }

    /// The staged events that do not rest, verified; `None` if nothing is staged.
    async fn gather(&mut self) -> Result<Option<Pool>, RoomError> {
        let (head, staged) = {
            let snapshot = self.shared.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, &self.room_id);
            (
                reader.head().await?,
                reader.staged(None, ROUND_EVENTS_MAX).await?,
            )
        };
        let (Some(head), false) = (head, staged.is_empty()) else {
            return Ok(None);
        };
        let now = self.shared.env.clock.now();
        let hashes: BTreeSet<_> = staged.iter().map(|event| event.hash).collect();
        let dropped = std::mem::take(&mut self.doomed);
        self.held.retain(|hash, _| hashes.contains(hash));
        let mut pool = Pool {
            rules: rules_of(&head)?,
            extremities: head.extremities,
            events: BTreeMap::new(),
            dropped,
            fetches: 0,
            answers: 0,
        };
        let rests = |hash: &EventHash| {
            let paused = self.held.get(hash);
            let dropped = pool.dropped.iter().any(|event| event.hash == *hash);
            dropped || paused.is_some_and(|pause| pause.until > now)
        };
        let awake: Vec<_> = staged
            .into_iter()
            .filter(|event| !rests(&event.hash))
            .collect();
        let texts = awake
            .iter()
            .map(|event| event.row.json.to_string())
            .collect();
        let keys = &*self.shared.keys;
        let verified = verify_all(keys, pool.rules, &self.room_id, texts).await;
        for staged in awake {
            let origin = OwnedServerName::try_from(&*staged.row.origin);
            match (verified.right.get(&staged.hash), origin) {
                (Some(pdu), Ok(origin)) => {
                    pool.add(Arc::clone(pdu), Some(staged), origin);
                }
                _ if verified.unvouched.contains(&staged.hash) => {
                    self.hold_back(staged, "no key vouches for it");
                }
                _ => pool.dropped.push(staged),
            }
        }
        Ok(Some(pool))
    }

    /// Lets an event rest, or drops it if it has rested often enough.
    fn hold_back(&mut self, staged: StagedEvent, reason: &str) {
        let now = self.shared.env.clock.now();
        let (hash, room_id) = (staged.hash, &self.room_id);
        let held = self.held.entry(hash).or_insert(Held {
            until: now,
            times: 0,
        });
        held.times += 1;
        held.until = now + HOLD_FIRST.saturating_mul(1 << held.times.min(HOLDS_MAX));
        if held.times > HOLDS_MAX {
            tracing::info!(%room_id, ?hash, reason, "an event of another server is dropped");
            self.doomed.push(staged);
            self.held.remove(&hash);
        } else {
            tracing::debug!(%room_id, ?hash, reason, "an event of another server waits");
        }
    }

    /// Fetches what the events refer to until nothing is missing or nothing more is to be had.
    /// Events that go without are taken off the pool.
    async fn complete(&mut self, pool: &mut Pool) -> Result<(), RoomError> {
        loop {
            let missing = self.missing(pool).await?;
            let order = pool.order();
            let Some(hash) = order.into_iter().find(|hash| missing.contains_key(hash)) else {
                return Ok(());
            };
            let Some((cites, follows)) = missing.get(&hash) else {
                return Ok(());
            };
            let tried = if *cites {
                self.fetch_auth(pool, hash).await
            } else {
                self.fetch_prev(pool, hash, follows).await
            };
            match tried {
                Ok(()) => {}
                Err(FetchError::Room(error)) => return Err(error),
                Err(error) => {
                    if let Some(Waiting {
                        staged: Some(staged),
                        ..
                    }) = pool.events.remove(&hash)
                    {
                        self.hold_back(staged, &error.to_string());
                    }
                }
            }
        }
    }

    /// What is missing: for each event whether it lacks auth events, and which previous ones.
    async fn missing(
        &self,
        pool: &Pool,
    ) -> Result<BTreeMap<EventHash, (bool, Vec<EventHash>)>, RoomError> {
        let mut asked = BTreeSet::new();
        for waiting in pool.events.values() {
            asked.extend(auth_events_needed(&waiting.pdu));
            asked.extend(waiting.pdu.prev_hashes());
        }
        asked.retain(|hash| !pool.events.contains_key(hash));
        let placed = self.placed(asked.into_iter().collect()).await?;
        let mut missing = BTreeMap::new();
        for (hash, waiting) in &pool.events {
            let is_there = |hash: &EventHash| pool.events.contains_key(hash);
            let mut needed = auth_events_needed(&waiting.pdu).into_iter();
            let cites = needed.any(|hash| !is_there(&hash) && !placed.contains_key(&hash));
            let prevs = waiting.pdu.prev_hashes().iter().copied();
            let lacks = |hash: &EventHash| !is_there(hash) && placed.get(hash) != Some(&true);
            let follows: Vec<_> = match waiting.told {
                Some(_) => Vec::new(),
                None => prevs.filter(lacks).collect(),
            };
            if cites || !follows.is_empty() {
                missing.insert(*hash, (cites, follows));
            }
        }
        Ok(missing)
    }

    /// Of these events, those that are stored, and whether their place is known.
    async fn placed(&self, hashes: Vec<EventHash>) -> Result<BTreeMap<EventHash, bool>, RoomError> {
        let mut placed = BTreeMap::new();
        for chunk in hashes.chunks(LOOKED_UP_AT_ONCE) {
            let snapshot = self.shared.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, &self.room_id);
            for found in reader.events(chunk).await?.into_iter().flatten() {
                placed.insert(found.hash, !found.row.is_outlier());
            }
        }
        Ok(placed)
    }

    fn fetch<'a>(&'a self, pool: &Pool, server: &'a ServerName) -> Fetch<'a> {
        Fetch {
            shared: &self.shared,
            room_id: &self.room_id,
            rules: pool.rules,
            server,
        }
    }

    async fn fetch_auth(&self, pool: &mut Pool, hash: EventHash) -> Result<(), FetchError> {
        pool.fetches += 1;
        let Some(waiting) = pool.events.get(&hash) else {
            return Ok(());
        };
        if pool.fetches > ROUND_FETCHES_MAX {
            return Err(FetchError::Lacking("enough was fetched in this round"));
        }
        let (pdu, origin) = (Arc::clone(&waiting.pdu), waiting.origin.clone());
        self.fetch(pool, &origin).auth_events(&pdu).await
    }

    /// Ancestors first; if the gap is too wide, the state before the event.
    async fn fetch_prev(
        &self,
        pool: &mut Pool,
        hash: EventHash,
        missing: &[EventHash],
    ) -> Result<(), FetchError> {
        let Some(waiting) = pool.events.get_mut(&hash) else {
            return Ok(());
        };
        if missing.iter().any(|prev| self.held.contains_key(prev)) {
            return Err(FetchError::Lacking("an event before it waits"));
        }
        let origin = waiting.origin.clone();
        let first = !std::mem::replace(&mut waiting.asked, true);
        if first && pool.answers < GAP_ANSWERS_MAX {
            pool.answers += 1;
            let extremities = pool.extremities.clone();
            let found = self
                .fetch(pool, &origin)
                .ancestors(hash, &extremities)
                .await;
            // Some servers have forgotten what led to it, and tell the state all the same.
            let found = found.unwrap_or_default();
            for pdu in self.leading_to(missing, found).await? {
                pool.add(pdu, None, origin.clone());
            }
            return Ok(());
        }
        pool.fetches += 1;
        if pool.fetches > ROUND_FETCHES_MAX {
            return Err(FetchError::Lacking("enough was fetched in this round"));
        }
        let root = self.fetch(pool, &origin).state_before(hash).await?;
        if let Some(waiting) = pool.events.get_mut(&hash) {
            waiting.told = Some(root);
        }
        Ok(())
    }

    /// Of the events found, those on the way from these to what has a place in the room. What is
    /// before that is history.
    async fn leading_to(
        &self,
        missing: &[EventHash],
        mut found: BTreeMap<EventHash, Arc<Pdu>>,
    ) -> Result<Vec<Arc<Pdu>>, RoomError> {
        let placed = self.placed(found.keys().copied().collect()).await?;
        found.retain(|hash, _| placed.get(hash) != Some(&true));
        let (mut pending, mut leading) = (missing.to_vec(), Vec::new());
        while let Some(hash) = pending.pop() {
            if let Some(pdu) = found.remove(&hash) {
                pending.extend_from_slice(pdu.prev_hashes());
                leading.push(pdu);
            }
        }
        Ok(leading)
    }

    /// Hands the events to the worker, in deliveries, and sees what became of them.
    async fn deliver(&mut self, mut pool: Pool, order: Vec<EventHash>) -> Result<(), RoomError> {
        let waiting = order.iter().filter_map(|hash| pool.events.remove(hash));
        let arrivals = waiting.map(|waiting| Arrival {
            ground: waiting.told.map_or(Ground::PrevEvents, Ground::Told),
            pdu: waiting.pdu,
            staged: waiting.staged,
        });
        let arrivals: Vec<_> = arrivals.collect();
        let mut deliveries = Delivery::split(pool.rules, arrivals);
        if deliveries.is_empty() {
            deliveries.push(Delivery::empty(pool.rules));
        }
        if let Some(first) = deliveries.first_mut() {
            first.dropped = std::mem::take(&mut pool.dropped);
        }
        for delivery in deliveries {
            if delivery.arrivals.is_empty() && delivery.dropped.is_empty() {
                continue;
            }
            let staged: Vec<_> = delivery
                .arrivals
                .iter()
                .map(|it| it.staged.clone())
                .collect();
            let fates = deliver(&self.shared, &self.room_id, delivery).await?;
            for (staged, fate) in staged.into_iter().zip(fates) {
                self.note(staged, fate).await?;
            }
        }
        Ok(())
    }

    async fn note(&mut self, staged: Option<StagedEvent>, fate: Fate) -> Result<(), RoomError> {
        match (fate, staged) {
            (Fate::Judged(acceptance, Some(reason)), _) => {
                tracing::debug!(room_id = %self.room_id, ?acceptance, reason, "an event failed");
            }
            (Fate::Waits(_), Some(staged)) => {
                self.hold_back(staged, "events that it refers to are missing");
            }
            (Fate::Stuck(reason), staged) => {
                self.flag(&reason).await?;
                if let Some(staged) = staged {
                    self.hold_back(staged, &reason);
                }
            }
            (Fate::Judged(..) | Fate::Known(_) | Fate::Waits(_), _) => {}
        }
        Ok(())
    }

    async fn flag(&mut self, reason: &str) -> Result<(), RoomError> {
        tracing::warn!(room_id = %self.room_id, reason, "a room's events cannot be worked off");
        let mut commit = belfry_data::Commit::synced();
        let row = StuckRow {
            reason: reason.into(),
            since_ts: self.shared.env.clock.wall_ms(),
        };
        flag_stuck(&mut commit, &self.room_id, &row);
        self.shared.engine.commit(commit).await?;
        self.flagged = true;
        Ok(())
    }

    async fn unflag(&mut self) -> Result<(), RoomError> {
        if !std::mem::take(&mut self.flagged) {
            return Ok(());
        }
        let snapshot = self.shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, &self.room_id);
        if reader.stuck().await?.is_some() {
            let mut commit = belfry_data::Commit::synced();
            clear_stuck(&mut commit, &self.room_id);
            self.shared.engine.commit(commit).await?;
        }
        Ok(())
    }
}
