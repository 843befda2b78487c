//! That an event of another server is of the room that this server knows by the name.
//!
//! It exists so that neither a second create event nor what rests on one is accepted. It knows
//! nothing of the other checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use belfry_data::{RoomReader, Root};
use belfry_event::{EventHash, Pdu, StateMapKey};
use ruma_events::StateEventType;

use super::Planner;
use super::arrival::File;
use crate::beginning::is_elsewhere;
use crate::desk::Desk;
use crate::error::RoomError;

impl Planner<'_> {
    /// Whether the event, what it cites, or the state before it begins the room with another event
    /// than the one that is known.
    pub(super) async fn begins_elsewhere(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        (event, before): (&Pdu, Root),
        file: &File,
    ) -> Result<bool, RoomError> {
        let now = desk.head.state;
        let Some(beginning) = self.create_of(desk, reader, now).await? else {
            return Ok(false);
        };
        let cited = event.auth_hashes().iter();
        let cited = cited.filter_map(|hash| file.get(hash).map(|filed| &*filed.pdu));
        if is_elsewhere(event, cited, beginning) {
            return Ok(true);
        }
        if event.is_create() {
            return Ok(false);
        }
        let was = self.create_of(desk, reader, before).await?;
        Ok(was.is_some_and(|was| was != beginning))
    }

    async fn create_of(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        state: Root,
    ) -> Result<Option<EventHash>, RoomError> {
        let key: StateMapKey = (StateEventType::RoomCreate, String::new());
        let found: BTreeMap<_, Arc<Pdu>> = self.entries(desk, reader, state, &[key]).await?;
        Ok(found.into_values().next().map(|create| create.hash()))
    }
}
