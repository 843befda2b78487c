//! The server's signing key, and what it may sign.
//!
//! It exists to make "we sign only what we built" a matter of construction: outside this crate
//! the key signs JSON that is no event; events are signed where they are built. It knows nothing
//! of where keys are kept or when they change.

use std::{fmt, sync::Arc};

use ruma_signatures::{Ed25519KeyPair, KeyPair as _};

use crate::json::{JsonError, Object};
use crate::key_ring::{ED25519_PREFIX, KeyError, PublicKey, add_signature, signable_text};
use crate::rules::Numbers;

/// Bytes of the secret half of a key.
pub const SEED_BYTES: usize = 32;

/// PKCS#8 of an ed25519 key (RFC 8410) up to the seed, which ends it.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// Why JSON was not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// What should be signed is no JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// What should be signed has the fields of an event.
    #[error("an event: build it with a draft to have it signed")]
    AnEvent,
}

/// An ed25519 key of this server, with its version. Cheap to clone; clones share the secret half.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
    key_id: String,
}

impl SigningKey {
    /// The key that grows from `seed`; `version` is letters, digits and `_`.
    ///
    /// # Errors
    /// [`KeyError::Version`].
    pub fn from_seed(seed: &[u8; SEED_BYTES], version: &str) -> Result<Self, KeyError> {
        let der = [PKCS8_PREFIX.as_slice(), seed.as_slice()].concat();
        Self::from_pkcs8_der(&der, version)
    }

    /// The key in a PKCS#8 document, DER.
    ///
    /// # Errors
    /// [`KeyError::NotPkcs8`], [`KeyError::Version`].
    pub fn from_pkcs8_der(document: &[u8], version: &str) -> Result<Self, KeyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if version.is_empty() || !version.bytes().all(allowed) {
            return Err(KeyError::Version);
        }
        let pair = Ed25519KeyPair::from_der(document, version.to_owned())
            .map_err(|_| KeyError::NotPkcs8)?;
        let public = PublicKey::from_bytes(&pair.public_key())?;
        Ok(Self {
            pair: Arc::new(pair),
            public,
            key_id: format!("{ED25519_PREFIX}{version}"),
        })
    }

    /// `ed25519:` and the version.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The key as ruma's types of federation requests want it. Sign nothing else with it.
    pub fn for_requests(&self) -> &Ed25519KeyPair {
        &self.pair
    }

    /// Signs a JSON object that is no event, as `signer` (appendices, "Signing JSON"), and gives
    /// it back as canonical JSON with the signature among those it had.
    ///
    /// Numbers are read as in old rooms ([`Numbers::Lax`]): transactions carry events of all
    /// versions.
    ///
    /// # Errors
    /// If `json` is no object, or looks like an event.
    pub fn sign_json(&self, signer: &str, json: &[u8]) -> Result<String, SignError> {
        let mut object = signable(json)?;
        let signature = self.sign(&signable_text(&object));
        add_signature(&mut object, signer, &self.key_id, signature);
        Ok(object.to_text())
    }

    /// The signature alone that [`Self::sign_json`] would add, in unpadded base64: for requests,
    /// which carry it in a header.
    ///
    /// # Errors
    /// If `json` is no object, or looks like an event.
    pub fn json_signature(&self, json: &[u8]) -> Result<String, SignError> {
        Ok(self.sign(&signable_text(&signable(json)?)))
    }

    pub(crate) fn sign(&self, text: &str) -> String {
        self.pair.sign(text.as_bytes()).base64()
    }
}

/// Reads what may be signed: no event has neither of these fields, and nothing else has them.
fn signable(json: &[u8]) -> Result<Object<'_>, SignError> {
    let object = Object::parse(json, Numbers::Lax)?;
    if object.contains("auth_events") || object.contains("prev_events") {
        return Err(SignError::AnEvent);
    }
    Ok(object)
}

/// Names the key, never its secret half.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
