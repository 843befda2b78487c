//! Storing events of other servers that have no place in the room: auth chains and told states.
//!
//! It exists because judging an event needs them first, in any number. They are written in parts
//! before the commit that counts. It knows nothing of what they are needed for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{
    Acceptance, Changes, CommitError, NewEvent, PartWrites, Place, RoomReader, Root, StateTuple,
    WorkingSet,
};
use belfry_event::{
    EventHash, Pdu, RoomRules, auth_depth, auth_events_needed, check_auth_events,
    check_state_independent,
};
use ruma_common::RoomId;

use crate::beginning::is_elsewhere;
use crate::error::RoomError;
use crate::rooms::Shared;

/// Events looked up at once.
const LOOKED_UP_AT_ONCE: usize = 500;
/// How often storing is begun anew because somebody else stored some of the events.
const ATTEMPTS_MAX: u32 = 4;
/// State entries put into a tree at once.
const ENTRIES_AT_ONCE: usize = 500;

/// An event with its verdict.
#[derive(Debug, Clone)]
pub(crate) struct Outlier {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) auth_depth: u64,
    pub(crate) acceptance: Acceptance,
}

/// Events by hash, those that were asked for and those that they cite.
pub(crate) type Outliers = BTreeMap<EventHash, Outlier>;

/// Stores these events, each judged by its auth events, unless they are stored. Those whose auth
/// events are neither among them nor stored are left out. What rests on another create event than
/// `beginning` is rejected. What is stored of all of them.
pub(crate) async fn store_outliers(
    shared: &Arc<Shared>,
    (room_id, beginning): (&RoomId, Option<EventHash>),
    rules: &'static RoomRules,
    events: &BTreeMap<EventHash, Arc<Pdu>>,
) -> Result<Outliers, RoomError> {
    let order = auth_order(events);
    let room = (room_id, beginning);
    for _ in 0..ATTEMPTS_MAX {
        match try_store(shared, room, rules, events, &order).await? {
            Some(stored) => return Ok(stored),
            None => tokio::task::yield_now().await,
        }
    }
    Err(RoomError::Busy)
}

