//! Completing staged events with what they refer to: from other servers, if it is not here.
//!
//! It exists so that what is asked for in one round has limits, and that several servers are asked.
//! It knows nothing of resting and of judging.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use belfry_data::RoomReader;
use belfry_event::{EventHash, Pdu, auth_events_needed};
use ruma_common::{OwnedServerName, ServerName};

use crate::error::RoomError;
use crate::fetch::{Fetch, FetchError};
use crate::inbound::Inbound;
use crate::peers::PeerError;
use crate::pool::Pool;
use crate::rest::Cause;

/// Events looked up at once.
const LOOKED_UP_AT_ONCE: usize = 500;
/// Answers with missing ancestors that are asked for in one round.
const GAP_ANSWERS_MAX: usize = 10;
/// Events before others that are asked for one by one in one round.
const SINGLES_MAX: usize = 3;
/// States, auth chains and such single events that are asked for in one round.
const ROUND_FETCHES_MAX: usize = 20;
/// How long an event waits for a state before it that can be checked as a whole. Then it is taken
/// without the events of servers that are gone.
const PATIENCE: Duration = Duration::from_hours(24);

/// What an event lacks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lack {
    /// Whether it lacks auth events.
    pub(crate) cites: bool,
    /// The previous events that it lacks.
    pub(crate) follows: Vec<EventHash>,
}

impl Inbound {
    /// What is missing, by the event that lacks it.
    pub(crate) async fn missing(
        &self,
        pool: &Pool,
    ) -> Result<BTreeMap<EventHash, Lack>, RoomError> {
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
                missing.insert(*hash, Lack { cites, follows });
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

    /// Asks for what the event lacks: auth events; ancestors, together and then one by one; if the
    /// gap is too wide, the state before the event.
    pub(crate) async fn supply(
        &self,
        pool: &mut Pool,
        hash: EventHash,
        lack: &Lack,
    ) -> Result<(), FetchError> {
        let Some(waiting) = pool.events.get_mut(&hash) else {
            return Ok(());
        };
        let (pdu, origin) = (Arc::clone(&waiting.pdu), waiting.origin.clone());
        let asked = waiting.asked;
        waiting.asked += usize::from(!lack.cites);
        let likely = [&*origin, pdu.sender().server_name()];
        let sources = self.shared.sources(&self.room_id, &likely).await?;
        if !lack.cites && asked == 0 && pool.answers < GAP_ANSWERS_MAX {
            pool.answers += 1;
            return self.supply_ancestors(pool, &pdu, (lack, &sources)).await;
        }
        if !lack.cites && asked == 1 && pool.singles < SINGLES_MAX {
            return self.supply_singly(pool, lack, &sources).await;
        }
        if pool.fetches >= ROUND_FETCHES_MAX {
            // Counted like an answer: a server that never ends must not have its event wait for ever.
            return Err(FetchError::Lacking("enough was fetched in this round"));
        }
        pool.fetches += 1;
        let now = self.shared.env.clock.now();
        let patient = self.resting.age(hash, now) < PATIENCE;
        let mut last = FetchError::Lacking("no other server is in the room");
        let mut unreached = None;
        for server in &sources {
            let fetch = self.fetch(pool, server);
            let supplied = if lack.cites {
                fetch.auth_events(&pdu).await.map(|()| None)
            } else {
                fetch.state_before(hash, patient).await.map(Some)
            };
            match supplied {
                Ok(told) => {
                    if let Some(waiting) = pool.events.get_mut(&hash) {
                        waiting.told = told.or(waiting.told);
                    }
                    if told.is_some() {
                        let room_id = &self.room_id;
                        tracing::debug!(%room_id, ?hash, %server, "the state before an event is told");
                    }
                    return Ok(());
                }
                Err(FetchError::Room(error)) => return Err(error.into()),
                // What the likeliest would have said is not known.
                Err(error)
                    if error.cause() == Cause::Hindered && sources.first() == Some(server) =>
                {
                    unreached = Some(error);
                }
                Err(error) => last = error,
            }
        }
        Err(unreached.unwrap_or(last))
    }

    /// Adds what leads to the event, from the first server that has any of it. Some have forgotten
    /// that and tell the state all the same; of the likeliest, as long as it is not reached, that is
    /// not known, and taking the state instead would leave out events that it has.
    async fn supply_ancestors(
        &self,
        pool: &mut Pool,
        pdu: &Pdu,
        (lack, sources): (&Lack, &[OwnedServerName]),
    ) -> Result<(), FetchError> {
        // What the event refers to and is here is known to who has the event: behind it nobody
        // needs to look.
        let prevs = pdu.prev_hashes().iter();
        let here = prevs.filter(|hash| !lack.follows.contains(hash));
        let known: Vec<_> = here.chain(&pool.extremities).copied().collect();
        let mut unreached = None;
        for server in sources {
            let fetch = self.fetch(pool, server);
            let found = match fetch.ancestors(pdu.hash(), &known).await {
                Ok(found) => found,
                Err(FetchError::Peer(error @ PeerError::Unreachable(_)))
                    if sources.first() == Some(server) =>
                {
                    unreached = Some(error);
                    continue;
                }
                Err(_) => continue,
            };
            let leading = self.leading_to(&lack.follows, found).await?;
            if leading.is_empty() {
                continue;
            }
            for pdu in leading {
                pool.add(pdu, None, server.clone());
            }
            return Ok(());
        }
        unreached.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Adds the events before one, each from the first server that has it: where the room forked long
    /// ago, what is asked for together may not reach them.
    async fn supply_singly(
        &self,
        pool: &mut Pool,
        lack: &Lack,
        sources: &[OwnedServerName],
    ) -> Result<(), FetchError> {
        for hash in &lack.follows {
            for server in sources {
                if pool.singles >= SINGLES_MAX {
                    return Ok(());
                }
                pool.singles += 1;
                pool.fetches += 1;
                let found = match self.fetch(pool, server).single(*hash).await {
                    Ok(found) => found,
                    Err(FetchError::Room(error)) => return Err(error.into()),
                    Err(_) => continue,
                };
                let found: Vec<_> = found.into_values().collect();
                if !found.is_empty() {
                    for pdu in found {
                        pool.add(pdu, None, server.clone());
                    }
                    break;
                }
            }
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
}
