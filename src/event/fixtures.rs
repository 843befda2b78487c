//! Events, keys and rules that tests start from. It knows nothing of any one test.

use ruma_common::{
    MilliSecondsSinceUnixEpoch, RoomId, RoomVersionId, room_id, server_name, user_id,
};
use serde_json::{Value, json};

use crate::{Draft, EventHash, KeyRing, RoomRules, SigningKey};

/// The appendices' key ("Cryptographic Test Vectors"), which belongs to the server `domain`.
const SEED_BASE64: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

/// What the room IDs of version 12 here are made of.
pub(crate) const CREATE: EventHash = EventHash::new([0; 32]);

pub(crate) static PREV: [EventHash; 1] = [CREATE];

pub(crate) fn rules(version: &str) -> &'static RoomRules {
    RoomRules::new(&RoomVersionId::try_from(version).unwrap()).unwrap()
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&seed(), "1").unwrap()
}

pub(crate) fn seed() -> [u8; 32] {
    let decoded: ruma_common::serde::Base64 =
        ruma_common::serde::Base64::parse(SEED_BASE64).unwrap();
    decoded.as_bytes().try_into().unwrap()
}

pub(crate) fn at(milliseconds: u32) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(milliseconds.into())
}

pub(crate) fn for_ever() -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(crate::INTEGER_MAX.unsigned_abs().try_into().unwrap())
}

/// The key of `domain`, valid for ever.
pub(crate) fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    let public = key().public_key().clone();
    ring.insert(
        server_name!("domain").to_owned(),
        "ed25519:1",
        public,
        for_ever(),
    )
    .unwrap();
    ring
}

pub(crate) fn room(rules: &RoomRules) -> &'static RoomId {
    if rules.room_id_is_hash() {
        room_id!("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    } else {
        room_id!("!r:domain")
    }
}

/// A message by `@u:domain`.
pub(crate) fn draft(rules: &'static RoomRules) -> Draft<'static> {
    Draft {
        rules,
        room_id: Some(room(rules)),
        sender: user_id!("@u:domain"),
        event_type: "m.room.message",
        state_key: None,
        content: r#"{"msgtype":"m.text","body":"hello"}"#,
        redacts: None,
        prev_events: &PREV,
        auth_events: &[],
        depth: 7,
        origin_server_ts: at(1_000_000),
    }
}

/// The same message as JSON over the wire, to be spoilt by a test.
pub(crate) fn wire(rules: &'static RoomRules) -> Value {
    let event = draft(rules).sign(server_name!("domain"), &key()).unwrap();
    serde_json::from_str(event.json()).unwrap()
}

/// The event with some of its fields replaced or, by the string `ABSENT`, removed.
pub(crate) fn patched(mut event: Value, patch: &Value) -> Value {
    for (field, value) in patch.as_object().unwrap() {
        if value == &json!("ABSENT") {
            event.as_object_mut().unwrap().remove(field);
        } else {
            event[field] = value.clone();
        }
    }
    event
}
