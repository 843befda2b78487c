//! Many signatures by one key, checked together.
//!
//! It exists because a device uploads a hundred keys at once, each signed alone, and one sum over
//! the curve costs a third of a hundred checks. It knows nothing of where the weights of that sum
//! come from: chance is an argument. `docs/adr/0011-signatures-of-one-key-together.md` has the
//! reasons and the figures.

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use ed25519_dalek::Signature;
use ruma_common::serde::Base64;
use sha2::{Digest as _, Sha512};

use crate::key_ring::{PublicKey, SignatureError, signed_parts};

/// What was signed, and one signature on it that has the shape of one.
#[derive(Debug, Clone)]
pub struct SignedText {
    text: String,
    signature: Signature,
}

impl SignedText {
    /// The JSON object `json` with the signature that `signer` made under `key_id`. Whether it is
    /// right is for [`PublicKey::verifies_all`] to say.
    ///
    /// # Errors
    /// As [`PublicKey::verify_json`], but for a signature of the right shape that is wrong.
    pub fn of_json(json: &[u8], signer: &str, key_id: &str) -> Result<Self, SignatureError> {
        let (text, signatures) = signed_parts(json, signer)?;
        let mut signatures = signatures.iter();
        let Some((_, signature)) = signatures.find(|(id, _)| id == key_id) else {
            let signer = signer.to_owned();
            return Err(SignatureError::NoUsableKey { signer });
        };
        let decoded: Result<Base64, _> = Base64::parse(signature);
        let signature = decoded
            .ok()
            .and_then(|bytes| Signature::from_slice(bytes.as_bytes()).ok());
        let signature = signature.ok_or_else(|| SignatureError::Wrong {
            signer: signer.to_owned(),
            key_id: key_id.to_owned(),
        })?;
        Ok(Self { text, signature })
    }
}

impl PublicKey {
    /// Whether this is a signature by this key, as strictly as [`Self::verify_json`] takes it.
    pub fn verifies_text(&self, signed: &SignedText) -> bool {
        let (text, signature) = (signed.text.as_bytes(), &signed.signature);
        self.dalek().verify_strict(text, signature).is_ok()
    }

    /// Whether all of these are signatures by this key. If not, [`Self::verifies_text`] tells which:
    /// it has the last word, as for a key with a part of small order right ones may fail together.
    ///
    /// `weight` gives a number for each; they must be evenly distributed and nobody may know them
    /// before. Then a wrong signature passes with a chance of 2^-128, with one exception: if the
    /// *owner* of the secret key adds a point of small order to the first half of a signature of
    /// theirs, it passes at times, where the single check always refuses it. So this is for what
    /// harms nobody but the owner, and never for events, on which all servers have to agree.
    pub fn verifies_all(&self, signed: &[SignedText], weight: impl FnMut() -> u128) -> bool {
        self.residue(signed, weight)
            .is_some_and(|sum| sum.is_identity())
    }

    /// The sum over all signatures (R, s) of z·(R + H(R, A, text)·A − s·B): nothing, if each is
    /// right. `None` if one of them the single check would refuse unread.
    fn residue(
        &self,
        signed: &[SignedText],
        mut weight: impl FnMut() -> u128,
    ) -> Option<EdwardsPoint> {
        let (mut of_key, mut of_base) = (Scalar::ZERO, Scalar::ZERO);
        let mut weights = Vec::with_capacity(signed.len() + 2);
        let mut points = Vec::with_capacity(signed.len() + 2);
        for SignedText { text, signature } in signed {
            let z = Scalar::from(weight());
            of_key += z * challenge(signature, self.as_bytes(), text.as_bytes());
            let s = Scalar::from_canonical_bytes(*signature.s_bytes());
            of_base -= z * Option::<Scalar>::from(s)?;
            weights.push(z);
            points.push(first_half(signature)?);
        }
        weights.extend([of_key, of_base]);
        points.extend([self.dalek().to_edwards(), ED25519_BASEPOINT_POINT]);
        Some(EdwardsPoint::vartime_multiscalar_mul(&weights, &points))
    }
}

/// H(R, A, text) of RFC 8032.
fn challenge(signature: &Signature, key: &[u8; 32], text: &[u8]) -> Scalar {
    let hash = Sha512::new()
        .chain_update(signature.r_bytes())
        .chain_update(key)
        .chain_update(text);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// The point R, if it is written as the single check, which compares bytes, would write it, and
/// not of small order.
fn first_half(signature: &Signature) -> Option<EdwardsPoint> {
    let bytes = signature.r_bytes();
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (is_reduced(bytes) && !point.is_small_order()).then_some(point)
}

/// Whether the number, without its highest bit, is below the field's prime 2^255 − 19.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    let rest = middle.iter().all(|byte| *byte == 0xff) && highest & 0x7f == 0x7f;
    *lowest < 0xed || !rest
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
