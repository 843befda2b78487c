//! Filters (Client-Server API, "Filtering"): which rooms and events a client wants to see.
//!
//! It exists so that a definition is read once and asked often. It knows nothing of storage, of who
//! may see what, or of how many events there are.

use std::collections::BTreeSet;

use belfry_event::Pdu;
use ruma_common::{RoomId, UserId};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny},
};

use crate::{field::FieldPath, relation::Relation};

/// Largest definition, as JSON.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;

/// Most pairs of `related_by_rel_types` and `related_by_senders`: each is looked up for each event.
pub const RELATED_BY_MAX: usize = 100;

/// A relation type and a sender; any for `None`.
pub(crate) type RelatedBy<'a> = (Option<&'a str>, Option<&'a UserId>);

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Beyond [`FILTER_BYTES_MAX`].
    #[error("the filter is larger than {FILTER_BYTES_MAX} bytes")]
    TooLarge,
    /// Beyond [`RELATED_BY_MAX`].
    #[error("the filter asks for more than {RELATED_BY_MAX} pairs of senders and relation types")]
    TooManyRelations,
    /// Not JSON, or a member is of the wrong type.
    #[error("the filter is not well-formed: {0}")]
    Malformed(String),
}

/// A definition for `/sync`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The fields to show of an event; all if absent.
    pub(crate) event_fields: Option<Vec<FieldPath>>,
    /// How events are written.
    pub(crate) event_format: EventFormat,
    /// The user's global account data.
    pub(crate) account_data: EventFilter,
    /// Presence.
    pub(crate) presence: EventFilter,
    /// Rooms and what is in them.
    pub(crate) room: RoomFilter,
}

/// How events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventFormat {
    /// For clients.
    #[default]
    Client,
    /// As servers have it.
    Federation,
}

/// The `room` member of a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct RoomFilter {
    pub(crate) rooms: Option<BTreeSet<String>>,
    pub(crate) not_rooms: Option<BTreeSet<String>>,
    pub(crate) include_leave: bool,
    pub(crate) state: RoomEventFilter,
    pub(crate) timeline: RoomEventFilter,
    pub(crate) account_data: RoomEventFilter,
    pub(crate) ephemeral: RoomEventFilter,
}

/// Which events, wherever they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct EventFilter {
    limit: Option<u64>,
    senders: Option<BTreeSet<String>>,
    not_senders: Option<BTreeSet<String>>,
    types: Option<Vec<Pattern>>,
    not_types: Option<Vec<Pattern>>,
}

/// Which events of a room: the `filter` of `/messages` and `/context`, and parts of a [`Filter`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoomEventFilter {
    #[serde(flatten)]
    events: EventFilter,
    rooms: Option<BTreeSet<String>>,
    not_rooms: Option<BTreeSet<String>>,
    contains_url: Option<bool>,
    related_by_senders: Option<BTreeSet<String>>,
    related_by_rel_types: Option<BTreeSet<String>>,
    /// The relation types of a wanted event, and those of none (MSC3874).
    #[serde(alias = "org.matrix.msc3874.rel_types")]
    rel_types: Option<BTreeSet<String>>,
    #[serde(alias = "org.matrix.msc3874.not_rel_types")]
    not_rel_types: Option<BTreeSet<String>>,
    /// Whether members are shown only where their events are.
    pub(crate) lazy_load_members: bool,
    /// Whether members that the client has seen are shown again.
    pub(crate) include_redundant_members: bool,
    /// Whether what is unread in threads is counted apart from the main timeline.
    pub(crate) unread_thread_notifications: bool,
}

/// An event type in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Filter {
    /// Reads a definition. Members that nobody knows are passed over.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        let filter: Self = parse(json)?;
        if filter.room.timeline.relations_asked() > RELATED_BY_MAX {
            return Err(FilterError::TooManyRelations);
        }
        Ok(filter)
    }
}

