use ruma_common::{OwnedServerName, server_name};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{at, for_ever, key, ring, seed};
use crate::key_ring::{KeyRing, SignatureError};

fn signed(json: &Value) -> Value {
    let text = key()
        .sign_json("domain", json.to_string().as_bytes())
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn domain() -> OwnedServerName {
    server_name!("domain").to_owned()
}

#[test]
fn appendices_signed_json() {
    for (json, signature) in [
        (
            json!({}),
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        ),
        (
            json!({"one": 1, "two": "Two"}),
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ] {
        let mut expected = json.clone();
        expected["signatures"] = json!({"domain": {"ed25519:1": signature}});
        assert_eq!(signed(&json), expected);
        let detached = key().json_signature(json.to_string().as_bytes());
        assert_eq!(detached.as_deref(), Ok(signature));
        ring()
            .verify_json(expected.to_string().as_bytes(), &domain(), at(1))
            .unwrap();
    }
}

#[test]
fn pkcs8_and_seed_give_the_same_key() {
    let der = [PKCS8_PREFIX.as_slice(), &seed()].concat();
    let read = SigningKey::from_pkcs8_der(&der, "a_1").unwrap();
    assert_eq!(read.public_key(), key().public_key());
    assert_eq!(read.key_id(), "ed25519:a_1");
}

#[test]
fn documents_that_are_no_key_are_refused() {
    for (document, version, error) in [
        (&b""[..], "1", KeyError::NotPkcs8),
        (&PKCS8_PREFIX[..], "1", KeyError::NotPkcs8),
        (&[0; 48][..], "1", KeyError::NotPkcs8),
        (&[0; 48][..], "", KeyError::Version),
        (&[0; 48][..], "a b", KeyError::Version),
    ] {
        assert_eq!(
            SigningKey::from_pkcs8_der(document, version).err(),
            Some(error)
        );
    }
}

#[test]
fn what_looks_like_an_event_is_not_signed() {
    for json in [
        r#"{"prev_events":[]}"#,
        r#"{"auth_events":[],"type":"m.room.message"}"#,
    ] {
        assert_eq!(
            key().sign_json("domain", json.as_bytes()),
            Err(SignError::AnEvent)
        );
        assert_eq!(
            key().json_signature(json.as_bytes()),
            Err(SignError::AnEvent)
        );
    }
    assert!(
        key()
            .sign_json("domain", br#"{"content":{"prev_events":[]}}"#)
            .is_ok()
    );
}

#[test]
fn debug_output_keeps_the_secret() {
    assert_eq!(
        format!("{:?}", key()),
        r#"SigningKey { key_id: "ed25519:1", .. }"#
    );
}

#[test]
fn unsigned_data_and_other_signatures_do_not_matter() {
    let mut json = signed(&json!({"a": 1}));
    json["unsigned"] = json!({"age": 5});
    json["signatures"]["notary"] = json!({"ed25519:x": "nonsense"});
    json["signatures"]["domain"]["ed25519:unknown"] = json!("nonsense");
    json["signatures"]["domain"]["rsa:1"] = json!("nonsense");
    ring()
        .verify_json(json.to_string().as_bytes(), &domain(), at(1))
        .unwrap();
}

#[test]
fn signing_again_keeps_the_signatures_of_others() {
    let json =
        signed(&json!({"signatures": {"a": {"ed25519:2": "x"}, "domain": {"ed25519:0": "y"}}}));
    assert_eq!(json["signatures"]["a"]["ed25519:2"], "x");
    assert_eq!(json["signatures"]["domain"]["ed25519:0"], "y");
    assert!(json["signatures"]["domain"]["ed25519:1"].is_string());
}

#[test]
fn numbers_of_old_rooms_are_signed_as_they_are_written() {
    let json = br#"{"pdus":[{"depth":123456789012345678901234567890,"f":1.50}]}"#;
    let signed = key().sign_json("domain", json).unwrap();
    assert!(signed.starts_with(r#"{"pdus":[{"depth":123456789012345678901234567890,"f":1.5}],"#));
    ring()
        .verify_json(signed.as_bytes(), &domain(), at(1))
        .unwrap();
}

#[test]
fn changed_json_is_refused() {
    let mut json = signed(&json!({"a": 1}));
    json["a"] = json!(2);
    let wrong = SignatureError::Wrong {
        signer: "domain".into(),
        key_id: "ed25519:1".into(),
    };
    assert_eq!(
        ring().verify_json(json.to_string().as_bytes(), &domain(), at(1)),
        Err(wrong)
    );
}

/// FAUTH-004 of the acceptance table.
#[test]
fn signatures_of_the_wrong_length_or_alphabet_are_refused() {
    let wrong = SignatureError::Wrong {
        signer: "domain".into(),
        key_id: "ed25519:1".into(),
    };
    for signature in [
        "",
        "====",
        "not base64!",
        &"A".repeat(84),
        &"A".repeat(87),
        "-_-_",
    ] {
        let json = json!({"signatures": {"domain": {"ed25519:1": signature}}}).to_string();
        let found = ring().verify_json(json.as_bytes(), &domain(), at(1));
        assert_eq!(found, Err(wrong.clone()), "{signature}");
    }
}

#[test]
fn missing_signatures_are_told_from_unknown_keys() {
    let missing = SignatureError::Missing {
        signer: "domain".into(),
    };
    for json in [
        json!({}),
        json!({"signatures": {}}),
        json!({"signatures": 5}),
        json!({"signatures": {"domain": "x"}}),
        json!({"signatures": {"domain": {"ed25519:1": 5}}}),
        json!({"signatures": {"other": {"ed25519:1": "x"}}}),
    ] {
        let found = ring().verify_json(json.to_string().as_bytes(), &domain(), at(1));
        assert_eq!(found, Err(missing.clone()), "{json}");
    }
    let unknown = SignatureError::NoUsableKey {
        signer: "domain".into(),
    };
    for keys in [json!({}), json!({"ed25519:2": "x"}), json!({"rsa:1": "x"})] {
        let json = json!({"signatures": {"domain": keys}}).to_string();
        assert_eq!(
            ring().verify_json(json.as_bytes(), &domain(), at(1)),
            Err(unknown.clone())
        );
    }
}

/// FAUTH-010 of the acceptance table.
#[test]
fn expired_keys_do_not_count() {
    let mut ring = KeyRing::default();
    ring.insert(domain(), "ed25519:1", key().public_key().clone(), at(1000))
        .unwrap();
    let json = signed(&json!({})).to_string();
    assert_eq!(
        ring.verify_json(json.as_bytes(), &domain(), at(1000)),
        Ok(())
    );
    let unusable = SignatureError::NoUsableKey {
        signer: "domain".into(),
    };
    assert_eq!(
        ring.verify_json(json.as_bytes(), &domain(), at(1001)),
        Err(unusable)
    );
}

#[test]
fn longer_validity_counts_and_another_key_replaces() {
    let mut ring = KeyRing::default();
    let key = key().public_key().clone();
    for valid_until in [2000, 1000] {
        ring.insert(domain(), "ed25519:1", key.clone(), at(valid_until))
            .unwrap();
    }
    assert_eq!(ring.get(&domain(), "ed25519:1", Some(at(1500))), Some(&key));
    let other = SigningKey::from_seed(&[7; 32], "1").unwrap();
    ring.insert(domain(), "ed25519:1", other.public_key().clone(), at(500))
        .unwrap();
    assert_eq!(ring.get(&domain(), "ed25519:1", Some(at(501))), None);
    assert_eq!(
        ring.get(&domain(), "ed25519:1", None),
        Some(other.public_key())
    );
}

/// FAUTH-011 of the acceptance table.
#[test]
fn leaked_keys_are_not_taken() {
    let mut ring = KeyRing::new([*key().public_key().as_bytes()]);
    let added = ring.insert(
        domain(),
        "ed25519:1",
        key().public_key().clone(),
        for_ever(),
    );
    assert_eq!(added, Err(KeyError::Leaked));
    assert_eq!(ring.get(&domain(), "ed25519:1", None), None);
}

/// FAUTH-012 and KEYS-005 of the acceptance table.
#[test]
fn weak_and_malformed_public_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    for weak in [identity, [0; 32]] {
        assert_eq!(PublicKey::from_bytes(&weak), Err(KeyError::Weak));
    }
    let long = "A".repeat(44);
    for text in [
        "",
        "AAAA",
        "not base64",
        long.as_str(),
        "XSl0kuyvrXNj6A+7/tkrB9sxSbRi08Of5uRhxOqZtE",
    ] {
        assert_eq!(
            PublicKey::from_base64(text),
            Err(KeyError::NotAKey),
            "{text}"
        );
    }
    let text = key().public_key().to_base64();
    assert_eq!(
        PublicKey::from_base64(&text).as_ref(),
        Ok(key().public_key())
    );
    assert_eq!(
        PublicKey::from_base64(&format!("{text}=")).as_ref(),
        Ok(key().public_key())
    );
}

#[test]
fn key_documents_are_verified_with_the_key_they_name() {
    let json = signed(&json!({"server_name": "domain"})).to_string();
    let public = key().public_key().clone();
    assert_eq!(
        public.verify_json(json.as_bytes(), "domain", "ed25519:1"),
        Ok(())
    );
    let unusable = SignatureError::NoUsableKey {
        signer: "domain".into(),
    };
    assert_eq!(
        public.verify_json(json.as_bytes(), "domain", "ed25519:2"),
        Err(unusable)
    );
    let missing = SignatureError::Missing {
        signer: "other".into(),
    };
    assert_eq!(
        public.verify_json(json.as_bytes(), "other", "ed25519:1"),
        Err(missing)
    );
}
