//! What other servers may read of a room: single events, states, auth chains, history.
//!
//! It exists so that every answer is bound to the room and to what the asking server may see, and
//! costs no more than its limit. It knows nothing of HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{Acceptance, RoomReader, Root, StoredEvent, rooms_of_events};
use belfry_event::{EventHash, Pdu, RoomRules};
use ruma_common::{EventId, OwnedEventId, RoomId, ServerName};
use serde_json::value::RawValue;

use crate::auth_chain::{Events, auth_chain, state_events};
use crate::erasure::Erasures;
use crate::error::RoomError;
use crate::handshake::{raw, raws};
use crate::peers::{BACKFILL_MAX, MISSING_EVENTS_MAX, MissingEvents, StateEvents, StateIds};
use crate::planner::rules_of;
use crate::residence::{acl_lets_in, is_in_room};
use crate::rooms::{Rooms, Shared};
use crate::sight::Sight;

/// Events that one walk looks at.
pub const WALK_EVENTS_MAX: usize = 256;
/// Events from which a walk begins; further ones are left out.
const STARTS_MAX: usize = 20;

/// Events of a walk, the next last, each with how many steps it is from where the walk begins.
type Heap = BTreeMap<(i64, EventHash), (Told, i64)>;

/// An event as it may be told.
struct Told {
    pdu: Arc<Pdu>,
    row: StoredEvent,
}

impl Rooms {
    /// `GET /event/{eventId}`: an event that the server may see.
    ///
    /// # Errors
    /// [`RoomError::UnknownEvent`], also for events that the server may not see.
    pub async fn serve_event(
        &self,
        origin: &ServerName,
        event_id: &EventId,
    ) -> Result<Box<RawValue>, RoomError> {
        let unknown = RoomError::UnknownEvent;
        let hash = EventHash::from_any_event_id(event_id).map_err(|_| unknown.clone())?;
        let room_id = {
            let snapshot = self.0.engine.snapshot().await?;
            let rooms = rooms_of_events(&*snapshot, &[hash]).await?;
            rooms.into_iter().flatten().next().ok_or(unknown.clone())?
        };
        let rules = match self.0.door(&room_id, origin).await {
            Err(RoomError::UnknownRoom) => return Err(unknown),
            door => door?,
        };
        let sight = Sight::of(&self.0, &room_id, origin).await?;
        let told = self
            .0
            .told(&room_id, rules, hash)
            .await?
            .ok_or(unknown.clone())?;
        let is_in_room = sight.joined_now();
        let visible = if told.row.row.is_outlier() {
            is_in_room
        } else {
            sight.sees(&self.0, &room_id, &told.pdu, &told.row).await?
        };
        if !visible || told.row.row.acceptance == Acceptance::Rejected {
            return Err(unknown);
        }
        let (place, event) = ((&*self.0, &*room_id), (&*told.pdu, &told.row));
        if Erasures::default().cover(place, &sight, event).await? {
            return redacted(&told.pdu);
        }
        raw(told.pdu.json())
    }

