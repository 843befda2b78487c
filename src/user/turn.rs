//! Credentials for a TURN server that shares a secret with this one (spec, "Voice over IP"; the
//! "REST API for access to TURN services", an Internet-Draft that TURN servers implement).
//!
//! Knows nothing of where the server is and of who may call.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma_common::UserId;
use sha1::Sha1;

/// What a client signs in to a TURN server with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnCredentials {
    /// The name: until when it is good, and for whom.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Credentials for this user that are good until then, in seconds since the Unix epoch. `None` if
/// the secret is none.
pub fn turn_credentials(secret: &[u8], user: &UserId, until_s: u64) -> Option<TurnCredentials> {
    if secret.is_empty() {
        return None;
    }
    let username = format!("{until_s}:{user}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    Some(TurnCredentials { username, password })
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    #[test]
    fn credentials_are_those_that_turn_servers_compute() {
        let user = user_id!("@alice:example.org");
        let made = turn_credentials(b"north", user, 1_700_000_000).unwrap();
        assert_eq!(made.username, "1700000000:@alice:example.org");
        assert_eq!(made.password, "b7c/MWmorxmLryRFjaJYkUW5nOo=");
        assert_eq!(turn_credentials(b"", user, 1), None);
    }
}