impl RoomEventFilter {
    /// Reads a definition. Members that nobody knows are passed over.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        let filter: Self = parse(json)?;
        if filter.relations_asked() > RELATED_BY_MAX {
            return Err(FilterError::TooManyRelations);
        }
        Ok(filter)
    }

    /// How many events at most: what the client asks for, within the server's bounds.
    pub(crate) fn limit(&self, default: usize, max: usize) -> usize {
        let wanted = self.events.limit.map(usize::try_from);
        wanted.map_or(default, |wanted| wanted.unwrap_or(max).min(max))
    }

    /// Whether events of the room are wanted at all.
    pub(crate) fn wants_room(&self, room: &RoomId) -> bool {
        admits(self.rooms.as_ref(), self.not_rooms.as_ref(), room.as_str())
    }

    /// Whether state events of this type may be wanted.
    pub(crate) fn wants_type(&self, event_type: &str) -> bool {
        self.events.wants_type(event_type)
    }

    /// The relations of which a wanted event has one at least, by type and sender; `None` if it
    /// needs none. Who is no user relates to nothing.
    pub(crate) fn related_by(&self) -> Option<Vec<RelatedBy<'_>>> {
        let senders: Option<Vec<&UserId>> = self.related_by_senders.as_ref().map(|all| {
            let users = all
                .iter()
                .map(|sender| <&UserId>::try_from(sender.as_str()));
            users.flatten().collect()
        });
        match (&self.related_by_rel_types, senders) {
            (None, None) => None,
            (Some(types), None) => Some(types.iter().map(|it| (Some(it.as_str()), None)).collect()),
            (None, Some(senders)) => Some(senders.into_iter().map(|it| (None, Some(it))).collect()),
            (Some(types), Some(senders)) => {
                let of = |rel_type| senders.iter().map(move |it| (Some(rel_type), Some(*it)));
                Some(types.iter().map(String::as_str).flat_map(of).collect())
            }
        }
    }

    /// Whether the event relates to others as is wanted; one that relates to none is of no type.
    fn wants_relation(&self, event: &Pdu) -> bool {
        if self.rel_types.is_none() && self.not_rel_types.is_none() {
            return true;
        }
        match Relation::of(event) {
            Some(relation) => {
                let (wanted, unwanted) = (self.rel_types.as_ref(), self.not_rel_types.as_ref());
                admits(wanted, unwanted, &relation.rel_type)
            }
            None => self.rel_types.is_none(),
        }
    }

    /// How many relations of a wanted event are asked for.
    fn relations_asked(&self) -> usize {
        let count = |list: &Option<BTreeSet<String>>| list.as_ref().map_or(1, BTreeSet::len);
        count(&self.related_by_senders) * count(&self.related_by_rel_types)
    }

    /// Whether the event is wanted, its room aside.
    pub(crate) fn wants(&self, event: &Pdu) -> bool {
        self.events.wants_sender(event.sender().as_str())
            && self.events.wants_typed(|| event.event_type().to_string())
            && self
                .contains_url
                .is_none_or(|wanted| wanted == has_url(event))
            && self.wants_relation(event)
    }
}

impl Filter {
    /// One that wants everything, timelines of at most so many events.
    pub(crate) fn of_timeline(limit: u32) -> Self {
        let mut filter = Self::default();
        filter.room.timeline.events.limit = Some(limit.into());
        filter
    }
}

impl RoomFilter {
    pub(crate) fn wants_room(&self, room: &RoomId) -> bool {
        admits(self.rooms.as_ref(), self.not_rooms.as_ref(), room.as_str())
    }
}

impl EventFilter {
    /// Whether account data of this type is wanted: it has no sender.
    pub(crate) fn wants_type(&self, event_type: &str) -> bool {
        let among = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(event_type));
        self.types.as_deref().is_none_or(among) && !self.not_types.as_deref().is_some_and(among)
    }

    fn wants_typed(&self, event_type: impl FnOnce() -> String) -> bool {
        (self.types.is_none() && self.not_types.is_none()) || self.wants_type(&event_type())
    }

    /// Whether what this sender says is wanted.
    pub(crate) fn wants_sender(&self, sender: &str) -> bool {
        admits(self.senders.as_ref(), self.not_senders.as_ref(), sender)
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // What stands between two stars is found at its first place: later ones leave less.
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, FilterError> {
    if json.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLarge);
    }
    // An array would be read as the members in order.
    if !json.trim_start().starts_with('{') {
        return Err(FilterError::Malformed("a filter is an object".to_owned()));
    }
    serde_json::from_str(json).map_err(|error| FilterError::Malformed(error.to_string()))
}

