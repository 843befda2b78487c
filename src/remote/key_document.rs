//! Key documents: what `/_matrix/key/v2/server` answers, ours and others'.
//!
//! Exists so that a document is believed in one way only, whoever handed it over: signed by the
//! server that it is of, with a key that it lists. Knows nothing of fetching and keeping.
//! (Server-Server API, "Retrieving server keys".)

use std::collections::BTreeMap;

use belfry_event::{PublicKey, SigningKey};
use ruma_common::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::json;

/// Longest document that is read, in bytes.
pub const KEY_DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Keys in one document, old ones included.
pub const DOCUMENT_KEYS_MAX: usize = 100;
/// How far into the future a document can vouch for its keys, in milliseconds: 7 days.
pub const VALIDITY_MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;
/// How long our own document is valid, in milliseconds: a day.
pub const OWN_VALIDITY_MS: u64 = 24 * 3_600 * 1_000;
/// Longest key ID, in bytes.
const KEY_ID_BYTES_MAX: usize = 255;

/// Why a document says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON of a key document, or too much of it.
    #[error("not a key document: {0}")]
    Malformed(String),
    /// It is of another server.
    #[error("the key document is of {0}")]
    OtherServer(OwnedServerName),
    /// No key that it lists as valid has signed it, or a signature is wrong.
    #[error("the key document is not signed by a key that it lists")]
    Unsigned,
}

/// A key and until when it may have signed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedKey {
    /// `ed25519:` and a version.
    pub key_id: String,
    /// The key.
    pub key: PublicKey,
    /// In milliseconds since the Unix epoch.
    pub valid_until_ms: u64,
}

/// What a document that is believed says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDocument {
    /// Whose keys.
    pub server: OwnedServerName,
    /// Current and old keys; those that are no ed25519 keys are left out.
    pub keys: Vec<TimedKey>,
    /// Its `valid_until_ts`, as it says.
    pub valid_until_ms: u64,
}

#[derive(Deserialize)]
struct Text {
    server_name: OwnedServerName,
    verify_keys: BTreeMap<String, VerifyKey>,
    #[serde(default)]
    old_verify_keys: BTreeMap<String, OldVerifyKey>,
    valid_until_ts: u64,
}

#[derive(Deserialize)]
struct VerifyKey {
    key: String,
}

#[derive(Deserialize)]
struct OldVerifyKey {
    key: String,
    expired_ts: u64,
}

impl KeyDocument {
    /// Reads the document of `server` as it came, at this wall time.
    pub fn read(server: &ServerName, json: &[u8], now_ms: u64) -> Result<Self, DocumentError> {
        if json.len() > KEY_DOCUMENT_BYTES_MAX {
            return Err(DocumentError::Malformed("too long".to_owned()));
        }
        let text: Text = serde_json::from_slice(json)
            .map_err(|error| DocumentError::Malformed(error.to_string()))?;
        if text.server_name != server {
            return Err(DocumentError::OtherServer(text.server_name));
        }
        if text.verify_keys.len() + text.old_verify_keys.len() > DOCUMENT_KEYS_MAX {
            return Err(DocumentError::Malformed("too many keys".to_owned()));
        }
        let current = current_keys(&text, now_ms);
        check_signatures(server, json, &current)?;
        let keys = current.into_iter().chain(old_keys(&text, now_ms));
        Ok(Self {
            server: text.server_name,
            keys: keys.collect(),
            valid_until_ms: text.valid_until_ts,
        })
    }

    /// Those of the keys known before that have signed this document, `json`, themselves, and by it
    /// are good for longer: whoever hands it on, their server wrote it.
    pub(crate) fn renewed(&self, json: &[u8], known: &[TimedKey]) -> Vec<TimedKey> {
        let same = |key: &TimedKey| {
            known.iter().any(|known| {
                let extended = known.valid_until_ms < key.valid_until_ms;
                extended && known.key_id == key.key_id && known.key == key.key
            })
        };
        let server = self.server.as_str();
        let signed = |key: &TimedKey| key.key.verify_json(json, server, &key.key_id).is_ok();
        let renewed = self.keys.iter().filter(|key| same(key) && signed(key));
        renewed.cloned().collect()
    }
}

/// Whether this document, which was believed, says that its server has given the key up.
pub(crate) fn gives_up(json: &str, key_id: &str) -> bool {
    let text = serde_json::from_str::<Text>(json);
    text.is_ok_and(|text| text.old_verify_keys.contains_key(key_id))
}

