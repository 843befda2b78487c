//! Credentials for a TURN server that shares a secret with this one (spec, "Voice over IP"; the
//! "REST API for access to TURN services", an Internet-Draft that TURN servers implement).
//!
//! Knows nothing of where the server is and of who may call.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ruma_common::UserId;

use crate::shared_secret::SharedSecret;

/// What a client signs in to a TURN server with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnCredentials {
    /// The name: until when it is good, and for whom.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Credentials for this user that are good until then, in seconds since the Unix epoch.
pub fn turn_credentials(secret: &SharedSecret, user: &UserId, until_s: u64) -> TurnCredentials {
    let username = format!("{until_s}:{user}");
    let mac = secret.mac(username.as_bytes());
    let password = mac.map(|mac| STANDARD.encode(mac)).unwrap_or_default();
    TurnCredentials { username, password }
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    #[test]
    fn credentials_are_those_that_turn_servers_compute() {
        let user = user_id!("@alice:example.org");
        let made = turn_credentials(&SharedSecret::new("north").unwrap(), user, 1_700_000_000);
        assert_eq!(made.username, "1700000000:@alice:example.org");
        assert_eq!(made.password, "b7c/MWmorxmLryRFjaJYkUW5nOo=");
    }
}