/// `None` if somebody else has stored some of them meanwhile.
async fn try_store(
    shared: &Arc<Shared>,
    (room_id, beginning): (&RoomId, Option<EventHash>),
    rules: &'static RoomRules,
    events: &BTreeMap<EventHash, Arc<Pdu>>,
    order: &[EventHash],
) -> Result<Option<Outliers>, RoomError> {
    let mut known = Outliers::new();
    let mut wanted: BTreeSet<EventHash> = order.iter().copied().collect();
    for pdu in events.values() {
        wanted.extend(auth_events_needed(pdu));
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    for chunk in wanted.chunks(LOOKED_UP_AT_ONCE) {
        known.extend(stored(shared, room_id, rules, chunk).await?);
    }
    let mut parts = PartWrites::new(room_id);
    let received_ts = shared.env.clock.wall_ms();
    for hash in order {
        if known.contains_key(hash) {
            continue;
        }
        let Some(pdu) = events.get(hash) else {
            continue;
        };
        let Some(outlier) = judge_outlier(pdu, &known, beginning) else {
            continue;
        };
        parts.outlier(&NewEvent {
            pdu,
            place: Place::Outlier,
            acceptance: outlier.acceptance,
            auth_depth: outlier.auth_depth,
            received_ts,
            known: false,
        });
        known.insert(*hash, outlier);
        if let Some(part) = parts.take_full()
            && !apply(shared, part).await?
        {
            return Ok(None);
        }
    }
    if let Some(part) = parts.finish()
        && !apply(shared, part).await?
    {
        return Ok(None);
    }
    Ok(Some(known))
}

/// Whether it was applied.
async fn apply(shared: &Arc<Shared>, part: belfry_data::Commit) -> Result<bool, RoomError> {
    match shared.engine.commit(part).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Those of these events that are stored, in whatever way.
pub(crate) async fn stored(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    rules: &'static RoomRules,
    hashes: &[EventHash],
) -> Result<Outliers, RoomError> {
    let snapshot = shared.engine.snapshot().await?;
    let reader = RoomReader::new(&*snapshot, room_id);
    let mut found = Outliers::new();
    for event in reader.events(hashes).await?.into_iter().flatten() {
        let pdu = event
            .pdu(rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let outlier = Outlier {
            pdu: Arc::new(pdu),
            auth_depth: event.row.auth_depth,
            acceptance: event.row.acceptance,
        };
        found.insert(event.hash, outlier);
    }
    Ok(found)
}

/// Check 4 on an event; `None` if what it cites is not known.
fn judge_outlier(
    pdu: &Arc<Pdu>,
    known: &Outliers,
    beginning: Option<EventHash>,
) -> Option<Outlier> {
    let lookup = |hash| {
        known
            .get(&hash)
            .map(|event: &Outlier| Arc::clone(&event.pdu))
    };
    let own = check_state_independent(pdu, lookup).ok()?;
    let cited = || {
        let cited = pdu.auth_hashes().iter();
        cited.filter_map(|hash| known.get(hash).map(|event| &*event.pdu))
    };
    let elsewhere = beginning.is_some_and(|beginning| is_elsewhere(pdu, cited(), beginning));
    let allowed = !elsewhere
        && own.is_accept()
        && (pdu.is_create() || check_auth_events(pdu, lookup).is_accept());
    let acceptance = if allowed {
        Acceptance::Accepted
    } else {
        Acceptance::Rejected
    };
    let cited = pdu.auth_hashes().iter();
    let depths = cited.filter_map(|hash| Some(known.get(hash)?.auth_depth));
    Some(Outlier {
        pdu: Arc::new((**pdu).clone().with_rejected(!allowed)),
        auth_depth: auth_depth(depths),
        acceptance,
    })
}

/// The events, each after those of them that it cites.
fn auth_order(events: &BTreeMap<EventHash, Arc<Pdu>>) -> Vec<EventHash> {
    order_by(events, auth_events_needed)
}

/// The events, each after those of them that it refers to; of others the less deep first, as their
/// servers saw them: what somebody said comes before their leaving also if what lies between is not
/// there.
pub(crate) fn order_by(
    events: &BTreeMap<EventHash, Arc<Pdu>>,
    references: impl Fn(&Pdu) -> Vec<EventHash>,
) -> Vec<EventHash> {
    let mut open: BTreeMap<EventHash, usize> = BTreeMap::new();
    let mut later: BTreeMap<EventHash, Vec<EventHash>> = BTreeMap::new();
    for (hash, pdu) in events {
        let before: BTreeSet<_> = references(pdu).into_iter().collect();
        let before = before
            .into_iter()
            .filter(|other| events.contains_key(other));
        let mut count = 0;
        for other in before {
            later.entry(other).or_default().push(*hash);
            count += 1;
        }
        open.insert(*hash, count);
    }
    let ready = open.iter().filter(|(_, count)| **count == 0);
    let placed = |hash: EventHash| (events.get(&hash).map(|pdu| pdu.depth()), hash);
    let mut ready: BTreeSet<_> = ready.map(|(hash, _)| placed(*hash)).collect();
    let mut order = Vec::with_capacity(events.len());
    while let Some((_, hash)) = ready.pop_first() {
        order.push(hash);
        for next in later.remove(&hash).unwrap_or_default() {
            if let Some(count) = open.get_mut(&next) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(placed(next));
                }
            }
        }
    }
    order
}

/// Stores the tree of a state that another server told. The room must be held.
pub(crate) async fn store_state(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    state: &BTreeMap<StateTuple, EventHash>,
) -> Result<Root, RoomError> {
    let (mut set, mut root) = (WorkingSet::new(), Root::EMPTY);
    let entries: Vec<_> = state.iter().collect();
    for chunk in entries.chunks(ENTRIES_AT_ONCE) {
        let changes = chunk
            .iter()
            .map(|(tuple, hash)| ((*tuple).clone(), Some(**hash)));
        root = set.apply(root, &changes.collect::<Changes>())?;
        tokio::task::yield_now().await;
    }
    let mut parts = PartWrites::new(room_id);
    for (hash, bytes) in set.take_writes(&[root]) {
        parts.node(hash, bytes);
        if let Some(part) = parts.take_full() {
            shared.engine.commit(part).await?;
        }
    }
    if let Some(part) = parts.finish() {
        shared.engine.commit(part).await?;
    }
    Ok(root)
}
