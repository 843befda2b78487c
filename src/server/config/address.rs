//! Values that say where something is reached: pages, calls, people.

use ruma_common::OwnedUserId;

use super::value::{Context, Raw, Setting};
use crate::message::Message;

/// Longest of these values, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// A URL of the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(pub(crate) String);

/// The URI of a TURN or STUN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallUri(pub(crate) String);

/// A host of the web, or `*.` and a name for all hosts below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern(pub(crate) String);

/// A mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailAddress(pub(crate) String);

/// The text, if it begins with one of these and goes on without spaces.
fn beginning(raw: Raw<'_>, schemes: &[&str]) -> Option<String> {
    let text = raw.text()?;
    let rest = schemes
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))?;
    let fits = !rest.is_empty() && is_address(text);
    fits.then(|| text.to_owned())
}

fn is_address(text: &str) -> bool {
    let hidden = |letter: char| letter.is_whitespace() || letter.is_control();
    text.len() <= ADDRESS_BYTES_MAX && !text.contains(hidden)
}

impl Setting for WebUrl {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        beginning(raw, &["https://", "http://"])
            .map(Self)
            .ok_or_else(|| Message::new("expected-web-url"))
    }
}

impl Setting for CallUri {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        beginning(raw, &["turn:", "turns:", "stun:", "stuns:"])
            .map(Self)
            .ok_or_else(|| Message::new("expected-call-uri"))
    }
}

impl Setting for HostPattern {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        let fits = |text: &&str| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.:[]".contains(letter);
            !name.is_empty() && text.len() <= ADDRESS_BYTES_MAX && name.chars().all(plain)
        };
        raw.text()
            .filter(fits)
            .map(|text| Self(text.to_ascii_lowercase()))
            .ok_or_else(|| Message::new("expected-host"))
    }
}

impl Setting for MailAddress {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        let text = raw.text().filter(|text| is_address(text));
        let whole = |text: &&str| {
            let (name, host) = text.rsplit_once('@').unwrap_or_default();
            !name.is_empty() && !host.is_empty()
        };
        text.filter(whole)
            .map(|text| Self(text.to_owned()))
            .ok_or_else(|| Message::new("expected-mail-address"))
    }
}

impl Setting for OwnedUserId {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .and_then(|user| user.try_into().ok())
            .ok_or_else(|| Message::new("expected-user-id"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fits<T: Setting>(text: &str) -> bool {
        let context = Context {
            folder: Path::new("/"),
        };
        T::read(Raw::Text(text), &context).is_ok()
    }

    #[test]
    fn addresses_are_what_they_are_called() {
        assert!(fits::<WebUrl>("https://matrix.example.org"));
        assert!(fits::<CallUri>("turns:turn.example.org:5349?transport=tcp"));
        assert!(fits::<MailAddress>("help@example.org"));
        assert!(fits::<OwnedUserId>("@help:example.org"));
        for nonsense in [
            "",
            "https://",
            "ftp://x",
            "https://a b",
            "turn:",
            "@",
            "a@",
            "help",
        ] {
            assert!(!fits::<WebUrl>(nonsense), "{nonsense}");
            assert!(!fits::<CallUri>(nonsense), "{nonsense}");
            assert!(!fits::<MailAddress>(nonsense), "{nonsense}");
            assert!(!fits::<OwnedUserId>(nonsense), "{nonsense}");
        }
    }
}
