//! What clients are told beyond what follows from the code, where it takes more than a word.

use std::time::Duration;

use belfry_user::SharedSecret;
use ruma_common::{OwnedServerName, OwnedUserId};

/// What is told at well-known URIs (Client-Server API, "Well-known URIs").
#[derive(Debug, Clone)]
pub struct WellKnown {
    /// Where clients reach the server; `None` if that is not told here.
    pub client_base_url: Option<String>,
    /// Where other servers reach the server; `None` if that is not told here.
    pub server: Option<OwnedServerName>,
    /// A page for people who need help.
    pub support_page: Option<String>,
    /// Where administrators get mail.
    pub support_email: Option<String>,
    /// An administrator's user ID.
    pub support_user: Option<OwnedUserId>,
}

impl WellKnown {
    /// Nothing is told.
    pub const NOTHING: Self = Self {
        client_base_url: None,
        server: None,
        support_page: None,
        support_email: None,
        support_user: None,
    };
}

/// A TURN server that shares a secret with this one.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Its URIs, `turn:` or `turns:`.
    pub uris: Vec<String>,
    /// The secret.
    pub secret: SharedSecret,
    /// How long credentials are good.
    pub credentials_life: Duration,
}
