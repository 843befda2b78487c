//! Public keys, and which of them count when.
//!
//! It exists so that every signature is checked strictly, against keys that were valid at the
//! time that matters, and never against one that is known to have leaked. It knows nothing of
//! how keys are fetched or kept.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{PUBLIC_KEY_LENGTH, Signature, VerifyingKey};
use ruma_common::serde::Base64;
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};

use crate::json::{JsonError, Object, Value};
use crate::rules::Numbers;

/// The only algorithm of signing keys, and the start of every key ID.
pub(crate) const ED25519_PREFIX: &str = "ed25519:";

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes (in base64), or bytes that are no point of the curve.
    #[error("not an ed25519 public key: send 32 bytes in unpadded base64")]
    NotAKey,
    /// A key of small order, for which signatures can be made up.
    #[error("a weak ed25519 key: generate a new one")]
    Weak,
    /// A key on the list of those whose secret half is public.
    #[error("a signing key that is known to have leaked: generate a new one")]
    Leaked,
    /// A secret key that is not PKCS#8 of ed25519.
    #[error("not an ed25519 key in PKCS#8: export it as DER")]
    NotPkcs8,
    /// A version with other characters than letters, digits and `_`, or none.
    #[error("not the version of a key: use letters, digits and underscores")]
    Version,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// What was signed is no JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `signatures` has nothing of the signer, or not in the right shape.
    #[error("no signature by {signer}: have it signed there")]
    Missing {
        /// The server (or user) whose signature is needed.
        signer: String,
    },
    /// No signature by a key that is known and was valid at the time: fetch keys and try again.
    #[error("no signature by a valid key of {signer}: fetch its keys and try again")]
    NoUsableKey {
        /// The server (or user) whose signature is needed.
        signer: String,
    },
    /// A signature that is not 64 bytes in base64, or not of this text by that key.
    #[error("the signature by {signer} with {key_id} is wrong: refuse what it signs")]
    Wrong {
        /// The server (or user) whose signature it should be.
        signer: String,
        /// Its key.
        key_id: String,
    },
}

/// An ed25519 public key that is fit to be checked against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// A key from its bytes.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`], [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LENGTH]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAKey)?;
        if key.is_weak() {
            Err(KeyError::Weak)
        } else {
            Ok(Self(key))
        }
    }

    /// A key from base64, padded or not, as key documents give it.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`], [`KeyError::Weak`].
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let decoded: Base64 = Base64::parse(text).map_err(|_| KeyError::NotAKey)?;
        Self::from_bytes(
            decoded
                .as_bytes()
                .try_into()
                .map_err(|_| KeyError::NotAKey)?,
        )
    }

    pub(crate) fn dalek(&self) -> &VerifyingKey {
        &self.0
    }

    /// The key as bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        self.0.as_bytes()
    }

    /// The key in unpadded base64, as key documents have it.
    pub fn to_base64(&self) -> String {
        let encoded: Base64 = Base64::new(self.as_bytes().to_vec());
        encoded.encode()
    }

    /// Whether `signature`, 64 bytes in base64, is of `message` by this key.
    ///
    /// Strict: signatures and keys that only a lenient reading takes are refused, so that every
    /// server comes to the same verdict.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let decoded: Result<Base64, _> = Base64::parse(signature);
        let signature = decoded
            .ok()
            .and_then(|bytes| Signature::from_slice(bytes.as_bytes()).ok());
        signature.is_some_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }

    /// Checks that `signer` signed the JSON object `json` with this key under `key_id`
    /// (appendices, "Checking for a Signature"). Other signatures on it do not matter.
    ///
    /// Numbers are read as in [`KeyRing::verify_json`].
    ///
    /// # Errors
    /// If there is no such signature, or it is wrong.
    pub fn verify_json(
        &self,
        json: &[u8],
        signer: &str,
        key_id: &str,
    ) -> Result<(), SignatureError> {
        let (text, signatures) = signed_parts(json, signer)?;
        verify(signer, &signatures, text.as_bytes(), |id| {
            (id == key_id).then_some(self)
        })
    }
}

/// A key and the last moment that it may have signed something.
#[derive(Debug, Clone)]
struct TimedKey {
    key: PublicKey,
    valid_until_ts: MilliSecondsSinceUnixEpoch,
}

/// The public keys of servers, as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<OwnedServerName, BTreeMap<Box<str>, TimedKey>>,
    leaked: BTreeSet<[u8; PUBLIC_KEY_LENGTH]>,
}

impl KeyRing {
    /// An empty ring that takes no key on the list of those known to have leaked.
    pub fn new(leaked: impl IntoIterator<Item = [u8; PUBLIC_KEY_LENGTH]>) -> Self {
        Self {
            keys: BTreeMap::new(),
            leaked: leaked.into_iter().collect(),
        }
    }

