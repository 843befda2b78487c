//! The signatures on the keys that a device uploads at once: checked together, told apart only if one
//! is wrong. Knows no storage.

use belfry_env::Random;
use belfry_event::{SignatureError, SignedText};
use ruma_common::UserId;

use super::{
    KeyError,
    shape::{SIGNED, Signer},
};

/// Signatures below which each is checked alone.
const TOGETHER_MIN: usize = 4;

/// Checks that the device signed those of the keys that must be signed, each a name and JSON.
///
/// A hundred together cost a third of what they cost alone. What [`SignedText`] may let pass of a
/// device that aims at it harms that device alone: others verify what they claim, and leave it.
pub(super) fn check_signed<'a>(
    keys: impl Iterator<Item = (&'a String, &'a String)>,
    user: &UserId,
    signer: &Signer,
    random: &Random,
) -> Result<(), KeyError> {
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    for (name, json) in keys {
        if name
            .split_once(':')
            .is_none_or(|(algorithm, _)| algorithm != SIGNED)
        {
            continue;
        }
        let text = SignedText::of_json(json.as_bytes(), user.as_str(), &signer.key_id);
        texts.push(text.map_err(|error| refused(name, &error))?);
        names.push(name);
    }
    let weight = || u128::from_le_bytes(random.bytes());
    if texts.len() >= TOGETHER_MIN && signer.key.verifies_all(&texts, weight) {
        return Ok(());
    }
    let mut checked = names.into_iter().zip(&texts);
    match checked.find(|(_, text)| !signer.key.verifies_text(text)) {
        None => Ok(()),
        Some((name, _)) => {
            let error = SignatureError::Wrong {
                signer: user.to_string(),
                key_id: signer.key_id.clone(),
            };
            Err(refused(name, &error))
        }
    }
}

fn refused(name: &str, error: &SignatureError) -> KeyError {
    KeyError::Signature(format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use belfry_event::SigningKey;
    use ruma_common::user_id;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    use super::*;

    fn user() -> &'static UserId {
        user_id!("@a:b")
    }

    fn secret() -> SigningKey {
        SigningKey::from_seed(&[3; 32], "D").unwrap()
    }

    fn signer() -> Signer {
        Signer {
            key_id: "ed25519:D".to_owned(),
            key: secret().public_key().clone(),
        }
    }

    fn keys(count: usize) -> BTreeMap<String, String> {
        let one = |number: usize| {
            let json = json!({"key": format!("key{number}")}).to_string();
            let signed = secret().sign_json(user().as_str(), json.as_bytes());
            (format!("{SIGNED}:{number:03}"), signed.unwrap())
        };
        (0..count).map(one).collect()
    }

    fn check(keys: &BTreeMap<String, String>) -> Result<(), KeyError> {
        check_signed(keys.iter(), user(), &signer(), &Random::seeded(1))
    }

    /// With the text of the key exchanged, so that it is signed no longer.
    fn forge(keys: &mut BTreeMap<String, String>, number: usize) {
        let json = keys.get_mut(&format!("{SIGNED}:{number:03}")).unwrap();
        let mut value: Value = serde_json::from_str(json).unwrap();
        value["key"] = "forged".into();
        *json = value.to_string();
    }

    #[test]
    fn right_signatures_pass_however_many_there_are() {
        for count in [0, 1, TOGETHER_MIN - 1, TOGETHER_MIN, 100, 300] {
            assert_eq!(check(&keys(count)), Ok(()), "{count}");
        }
    }

    #[test]
    fn wrong_signature_is_named_however_many_are_right() {
        for count in [1, TOGETHER_MIN, 100] {
            let mut keys = keys(count);
            forge(&mut keys, count - 1);
            let Err(KeyError::Signature(text)) = check(&keys) else {
                panic!("it is wrong");
            };
            let name = format!("{SIGNED}:{:03}:", count - 1);
            assert!(text.starts_with(&name), "{text}");
        }
    }

    #[test]
    fn key_without_signature_is_refused_and_one_of_another_algorithm_needs_none() {
        let mut keys = keys(5);
        keys.insert("curve25519:1".to_owned(), json!("key").to_string());
        assert_eq!(check(&keys), Ok(()));
        keys.insert(format!("{SIGNED}:x"), json!({"key": "k"}).to_string());
        assert!(matches!(check(&keys), Err(KeyError::Signature(_))));
    }
}
