//! The event that a room begins with: there is one, whatever another server tells.
//!
//! It exists because before room version 12 a server can make two create events for one room ID.
//! What rests on the other one is of another room with the same name, and must not come to count
//! in this one. It knows nothing of how events are judged otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use belfry_data::{RoomReader, StateTuple};
use belfry_event::{EventHash, Pdu};
use ruma_common::RoomId;

use crate::error::RoomError;
use crate::rooms::Shared;

/// The create event of a room, if this server knows the room.
pub(crate) async fn beginning(
    shared: &Arc<Shared>,
    room_id: &RoomId,
) -> Result<Option<EventHash>, RoomError> {
    let snapshot = shared.engine.snapshot().await?;
    let reader = RoomReader::new(&*snapshot, room_id);
    let Some(head) = reader.head().await? else {
        return Ok(None);
    };
    let tuple = StateTuple::new("m.room.create", "")
        .map_err(|error| RoomError::Fault(error.to_string()))?;
    let found = reader.current(&head).get(&[tuple]).await?;
    Ok(found.into_iter().flatten().next())
}

/// The only create event among these.
///
/// # Errors
/// If there is none, or more than one, in words.
pub(crate) fn only_beginning(
    events: &BTreeMap<EventHash, Arc<Pdu>>,
) -> Result<EventHash, &'static str> {
    let mut creates = events.values().filter(|event| event.is_create());
    match (creates.next(), creates.next()) {
        (Some(create), None) => Ok(create.hash()),
        (None, _) => Err("the state does not have the room's create event"),
        _ => Err("the state has more than one create event"),
    }
}

/// Whether the event begins the room a second time, or rests on an event that does.
pub(crate) fn is_elsewhere<'p>(
    event: &Pdu,
    cited: impl IntoIterator<Item = &'p Pdu>,
    beginning: EventHash,
) -> bool {
    let begins = |event: &Pdu| event.is_create() && event.hash() != beginning;
    begins(event) || cited.into_iter().any(begins)
}