    /// `GET /state_ids/{roomId}`: the state before the event, and its auth chain.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] unless the server is in the room, [`RoomError::UnknownEvent`].
    pub async fn serve_state_ids(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<StateIds, RoomError> {
        let (state, chain) = self.0.state_at(origin, room_id, event_id).await?;
        let ids = |events: &Events| -> Vec<OwnedEventId> {
            events.values().map(|pdu| pdu.event_id().clone()).collect()
        };
        Ok(StateIds {
            pdu_ids: ids(&state),
            auth_chain_ids: ids(&chain),
        })
    }

    /// `GET /state/{roomId}`: the same with the events. Errors as in [`Rooms::serve_state_ids`].
    pub async fn serve_state(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<StateEvents, RoomError> {
        let (state, chain) = self.0.state_at(origin, room_id, event_id).await?;
        Ok(StateEvents {
            pdus: raws(&state)?,
            auth_chain: raws(&chain)?,
        })
    }

    /// `GET /event_auth/{roomId}/{eventId}`: the event's auth chain. Errors as in
    /// [`Rooms::serve_state_ids`].
    pub async fn serve_event_auth(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let rules = self.0.inside(origin, room_id).await?;
        let event = self.0.asked_event(room_id, rules, event_id).await?;
        let chain = auth_chain(&self.0, room_id, rules, [&event.pdu]).await?;
        raws(&chain)
    }

    /// `GET /backfill/{roomId}`: these events and those before them, the latest first, at most
    /// `limit` and [`BACKFILL_MAX`]. What the server may not see is redacted.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] unless the server is in the room.
    pub async fn serve_backfill(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        from: &[OwnedEventId],
        limit: usize,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let rules = self.0.inside(origin, room_id).await?;
        let limit = limit.clamp(1, BACKFILL_MAX);
        let walk = Walk {
            starts: hashes(rules, from),
            ends: BTreeSet::new(),
            min_depth: i64::MIN,
            limit,
            with_starts: true,
            breadth_first: false,
        };
        let found = self.0.walk(room_id, rules, walk).await?;
        self.0.shown(origin, room_id, found).await
    }

    /// `POST /get_missing_events/{roomId}`: events between those that the server has and the
    /// latest, at most [`MISSING_EVENTS_MAX`]. What it may not see is redacted.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] unless the server is in the room.
    pub async fn serve_missing_events(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        ask: &MissingEvents,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let rules = self.0.inside(origin, room_id).await?;
        let walk = Walk {
            starts: hashes(rules, &ask.latest),
            ends: hashes(rules, &ask.earliest).into_iter().collect(),
            min_depth: ask.min_depth,
            limit: ask.limit.min(MISSING_EVENTS_MAX),
            with_starts: false,
            breadth_first: true,
        };
        let found = self.0.walk(room_id, rules, walk).await?;
        self.0.shown(origin, room_id, found).await
    }
}

/// A way back through the graph.
struct Walk {
    starts: Vec<EventHash>,
    ends: BTreeSet<EventHash>,
    min_depth: i64,
    limit: usize,
    /// Whether the events that it begins at are told.
    with_starts: bool,
    /// Whether it goes by steps, so that no branch keeps it from the others, or by depth.
    breadth_first: bool,
}

fn hashes(rules: &RoomRules, ids: &[OwnedEventId]) -> Vec<EventHash> {
    let hashes = ids.iter().take(STARTS_MAX);
    let hashes = hashes.map(|id| EventHash::from_event_id(id, rules.alphabet()));
    hashes.filter_map(Result::ok).collect()
}

impl Shared {
    /// The rules of a room that the other server is in, as far as this one knows: also of a room that
    /// this server has left, for who hears of the departure may lack what was before it.
    pub(crate) async fn inside(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
    ) -> Result<&'static RoomRules, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        if !acl_lets_in(&reader, &head, origin).await? {
            let text = "the room's access control list shuts the server out";
            return Err(RoomError::Forbidden(text.to_owned()));
        }
        if !is_in_room(&reader, &head, origin, false).await? {
            let text = "your server is not in this room".to_owned();
            return Err(RoomError::Forbidden(text));
        }
        rules_of(&head)
    }

    /// An event of the room with a place, whoever may see it.
    async fn asked_event(
        &self,
        room_id: &RoomId,
        rules: &'static RoomRules,
        event_id: &EventId,
    ) -> Result<Told, RoomError> {
        let unknown = RoomError::UnknownEvent;
        let hash = EventHash::from_event_id(event_id, rules.alphabet());
        let hash = hash.map_err(|_| unknown.clone())?;
        let told = self.told(room_id, rules, hash).await?;
        let placed = |told: &Told| {
            !told.row.row.is_outlier() && told.row.row.acceptance != Acceptance::Rejected
        };
        told.filter(placed).ok_or(unknown)
    }

