//! What keys look like, and whether they are signed as they must be.
//!
//! Exists so that only what a client could use is ever stored or handed on: a user with one odd
//! key would otherwise break everybody's encryption with them. Knows no storage.

use std::collections::BTreeMap;

use belfry_event::{Numbers, PublicKey, canonical_json};
use ruma_common::UserId;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::KeyError;

/// Largest `DeviceKeys`, as JSON.
pub const DEVICE_KEYS_BYTES_MAX: usize = 32 * 1024;
/// Largest one-time or fallback key, as JSON.
pub const ONE_TIME_KEY_BYTES_MAX: usize = 4 * 1024;
/// Largest cross-signing key, as JSON.
pub const SIGNING_KEY_BYTES_MAX: usize = 24 * 1024;
/// Longest key ID, with its algorithm.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// Algorithms that one device has keys of.
pub const ALGORITHMS_MAX: usize = 20;

const ED25519: &str = "ed25519:";
/// The one-time keys that must be signed if the device's key is known.
pub(super) const SIGNED: &str = "signed_curve25519";

type Signatures = BTreeMap<String, BTreeMap<String, String>>;

/// `DeviceKeys` of the specification.
#[derive(Deserialize)]
struct DeviceKeys {
    user_id: String,
    device_id: String,
    algorithms: Vec<String>,
    keys: BTreeMap<String, String>,
    signatures: Signatures,
}

/// A key that signs for a device or a user.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    /// `ed25519:` and more.
    pub(super) key_id: String,
    pub(super) key: PublicKey,
}

/// A one-time or fallback key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneTime<'a> {
    pub(super) algorithm: &'a str,
    pub(super) key_id: &'a str,
    /// The key without signatures.
    pub(super) identity: String,
}

/// Checks a device's keys: of this user and device, with an ed25519 key, signed by it.
pub(super) fn device_keys(json: &str, user: &UserId, device: &str) -> Result<Signer, KeyError> {
    if json.len() > DEVICE_KEYS_BYTES_MAX {
        return Err(KeyError::TooLarge("device_keys", DEVICE_KEYS_BYTES_MAX));
    }
    let keys: DeviceKeys = parse("device_keys", json)?;
    if keys.user_id != user.as_str() || keys.device_id != device {
        let text = "device_keys are of another user or device; sign in on that one";
        return Err(KeyError::Mismatch(text.to_owned()));
    }
    if keys.algorithms.len() > ALGORITHMS_MAX || keys.keys.len() > ALGORITHMS_MAX {
        return Err(KeyError::TooMany("algorithms", ALGORITHMS_MAX));
    }
    for name in keys.keys.keys() {
        let (_, of_device) = split_name(name)?;
        if of_device != device {
            let text = format!("{name} in device_keys is of another device");
            return Err(KeyError::Mismatch(text));
        }
    }
    debug_assert!(keys.signatures.len() <= json.len());
    let signer = stored_signer(json, device)?;
    verify(json, user, &signer)?;
    Ok(signer)
}

/// The key that a device signs with, of keys that were checked before.
pub(super) fn stored_signer(json: &str, device: &str) -> Result<Signer, KeyError> {
    #[derive(Deserialize)]
    struct Keys {
        keys: BTreeMap<String, String>,
    }
    let Keys { keys } = parse("device_keys", json)?;
    let key_id = format!("{ED25519}{device}");
    let Some(text) = keys.get(&key_id) else {
        return Err(KeyError::Shape(format!("device_keys lack {key_id}")));
    };
    Ok(Signer {
        key: public_key(text)?,
        key_id,
    })
}

