//! An event as the server holds it: canonical JSON, and the fields that code asks for.
//!
//! It exists so that an event is checked once, when it enters, and read cheaply ever after: what
//! nearly every reader wants is parsed at once, in one pass over the text; what only the
//! authorisation rules want is made on first use. It knows nothing of where events come from,
//! whether they are allowed, or how they are stored.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
};
use ruma_events::TimelineEventType;
use ruma_state_res::Event;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::hash::EventHash;
use crate::json::Object;
use crate::redaction::write_redacted;
use crate::rules::RoomRules;

/// A stored event that does not parse, or a text that never was an event.
#[derive(Debug, thiserror::Error)]
#[error("the stored event {hash:?} cannot be read; fetch it anew or restore it from a backup")]
pub struct UnreadableEvent {
    /// What the event was looked up by.
    pub hash: EventHash,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// An event of a supported room version, whole and well-formed.
///
/// It is what [`Self::from_stored`] reads, and what building and receiving events give. Whether
/// it is allowed in its room is not its matter, except for the verdict in [`Self::rejected`].
#[derive(Clone)]
pub struct Pdu {
    rules: &'static RoomRules,
    hash: EventHash,
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    event_type: TimelineEventType,
    state_key: Option<Box<str>>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: i64,
    prev_hashes: Box<[EventHash]>,
    auth_hashes: Box<[EventHash]>,
    redacts: Option<OwnedEventId>,
    rejected: bool,
    json: Box<str>,
    content: Range<usize>,
    // For ruma's trait only, which the authorisation rules and state resolution run on.
    raw_content: OnceLock<Box<RawValue>>,
    links: OnceLock<Links>,
}

/// The events referred to, as the IDs that ruma asks for.
#[derive(Clone)]
struct Links {
    prev_events: Box<[OwnedEventId]>,
    auth_events: Box<[OwnedEventId]>,
}

/// The fields of the federation format that are read at once; all else stays text.
#[derive(Deserialize)]
struct Fields<'a> {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    state_key: Option<Box<str>>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: i64,
    prev_events: Vec<Reference>,
    auth_events: Vec<Reference>,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// An event ID within an event, kept as its hash.
struct Reference(EventHash);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl Visitor<'_> for ReferenceVisitor {
    type Value = Reference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event ID")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Reference, E> {
        let id = <&EventId>::try_from(text).map_err(E::custom)?;
        EventHash::from_any_event_id(id)
            .map(Reference)
            .map_err(E::custom)
    }
}

impl Pdu {
    /// Reads an event from its canonical JSON in the federation format, which this crate wrote
    /// (by building or receiving it) and storage kept with the event's `hash`.
    ///
    /// The hash is trusted, not computed again. The event counts as not rejected; see
    /// [`Self::with_rejected`].
    ///
    /// # Errors
    /// If a field is missing or of the wrong type, which only damaged storage explains.
    pub fn from_stored(
        rules: &'static RoomRules,
        hash: EventHash,
        json: &[u8],
    ) -> Result<Self, UnreadableEvent> {
        std::str::from_utf8(json)
            .map_err(serde_json::Error::custom)
            .and_then(|text| Self::read(rules, hash, text.into()))
            .map_err(|source| UnreadableEvent {
                hash,
                source: source.into(),
            })
    }

    pub(crate) fn read(
        rules: &'static RoomRules,
        hash: EventHash,
        json: Box<str>,
    ) -> Result<Self, serde_json::Error> {
        let fields: Fields<'_> = serde_json::from_str(&json)?;
        let event_type = TimelineEventType::from(fields.event_type.as_ref());
        let room_id = match fields.room_id {
            Some(room_id) => room_id,
            None if unsaid_room(rules, &event_type) => hash.to_room_id(),
            None => return Err(serde_json::Error::missing_field("room_id")),
        };
        Ok(Self {
            rules,
            hash,
            event_id: hash.to_event_id(rules.alphabet()),
            room_id,
            sender: fields.sender,
            state_key: fields.state_key,
            origin_server_ts: fields.origin_server_ts,
            depth: fields.depth,
            prev_hashes: hashes(fields.prev_events),
            auth_hashes: hashes(fields.auth_events),
            redacts: redacts(rules, &event_type, fields.redacts, fields.content),
            rejected: false,
            content: span(&json, fields.content.get()),
            event_type,
            json,
            raw_content: OnceLock::new(),
            links: OnceLock::new(),
        })
    }

    /// The same event without what its sender said (room versions, "Redactions"): the hash, the
    /// ID and the signatures stay good.
    ///
    /// # Errors
    /// If the text is no canonical JSON of the room version, which only damaged storage explains.
    pub fn redact(&self) -> Result<Self, UnreadableEvent> {
        let unreadable = |source| UnreadableEvent {
            hash: self.hash,
            source,
        };
        let event = Object::parse(self.json.as_bytes(), self.rules.numbers())
            .map_err(|error| unreadable(error.into()))?;
        let mut redacted = String::new();
        write_redacted(&event, self.rules.redaction(), &[], &mut redacted);
        let redacted = Self::read(self.rules, self.hash, redacted.into())
            .map_err(|error| unreadable(error.into()))?;
        Ok(redacted.with_rejected(self.rejected))
    }

