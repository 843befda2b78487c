//! Building events: from what a user wants to say to a signed event.
//!
//! It exists because building is the only way to have an event signed: what is signed is what
//! this module put together and checked, for a sender of the server whose key it is. It knows
//! nothing of whether the event is allowed, or of choosing what it refers to.

use ruma_common::{EventId, MilliSecondsSinceUnixEpoch, RoomId, ServerName, UserId};

use crate::digest::{add_content_hash, essential_text, reference_hash};
use crate::format::{self, FormatError};
use crate::hash::EventHash;
use crate::inbound::unreadable;
use crate::json::{JsonError, Object, Value};
use crate::key_ring::add_signature;
use crate::pdu::Pdu;
use crate::rules::{Numbers, RoomRules};
use crate::signing::SigningKey;

/// An event to be.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The room's version.
    pub rules: &'static RoomRules,
    /// The room; `None` for the create event of a version whose room IDs are its hash.
    pub room_id: Option<&'a RoomId>,
    /// Who sends it: a user of the server that signs.
    pub sender: &'a UserId,
    /// The `type`, at most 255 bytes.
    pub event_type: &'a str,
    /// The state key, at most 255 bytes; `None` for a message event.
    pub state_key: Option<&'a str>,
    /// The content, a JSON object as a client wrote it: it is made canonical, numbers equal to
    /// integers included ([`Numbers::Normalised`]), in old room versions too.
    pub content: &'a str,
    /// The target of an `m.room.redaction`; written where the room version has it.
    pub redacts: Option<&'a EventId>,
    /// The events before it, at most [`crate::PREV_EVENTS_MAX`].
    pub prev_events: &'a [EventHash],
    /// The events that allow it, at most [`crate::AUTH_EVENTS_MAX`].
    pub auth_events: &'a [EventHash],
    /// One more than the greatest depth of `prev_events`; beyond the room version's maximum, the
    /// maximum is written.
    pub depth: i64,
    /// Now, or what an application service says.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
}

/// Why an event was not built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The content is no JSON object, or holds numbers that no event may.
    #[error("the content: {0}")]
    Content(JsonError),
    /// The event would not have the format of its room version.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The sender belongs to another server, whose word this one does not have.
    #[error("the sender is a user of another server: let that server send the event")]
    ForeignSender,
}

impl Draft<'_> {
    /// Builds, hashes and signs the event, as `server` with `key`.
    ///
    /// # Errors
    /// If the sender is not the server's, or the event would break the format or a limit.
    pub fn sign(&self, server: &ServerName, key: &SigningKey) -> Result<Pdu, DraftError> {
        if self.sender.server_name() != server {
            return Err(DraftError::ForeignSender);
        }
        let mut event = self.build()?;
        format::check_fields(&event, self.rules)?;
        let hash = hash_and_sign(&mut event, self.rules, server.as_str(), key);
        let text = event.to_text();
        format::check_size(&text)?;
        Ok(Pdu::read(self.rules, hash, text.into()).map_err(|error| unreadable(&error))?)
    }

    /// The event as the sender's server is to complete and sign it (`make_join` and its like): with
    /// neither hashes nor signatures, for judging whether it would be allowed. Its hash is not that
    /// of the event to be.
    ///
    /// # Errors
    /// If the event would break the format or a limit.
    pub fn template(&self) -> Result<Pdu, DraftError> {
        let event = self.build()?;
        format::check_fields(&event, self.rules)?;
        let hash = reference_hash(&essential_text(&event, self.rules));
        let text = event.to_text();
        format::check_size(&text)?;
        Ok(Pdu::read(self.rules, hash, text.into()).map_err(|error| unreadable(&error))?)
    }

    fn build(&self) -> Result<Object<'_>, DraftError> {
        let content = Object::parse(self.content.as_bytes(), Numbers::Normalised)
            .map_err(DraftError::Content)?;
        let timestamp: i64 = self.origin_server_ts.get().into();
        let mut event = Object::from_members(vec![
            ("auth_events".into(), self.references(self.auth_events)),
            ("content".into(), Value::Object(content)),
            (
                "depth".into(),
                Value::integer(self.depth.min(self.rules.depth_max())),
            ),
            ("origin_server_ts".into(), Value::integer(timestamp)),
            ("prev_events".into(), self.references(self.prev_events)),
            ("sender".into(), Value::string(self.sender.as_str())),
            ("type".into(), Value::string(self.event_type)),
        ]);
        if let Some(room_id) = self.room_id {
            event.insert("room_id", Value::string(room_id.as_str()));
        }
        if let Some(state_key) = self.state_key {
            event.insert("state_key", Value::string(state_key));
        }
        if let Some(target) = self.redacts {
            add_target(&mut event, self.rules, target);
        }
        Ok(event)
    }

    fn references<'v>(&self, hashes: &[EventHash]) -> Value<'v> {
        let id = |hash: &EventHash| hash.to_event_id(self.rules.alphabet()).to_string();
        Value::Array(hashes.iter().map(|hash| Value::string(id(hash))).collect())
    }
}

/// Writes the target of a redaction where the room version has it.
fn add_target<'a>(event: &mut Object<'a>, rules: &RoomRules, target: &'a EventId) {
    let target = Value::string(target.as_str());
    if !rules.redacts_in_content() {
        event.insert("redacts", target);
    } else if let Some(Value::Object(mut content)) = event.remove("content") {
        content.insert("redacts", target);
        event.insert("content", Value::Object(content));
    }
}

/// Adds the content hash and a signature (Server-Server API, "Adding hashes and signatures to
/// outgoing events"); gives the reference hash.
fn hash_and_sign(
    event: &mut Object<'_>,
    rules: &RoomRules,
    server: &str,
    key: &SigningKey,
) -> EventHash {
    add_content_hash(event);
    let essential = essential_text(event, rules);
    add_signature(event, server, key.key_id(), key.sign(&essential));
    reference_hash(&essential)
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
