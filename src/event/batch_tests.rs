use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const SIGNER: &str = "@a:b";
const KEY_ID: &str = "ed25519:D";

fn secret() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public() -> PublicKey {
    PublicKey::from_bytes(secret().verifying_key().as_bytes()).unwrap()
}

fn signed(number: usize) -> SignedText {
    let text = format!(r#"{{"key":"{number}"}}"#);
    let signature = secret().sign(text.as_bytes());
    SignedText { text, signature }
}

fn hundred() -> Vec<SignedText> {
    (0..100).map(signed).collect()
}

/// Numbers that look like chance, odd and even ones.
fn weights() -> impl FnMut() -> u128 {
    let mut count = 0_u64;
    move || {
        count += 1;
        let hash = Sha512::digest(count.to_le_bytes());
        u128::from_le_bytes(*hash.first_chunk().unwrap())
    }
}

fn all(signed: &[SignedText]) -> bool {
    public().verifies_all(signed, weights())
}

fn with(signature: &Signature, r: [u8; 32], s: [u8; 32]) -> Signature {
    let changed = Signature::from_components(r, s);
    assert_ne!(changed, *signature);
    changed
}

#[test]
fn right_signatures_pass_together_and_alone() {
    let signed = hundred();
    assert!(all(&signed));
    assert!(all(&signed[..1]));
    assert!(all(&[]));
    let key = public();
    assert!(signed.iter().all(|one| key.verifies_text(one)));
}

#[test]
fn one_wrong_signature_among_a_hundred_is_noticed_and_found() {
    let mut signed = hundred();
    signed[42].text = r#"{"key":"another"}"#.to_owned();
    assert!(!all(&signed));
    let key = public();
    let wrong: Vec<_> = signed.iter().map(|one| !key.verifies_text(one)).collect();
    assert_eq!(wrong.iter().filter(|wrong| **wrong).count(), 1);
    assert!(wrong[42]);
}

#[test]
fn every_flipped_bit_of_a_signature_is_noticed() {
    let right = signed(1);
    for bit in 0..512 {
        let mut bytes = right.signature.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut signed = vec![signed(0), right.clone(), signed(2)];
        signed[1].signature = Signature::from_bytes(&bytes);
        assert!(!all(&signed), "bit {bit}");
        assert!(!public().verifies_text(&signed[1]), "bit {bit}");
    }
}

#[test]
fn errors_that_cancel_each_other_do_not_cancel_under_weights() {
    let (mut one, mut other) = (signed(1), signed(2));
    let s =
        |signed: &SignedText| Scalar::from_canonical_bytes(*signed.signature.s_bytes()).unwrap();
    let (more, less) = (s(&one) + Scalar::ONE, s(&other) - Scalar::ONE);
    one.signature = with(&one.signature, *one.signature.r_bytes(), more.to_bytes());
    other.signature = with(
        &other.signature,
        *other.signature.r_bytes(),
        less.to_bytes(),
    );
    assert!(public().verifies_all(&[one.clone(), other.clone()], || 1));
    assert!(!all(&[one, other]));
}

#[test]
fn signature_of_another_text_or_key_is_noticed() {
    let (mut one, mut other) = (signed(1), signed(2));
    std::mem::swap(&mut one.signature, &mut other.signature);
    assert!(!all(&[one, other]));
    let mut foreign = signed(3);
    foreign.signature = SigningKey::from_bytes(&[8; 32]).sign(foreign.text.as_bytes());
    assert!(!all(&[signed(1), foreign]));
}

#[test]
fn number_beyond_the_order_is_refused_as_by_the_single_check() {
    // The order of the group, little-endian: s and s + order are the same number.
    let order = (-Scalar::ONE).to_bytes();
    let mut one = signed(1);
    let mut carry = 1;
    let mut sum = [0; 32];
    for (index, byte) in sum.iter_mut().enumerate() {
        let added = u16::from(one.signature.s_bytes()[index]) + u16::from(order[index]) + carry;
        *byte = added.to_le_bytes()[0];
        carry = added >> 8;
    }
    one.signature = with(&one.signature, *one.signature.r_bytes(), sum);
    assert!(!all(&[one.clone(), signed(2)]));
    assert!(!public().verifies_text(&one));
}

#[test]
fn first_half_of_small_order_is_refused_as_by_the_single_check() {
    let key = public();
    for point in EIGHT_TORSION {
        // R of small order, and s so that the equation holds but for the cofactor.
        let mut one = signed(1);
        let r = point.compress().0;
        let unfinished = Signature::from_components(r, [0; 32]);
        let challenge = challenge(&unfinished, key.as_bytes(), one.text.as_bytes());
        let s = challenge * secret().to_scalar();
        one.signature = Signature::from_components(r, s.to_bytes());
        assert!(!all(&[one.clone(), signed(2)]));
        assert!(!key.verifies_text(&one));
    }
}

#[test]
fn number_that_is_not_reduced_is_told_from_one_that_is() {
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    assert!(!is_reduced(&prime));
    prime[31] = 0xff;
    assert!(!is_reduced(&prime), "the highest bit is the sign");
    prime[0] = 0xec;
    assert!(is_reduced(&prime));
    (prime[0], prime[7]) = (0xff, 0xfe);
    assert!(is_reduced(&prime));
    // Such a number is read as if it were reduced, so that only this keeps it out.
    let mut zero = [0xff; 32];
    (zero[0], zero[31]) = (0xed, 0x7f);
    assert!(CompressedEdwardsY(zero).decompress().is_some());
}

/// The exception that [`PublicKey::verifies_all`] names: only the owner of the key can make it.
#[test]
fn point_of_small_order_in_the_first_half_passes_under_some_weights_only() {
    let key = public();
    let nonce = Scalar::from(1234_u64);
    let r = (EdwardsPoint::mul_base(&nonce) + EIGHT_TORSION[4]).compress();
    let mut one = signed(1);
    let unfinished = Signature::from_components(r.0, [0; 32]);
    let challenge = challenge(&unfinished, key.as_bytes(), one.text.as_bytes());
    let s = nonce + challenge * secret().to_scalar();
    one.signature = Signature::from_components(r.0, s.to_bytes());
    assert!(!key.verifies_text(&one));
    assert!(!key.verifies_all(&[one.clone()], || 3));
    assert!(key.verifies_all(&[one], || 4));
}

#[test]
fn signature_on_json_is_taken_from_where_it_belongs() {
    let text = r#"{"key":"k"}"#;
    let signature: Base64 = Base64::new(secret().sign(text.as_bytes()).to_bytes().to_vec());
    let json = |signatures: &str| {
        format!(r#"{{"unsigned":{{"a":1}}, "key":"k","signatures":{signatures}}}"#)
    };
    let read = |signatures: &str| SignedText::of_json(json(signatures).as_bytes(), SIGNER, KEY_ID);
    let own = format!(r#"{{"{SIGNER}":{{"{KEY_ID}":"{}"}}}}"#, signature.encode());
    assert!(all(&[read(&own).unwrap()]));
    let missing = |error| matches!(error, SignatureError::Missing { .. });
    assert!(missing(read("{}").unwrap_err()));
    let other = own.replace(KEY_ID, "ed25519:E");
    let error = read(&other).unwrap_err();
    assert!(matches!(error, SignatureError::NoUsableKey { .. }));
    let short = format!(r#"{{"{SIGNER}":{{"{KEY_ID}":"AAAA"}}}}"#);
    let error = read(&short).unwrap_err();
    assert!(matches!(error, SignatureError::Wrong { .. }));
}