    /// The same event with the verdict that storage keeps beside it.
    #[must_use]
    pub fn with_rejected(mut self, rejected: bool) -> Self {
        self.rejected = rejected;
        self
    }

    /// The rules of the room's version.
    pub const fn rules(&self) -> &'static RoomRules {
        self.rules
    }

    /// The reference hash: what storage and the event graph know the event by.
    pub const fn hash(&self) -> EventHash {
        self.hash
    }

    /// The event ID: the hash in the room version's alphabet.
    pub fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    /// The room. The create event of a room of version 12 has it from its own hash, unlike in
    /// [`Event::room_id`], which gives what the event says.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// Who sent the event.
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// The `type`.
    pub fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    /// The state key; `None` for an event that is not state.
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    /// When the sender's server says that it made the event: never to be trusted.
    pub const fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    /// The depth that the sender's server gave; 0 to [`RoomRules::depth_max`].
    pub const fn depth(&self) -> i64 {
        self.depth
    }

    /// The events before this one, at most [`crate::PREV_EVENTS_MAX`].
    pub fn prev_hashes(&self) -> &[EventHash] {
        &self.prev_hashes
    }

    /// The events that allow this one, at most [`crate::AUTH_EVENTS_MAX`].
    pub fn auth_hashes(&self) -> &[EventHash] {
        &self.auth_hashes
    }

    /// The target of an `m.room.redaction`; `None` for other events, and if it names none.
    pub fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    /// The content, canonical JSON of an object.
    pub fn content_json(&self) -> &str {
        // The span was taken from this very text.
        self.json.get(self.content.clone()).unwrap_or("{}")
    }

    /// The whole event in the federation format, canonical JSON without `unsigned`: what is
    /// stored, sent to other servers, and read by [`Self::from_stored`].
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Whether the event failed the authorisation rules when it was received.
    pub const fn rejected(&self) -> bool {
        self.rejected
    }

    /// Whether the event is one that begins a room: the rules go by the type alone.
    pub fn is_create(&self) -> bool {
        self.event_type == TimelineEventType::RoomCreate
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let ids = |hashes: &[EventHash]| {
                hashes
                    .iter()
                    .map(|hash| hash.to_event_id(self.rules.alphabet()))
                    .collect()
            };
            Links {
                prev_events: ids(&self.prev_hashes),
                auth_events: ids(&self.auth_hashes),
            }
        })
    }
}

/// Whether an event of this type has no `room_id` because its hash is the room's ID.
fn unsaid_room(rules: &RoomRules, event_type: &TimelineEventType) -> bool {
    rules.room_id_is_hash() && *event_type == TimelineEventType::RoomCreate
}

fn hashes(references: Vec<Reference>) -> Box<[EventHash]> {
    references
        .into_iter()
        .map(|reference| reference.0)
        .collect()
}

/// What a redaction redacts. Anything but an event ID there is as good as nothing: the event is
/// valid, it only does nothing.
fn redacts(
    rules: &RoomRules,
    event_type: &TimelineEventType,
    beside: Option<&RawValue>,
    content: &RawValue,
) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        redacts: Option<&'a RawValue>,
    }
    if *event_type != TimelineEventType::RoomRedaction {
        return None;
    }
    let target = if rules.redacts_in_content() {
        serde_json::from_str::<Content<'_>>(content.get())
            .ok()?
            .redacts
    } else {
        beside
    };
    let id: OwnedEventId = serde_json::from_str(target?.get()).ok()?;
    EventHash::from_event_id(&id, rules.alphabet())
        .is_ok()
        .then_some(id)
}

/// Where `part`, borrowed from `whole`, lies in it.
fn span(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

impl Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    /// As the event says: `None` for the create event of a room of version 12.
    fn room_id(&self) -> Option<&RoomId> {
        (!unsaid_room(self.rules, &self.event_type)).then_some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        self.raw_content.get_or_init(|| {
            // The span was a RawValue when the event was read, so it parses again.
            RawValue::from_string(self.content_json().to_owned())
                .unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.links().prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.links().auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// Equal if the text is: the same event may be held whole and redacted.
impl PartialEq for Pdu {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules && self.hash == other.hash && self.json == other.json
    }
}

impl Eq for Pdu {}

/// Names the event without its content, which has no place in a log.
impl fmt::Debug for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdu")
            .field("event_id", &self.event_id)
            .field("room_id", &self.room_id)
            .field("type", &self.event_type)
            .field("state_key", &self.state_key)
            .field("sender", &self.sender)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "pdu_tests.rs"]
mod tests;
