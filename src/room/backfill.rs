//! History from before what this server knows of a room.
//!
//! It exists so that a room that was joined late, or that this server was cut off from, is whole
//! again where somebody looks. It knows nothing of who looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use belfry_data::RoomReader;
use belfry_event::{EventHash, Pdu};
use ruma_common::{OwnedEventId, OwnedServerName, RoomId};

use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::error::RoomError;
use crate::fetch::{Fetch, FetchError};
use crate::outliers::order_by;
use crate::peers::BACKFILL_MAX;
use crate::planner::rules_of;
use crate::pool::deliver;
use crate::rooms::Rooms;

/// Missing events that one question begins at.
const GAPS_MAX: usize = 10;
/// States that are fetched for one answer.
const STATES_MAX: usize = 5;
/// Gaps of one room that are looked through for the nearest.
const LOOKED_THROUGH_MAX: usize = 1_000;

impl Rooms {
    /// Asks other servers for history before the gaps nearest to `depth`, from there back; at most
    /// `limit` events and [`BACKFILL_MAX`]. How many were added: 0 if nothing is missing.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`]; [`RoomError::Unreachable`] if something is missing and nobody
    /// has it.
    pub async fn backfill(
        &self,
        room_id: &RoomId,
        depth: i64,
        limit: usize,
    ) -> Result<usize, RoomError> {
        let (rules, gaps, servers) = self.0.gaps_of(room_id, depth).await?;
        if gaps.is_empty() {
            return Ok(0);
        }
        let _hold = self.0.holds.hold(room_id);
        let mut last = RoomError::Unreachable("no other server is in the room".to_owned());
        for server in servers {
            let fetch = Fetch {
                shared: &self.0,
                room_id,
                rules,
                server: &server,
            };
            match fetch.history(&gaps, limit.clamp(1, BACKFILL_MAX)).await {
                Ok(events) if !events.is_empty() => {
                    let added = fetch.add_history(events).await?;
                    if added > 0 {
                        return Ok(added);
                    }
                }
                Ok(_) => {}
                Err(FetchError::Room(error)) => return Err(error),
                Err(error) => last = RoomError::Unreachable(error.to_string()),
            }
        }
        Err(last)
    }
}

type Gaps = (
    &'static belfry_event::RoomRules,
    Vec<EventHash>,
    Vec<OwnedServerName>,
);

impl crate::rooms::Shared {
    /// The gaps nearest to the depth, and servers to ask.
    async fn gaps_of(&self, room_id: &RoomId, depth: i64) -> Result<Gaps, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let mut gaps = reader.gaps(None, LOOKED_THROUGH_MAX).await?;
        gaps.sort_by_key(|(hash, at)| (at.abs_diff(depth), *hash));
        gaps.truncate(GAPS_MAX);
        let gaps: Vec<_> = gaps.into_iter().map(|(hash, _)| hash).collect();
        let servers = match &gaps {
            none if none.is_empty() => Vec::new(),
            _ => self.sources(room_id, &[]).await?,
        };
        Ok((rules_of(&head)?, gaps, servers))
    }
}

impl Fetch<'_> {
    /// Events from these on back.
    async fn history(
        &self,
        from: &[EventHash],
        limit: usize,
    ) -> Result<BTreeMap<EventHash, Arc<Pdu>>, FetchError> {
        let ids: Vec<OwnedEventId> = from.iter().map(|hash| self.event_id(*hash)).collect();
        let peers = &self.shared.peers;
        let answer = peers.backfill(self.server, self.room_id, &ids, limit);
        let events = self.call(answer).await?;
        Ok(self.checked(events, limit).await)
    }

    /// Puts events before what is known of the room. How many were added.
    async fn add_history(&self, events: BTreeMap<EventHash, Arc<Pdu>>) -> Result<usize, RoomError> {
        let order = order_by(&events, |pdu| pdu.prev_hashes().to_vec());
        let mut arrivals = Vec::new();
        let mut states = 0;
        for hash in order {
            let Some(pdu) = events.get(&hash) else {
                continue;
            };
            if self.auth_events(pdu).await.is_err() {
                continue;
            }
            let unplaced = self.unplaced(pdu.prev_hashes()).await?;
            let missing = unplaced.iter().any(|prev| !events.contains_key(prev));
            let mut told = None;
            if missing && states < STATES_MAX {
                states += 1;
                told = self.state_before(hash, false).await.ok();
            }
            arrivals.push(Arrival {
                pdu: Arc::clone(pdu),
                ground: Ground::Backfilled(told),
                past: true,
                staged: None,
            });
        }
        let mut added = 0;
        for delivery in Delivery::split(self.rules, arrivals) {
            let fates = deliver(self.shared, self.room_id, delivery).await?;
            added += fates
                .iter()
                .filter(|fate| matches!(fate, Fate::Judged(..)))
                .count();
        }
        Ok(added)
    }
}