fn current_keys(text: &Text, now_ms: u64) -> Vec<TimedKey> {
    let valid_until_ms = text
        .valid_until_ts
        .min(now_ms.saturating_add(VALIDITY_MS_MAX));
    let keys = text.verify_keys.iter();
    keys.filter_map(|(key_id, key)| timed(key_id, &key.key, valid_until_ms))
        .collect()
}

fn old_keys(text: &Text, now_ms: u64) -> Vec<TimedKey> {
    let current = |key_id: &String| text.verify_keys.contains_key(key_id);
    let keys = text.old_verify_keys.iter();
    keys.filter(|(key_id, _)| !current(key_id))
        .filter_map(|(key_id, key)| timed(key_id, &key.key, key.expired_ts.min(now_ms)))
        .collect()
}

fn timed(key_id: &str, key: &str, valid_until_ms: u64) -> Option<TimedKey> {
    if !is_key_id(key_id) {
        return None;
    }
    Some(TimedKey {
        key_id: key_id.to_owned(),
        key: PublicKey::from_base64(key).ok()?,
        valid_until_ms,
    })
}

/// Whether this names an ed25519 key: the only algorithm there is, with a version.
pub(crate) fn is_key_id(key_id: &str) -> bool {
    let version = key_id.strip_prefix("ed25519:");
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    key_id.len() <= KEY_ID_BYTES_MAX
        && version.is_some_and(|version| !version.is_empty() && version.bytes().all(fits))
}

/// At least one current key must have signed, and none wrongly.
fn check_signatures(
    server: &ServerName,
    json: &[u8],
    keys: &[TimedKey],
) -> Result<(), DocumentError> {
    let mut signed = false;
    for TimedKey { key_id, key, .. } in keys {
        use belfry_event::SignatureError::{Json, Missing, NoUsableKey, Wrong};
        match key.verify_json(json, server.as_str(), key_id) {
            Ok(()) => signed = true,
            Err(NoUsableKey { .. }) => {}
            Err(Missing { .. } | Wrong { .. } | Json(_)) => return Err(DocumentError::Unsigned),
        }
    }
    if signed {
        Ok(())
    } else {
        Err(DocumentError::Unsigned)
    }
}

/// A key that this server signed with before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldKey {
    /// `ed25519:` and a version.
    pub key_id: String,
    /// The public half.
    pub key: PublicKey,
    /// When it was last used, in milliseconds since the Unix epoch.
    pub expired_ms: u64,
}

/// What this server signs with, and did before.
#[derive(Debug, Clone)]
pub struct OwnKeys {
    /// This server.
    pub server: OwnedServerName,
    /// The key in use.
    pub current: SigningKey,
    /// Those of before.
    pub old: Vec<OldKey>,
}

impl OwnKeys {
    /// Our own document at this wall time, signed.
    ///
    /// # Errors
    /// Never, as far as is known: what is signed is JSON and no event.
    pub fn document(&self, now_ms: u64) -> Result<String, belfry_event::SignError> {
        let old: serde_json::Map<_, _> = self
            .old
            .iter()
            .map(|old| {
                let entry = json!({"key": old.key.to_base64(), "expired_ts": old.expired_ms});
                (old.key_id.clone(), entry)
            })
            .collect();
        let key = self.current.public_key().to_base64();
        let document = json!({
            "server_name": self.server,
            "verify_keys": {self.current.key_id(): {"key": key}},
            "old_verify_keys": old,
            "valid_until_ts": now_ms.saturating_add(OWN_VALIDITY_MS),
        });
        let signer = self.server.as_str();
        self.current
            .sign_json(signer, document.to_string().as_bytes())
    }

    /// Our keys, as we check against them ourselves.
    pub fn timed(&self, now_ms: u64) -> Vec<TimedKey> {
        let current = TimedKey {
            key_id: self.current.key_id().to_owned(),
            key: self.current.public_key().clone(),
            valid_until_ms: now_ms.saturating_add(VALIDITY_MS_MAX),
        };
        let old = self.old.iter().map(|old| TimedKey {
            key_id: old.key_id.clone(),
            key: old.key.clone(),
            valid_until_ms: old.expired_ms,
        });
        std::iter::once(current).chain(old).collect()
    }
}

#[cfg(test)]
#[path = "key_document_tests.rs"]
mod tests;
