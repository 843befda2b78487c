//! What an event's own JSON says of its relation to another.
//!
//! Exists so that writing a relation and taking it back read the same. Knows no table.

use std::borrow::Cow;

use belfry_event::EventHash;
use ruma_common::{EventId, OwnedUserId};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::REL_TYPE_BYTES_MAX;
use crate::{column::UserKey, state::NAME_BYTES_MAX, tables::HashKey};

const REPLACE: &str = "m.replace";
const ENCRYPTED: &str = "m.room.encrypted";

/// An event that relates to another.
pub(super) struct Child {
    pub(super) event: EventHash,
    pub(super) parent: HashKey,
    pub(super) rel_type: String,
    pub(super) event_type: String,
    pub(super) sender: UserKey,
    /// Milliseconds since the Unix epoch, as its sender says.
    pub(super) sent_ms: u64,
    /// Whether by itself it is a valid replacement.
    pub(super) is_edit: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    sender: OwnedUserId,
    #[serde(default)]
    state_key: Option<IgnoredAny>,
    origin_server_ts: u64,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "m.relates_to", borrow, default)]
    relates_to: Option<&'a RawValue>,
    #[serde(rename = "m.new_content", default)]
    new_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RelatesTo<'a> {
    #[serde(borrow)]
    rel_type: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Cow<'a, str>,
}

impl Child {
    /// `None` for an event that relates to none, or says so in a way that the spec does not know.
    pub(super) fn read(json: &str, hash: EventHash) -> Option<Self> {
        // Most events relate to none, and need not be read.
        if !json.contains("\"m.relates_to\"") {
            return None;
        }
        let event: Event<'_> = serde_json::from_str(json).ok()?;
        let relation: RelatesTo<'_> = serde_json::from_str(event.content.relates_to?.get()).ok()?;
        let parent = <&EventId>::try_from(&*relation.event_id).ok()?;
        let parent = EventHash::from_any_event_id(parent).ok()?;
        let named = (1..=REL_TYPE_BYTES_MAX).contains(&relation.rel_type.len());
        if !named || parent == hash || event.kind.len() > NAME_BYTES_MAX {
            return None;
        }
        let replaces = event.content.new_content.is_some() || event.kind == ENCRYPTED;
        let is_edit = relation.rel_type == REPLACE && event.state_key.is_none() && replaces;
        Some(Self {
            event: hash,
            parent: *parent.as_bytes(),
            rel_type: relation.rel_type.into_owned(),
            event_type: event.kind.into_owned(),
            sender: UserKey(event.sender),
            sent_ms: event.origin_server_ts,
            is_edit,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::hash;

    fn read(content: &Value) -> Option<Child> {
        let event = json!({
            "type": "m.room.message",
            "sender": "@a:x",
            "origin_server_ts": 5,
            "content": content,
        });
        Child::read(&event.to_string(), hash(1))
    }

    fn parent() -> String {
        hash(2)
            .to_event_id(belfry_event::Alphabet::UrlSafe)
            .to_string()
    }

    #[test]
    fn relation_is_read() {
        let content = json!({"m.relates_to": {"rel_type": "m.thread", "event_id": parent()}});
        let child = read(&content).unwrap();
        assert_eq!(child.parent, *hash(2).as_bytes());
        assert_eq!((&*child.rel_type, child.sent_ms), ("m.thread", 5));
        assert!(!child.is_edit);
    }

    #[test]
    fn edit_has_new_content() {
        let relation = json!({"rel_type": "m.replace", "event_id": parent()});
        assert!(!read(&json!({"m.relates_to": relation})).unwrap().is_edit);
        let content = json!({"m.relates_to": relation, "m.new_content": {}});
        assert!(read(&content).unwrap().is_edit);
    }

    #[test]
    fn nonsense_relates_to_nothing() {
        let own = hash(1).to_event_id(belfry_event::Alphabet::UrlSafe);
        for relation in [
            json!(null),
            json!([]),
            json!("m.thread"),
            json!({"rel_type": "m.thread"}),
            json!({"event_id": parent()}),
            json!({"rel_type": "", "event_id": parent()}),
            json!({"rel_type": 5, "event_id": parent()}),
            json!({"rel_type": "m.thread", "event_id": "$x"}),
            json!({"rel_type": "m.thread", "event_id": own}),
            json!({"rel_type": "x".repeat(REL_TYPE_BYTES_MAX + 1), "event_id": parent()}),
            json!({"m.in_reply_to": {"event_id": parent()}}),
        ] {
            assert!(
                read(&json!({"m.relates_to": relation})).is_none(),
                "{relation}"
            );
        }
        assert!(read(&json!({"body": "\"m.relates_to\""})).is_none());
    }
}