fn admits(
    wanted: Option<&BTreeSet<String>>,
    unwanted: Option<&BTreeSet<String>>,
    text: &str,
) -> bool {
    wanted.is_none_or(|list| list.contains(text))
        && !unwanted.is_some_and(|list| list.contains(text))
}

fn has_url(event: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        url: Option<IgnoredAny>,
    }
    serde_json::from_str::<Content>(event.content_json()).is_ok_and(|content| content.url.is_some())
}

#[cfg(test)]
mod tests {
    use ruma_common::room_id;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern(pattern.to_owned()).matches(text)
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text) in [
            ("m.room.message", "m.room.message"),
            ("*", ""),
            ("*", "m.room.message"),
            ("m.*", "m.room"),
            ("*.message", "m.room.message"),
            ("m.*.*age", "m.room.message"),
            ("**", "x"),
            ("a*b*b", "abb"),
            ("m.room.*", "m.room."),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("m.room.message", "m.room.messages"),
            ("m.room", "m.room.message"),
            ("m.*", "x.m."),
            ("a*b*b", "ab"),
            ("ab*ba", "aba"),
            ("(a+)+$", "aaa"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        assert!(!matches(&"*a".repeat(10_000), &"a".repeat(9_999)));
    }

    #[test]
    fn limits_stay_within_bounds() {
        let limit = |json: &str| RoomEventFilter::parse(json).unwrap().limit(10, 100);
        assert_eq!(limit("{}"), 10);
        assert_eq!(limit(r#"{"limit":0}"#), 0);
        assert_eq!(limit(r#"{"limit":1000000000}"#), 100);
        assert_eq!(limit(r#"{"limit":18446744073709551615}"#), 100);
    }

    #[test]
    fn rooms_are_excluded_even_if_included() {
        let json = r#"{"room":{"rooms":["!a:x","!b:x"],"not_rooms":["!b:x"]}}"#;
        let filter = Filter::parse(json).unwrap().room;
        assert!(filter.wants_room(room_id!("!a:x")));
        assert!(!filter.wants_room(room_id!("!b:x")));
        assert!(!filter.wants_room(room_id!("!c:x")));
        assert!(RoomFilter::default().wants_room(room_id!("!c:x")));
    }

    #[test]
    fn types_are_excluded_even_if_included() {
        let json = r#"{"types":["m.*"],"not_types":["m.room.*"]}"#;
        let filter = RoomEventFilter::parse(json).unwrap();
        assert!(filter.wants_type("m.direct"));
        assert!(!filter.wants_type("m.room.name"));
        assert!(!filter.wants_type("org.example"));
    }

    #[test]
    fn relation_types_have_their_drafts_names_too() {
        for prefix in ["", "org.matrix.msc3874."] {
            let json = format!("{{\"{prefix}not_rel_types\":[\"m.thread\"]}}");
            let filter = RoomEventFilter::parse(&json).unwrap();
            assert!(filter.not_rel_types.unwrap().contains("m.thread"));
            let json = format!("{{\"{prefix}rel_types\":\"m.thread\"}}");
            let refused = RoomEventFilter::parse(&json).unwrap_err();
            assert!(matches!(refused, FilterError::Malformed(_)));
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for json in [
            "",
            "x",
            "[]",
            r#"{"room":5}"#,
            r#"{"room":{"timeline":{"limit":-1}}}"#,
            r#"{"room":{"timeline":{"limit":"10"}}}"#,
            r#"{"room":{"timeline":{"types":"m.*"}}}"#,
            r#"{"event_format":"xml"}"#,
        ] {
            let error = Filter::parse(json).unwrap_err();
            assert!(matches!(error, FilterError::Malformed(_)), "{json}");
        }
        let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(FILTER_BYTES_MAX));
        assert_eq!(Filter::parse(&huge).unwrap_err(), FilterError::TooLarge);
    }

    #[test]
    fn unknown_members_are_passed_over() {
        let json = r#"{"presence":{"types":[]},"room":{"timeline":{"org.x":1,"limit":5}}}"#;
        let filter = Filter::parse(json).unwrap();
        assert_eq!(filter.room.timeline.limit(10, 100), 5);
        assert_eq!(filter.event_format, EventFormat::Client);
    }
}
