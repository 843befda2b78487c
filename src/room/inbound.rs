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
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use tokio::select;

use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::bell::Bell;
use crate::completion::Lack;
use crate::error::RoomError;
use crate::fetch::FetchError;
use crate::past::past;
use crate::planner::rules_of;
use crate::policy_server::ASKS_MAX;
use crate::pool::{Pool, Waiting, deliver};
use crate::rest::{Cause, Resting};
use crate::rooms::Shared;
use crate::verification::verify_all;

/// Staged events taken on in one round: those that came first.
const ROUND_EVENTS_MAX: usize = 500;
/// Staged events that are looked through for them.
const STAGED_SCAN_MAX: usize = 10_000;
/// How long a round rests that the database or the worker ended.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a round came to.
enum Round {
    /// Nothing is staged.
    Empty,
    /// There may be more.
    Worked,
    /// Nothing can be done before then.
    Rests(Moment),
}

/// Events that wait for the room's worker, those that are to be looked at now.
struct Staged {
    awake: Vec<StagedEvent>,
    /// Whether any are staged at all.
    any: bool,
}

/// See the module.
pub(crate) struct Inbound {
    pub(crate) shared: Arc<Shared>,
    pub(crate) room_id: OwnedRoomId,
    /// Rung when something was staged.
    bell: Arc<Bell>,
    pub(crate) resting: Resting,
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
            resting: Resting::default(),
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
            self.resting.wake(&self.bell.take_heard());
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
            let origins = self.resting.origins();
            self.shared.inbounds.listen(&self.room_id, origins);
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
        if pool.events.is_empty() && pool.dropped.is_empty() {
            if !self.doomed.is_empty() {
                return Ok(Round::Worked);
            }
            let now = self.shared.env.clock.now();
            let first = self.resting.first().map(|first| first.max(now));
            return Ok(Round::Rests(first.unwrap_or(now + RETRY_AFTER)));
        }
        // First what lacks nothing: nobody waits for another server because of somebody else.
        let missing = self.missing(&pool).await?;
        let ready = pool.ready(&missing);
        let worked = !ready.is_empty() || !pool.dropped.is_empty();
        self.deliver(&mut pool, ready).await?;
        self.complete(&mut pool, worked).await?;
        let order = pool.order();
        self.deliver(&mut pool, order).await?;
        Ok(Round::Worked)
    }

    /// The staged events that do not rest, by arrival.
    async fn staged(&mut self, reader: &RoomReader<'_>) -> Result<Staged, RoomError> {
        let now = self.shared.env.clock.now();
        let (mut awake, mut hashes): (Vec<StagedEvent>, _) = (Vec::new(), BTreeSet::new());
        let (mut after, mut whole) = (None, false);
        while hashes.len() < STAGED_SCAN_MAX {
            let page = reader.staged(after, ROUND_EVENTS_MAX).await?;
            after = page.last().map(|event| event.hash);
            whole = page.len() < ROUND_EVENTS_MAX;
            hashes.extend(page.iter().map(|event| event.hash));
            let page = page.into_iter();
            awake.extend(page.filter(|event| !self.resting.holds(event.hash, now)));
            if whole {
                break;
            }
        }
        if whole {
            self.resting.retain(&hashes);
        }
        awake.sort_by_key(|event| event.stamp);
        awake.truncate(ROUND_EVENTS_MAX);
        let any = !hashes.is_empty();
        Ok(Staged { awake, any })
    }

    /// The staged events that do not rest, verified; `None` if nothing is staged.
    async fn gather(&mut self) -> Result<Option<Pool>, RoomError> {
        let (head, Staged { mut awake, any }) = {
            let shared = Arc::clone(&self.shared);
            let room_id = self.room_id.clone();
            let snapshot = shared.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, &room_id);
            (reader.head().await?, self.staged(&reader).await?)
        };
        let (Some(head), true) = (head, any) else {
            return Ok(None);
        };
        let dropped = std::mem::take(&mut self.doomed);
        awake.retain(|event| dropped.iter().all(|other| other.hash != event.hash));
        let mut pool = Pool {
            rules: rules_of(&head)?,
            extremities: head.extremities,
            events: BTreeMap::new(),
            dropped,
            hindered: BTreeSet::new(),
            fetches: 0,
            answers: 0,
            singles: 0,
        };
        let texts = awake.iter();
        let texts = texts.map(|event| event.row.json.to_string()).collect();
        let keys = &*self.shared.keys;
        let verified = verify_all((keys, None), pool.rules, &self.room_id, texts).await;
        for staged in awake {
            let origin = OwnedServerName::try_from(&*staged.row.origin);
            match (verified.right.get(&staged.hash), origin) {
                (Some(pdu), Ok(origin)) => {
                    pool.add(Arc::clone(pdu), Some(staged), origin);
                }
                _ if verified.unvouched.contains(&staged.hash) => {
                    self.hold_back(staged, Cause::Lacking, "no key vouches for it");
                }
                _ => pool.dropped.push(staged),
            }
        }
        Ok(Some(pool))
    }

    /// Lets an event rest, or drops it if it has rested often enough.
    fn hold_back(&mut self, staged: StagedEvent, cause: Cause, reason: &str) {
        let now = self.shared.env.clock.now();
        let (hash, room_id) = (staged.hash, &self.room_id);
        let rests = match <&ServerName>::try_from(&*staged.row.origin) {
            Ok(origin) => self.resting.add(hash, (origin, cause), now),
            Err(_) => false,
        };
        if rests {
            tracing::debug!(%room_id, ?hash, reason, "an event of another server waits");
        } else {
            tracing::info!(%room_id, ?hash, reason, "an event of another server is dropped");
            self.doomed.push(staged);
        }
    }

    /// Fetches what the events refer to until nothing is missing or nothing more is to be had.
    /// Events that go without are taken off the pool.
    async fn complete(&mut self, pool: &mut Pool, worked: bool) -> Result<(), RoomError> {
        loop {
            let missing = self.missing(pool).await?;
            let order = pool.order();
            let Some(hash) = order.into_iter().find(|hash| missing.contains_key(hash)) else {
                return Ok(());
            };
            let Some(lack) = missing.get(&hash) else {
                return Ok(());
            };
            let tried = if let Some(before) = self.waits_for(lack).await? {
                let now = self.shared.env.clock.now();
                if self.resting.follow(hash, before, now) || worked {
                    pool.put_off(hash);
                    continue;
                }
                Err(FetchError::Hindered)
            } else if lack.follows.iter().any(|prev| pool.hindered.contains(prev)) {
                Err(FetchError::Hindered)
            } else {
                self.supply(pool, hash, lack).await
            };
            match tried {
                Ok(()) => {}
                Err(FetchError::Room(error)) => return Err(error),
                Err(error) => {
                    if error.cause() == Cause::Hindered {
                        pool.hindered.insert(hash);
                    }
                    if let Some(Waiting {
                        staged: Some(staged),
                        ..
                    }) = pool.events.remove(&hash)
                    {
                        self.hold_back(staged, error.cause(), &error.to_string());
                    }
                }
            }
        }
    }

    /// An event that is staged but not in the pool, without which this one cannot be judged.
    async fn waits_for(&self, lack: &Lack) -> Result<Option<EventHash>, RoomError> {
        if lack.follows.is_empty() {
            return Ok(None);
        }
        let snapshot = self.shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, &self.room_id);
        let staged = reader.are_staged(&lack.follows).await?;
        let mut waiting = lack.follows.iter().zip(staged);
        Ok(waiting.find_map(|(hash, staged)| staged.then_some(*hash)))
    }

    /// Hands these events to the worker, in deliveries, and sees what became of them.
    async fn deliver(&mut self, pool: &mut Pool, order: Vec<EventHash>) -> Result<(), RoomError> {
        self.have_recommended(pool, &order).await?;
        let past = self.past(pool, &order).await?;
        let waiting = order.iter().filter_map(|hash| pool.events.remove(hash));
        let arrivals = waiting.map(|waiting| Arrival {
            ground: waiting.told.map_or(Ground::PrevEvents, Ground::Told),
            past: past.contains(&waiting.pdu.hash()),
            pdu: waiting.pdu,
            staged: waiting.staged,
        });
        let arrivals: Vec<_> = arrivals.collect();
        let mut deliveries = Delivery::split(pool.rules, arrivals);
        if deliveries.is_empty() && !pool.dropped.is_empty() {
            deliveries.push(Delivery::empty(pool.rules));
        }
        if let Some(first) = deliveries.first_mut() {
            first.dropped = std::mem::take(&mut pool.dropped);
        }
        for delivery in deliveries {
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

    /// Which of these events lie in the past of what is accepted.
    async fn past(
        &self,
        pool: &Pool,
        order: &[EventHash],
    ) -> Result<BTreeSet<EventHash>, RoomError> {
        let snapshot = self.shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, &self.room_id);
        past(&reader, (&self.room_id, pool), order, self.resting.any()).await
    }

    /// Has the room's policy server, if there is one, sign those that came without its signature.
    async fn have_recommended(
        &self,
        pool: &mut Pool,
        order: &[EventHash],
    ) -> Result<(), RoomError> {
        let Some(policy) = self.shared.policy_server(&self.room_id).await? else {
            return Ok(());
        };
        let mut asks = 0;
        for hash in order {
            let Some(waiting) = pool.events.get_mut(hash) else {
                continue;
            };
            if asks < ASKS_MAX && !policy.recommends(&waiting.pdu) {
                asks += 1;
                let pdu = Arc::clone(&waiting.pdu);
                waiting.pdu = self.shared.recommended(&policy, pdu).await;
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
                let reason = "events that it refers to are missing";
                self.hold_back(staged, Cause::Lacking, reason);
            }
            (Fate::Stuck(reason), staged) => {
                self.flag(&reason).await?;
                if let Some(staged) = staged {
                    self.hold_back(staged, Cause::Hindered, &reason);
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
