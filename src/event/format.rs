//! The event format of each room version and its limits: the first check on receipt of a PDU.
//!
//! It exists so that nothing malformed or oversized gets past the door, in either direction, and
//! that code behind it may rely on the shape of an event. It knows nothing of hashes, signatures
//! or authorisation.

use ruma_common::{EventId, RoomId, UserId};

use crate::hash::EventHash;
use crate::json::{JsonError, Object, Value};
use crate::rules::{INTEGER_MAX, RoomRules};

/// Most bytes of an event: canonical JSON of the federation format, signatures included
/// (Client-Server API, "Size limits"). `unsigned` does not count, for every server on the way
/// may change it and the verdict on an event must not depend on the way it came.
pub const EVENT_BYTES_MAX: usize = 65_536;

/// Most bytes of an event as it comes, before it is made canonical: room for white space, escapes
/// and `unsigned`, and a bound on the work of reading it.
pub const EVENT_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes, not characters, of `room_id`, `sender`, `type` and `state_key`.
pub const ID_BYTES_MAX: usize = 255;

/// Most `prev_events` of an event.
pub const PREV_EVENTS_MAX: usize = 20;

/// Most `auth_events` of an event.
pub const AUTH_EVENTS_MAX: usize = 10;

/// Why a text is no event of its room version. Such an event is dropped, not rejected: it is as
/// if it had never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not an object, or not canonical JSON as the room version wants it.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// More than [`EVENT_TEXT_BYTES_MAX`] as it came.
    #[error("an event of {bytes} bytes: send it without white space and unsigned data")]
    TextTooLong {
        /// What it measured.
        bytes: usize,
    },
    /// More than [`EVENT_BYTES_MAX`].
    #[error("an event of {bytes} bytes: send at most {EVENT_BYTES_MAX}, signatures included")]
    TooLarge {
        /// What it measured.
        bytes: usize,
    },
    /// More than [`ID_BYTES_MAX`].
    #[error("`{field}` has {bytes} bytes: send at most {ID_BYTES_MAX}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What it measured.
        bytes: usize,
    },
    /// More than [`PREV_EVENTS_MAX`] or [`AUTH_EVENTS_MAX`].
    #[error("`{field}` has {count} entries: send at most {max}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// How many there were.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// A field that every event of the room version has.
    #[error("`{field}` is missing: send it")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field that such an event of the room version does not have.
    #[error("`{field}` must not be there in this room version: leave it out")]
    Unexpected {
        /// The field.
        field: &'static str,
    },
    /// A field with a value of another type.
    #[error("`{field}` is not {expected}: send {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// A string that is no identifier of the kind and room version.
    #[error("`{field}` is not a valid identifier in this room version: correct it")]
    NotAnId {
        /// The field.
        field: &'static str,
    },
    /// A number outside its limits.
    #[error("`{field}` is out of range: send a number from 0 to the room version's maximum")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// An event that follows none, although only a create event begins a room.
    #[error("`prev_events` is empty: name the events that this one follows")]
    NoPrevEvents,
    /// The create event among `auth_events`, where the room ID already stands for it.
    #[error("`auth_events` names the create event: leave it out in this room version")]
    CreateInAuthEvents,
}

impl FormatError {
    /// Whether the event was too large rather than malformed: `M_TOO_LARGE` for a client.
    pub const fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::TextTooLong { .. } | Self::TooLarge { .. } | Self::TooLong { .. }
        )
    }
}

/// Checks the canonical text's size.
pub(crate) const fn check_size(text: &str) -> Result<(), FormatError> {
    let bytes = text.len();
    if bytes > EVENT_BYTES_MAX {
        Err(FormatError::TooLarge { bytes })
    } else {
        Ok(())
    }
}

/// Checks all fields but `hashes` and `signatures`.
pub(crate) fn check_fields(event: &Object<'_>, rules: &RoomRules) -> Result<(), FormatError> {
    let is_create = string(event, "type")? == "m.room.create";
    <&UserId>::try_from(string(event, "sender")?)
        .map_err(|_| FormatError::NotAnId { field: "sender" })?;
    if event.contains("state_key") {
        string(event, "state_key")?;
    }
    object(event, "content")?;
    integer(event, "depth", rules.depth_max())?;
    integer(event, "origin_server_ts", INTEGER_MAX)?;
    let room_id = check_room_id(event, rules, is_create)?;
    let prev_events = references(event, "prev_events", PREV_EVENTS_MAX, rules)?;
    if prev_events.is_empty() && !is_create {
        return Err(FormatError::NoPrevEvents);
    }
    let auth_events = references(event, "auth_events", AUTH_EVENTS_MAX, rules)?;
    match room_id {
        Some(create) if auth_events.contains(&create) => Err(FormatError::CreateInAuthEvents),
        _ => Ok(()),
    }
}

