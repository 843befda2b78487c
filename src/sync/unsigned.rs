//! What is said of an event to one reader alone: by which request of theirs it came.
//!
//! It exists so that a device knows its own events again (Client-Server API, "Transaction
//! identifiers"), and a user their delayed ones (MSC4140). It knows nothing of how events are
//! written.

use std::collections::BTreeMap;

use belfry_data::OriginRow;
use belfry_event::EventHash;

use crate::{error::Fault, event::RoomEvent, json::Object, room_view::RoomView, sight::Eyes};

/// The members that tell the ID of a delayed event, in the draft's words too.
const DELAY_ID: [&str; 2] = ["delay_id", "org.matrix.msc4140.delay_id"];

/// The requests that made some events, as far as the reader made them.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<EventHash, OriginRow>);

impl Origins {
    pub(crate) async fn read<'e>(
        view: &RoomView<'_>,
        eyes: &Eyes,
        events: impl Iterator<Item = &'e RoomEvent>,
    ) -> Result<Self, Fault> {
        let own = events.filter(|event| event.pdu.sender() == eyes.user());
        let own: Vec<_> = own.map(RoomEvent::hash).collect();
        if own.is_empty() {
            return Ok(Self::default());
        }
        let found = view.reader.origins(&own).await?;
        let known = own.into_iter().zip(found);
        let known = known.filter_map(|(event, origin)| {
            let origin = origin?;
            let here = eyes
                .device()
                .is_some_and(|device| *device == *origin.device);
            (here || origin.delayed).then_some((event, origin))
        });
        Ok(Self(known.collect()))
    }

    pub(crate) fn get(&self, event: EventHash) -> Option<&OriginRow> {
        self.0.get(&event)
    }
}

/// Writes what made the event.
pub(crate) fn write_origin(origin: &OriginRow, unsigned: &mut Object<'_>) {
    if origin.delayed {
        for name in DELAY_ID {
            unsigned.string(name, &origin.id);
        }
    } else {
        unsigned.string("transaction_id", &origin.id);
    }
}
