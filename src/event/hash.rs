//! The reference hash: what every event is called in storage and, encoded, on the wire.
//!
//! It exists so that tables and graphs refer to events by 32 bytes that every server computes
//! alike, without a table of numbers in between. It knows nothing of how the hash is computed.

use std::fmt;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ruma_common::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

/// Bytes of an event ID of room versions 3 and later: the sigil and 43 characters of base64.
pub const EVENT_ID_BYTES: usize = 44;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// Which base64 alphabet a room version writes event IDs in (room versions 3 and 4, "Event IDs").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// `+` and `/`: room version 3.
    Standard,
    /// `-` and `_`: room versions 4 and later, and the room IDs of version 12.
    UrlSafe,
}

impl Alphabet {
    fn engine(self) -> &'static GeneralPurpose {
        match self {
            Self::Standard => &STANDARD_NO_PAD,
            Self::UrlSafe => &URL_SAFE_NO_PAD,
        }
    }
}

/// The reference hash of an event: SHA-256 over its redacted form without signatures
/// (Server-Server API, "Calculating the reference hash for an event").
///
/// `Ord` is the order of the bytes, which is *not* the order of the event IDs as text: base64
/// does not keep it. State resolution breaks ties by the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventHash([u8; HASH_BYTES]);

/// A text that is no event ID (or room ID) made of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an ID made of a hash: send the sigil and 43 characters of unpadded base64 in the \
     alphabet of the room version"
)]
pub struct NotAHash;

impl EventHash {
    /// The hash with these bytes.
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The hash as bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// The event ID: `$` and the hash in unpadded base64.
    pub fn to_event_id(self, alphabet: Alphabet) -> OwnedEventId {
        event_id_from(self.to_text('$', alphabet))
    }

    /// The ID of the room that the event with this hash created, room versions 12 and later.
    pub fn to_room_id(self) -> OwnedRoomId {
        room_id_from(self.to_text('!', Alphabet::UrlSafe))
    }

    /// The hash in an event ID of a room whose version writes IDs in `alphabet`.
    ///
    /// # Errors
    /// Any text but the one that [`Self::to_event_id`] gives for a hash: two texts are never the
    /// same event.
    pub fn from_event_id(id: &EventId, alphabet: Alphabet) -> Result<Self, NotAHash> {
        Self::from_text(id.as_str(), '$', alphabet)
    }

    /// The hash in an event ID that came without its room (as in a client's request): either
    /// alphabet, for no text means two hashes.
    ///
    /// # Errors
    /// Text that is no event ID of room versions 3 and later.
    pub fn from_any_event_id(id: &EventId) -> Result<Self, NotAHash> {
        Self::from_text(id.as_str(), '$', alphabet_of(id.as_str()))
    }

    /// The hash of the create event in a room ID of room versions 12 and later.
    ///
    /// # Errors
    /// Room IDs of earlier versions, and any other text.
    pub fn from_room_id(id: &RoomId) -> Result<Self, NotAHash> {
        Self::from_text(id.as_str(), '!', Alphabet::UrlSafe)
    }

    fn to_text(self, sigil: char, alphabet: Alphabet) -> String {
        let mut text = String::with_capacity(EVENT_ID_BYTES);
        text.push(sigil);
        alphabet.engine().encode_string(self.0, &mut text);
        text
    }

    fn from_text(text: &str, sigil: char, alphabet: Alphabet) -> Result<Self, NotAHash> {
        let encoded = text.strip_prefix(sigil).ok_or(NotAHash)?;
        if text.len() != EVENT_ID_BYTES {
            return Err(NotAHash);
        }
        let mut hash = [0; HASH_BYTES];
        // The engine refuses bits beyond the 256th, so one hash has one text.
        match alphabet.engine().decode_slice(encoded, &mut hash) {
            Ok(HASH_BYTES) => Ok(Self(hash)),
            _ => Err(NotAHash),
        }
    }
}

fn alphabet_of(text: &str) -> Alphabet {
    if text.contains(['+', '/']) {
        Alphabet::Standard
    } else {
        Alphabet::UrlSafe
    }
}

/// The two constructors below cannot fail: a sigil and 43 characters of base64 are within every
/// rule that ruma checks for these identifiers (length, sigil, no NUL, no colon).
fn event_id_from(text: String) -> OwnedEventId {
    OwnedEventId::try_from(text).expect("a sigil and base64 are an event ID")
}

fn room_id_from(text: String) -> OwnedRoomId {
    OwnedRoomId::try_from(text).expect("a sigil and base64 are a room ID")
}

impl From<[u8; HASH_BYTES]> for EventHash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl From<EventHash> for [u8; HASH_BYTES] {
    fn from(hash: EventHash) -> Self {
        hash.0
    }
}

impl AsRef<[u8]> for EventHash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The URL-safe event ID, whatever the room: good enough for logs.
impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text('$', Alphabet::UrlSafe))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma_common::{event_id, room_id};

    use super::*;

    #[test]
    fn alphabets_differ_in_two_characters() {
        let hash = EventHash::from([0xfb; 32]);
        assert_eq!(
            hash.to_event_id(Alphabet::Standard),
            "$+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s"
        );
        assert_eq!(
            hash.to_event_id(Alphabet::UrlSafe),
            "$-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s"
        );
    }

    #[test]
    fn other_alphabet_is_refused() {
        let hash = EventHash::from([0xfb; 32]);
        let id = hash.to_event_id(Alphabet::Standard);
        assert_eq!(
            EventHash::from_event_id(&id, Alphabet::UrlSafe),
            Err(NotAHash)
        );
        assert_eq!(EventHash::from_any_event_id(&id), Ok(hash));
    }

    #[test]
    fn bits_beyond_the_hash_are_refused() {
        // The last character carries two bits that no hash has.
        let id = event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB");
        assert_eq!(EventHash::from_any_event_id(id), Err(NotAHash));
    }

    #[test]
    fn ids_with_a_domain_are_refused() {
        assert_eq!(
            EventHash::from_any_event_id(event_id!("$abc:example.org")),
            Err(NotAHash)
        );
        let long = room_id!("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:hs1");
        assert_eq!(EventHash::from_room_id(long), Err(NotAHash));
    }

    proptest! {
        #[test]
        fn ids_round_trip(bytes: [u8; 32]) {
            let hash = EventHash::from(bytes);
            for alphabet in [Alphabet::Standard, Alphabet::UrlSafe] {
                let id = hash.to_event_id(alphabet);
                prop_assert_eq!(id.as_str().len(), EVENT_ID_BYTES);
                prop_assert_eq!(EventHash::from_event_id(&id, alphabet), Ok(hash));
                prop_assert_eq!(EventHash::from_any_event_id(&id), Ok(hash));
            }
            prop_assert_eq!(EventHash::from_room_id(&hash.to_room_id()), Ok(hash));
        }
    }
}
