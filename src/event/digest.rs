//! The two hashes of an event (Server-Server API, "Signing Events"), and the text that is signed.
//!
//! It exists so that building and receiving events take the same bytes for the same purpose. It
//! knows nothing of keys.

use ruma_common::serde::Base64;
use sha2::{Digest as _, Sha256};

use crate::hash::{EventHash, HASH_BYTES};
use crate::json::{Object, Value};
use crate::redaction::write_redacted;
use crate::rules::RoomRules;

/// SHA-256 over the whole event but `hashes`, `signatures` and `unsigned`.
pub(crate) fn content_hash(event: &Object<'_>) -> [u8; HASH_BYTES] {
    let mut text = String::new();
    event.write_without(&["hashes", "signatures", "unsigned"], &mut text);
    sha256(&text)
}

/// The content hash that the event itself claims, if it is base64 of the right length.
pub(crate) fn claimed_content_hash(event: &Object<'_>) -> Option<[u8; HASH_BYTES]> {
    let claimed = event.get("hashes")?.as_object()?.get("sha256")?.as_str()?;
    let decoded: Base64 = Base64::parse(claimed).ok()?;
    decoded.as_bytes().try_into().ok()
}

/// The redacted event without `signatures` and `unsigned`: signatures are over this text, and
/// the reference hash is its SHA-256.
pub(crate) fn essential_text(event: &Object<'_>, rules: &RoomRules) -> String {
    let mut text = String::new();
    write_redacted(
        event,
        rules.redaction(),
        &["signatures", "unsigned"],
        &mut text,
    );
    text
}

/// The reference hash of the event with this [`essential_text`].
pub(crate) fn reference_hash(essential_text: &str) -> EventHash {
    EventHash::from(sha256(essential_text))
}

/// Sets `hashes` to the content hash.
pub(crate) fn add_content_hash(event: &mut Object<'_>) {
    let hash: Base64<_, [u8; HASH_BYTES]> =
        Base64::<ruma_common::serde::base64::Standard, _>::new(content_hash(event));
    let hashes = vec![("sha256".into(), Value::string(hash.encode()))];
    event.insert("hashes", Value::Object(Object::from_members(hashes)));
}

fn sha256(text: &str) -> [u8; HASH_BYTES] {
    Sha256::digest(text.as_bytes()).into()
}