/// Checks a one-time or fallback key, but for its signature.
pub(super) fn one_time_key<'a>(name: &'a str, json: &str) -> Result<OneTime<'a>, KeyError> {
    if json.len() > ONE_TIME_KEY_BYTES_MAX {
        return Err(KeyError::TooLarge("a one-time key", ONE_TIME_KEY_BYTES_MAX));
    }
    let (algorithm, key_id) = split_name(name)?;
    let identity = one_time_identity(json)?;
    if algorithm == SIGNED && !is_object(json) {
        return Err(KeyError::Shape(format!("{name} is not an object")));
    }
    Ok(OneTime {
        algorithm,
        key_id,
        identity,
    })
}

/// What makes two one-time keys the same: all but the signatures.
pub(super) fn one_time_identity(json: &str) -> Result<String, KeyError> {
    #[derive(Deserialize)]
    struct Keyed {
        #[serde(default)]
        key: Value,
    }
    let what = "a one-time key";
    let (key, wrong) = if is_object(json) {
        let Keyed { key } = parse(what, json)?;
        (key, "a one-time key lacks its key")
    } else {
        let text = "a one-time key is neither a text nor an object";
        (parse(what, json)?, text)
    };
    match key {
        Value::String(key) if !key.is_empty() => Ok(key),
        _ => Err(KeyError::Shape(wrong.to_owned())),
    }
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// Checks a cross-signing key: of this user, for this use, one ed25519 key named by itself.
pub(super) fn signing_key(json: &str, user: &UserId, usage: &str) -> Result<Signer, KeyError> {
    #[derive(Deserialize)]
    struct SigningKey {
        user_id: String,
        usage: Vec<String>,
        keys: BTreeMap<String, String>,
    }
    if json.len() > SIGNING_KEY_BYTES_MAX {
        let name = "a cross-signing key";
        return Err(KeyError::TooLarge(name, SIGNING_KEY_BYTES_MAX));
    }
    let parsed: SigningKey = parse("a cross-signing key", json)?;
    if parsed.user_id != user.as_str() {
        let text = "a cross-signing key is of another user";
        return Err(KeyError::Mismatch(text.to_owned()));
    }
    if !parsed.usage.iter().any(|found| found == usage) {
        let text = format!("a cross-signing key is not for the use {usage}");
        return Err(KeyError::Mismatch(text));
    }
    let mut keys = parsed.keys.into_iter();
    let (Some((key_id, text)), None) = (keys.next(), keys.next()) else {
        let text = "a cross-signing key has one key, not more or fewer";
        return Err(KeyError::Mismatch(text.to_owned()));
    };
    if key_id.strip_prefix(ED25519) != Some(&*text) {
        let text = "a cross-signing key is named ed25519 and itself";
        return Err(KeyError::Mismatch(text.to_owned()));
    }
    let key = public_key(&text).map_err(|error| KeyError::Mismatch(error.to_string()))?;
    Ok(Signer { key_id, key })
}

/// Checks that the user signed the object with this key.
pub(super) fn verify(json: &str, user: &UserId, signer: &Signer) -> Result<(), KeyError> {
    let verified = signer
        .key
        .verify_json(json.as_bytes(), user.as_str(), &signer.key_id);
    verified.map_err(|error| KeyError::Signature(error.to_string()))
}

/// The signature by this key, if it is there and right; `None` if it is not there.
pub(super) fn signature_by(
    json: &str,
    user: &UserId,
    signer: &Signer,
) -> Result<Option<String>, KeyError> {
    let object = object(json)?;
    let found = object
        .get("signatures")
        .and_then(|all| all.get(user.as_str()))
        .and_then(|own| own.get(&signer.key_id));
    let Some(signature) = found.and_then(Value::as_str) else {
        return Ok(None);
    };
    verify(json, user, signer)?;
    Ok(Some(signature.to_owned()))
}

/// The object with those of the user's signatures that are by these keys and right, and no others;
/// without `unsigned`.
pub(super) fn keep_verified(
    json: &str,
    user: &UserId,
    signers: &[&Signer],
) -> Result<String, KeyError> {
    let mut kept = Map::new();
    for signer in signers {
        if let Ok(Some(signature)) = signature_by(json, user, signer) {
            kept.insert(signer.key_id.clone(), signature.into());
        }
    }
    let mut object = object(json)?;
    object.remove("unsigned");
    let mut signatures = Map::new();
    signatures.insert(user.to_string(), kept.into());
    object.insert("signatures".to_owned(), signatures.into());
    canonical(&Value::Object(object).to_string())
}

/// Whether two objects are the same but for `signatures` and `unsigned`.
pub(super) fn same_but_signatures(one: &str, other: &str) -> bool {
    let bare = |json: &str| -> Option<String> {
        let mut object = object(json).ok()?;
        object.remove("signatures");
        object.remove("unsigned");
        canonical(&Value::Object(object).to_string()).ok()
    };
    let one = bare(one);
    one.is_some() && one == bare(other)
}

/// The key IDs that the user's signatures on the object are by.
pub(super) fn signing_ids(json: &str, user: &UserId) -> Result<Vec<String>, KeyError> {
    let object = object(json)?;
    let own = object.get("signatures");
    let own = own.and_then(|all| all.get(user.as_str()));
    let own = own.and_then(Value::as_object);
    Ok(own
        .map(|own| own.keys().cloned().collect())
        .unwrap_or_default())
}

/// Reads a JSON object.
pub(super) fn object(json: &str) -> Result<Map<String, Value>, KeyError> {
    parse("a key", json)
}

/// The object with another member; what is no object comes back as it is.
pub(super) fn object_with(json: &str, name: &str, value: Value) -> String {
    match object(json) {
        Ok(mut object) => {
            object.insert(name.to_owned(), value);
            Value::Object(object).to_string()
        }
        Err(_) => json.to_owned(),
    }
}

/// Stored `device_keys` with what the user calls the device. They have no `unsigned` and are not
/// empty (see [`keep_verified`]), so that nothing is read for it: a query asks for hundreds.
pub(super) fn with_name(stored: &str, name: &str) -> String {
    let Some(members) = stored.strip_suffix('}') else {
        return stored.to_owned();
    };
    let name = Value::from(name);
    format!(r#"{members},"unsigned":{{"device_display_name":{name}}}}}"#)
}

/// Splits `algorithm:name`.
fn split_name(name: &str) -> Result<(&str, &str), KeyError> {
    if name.len() > KEY_NAME_BYTES_MAX {
        return Err(KeyError::TooLarge("a key's name", KEY_NAME_BYTES_MAX));
    }
    let parts = name.split_once(':');
    parts
        .filter(|(algorithm, id)| !algorithm.is_empty() && !id.is_empty())
        .ok_or_else(|| {
            KeyError::Shape("a key's name is an algorithm, a colon and an ID".to_owned())
        })
}

fn public_key(text: &str) -> Result<PublicKey, KeyError> {
    PublicKey::from_base64(text).map_err(|error| KeyError::Shape(error.to_string()))
}

fn canonical(json: &str) -> Result<String, KeyError> {
    let text = canonical_json(json.as_bytes(), Numbers::Lax);
    text.map_err(|error| KeyError::Shape(error.to_string()))
}

fn parse<'a, T: Deserialize<'a>>(what: &str, json: &'a str) -> Result<T, KeyError> {
    serde_json::from_str(json).map_err(|error| KeyError::Shape(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_stands_beside_what_was_signed() {
        let stored = r#"{"device_id":"D","signatures":{"@a:b":{}}}"#;
        let told: Value = serde_json::from_str(&with_name(stored, "my \"phone\"\n")).unwrap();
        let name = &told["unsigned"]["device_display_name"];
        assert_eq!(name.as_str(), Some("my \"phone\"\n"));
        let before: Value = serde_json::from_str(stored).unwrap();
        for (member, value) in before.as_object().unwrap() {
            assert_eq!(&told[member], value);
        }
    }
}
