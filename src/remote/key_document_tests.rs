//! Which key documents are believed.

use belfry_event::SigningKey;
use ruma_common::server_name;
use serde_json::{Value, json};

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn own() -> OwnKeys {
    let old = SigningKey::from_seed(&[2; 32], "old").unwrap();
    OwnKeys {
        server: server_name!("a.example").to_owned(),
        current: SigningKey::from_seed(&[1; 32], "new").unwrap(),
        old: vec![OldKey {
            key_id: "ed25519:old".to_owned(),
            key: old.public_key().clone(),
            expired_ms: 5_000,
        }],
    }
}

/// Our document with these changes, signed anew with the key of that seed.
fn changed(seed: u8, change: impl FnOnce(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(&own().document(NOW_MS).unwrap()).unwrap();
    document.as_object_mut().unwrap().remove("signatures");
    change(&mut document);
    let key = SigningKey::from_seed(&[seed; 32], "new").unwrap();
    let text = document.to_string();
    key.sign_json("a.example", text.as_bytes()).unwrap()
}

fn read(json: &str) -> Result<KeyDocument, DocumentError> {
    KeyDocument::read(server_name!("a.example"), json.as_bytes(), NOW_MS)
}

#[test]
fn our_own_document_is_believed_old_keys_too() {
    let document = read(&own().document(NOW_MS).unwrap()).unwrap();
    let keys: Vec<_> = document
        .keys
        .iter()
        .map(|key| (key.key_id.as_str(), key.valid_until_ms))
        .collect();
    let until = NOW_MS + OWN_VALIDITY_MS;
    assert_eq!(keys, [("ed25519:new", until), ("ed25519:old", 5_000)]);
}

#[test]
fn keys_001_a_document_of_another_server_is_refused() {
    let json = changed(1, |document| document["server_name"] = json!("b.example"));
    assert!(matches!(read(&json), Err(DocumentError::OtherServer(_))));
}

#[test]
fn keys_002_a_document_must_be_signed_by_a_key_that_it_lists() {
    let mut unsigned: Value = serde_json::from_str(&own().document(NOW_MS).unwrap()).unwrap();
    unsigned.as_object_mut().unwrap().remove("signatures");
    assert_eq!(read(&unsigned.to_string()), Err(DocumentError::Unsigned));
    // Signed by another key under the same ID, and by a key that is listed as old only.
    assert_eq!(read(&changed(9, |_| ())), Err(DocumentError::Unsigned));
    let old = changed(1, |document| {
        document["old_verify_keys"]["ed25519:new"] =
            json!({"key": document["verify_keys"]["ed25519:new"]["key"], "expired_ts": 1});
        document["verify_keys"] = json!({"ed25519:other": {"key": own().old[0].key.to_base64()}});
    });
    assert_eq!(read(&old), Err(DocumentError::Unsigned));
}

#[test]
fn keys_004_a_document_with_too_many_keys_or_bytes_is_refused() {
    let many = changed(1, |document| {
        for number in 0..10_000 {
            document["verify_keys"][format!("ed25519:{number}")] = json!({"key": "AAAA"});
        }
    });
    assert!(matches!(read(&many), Err(DocumentError::Malformed(_))));
    let hundred = changed(1, |document| {
        for number in 0..DOCUMENT_KEYS_MAX {
            document["verify_keys"][format!("ed25519:{number}")] = json!({"key": "A"});
        }
    });
    assert!(matches!(read(&hundred), Err(DocumentError::Malformed(_))));
}

#[test]
fn keys_005_a_key_of_31_bytes_is_left_out_and_so_is_one_of_another_algorithm() {
    let json = changed(1, |document| {
        let short = "A".repeat(41);
        document["verify_keys"]["ed25519:x"] = json!({"key": short});
        document["verify_keys"]["rsa:1"] = document["verify_keys"]["ed25519:new"].clone();
        document["verify_keys"]["ed25519:"] = document["verify_keys"]["ed25519:new"].clone();
    });
    let document = read(&json).unwrap();
    let ids: Vec<_> = document.keys.iter().map(|key| &*key.key_id).collect();
    assert_eq!(ids, ["ed25519:new", "ed25519:old"]);
}

#[test]
fn fauth_012_a_key_of_small_order_is_left_out() {
    let json = changed(1, |document| {
        // The neutral element, for which every message has a signature.
        let weak = format!("AQ{}", "A".repeat(41));
        document["verify_keys"]["ed25519:weak"] = json!({"key": weak});
    });
    let document = read(&json).unwrap();
    assert!(document.keys.iter().all(|key| key.key_id != "ed25519:weak"));
}

#[test]
fn a_document_vouches_for_7_days_at_most() {
    let json = changed(1, |document| {
        document["valid_until_ts"] = json!(NOW_MS + 99 * DAY_MS);
    });
    let document = read(&json).unwrap();
    assert_eq!(document.keys[0].valid_until_ms, NOW_MS + 7 * DAY_MS);
}

#[test]
fn a_key_that_is_to_expire_later_is_old_now() {
    let json = changed(1, |document| {
        document["old_verify_keys"]["ed25519:old"]["expired_ts"] = json!(NOW_MS + DAY_MS);
    });
    assert_eq!(read(&json).unwrap().keys[1].valid_until_ms, NOW_MS);
}

#[test]
fn what_is_no_document_is_refused() {
    for text in ["", "[]", "{}", "null", r#"{"server_name": "a.example"}"#] {
        assert!(
            matches!(read(text), Err(DocumentError::Malformed(_))),
            "{text}"
        );
    }
    for time in [json!(-1), json!("1"), json!(1.5), json!(null)] {
        let json = changed(1, |document| document["valid_until_ts"] = time.clone());
        assert!(read(&json).is_err(), "{time}");
    }
}
