//! Events from other servers: from text to an event whose signatures and hash hold.
//!
//! It exists so that an event from outside becomes a [`Pdu`] in one way only, through the first
//! three checks on receipt of a PDU (Server-Server API): format, signatures, content hash. It
//! knows nothing of fetching keys, and nothing of authorisation, which comes after.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedServerName, RoomId, ServerName, UserId,
};

use crate::digest::{claimed_content_hash, content_hash, essential_text, reference_hash};
use crate::format::{self, EVENT_TEXT_BYTES_MAX, FormatError};
use crate::json::{JsonError, Object, Value};
use crate::key_ring::{KeyRing, SignatureError, Signatures, signatures_of, verify};
use crate::pdu::Pdu;
use crate::redaction::write_redacted;
use crate::rules::{Numbers, RoomRules};

/// A well-formed event from another server whose signatures are still to be checked.
///
/// What was not covered by hashes (`unsigned`) is gone already.
#[derive(Debug, Clone)]
pub struct Inbound {
    verified: Verified,
    /// What the signatures are over.
    signed_text: String,
    /// The servers that must have signed, with what they signed.
    signers: BTreeMap<OwnedServerName, Signatures>,
}

/// An event whose signatures hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// The event is as its sender's server made it.
    Intact(Arc<Pdu>),
    /// The content hash did not match, so this is the redacted event: all that the signatures
    /// vouch for, and all that may be used.
    Redacted(Arc<Pdu>),
}

impl Verified {
    /// The event, whichever it is.
    pub fn pdu(&self) -> &Arc<Pdu> {
        match self {
            Self::Intact(pdu) | Self::Redacted(pdu) => pdu,
        }
    }

    /// The event, whichever it is.
    pub fn into_pdu(self) -> Arc<Pdu> {
        match self {
            Self::Intact(pdu) | Self::Redacted(pdu) => pdu,
        }
    }
}

impl Inbound {
    /// Reads an event of a room with these `rules`, as it came.
    ///
    /// # Errors
    /// If it does not have the format of the room version: drop it.
    pub fn parse(rules: &'static RoomRules, json: &[u8]) -> Result<Self, FormatError> {
        if json.len() > EVENT_TEXT_BYTES_MAX {
            return Err(FormatError::TextTooLong { bytes: json.len() });
        }
        let mut event = Object::parse(json, rules.numbers())?;
        event.remove("unsigned");
        format::check_fields(&event, rules)?;
        format::check_proofs(&event)?;
        let text = event.to_text();
        format::check_size(&text)?;
        let signed_text = essential_text(&event, rules);
        let signers = required_signers(&event, rules)?
            .into_iter()
            .map(|server| {
                let signatures = signatures_of(&event, server.as_str()).unwrap_or_default();
                (server, signatures)
            })
            .collect();
        let verified = check_content_hash(&event, rules, &signed_text, text)?;
        Ok(Self {
            verified,
            signed_text,
            signers,
        })
    }

    /// The event's ID, which nobody has vouched for yet.
    pub fn event_id(&self) -> &EventId {
        self.unverified().event_id()
    }

    /// The event's room, which nobody has vouched for yet.
    pub fn room_id(&self) -> &RoomId {
        self.unverified().room_id()
    }

    /// The event, which nobody has vouched for yet: for asking whether it is known already and
    /// what it refers to, not for use.
    pub fn unverified(&self) -> &Pdu {
        self.verified.pdu()
    }

    /// The servers whose signatures are needed, each with the IDs of the keys that it used: what
    /// to have in the ring before [`Self::verify`].
    ///
    /// There are none if a third-party invite vouches for the event instead.
    pub fn signers(&self) -> impl Iterator<Item = (&ServerName, impl Iterator<Item = &str>)> {
        self.signers.iter().map(|(server, signatures)| {
            (
                server.as_ref(),
                signatures.iter().map(|(key_id, _)| key_id.as_str()),
            )
        })
    }

    /// When keys must have been valid: `None` for room versions that do not ask.
    pub fn keys_valid_at(&self) -> Option<MilliSecondsSinceUnixEpoch> {
        let pdu = self.verified.pdu();
        pdu.rules()
            .enforces_key_validity()
            .then_some(pdu.origin_server_ts())
    }