    /// Adds a key of `server` under its ID (`ed25519:version`).
    ///
    /// `valid_until_ts` is the lesser of the key document's `valid_until_ts` and 7 days after it
    /// was fetched (room version 5, "Signing key validity period"), or the `expired_ts` of a key
    /// in `old_verify_keys`. Of two entries for the same key the longer validity counts; another
    /// key under the same ID replaces the earlier one.
    ///
    /// # Errors
    /// [`KeyError::Leaked`].
    pub fn insert(
        &mut self,
        server: OwnedServerName,
        key_id: impl Into<Box<str>>,
        key: PublicKey,
        valid_until_ts: MilliSecondsSinceUnixEpoch,
    ) -> Result<(), KeyError> {
        if self.leaked.contains(key.as_bytes()) {
            return Err(KeyError::Leaked);
        }
        let added = TimedKey {
            key,
            valid_until_ts,
        };
        let entry = self.keys.entry(server).or_default().entry(key_id.into());
        entry
            .and_modify(|known| {
                if known.key != added.key || known.valid_until_ts < added.valid_until_ts {
                    *known = added.clone();
                }
            })
            .or_insert(added);
        Ok(())
    }

    /// The key of `server` under `key_id`, if it is known and was still valid `at` that time;
    /// at any time if none is given.
    pub fn get(
        &self,
        server: &ServerName,
        key_id: &str,
        at: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Option<&PublicKey> {
        let found = self.keys.get(server)?.get(key_id)?;
        let valid = at.is_none_or(|at| at <= found.valid_until_ts);
        valid.then_some(&found.key)
    }

    /// Checks that `server` signed the JSON object `json` with a key valid `at` that time.
    ///
    /// Only the signatures of `server` are looked at. Numbers are read as in old rooms
    /// ([`Numbers::Lax`]): transactions carry events of all versions.
    ///
    /// # Errors
    /// If there is no such signature or any one by a known key is wrong.
    pub fn verify_json(
        &self,
        json: &[u8],
        server: &ServerName,
        at: MilliSecondsSinceUnixEpoch,
    ) -> Result<(), SignatureError> {
        let (text, signatures) = signed_parts(json, server.as_str())?;
        verify(server.as_str(), &signatures, text.as_bytes(), |id| {
            self.get(server, id, Some(at))
        })
    }
}

/// Key IDs and signatures of one signer.
pub(crate) type Signatures = Vec<(String, String)>;

/// Checks the `signatures` of one signer: every one by a key that `key` gives must be right, and
/// there must be one.
pub(crate) fn verify<'k>(
    signer: &str,
    signatures: &[(String, String)],
    message: &[u8],
    key: impl Fn(&str) -> Option<&'k PublicKey>,
) -> Result<(), SignatureError> {
    let mut verified = false;
    for (key_id, signature) in signatures {
        let Some(key) = key(key_id).filter(|_| key_id.starts_with(ED25519_PREFIX)) else {
            continue;
        };
        if !key.verifies(message, signature) {
            let (signer, key_id) = (signer.to_owned(), key_id.clone());
            return Err(SignatureError::Wrong { signer, key_id });
        }
        verified = true;
    }
    if verified {
        Ok(())
    } else {
        Err(SignatureError::NoUsableKey {
            signer: signer.to_owned(),
        })
    }
}

/// The signatures of `signer` on an object, if there are any.
pub(crate) fn signatures_of(object: &Object<'_>, signer: &str) -> Option<Signatures> {
    let of_signer = object
        .get("signatures")?
        .as_object()?
        .get(signer)?
        .as_object()?;
    let texts = of_signer.iter().map(|(key_id, signature)| {
        signature
            .as_str()
            .map(|signature| (key_id.to_owned(), signature.to_owned()))
    });
    texts.collect()
}

pub(crate) fn signed_parts(
    json: &[u8],
    signer: &str,
) -> Result<(String, Signatures), SignatureError> {
    let object = Object::parse(json, Numbers::Lax)?;
    let signatures = signatures_of(&object, signer).ok_or_else(|| SignatureError::Missing {
        signer: signer.to_owned(),
    })?;
    Ok((signable_text(&object), signatures))
}

/// What a signature on a JSON object is over.
pub(crate) fn signable_text(object: &Object<'_>) -> String {
    let mut text = String::new();
    object.write_without(&["signatures", "unsigned"], &mut text);
    text
}

/// Adds a signature to those on an object; others stay.
pub(crate) fn add_signature(object: &mut Object<'_>, signer: &str, key_id: &str, text: String) {
    let mut signatures = take_object(object, "signatures");
    let mut of_signer = take_object(&mut signatures, signer);
    of_signer.insert(key_id.to_owned(), Value::string(text));
    signatures.insert(signer.to_owned(), Value::Object(of_signer));
    object.insert("signatures", Value::Object(signatures));
}

fn take_object<'a>(object: &mut Object<'a>, name: &str) -> Object<'a> {
    match object.remove(name) {
        Some(Value::Object(found)) => found,
        _ => Object::default(),
    }
}