    async fn told(
        &self,
        room_id: &RoomId,
        rules: &'static RoomRules,
        hash: EventHash,
    ) -> Result<Option<Told>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let found = reader.event(hash).await?;
        found.map(|row| tell(rules, row)).transpose()
    }

    /// The state before an event and its auth chain.
    async fn state_at(
        self: &Arc<Self>,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<(Events, Events), RoomError> {
        let rules = self.inside(origin, room_id).await?;
        let event = self.asked_event(room_id, rules, event_id).await?;
        let root = event.row.row.state_before.unwrap_or(Root::EMPTY);
        let state = state_events(self, room_id, rules, root).await?;
        let chain = auth_chain(self, room_id, rules, state.values()).await?;
        Ok((state, chain))
    }

    /// The events on the way: of those that are there the deepest goes first, or the nearest.
    async fn walk(
        &self,
        room_id: &RoomId,
        rules: &'static RoomRules,
        walk: Walk,
    ) -> Result<Vec<Told>, RoomError> {
        let starts: BTreeSet<_> = walk.starts.iter().copied().collect();
        let (mut seen, mut looked_at) = (walk.ends.clone(), 0);
        let (mut heap, mut found) = (Heap::new(), Vec::new());
        let (mut wanted, mut steps) = (walk.starts, 0);
        while found.len() < walk.limit && looked_at < WALK_EVENTS_MAX {
            wanted.retain(|hash| seen.insert(*hash));
            wanted.truncate(WALK_EVENTS_MAX - looked_at);
            looked_at += wanted.len();
            let snapshot = self.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, room_id);
            for row in reader.events(&wanted).await?.into_iter().flatten() {
                let told = tell(rules, row)?;
                let placed = !told.row.row.is_outlier();
                if placed && told.row.row.acceptance != Acceptance::Rejected {
                    let rank = if walk.breadth_first {
                        -steps
                    } else {
                        told.pdu.depth()
                    };
                    heap.insert((rank, told.pdu.hash()), (told, steps));
                }
            }
            let Some((_, (told, at))) = heap.pop_last() else {
                break;
            };
            steps = at + 1;
            wanted = told.pdu.prev_hashes().to_vec();
            let is_start = starts.contains(&told.pdu.hash());
            let wide = told.pdu.depth() >= walk.min_depth;
            if wide && (walk.with_starts || !is_start) {
                found.push(told);
            }
        }
        Ok(found)
    }

    /// The events as the server may see them.
    async fn shown(
        self: &Arc<Self>,
        origin: &ServerName,
        room_id: &RoomId,
        events: Vec<Told>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let sight = Sight::of(self, room_id, origin).await?;
        let mut shown = Vec::with_capacity(events.len());
        let mut erasures = Erasures::default();
        for told in events {
            let visible = sight.sees(self, room_id, &told.pdu, &told.row).await?;
            let (place, event) = ((&**self, room_id), (&*told.pdu, &told.row));
            let whole = visible && !erasures.cover(place, &sight, event).await?;
            shown.push(if whole {
                raw(told.pdu.json())?
            } else {
                redacted(&told.pdu)?
            });
        }
        Ok(shown)
    }
}

fn redacted(pdu: &Pdu) -> Result<Box<RawValue>, RoomError> {
    let redacted = pdu.redact();
    let redacted = redacted.map_err(|error| RoomError::Fault(error.to_string()))?;
    raw(redacted.json())
}

/// The event as anybody may be told: redacted if it is.
fn tell(rules: &'static RoomRules, row: StoredEvent) -> Result<Told, RoomError> {
    let fault = |error: belfry_event::UnreadableEvent| RoomError::Fault(error.to_string());
    let mut pdu = row.pdu(rules).map_err(fault)?;
    if row.row.redacted_by.is_some() {
        pdu = pdu.redact().map_err(fault)?;
    }
    Ok(Told {
        pdu: Arc::new(pdu),
        row,
    })
}