    /// Checks the signatures of all servers whose word is needed.
    ///
    /// # Errors
    /// [`SignatureError::NoUsableKey`] may pass with more keys; any other says to drop the event.
    pub fn verify(&self, keys: &KeyRing) -> Result<Verified, SignatureError> {
        self.verify_but(keys, None)
    }

    /// Checks the signature of one server, whether the event needs it or not.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_by(&self, keys: &KeyRing, server: &ServerName) -> Result<(), SignatureError> {
        let at = self.keys_valid_at();
        let event = Object::parse(self.unverified().json().as_bytes(), Numbers::Lax)?;
        let missing = || SignatureError::Missing {
            signer: server.to_string(),
        };
        let signatures = signatures_of(&event, server.as_str()).ok_or_else(missing)?;
        verify(
            server.as_str(),
            &signatures,
            self.signed_text.as_bytes(),
            |key_id| keys.get(server, key_id, at),
        )
    }

    /// The same as [`Self::verify`], without asking for the signature of `server`: for events that it is to sign.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_but(
        &self,
        keys: &KeyRing,
        server: Option<&ServerName>,
    ) -> Result<Verified, SignatureError> {
        let at = self.keys_valid_at();
        let needed = self.signers.iter();
        for (server, signatures) in needed.filter(|(signer, _)| Some(&***signer) != server) {
            if signatures.is_empty() {
                return Err(SignatureError::Missing {
                    signer: server.to_string(),
                });
            }
            let message = self.signed_text.as_bytes();
            verify(server.as_str(), signatures, message, |key_id| {
                keys.get(server, key_id, at)
            })?;
        }
        Ok(self.verified.clone())
    }
}

/// The third check: the event itself if it is what its hash says, else the redacted one.
fn check_content_hash(
    event: &Object<'_>,
    rules: &'static RoomRules,
    essential: &str,
    text: String,
) -> Result<Verified, FormatError> {
    let hash = reference_hash(essential);
    let read = |text: String| match Pdu::read(rules, hash, text.into()) {
        Ok(pdu) => Ok(Arc::new(pdu)),
        Err(error) => Err(unreadable(&error)),
    };
    if claimed_content_hash(event) == Some(content_hash(event)) {
        return Ok(Verified::Intact(read(text)?));
    }
    let mut redacted = String::new();
    write_redacted(event, rules.redaction(), &[], &mut redacted);
    Ok(Verified::Redacted(read(redacted)?))
}

/// What the checks let through reads back; should it not, it has no place here either. The text
/// is one line, so the column is the byte.
pub(crate) fn unreadable(error: &serde_json::Error) -> FormatError {
    FormatError::Json(JsonError::Syntax { at: error.column() })
}

/// The servers that must have signed an event: the sender's, unless a third-party invite vouches
/// for it, and the one that let a restricted join in.
fn required_signers(
    event: &Object<'_>,
    rules: &RoomRules,
) -> Result<Vec<OwnedServerName>, FormatError> {
    let mut signers = Vec::new();
    let membership = membership(event);
    let content = event.get("content").and_then(Value::as_object);
    let invite = content.and_then(|content| content.get("third_party_invite")?.as_object());
    if membership != Some("invite") || invite.is_none() {
        signers.push(server_of(event.get("sender"), "sender")?);
    }
    let authoriser = content.and_then(|content| content.get(AUTHORISER));
    // Other events may carry the field, as copies of a join do; it says nothing there.
    if membership == Some("join")
        && rules
            .ruma()
            .signatures
            .check_join_authorised_via_users_server
        && authoriser.is_some()
    {
        signers.push(server_of(
            authoriser,
            "content.join_authorised_via_users_server",
        )?);
    }
    Ok(signers)
}

const AUTHORISER: &str = "join_authorised_via_users_server";

/// The membership that an `m.room.member` event sets.
fn membership<'e>(event: &'e Object<'_>) -> Option<&'e str> {
    if event.get("type")?.as_str()? != "m.room.member" {
        return None;
    }
    event
        .get("content")?
        .as_object()?
        .get("membership")?
        .as_str()
}

fn server_of(
    user: Option<&Value<'_>>,
    field: &'static str,
) -> Result<OwnedServerName, FormatError> {
    let user = user
        .and_then(Value::as_str)
        .and_then(|user| <&UserId>::try_from(user).ok());
    Ok(user
        .ok_or(FormatError::NotAnId { field })?
        .server_name()
        .to_owned())
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
