//! Values that concern other servers.

use belfry_event::PublicKey;
use belfry_remote::OldKey;

use super::value::{Context, Raw, Setting};
use crate::message::Message;

/// A signing key of before: its ID, its public half, and when it was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormerKey(pub(crate) OldKey);

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyText(pub(crate) PublicKey);

impl Setting for FormerKey {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        let parse = |text: &str| {
            let words: Vec<_> = text.split_ascii_whitespace().collect();
            let [key_id, key, expired_ms] = words[..] else {
                return None;
            };
            let version = key_id.strip_prefix("ed25519:")?;
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let named = !version.is_empty() && version.bytes().all(fits);
            named.then_some(OldKey {
                key_id: key_id.to_owned(),
                key: PublicKey::from_base64(key).ok()?,
                expired_ms: expired_ms.parse().ok()?,
            })
        };
        raw.text()
            .and_then(parse)
            .map(Self)
            .ok_or_else(|| Message::new("expected-former-key"))
    }
}

impl Setting for KeyText {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .and_then(|text| PublicKey::from_base64(text).ok())
            .map(Self)
            .ok_or_else(|| Message::new("expected-public-key"))
    }
}
