//! Which thread an event belongs to (Client-Server API, "Threaded read receipts").
//!
//! Exists so that receipts and unread counts agree on it. Knows nothing of either.

use std::borrow::Cow;

use belfry_event::EventHash;
use belfry_kv::ReadError;
use ruma_common::EventId;
use serde::Deserialize;

use crate::reader::{RoomReader, StoredEvent};

/// Relations that are followed in search of a thread's root.
pub const THREAD_HOPS_MAX: usize = 3;

/// The thread of what belongs to no other.
pub const MAIN_THREAD: &str = "main";

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "m.relates_to", borrow, default)]
    relation: Option<Relation<'a>>,
}

#[derive(Deserialize)]
struct Relation<'a> {
    #[serde(borrow, default)]
    rel_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_id: Option<Cow<'a, str>>,
}

impl RoomReader<'_> {
    /// The ID of the root of the event's thread, or [`MAIN_THREAD`]. A root belongs to the main
    /// thread. One read for each hop; events that name no other cost none.
    pub async fn thread_of(&self, event: &StoredEvent) -> Result<String, ReadError> {
        let mut json = event.row.json.clone();
        for _ in 0..THREAD_HOPS_MAX {
            let Some((is_thread, parent)) = parent(&json) else {
                break;
            };
            if is_thread {
                return Ok(parent);
            }
            let Some(hash) = hash_of(&parent) else { break };
            match self.event(hash).await? {
                Some(parent) => json = parent.row.json,
                None => break,
            }
        }
        Ok(MAIN_THREAD.to_owned())
    }
}

/// What the event relates to, and whether that makes it part of a thread.
fn parent(json: &str) -> Option<(bool, String)> {
    let event: Event<'_> = serde_json::from_str(json).ok()?;
    let relation = event.content.relation?;
    let is_thread = relation.rel_type.is_some_and(|kind| kind == "m.thread");
    let parent = relation.event_id?.into_owned();
    // An ID that cannot be one would become a thread that nobody can name.
    EventId::parse(&*parent).ok()?;
    Some((is_thread, parent))
}

fn hash_of(id: &str) -> Option<EventHash> {
    let id = EventId::parse(id).ok()?;
    EventHash::from_any_event_id(&id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_leniently() {
        let of =
            |relation: &str| parent(&format!("{{\"content\":{{\"m.relates_to\":{relation}}}}}"));
        let thread = r#"{"rel_type":"m.thread","event_id":"$root:x"}"#;
        assert_eq!(of(thread), Some((true, "$root:x".to_owned())));
        let reaction = r#"{"rel_type":"m.annotation","event_id":"$one:x","key":"+"}"#;
        assert_eq!(of(reaction), Some((false, "$one:x".to_owned())));
        for nothing in [
            "{}",
            "1",
            r#"{"rel_type":"m.thread","event_id":"x"}"#,
            "null",
        ] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
        assert_eq!(parent("{}"), None);
    }
}
