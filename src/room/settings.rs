//! Single entries of a room's current state, as events.
//!
//! It exists so that whoever decides by the state outside of a room's worker reads it in one way:
//! the entries by their tuples, the events by their hashes, two round trips. It knows nothing of
//! what the entries mean, and what it gives may be old when it is used: the worker checks anew.

use std::sync::Arc;

use belfry_data::{Membership, RoomHead, RoomReader};
use belfry_event::{EventHash, Pdu};
use ruma_common::{OwnedEventId, OwnedUserId, RoomId};
use serde_json::{Map, Value};

use crate::error::RoomError;
use crate::planner::rules_of;
use crate::rooms::Rooms;
use crate::shape::tuple;

/// Entries of one page of [`Rooms::settings_of_type`].
pub const SETTINGS_PAGE_MAX: usize = 100;

/// A state event as far as flows need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its state key.
    pub state_key: String,
    /// Its content.
    pub content: Map<String, Value>,
}

impl Setting {
    fn of(event: &Pdu) -> Self {
        Self {
            event_id: event.event_id().clone(),
            sender: event.sender().to_owned(),
            state_key: event.state_key().unwrap_or_default().to_owned(),
            content: serde_json::from_str(event.content_json()).unwrap_or_default(),
        }
    }
}

impl Rooms {
    /// The room's current state events of these types and state keys, in the order asked.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`], and what reading gives.
    pub async fn settings(
        &self,
        room_id: &RoomId,
        wanted: &[(&str, &str)],
    ) -> Result<Vec<Option<Setting>>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let events = state_events(&reader, &head, wanted).await?;
        let events = events.into_iter();
        Ok(events
            .map(|event| event.map(|event| Setting::of(&event)))
            .collect())
    }

    /// The room's current state events of one type by state key, at most [`SETTINGS_PAGE_MAX`]
    /// behind the state key `after`.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`], and what reading gives.
    pub async fn settings_of_type(
        &self,
        room_id: &RoomId,
        event_type: &str,
        after: &str,
    ) -> Result<Vec<Setting>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let entries = reader.current(&head);
        let rows = entries
            .of_type_behind(event_type, after, SETTINGS_PAGE_MAX)
            .await?;
        let keys = rows.iter().map(|(tuple, _)| tuple.state_key());
        let wanted: Vec<_> = keys.map(|key| (event_type, key)).collect();
        let events = state_events(&reader, &head, &wanted).await?;
        let events = events.into_iter().flatten();
        Ok(events.map(|event| Setting::of(&event)).collect())
    }

    /// Those banned among [`SETTINGS_PAGE_MAX`] users behind `after`, by user ID, and where to go
    /// on; `None` if these were the last.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`], and what reading gives.
    pub async fn banned(
        &self,
        room_id: &RoomId,
        after: &str,
    ) -> Result<(Vec<OwnedUserId>, Option<String>), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let rows = reader.current(&head);
        let rows = rows
            .of_type_behind("m.room.member", after, SETTINGS_PAGE_MAX)
            .await?;
        let last = rows.last().filter(|_| rows.len() == SETTINGS_PAGE_MAX);
        let next = last.map(|(tuple, _)| tuple.state_key().to_owned());
        let banned = rows
            .iter()
            .filter(|(_, row)| row.membership == Some(Membership::Ban));
        let users = banned.filter_map(|(tuple, _)| tuple.state_key().try_into().ok());
        Ok((users.collect(), next))
    }
}

/// The events of these types and state keys, in the order asked.
pub(crate) async fn state_events(
    reader: &RoomReader<'_>,
    head: &RoomHead,
    wanted: &[(&str, &str)],
) -> Result<Vec<Option<Arc<Pdu>>>, RoomError> {
    let rules = rules_of(head)?;
    let tuples: Vec<_> = wanted
        .iter()
        .map(|(kind, key)| tuple(&(*kind).into(), key))
        .collect::<Result<_, _>>()?;
    let hashes = reader.current(head).get(&tuples).await?;
    let named: Vec<EventHash> = hashes.iter().flatten().copied().collect();
    let mut stored = reader.events(&named).await?.into_iter();
    let mut found = Vec::with_capacity(hashes.len());
    for hash in hashes {
        if hash.is_none() {
            found.push(None);
            continue;
        }
        let event = stored.next().flatten().ok_or_else(|| {
            RoomError::Fault("the state names an event that is not stored".to_owned())
        })?;
        let event = event
            .pdu(rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        found.push(Some(Arc::new(event)));
    }
    Ok(found)
}
