//! Taking in what planning needs: the room's head, entries of its state, events.
//!
//! It exists so that a desk is filled in one way. It knows nothing of what is planned.

use std::collections::BTreeSet;
use std::sync::Arc;

use belfry_data::{RoomHead, RoomReader, StateTuple};
use belfry_event::{EventHash, RoomRules};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId};

use crate::desk::{Desk, Known, Need, Shelved, Stop};
use crate::error::RoomError;

/// How often planning one change may find something missing.
const NEEDS_MAX: usize = 64;

/// The room as the database has it; `None` if it has none.
pub(crate) async fn load(
    reader: &RoomReader<'_>,
    room_id: &RoomId,
) -> Result<Option<Desk>, RoomError> {
    let seen = reader.head_seen().await?;
    let Some(head) = seen.row.clone() else {
        return Ok(None);
    };
    let rules = rules_of(&head)?;
    let room_id: OwnedRoomId = room_id.to_owned();
    let mut desk = Desk::new(room_id, rules, head);
    desk.known = Known::Read(seen);
    Ok(Some(desk))
}

/// Does something on the desk, and takes in what it turns out to need.
pub(super) async fn gathered<T>(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    mut act: impl FnMut(&mut Desk) -> Result<T, Stop>,
) -> Result<Result<T, RoomError>, RoomError> {
    for _ in 0..NEEDS_MAX {
        match act(desk) {
            Ok(done) => return Ok(Ok(done)),
            Err(Stop::Refuse(error)) => return Ok(Err(error)),
            Err(Stop::Need(Need::Entry(tuple))) => gather_entries(desk, reader, &[tuple]).await?,
            Err(Stop::Need(Need::Event(hash))) => gather_events(desk, reader, &[hash]).await?,
        }
    }
    Err(RoomError::Fault(format!(
        "a change needed more than {NEEDS_MAX} look-ups"
    )))
}

/// Takes in these entries of the state, and the events that they name.
pub(super) async fn gather_entries(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    tuples: &[StateTuple],
) -> Result<(), RoomError> {
    let root = desk.head.state;
    let states = reader.states();
    states.gather(&mut desk.working, &[root], tuples).await?;
    let named: BTreeSet<_> = tuples
        .iter()
        .filter_map(|tuple| desk.entry(tuple).ok().flatten())
        .filter(|hash| !desk.holds(*hash))
        .collect();
    gather_events(desk, reader, &named.into_iter().collect::<Vec<_>>()).await
}

/// The rules of the room's version.
pub(crate) fn rules_of(head: &RoomHead) -> Result<&'static RoomRules, RoomError> {
    let version = RoomVersionId::try_from(&*head.room_version)
        .map_err(|_| RoomError::UnsupportedVersion(head.room_version.to_string()))?;
    RoomRules::new(&version).ok_or_else(|| RoomError::UnsupportedVersion(version.to_string()))
}

/// Takes in these events, which the state names.
pub(super) async fn gather_events(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    hashes: &[EventHash],
) -> Result<(), RoomError> {
    if hashes.is_empty() {
        return Ok(());
    }
    for (hash, stored) in hashes.iter().zip(reader.events(hashes).await?) {
        let stored = stored.ok_or_else(|| {
            RoomError::Fault(format!(
                "{hash:?} is needed and not stored; check the database"
            ))
        })?;
        let pdu = stored
            .pdu(desk.rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        desk.shelve(Shelved {
            pdu: Arc::new(pdu),
            auth_depth: stored.row.auth_depth,
        });
    }
    Ok(())
}
