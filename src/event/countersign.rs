//! Signing events that another server built: the two member events for which the spec asks it.
//!
//! It exists because an invite is signed by the invited user's server too, and the join of a
//! restricted room by the server that lets the user in (Server-Server API, "Inviting to a room";
//! "Restricted rooms"). Nothing else of others is ever signed. It knows nothing of whether the
//! event is allowed: callers ask first.

use ruma_common::{ServerName, UserId};
use ruma_events::TimelineEventType;
use serde_json::Value as Json;

use crate::digest::essential_text;
use crate::json::Object;
use crate::key_ring::add_signature;
use crate::pdu::Pdu;
use crate::signing::SigningKey;

/// The event is none that this server may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invite of a user of this server, nor a join that one of them authorises")]
pub struct NotOurs;

impl Pdu {
    /// The user of `server` because of whom the server is to sign this event of another server's
    /// user, if there is one.
    pub fn countersigner(&self, server: &ServerName) -> Option<String> {
        if *self.event_type() != TimelineEventType::RoomMember {
            return None;
        }
        let content: Json = serde_json::from_str(self.content_json()).ok()?;
        let user = match content.get("membership")?.as_str()? {
            "invite" => self.state_key()?,
            "join" => content.get("join_authorised_via_users_server")?.as_str()?,
            _ => return None,
        };
        let parsed = <&UserId>::try_from(user).ok()?;
        (parsed.server_name() == server).then(|| user.to_owned())
    }

    /// The same event with the signature of `server` beside those that it has. The ID stays.
    ///
    /// # Errors
    /// If it is not an event for which the spec asks that.
    pub fn countersign(&self, server: &ServerName, key: &SigningKey) -> Result<Self, NotOurs> {
        self.countersigner(server).ok_or(NotOurs)?;
        let numbers = self.rules().numbers();
        let mut event = Object::parse(self.json().as_bytes(), numbers).map_err(|_| NotOurs)?;
        let essential = essential_text(&event, self.rules());
        let signature = key.sign(&essential);
        add_signature(&mut event, server.as_str(), key.key_id(), signature);
        let signed = Self::read(self.rules(), self.hash(), event.to_text().into());
        Ok(signed.map_err(|_| NotOurs)?.with_rejected(self.rejected()))
    }
}
