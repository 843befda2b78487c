//! Which names an account may have (spec, appendices, "User Identifiers").
//!
//! Old accounts of other servers have worse ones; those that are made here keep the strict
//! grammar. Knows nothing of which are taken.

use belfry_env::Random;
use ruma_common::{OwnedUserId, ServerName, UserId};

use crate::account::RegisterError;

/// Longest user ID, sigil and server name included.
const USER_ID_BYTES_MAX: usize = 255;

/// Letters and digits of a name that the server makes up.
const GENERATED_LENGTH: usize = 12;

/// The user ID of a new account: capitals are made small, as the grammar has none. A whole user ID
/// of this server is taken for its localpart.
pub(crate) fn new_user_id(
    username: &str,
    server: &ServerName,
) -> Result<OwnedUserId, RegisterError> {
    let localpart = local_part(username, server)
        .unwrap_or(username)
        .to_ascii_lowercase();
    let grammatical = !localpart.is_empty() && localpart.bytes().all(allowed);
    // A leading underscore is for application services by convention; no person needs one.
    if !grammatical || localpart.starts_with('_') {
        return Err(RegisterError::InvalidName);
    }
    let user_id = format!("@{localpart}:{server}");
    if user_id.len() > USER_ID_BYTES_MAX {
        return Err(RegisterError::InvalidName);
    }
    UserId::parse(user_id).map_err(|_| RegisterError::InvalidName)
}

/// A name for somebody who gave none.
pub(crate) fn generated(random: &Random) -> String {
    random.token(GENERATED_LENGTH).to_ascii_lowercase()
}

/// Whom a person means who signs in: a localpart or a whole user ID. `None` if it is nobody here.
pub(crate) fn existing_user_id(name: &str, server: &ServerName) -> Option<OwnedUserId> {
    let localpart = match name.strip_prefix('@') {
        Some(_) => local_part(name, server)?,
        None => name,
    };
    new_user_id(localpart, server).ok()
}

fn local_part<'a>(user_id: &'a str, server: &ServerName) -> Option<&'a str> {
    let (localpart, found) = user_id.strip_prefix('@')?.split_once(':')?;
    (found == server.as_str()).then_some(localpart)
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte)
}

#[cfg(test)]
mod tests {
    use ruma_common::server_name;

    use super::*;

    fn made(username: &str) -> Option<String> {
        new_user_id(username, server_name!("hs1"))
            .ok()
            .map(|id| id.to_string())
    }

    #[test]
    fn auth_031_and_032_names_outside_the_grammar() {
        let long = "a".repeat(251);
        for name in [
            "Ünïcode",
            "a b",
            "",
            "_x",
            "a:b",
            "@",
            "@a:other",
            "a\0",
            "A@",
            &long,
        ] {
            assert_eq!(made(name), None, "{name}");
        }
    }

    #[test]
    fn grammatical_names_pass() {
        let longest = "a".repeat(250);
        for name in ["a", "0", "a.b_c=d-e/f+g", &longest] {
            assert_eq!(made(name), Some(format!("@{name}:hs1")));
        }
        assert_eq!(made("Alice"), Some("@alice:hs1".to_owned()));
        assert_eq!(made("@alice:hs1"), Some("@alice:hs1".to_owned()));
    }

    #[test]
    fn sign_in_takes_a_name_or_a_user_id_of_this_server() {
        let known = |name| existing_user_id(name, server_name!("hs1"));
        assert_eq!(known("Alice").unwrap(), "@alice:hs1");
        assert_eq!(known("@alice:hs1").unwrap(), "@alice:hs1");
        assert_eq!(known("@alice:hs2"), None);
        assert_eq!(known("@alice"), None);
    }

    #[test]
    fn generated_name_is_grammatical() {
        let name = generated(&Random::seeded(1));
        assert!(made(&name).is_some(), "{name}");
    }
}
