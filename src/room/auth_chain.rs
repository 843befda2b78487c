//! States and auth chains with their events, for telling them to other servers.
//!
//! It exists so that every such walk has one limit and one order. It knows nothing of who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{Path, RoomReader, Root};
use belfry_event::{EventHash, Pdu, RoomRules};
use ruma_common::RoomId;

use crate::error::RoomError;
use crate::rooms::Shared;

/// Events of a state and its auth chain that are told at once; larger ones are refused with
/// [`RoomError::Busy`].
pub(crate) const TOLD_EVENTS_MAX: usize = 200_000;
/// Events read at once.
const READ_AT_ONCE: usize = 500;

/// Events by hash.
pub(crate) type Events = BTreeMap<EventHash, Arc<Pdu>>;

/// The events of a state.
pub(crate) async fn state_events(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    rules: &'static RoomRules,
    root: Root,
) -> Result<Events, RoomError> {
    let mut hashes = Vec::new();
    let mut from = Some(Path::FIRST);
    while let Some(at) = from {
        let snapshot = shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let page = reader.states().page(root, at, READ_AT_ONCE).await?;
        hashes.extend(page.entries.into_iter().map(|entry| entry.event));
        if hashes.len() > TOLD_EVENTS_MAX {
            return Err(RoomError::Busy);
        }
        from = page.next;
    }
    events(shared, room_id, rules, &hashes).await
}

/// The auth chains of these events, without the events unless they are in one another's.
pub(crate) async fn auth_chain(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    rules: &'static RoomRules,
    of: impl IntoIterator<Item = &Arc<Pdu>>,
) -> Result<Events, RoomError> {
    let cited = of.into_iter().flat_map(|pdu| pdu.auth_hashes().to_vec());
    let mut pending: BTreeSet<EventHash> = cited.collect();
    let mut chain = Events::new();
    while !pending.is_empty() {
        let wanted: Vec<_> = std::mem::take(&mut pending).into_iter().collect();
        let found = events(shared, room_id, rules, &wanted).await?;
        for pdu in found.values() {
            pending.extend(pdu.auth_hashes().iter().copied());
        }
        chain.extend(found);
        pending.retain(|hash| !chain.contains_key(hash));
        if chain.len() > TOLD_EVENTS_MAX {
            return Err(RoomError::Busy);
        }
    }
    Ok(chain)
}

/// These events, as far as they are stored.
pub(crate) async fn events(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    rules: &'static RoomRules,
    hashes: &[EventHash],
) -> Result<Events, RoomError> {
    let mut found = Events::new();
    for chunk in hashes.chunks(READ_AT_ONCE) {
        let snapshot = shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        for event in reader.events(chunk).await?.into_iter().flatten() {
            let fault = |error: belfry_event::UnreadableEvent| RoomError::Fault(error.to_string());
            let mut pdu = event.pdu(rules).map_err(fault)?;
            if event.row.redacted_by.is_some() {
                pdu = pdu.redact().map_err(fault)?;
            }
            found.insert(event.hash, Arc::new(pdu));
        }
    }
    Ok(found)
}