/// Checks that `hashes` and `signatures` have their shape, whatever they say.
pub(crate) fn check_proofs(event: &Object<'_>) -> Result<(), FormatError> {
    match object(event, "hashes")?.get("sha256") {
        Some(Value::String(_)) => {}
        Some(_) => return Err(wrong_type("hashes.sha256", "a string")),
        None => {
            return Err(FormatError::Missing {
                field: "hashes.sha256",
            });
        }
    }
    let well_formed = |of_entity: &Value<'_>| {
        let of_entity = of_entity.as_object();
        of_entity.is_some_and(|keys| keys.iter().all(|(_, text)| text.as_str().is_some()))
    };
    if object(event, "signatures")?
        .iter()
        .all(|(_, of_entity)| well_formed(of_entity))
    {
        Ok(())
    } else {
        Err(wrong_type("signatures", "an object of objects of strings"))
    }
}

/// Checks the room ID; gives the create event's hash if the room ID is that.
fn check_room_id(
    event: &Object<'_>,
    rules: &RoomRules,
    is_create: bool,
) -> Result<Option<EventHash>, FormatError> {
    let field = "room_id";
    if rules.room_id_is_hash() && is_create {
        let unexpected = event.contains(field);
        return if unexpected {
            Err(FormatError::Unexpected { field })
        } else {
            Ok(None)
        };
    }
    let not_an_id = FormatError::NotAnId { field };
    let room_id = <&RoomId>::try_from(string(event, field)?).map_err(|_| not_an_id)?;
    if !rules.room_id_is_hash() {
        return Ok(None);
    }
    EventHash::from_room_id(room_id)
        .map(Some)
        .map_err(|_| not_an_id)
}

/// A required array of event IDs.
fn references(
    event: &Object<'_>,
    field: &'static str,
    max: usize,
    rules: &RoomRules,
) -> Result<Vec<EventHash>, FormatError> {
    let value = event.get(field).ok_or(FormatError::Missing { field })?;
    let entries = value.as_array().ok_or(wrong_type(field, "an array"))?;
    let count = entries.len();
    if count > max {
        return Err(FormatError::TooMany { field, count, max });
    }
    entries
        .iter()
        .map(|entry| reference(entry, field, rules))
        .collect()
}

fn reference(
    entry: &Value<'_>,
    field: &'static str,
    rules: &RoomRules,
) -> Result<EventHash, FormatError> {
    let text = entry
        .as_str()
        .ok_or(wrong_type(field, "an array of strings"))?;
    let id = <&EventId>::try_from(text).map_err(|_| FormatError::NotAnId { field })?;
    EventHash::from_event_id(id, rules.alphabet()).map_err(|_| FormatError::NotAnId { field })
}

/// A required string of at most [`ID_BYTES_MAX`].
fn string<'e>(event: &'e Object<'_>, field: &'static str) -> Result<&'e str, FormatError> {
    let value = event.get(field).ok_or(FormatError::Missing { field })?;
    let text = value.as_str().ok_or(wrong_type(field, "a string"))?;
    let bytes = text.len();
    if bytes > ID_BYTES_MAX {
        Err(FormatError::TooLong { field, bytes })
    } else {
        Ok(text)
    }
}

fn object<'e, 'a>(
    event: &'e Object<'a>,
    field: &'static str,
) -> Result<&'e Object<'a>, FormatError> {
    let value = event.get(field).ok_or(FormatError::Missing { field })?;
    value.as_object().ok_or(wrong_type(field, "an object"))
}

/// A required integer from 0 to `max`.
fn integer(event: &Object<'_>, field: &'static str, max: i64) -> Result<(), FormatError> {
    let value = event.get(field).ok_or(FormatError::Missing { field })?;
    let Value::Number(text) = value else {
        return Err(wrong_type(field, "an integer"));
    };
    // The canonical text of an integer is nothing but a sign and digits.
    if !text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_digit())
    {
        return Err(wrong_type(field, "an integer"));
    }
    match text.parse::<i64>() {
        Ok(value) if (0..=max).contains(&value) => Ok(()),
        _ => Err(FormatError::OutOfRange { field }),
    }
}

const fn wrong_type(field: &'static str, expected: &'static str) -> FormatError {
    FormatError::WrongType { field, expected }
}
