//! What an event says of its relation to another (`m.relates_to`).
//!
//! It exists for readers that look at one event at a time; what relates to an event is an index of
//! `data`. It knows nothing of what relations mean.

use belfry_event::Pdu;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A relation as its event tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Relation {
    pub(crate) rel_type: String,
}

impl Relation {
    /// `None` if the event relates to none, or says so in a way that makes no sense.
    pub(crate) fn of(event: &Pdu) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(rename = "m.relates_to", borrow)]
            relates_to: &'a RawValue,
        }
        let content: Content<'_> = serde_json::from_str(event.content_json()).ok()?;
        serde_json::from_str(content.relates_to.get()).ok()
    }
}
