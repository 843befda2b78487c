//! Policy servers: the recommendation that events of some rooms need (Server-Server API, "Policy
//! Servers").
//!
//! It exists so that what a room says of its policy server, and whether that one has signed an
//! event, is read in one way. It knows nothing of asking it, and of whether it is in the room.

use ruma_common::{OwnedServerName, ServerName};
use ruma_events::TimelineEventType;
use serde::Deserialize;

use crate::digest::essential_text;
use crate::json::Object;
use crate::key_ring::{PublicKey, add_signature, signatures_of, verify};
use crate::pdu::Pdu;

/// What every policy server's key is called.
pub const POLICY_KEY_ID: &str = "ed25519:policy_server";
/// The type of the state that names a room's policy server.
pub const POLICY_TYPE: &str = "m.room.policy";

/// The server that a room's events are to be recommended by, if it has a user in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyServer {
    server: OwnedServerName,
    /// `None` if what stands for it is no key: nothing can be recommended then.
    key: Option<PublicKey>,
}

impl PolicyServer {
    /// What the room's `m.room.policy` says; `None` if that is not enough to have one.
    pub fn of(policy: &Pdu) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: OwnedServerName,
            public_keys: Keys,
        }
        #[derive(Deserialize)]
        struct Keys {
            ed25519: String,
        }
        let content: Content = serde_json::from_str(policy.content_json()).ok()?;
        // The spec's example has the letters that URLs want.
        let key = content.public_keys.ed25519.replace('-', "+");
        Some(Self {
            server: content.via,
            key: PublicKey::from_base64(&key.replace('_', "/")).ok(),
        })
    }

    /// Which server it is.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Whether the event may do without: it is what says which server it is.
    pub fn exempts(event: &Pdu) -> bool {
        let kind = TimelineEventType::from(POLICY_TYPE);
        *event.event_type() == kind && event.state_key() == Some("")
    }

    /// Whether the event is recommended: signed with the key that the room names, or exempt.
    pub fn recommends(&self, event: &Pdu) -> bool {
        if Self::exempts(event) {
            return true;
        }
        let Ok(object) = Object::parse(event.json().as_bytes(), event.rules().numbers()) else {
            return false;
        };
        let signatures = signatures_of(&object, self.server.as_str()).unwrap_or_default();
        let message = essential_text(&object, event.rules());
        let own = |key_id: &str| self.key.as_ref().filter(|_| key_id == POLICY_KEY_ID);
        verify(self.server.as_str(), &signatures, message.as_bytes(), own).is_ok()
    }
}

impl Pdu {
    /// The same event with what a policy server signed it with, beside the signatures that it has.
    /// Whether that is right is for [`PolicyServer::recommends`] to say. `None` if the text is no
    /// canonical JSON of the room version, which only damaged storage explains.
    #[must_use]
    pub fn with_recommendation(&self, server: &ServerName, signature: &str) -> Option<Self> {
        let numbers = self.rules().numbers();
        let mut event = Object::parse(self.json().as_bytes(), numbers).ok()?;
        let signature = signature.to_owned();
        add_signature(&mut event, server.as_str(), POLICY_KEY_ID, signature);
        let signed = Self::read(self.rules(), self.hash(), event.to_text().into());
        Some(signed.ok()?.with_rejected(self.rejected()))
    }
}
