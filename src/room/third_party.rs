//! Invites of people who were known by an address only, and now by a user ID.
//!
//! It exists because the invite is sent by the server of whoever invited, once another server tells
//! whose the address is (Server-Server API, "Third-party invites"). What it tells is only a reason
//! to invite: the event is built and signed here, and judged by the room's rules, which check the
//! identity server's signature. It knows nothing of identity servers.

use belfry_data::{RoomReader, StoredEvent};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, ServerName};
use ruma_events::TimelineEventType;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::change::Change;
use crate::error::RoomError;
use crate::handshake::unfit;
use crate::job::Append;
use crate::residence::current;
use crate::rooms::Rooms;

/// Bytes of the token that an invite is found by, at most: those of a state key.
const TOKEN_BYTES_MAX: usize = 255;

/// `PUT /exchange_third_party_invite/{roomId}`: the event to be, as far as it is read.
#[derive(Deserialize)]
struct Exchange {
    content: Content,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Content {
    membership: String,
    third_party_invite: ThirdParty,
}

#[derive(Deserialize)]
struct ThirdParty {
    #[serde(default)]
    display_name: Value,
    signed: Value,
}

/// What an exchange comes to.
#[derive(Debug, Clone)]
pub struct ThirdPartyInvite {
    /// Who is invited.
    pub invited: OwnedUserId,
    /// By whom: a user of this server.
    pub inviter: OwnedUserId,
    room_id: OwnedRoomId,
    content: Box<RawValue>,
}

impl Rooms {
    /// Reads what another server tells of the user behind an address. Nothing is done yet, so that
    /// the invited may be asked first.
    ///
    /// # Errors
    /// [`RoomError::BadParameter`] if it is no such invite, or of another room;
    /// [`RoomError::UnknownRoom`]; [`RoomError::Forbidden`] if the room shuts the server out, or has
    /// no such invite by a user of this server.
    pub async fn read_third_party(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: &RawValue,
    ) -> Result<ThirdPartyInvite, RoomError> {
        self.0.door(room_id, origin).await?;
        let asked: Exchange = serde_json::from_str(event.get())
            .map_err(|error| RoomError::BadParameter(error.to_string()))?;
        if asked.room_id != room_id {
            return Err(unfit("the invite is of another room than the path names"));
        }
        let is_invite = asked.kind == "m.room.member" && asked.content.membership == "invite";
        let signed = &asked.content.third_party_invite.signed;
        let of = |name: &str| signed.get(name).and_then(Value::as_str);
        let (token, mxid) = (of("token").unwrap_or_default(), of("mxid"));
        if !is_invite || token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(unfit("this is no invite by a third party"));
        }
        let refuse = |text: &str| Err(RoomError::Forbidden(text.to_owned()));
        if mxid != Some(asked.state_key.as_str()) {
            return refuse("what was signed is about another user");
        }
        let Some(known) = self.offer(room_id, token).await? else {
            return refuse("the room has no such invite");
        };
        let inviter = sender_of(&known)?;
        let local = &self.0.identity.server_name;
        if inviter != asked.sender || inviter.server_name() != local {
            return refuse("the room has no such invite by this server's user");
        }
        let content = json!({
            "membership": "invite",
            "third_party_invite": {
                "display_name": asked.content.third_party_invite.display_name,
                "signed": signed,
            },
        });
        let content = to_raw_value(&content);
        Ok(ThirdPartyInvite {
            invited: asked.state_key,
            inviter,
            room_id: asked.room_id,
            content: content.map_err(|error| RoomError::Fault(error.to_string()))?,
        })
    }

    /// Sends the invite, by way of the invited user's server if that is another.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] if the room's rules do not allow it: the signature is wrong, or the
    /// invite was taken back. Those of [`Rooms::invite_remote`].
    pub async fn exchange_third_party(&self, invite: ThirdPartyInvite) -> Result<(), RoomError> {
        let append = Append {
            sender: invite.inviter,
            change: Change::State {
                kind: TimelineEventType::RoomMember,
                state_key: invite.invited.to_string(),
                content: invite.content,
            },
            txn: None,
            timestamp_ms: None,
        };
        if invite.invited.server_name() == self.0.identity.server_name {
            return self.append(&invite.room_id, append).await.map(drop);
        }
        let server = invite.invited.server_name();
        let sent = self.send_invite(&invite.room_id, &append, server);
        sent.await.map(drop)
    }

    /// The `m.room.third_party_invite` of this token.
    async fn offer(&self, room_id: &RoomId, token: &str) -> Result<Option<StoredEvent>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        current(&reader, &head, "m.room.third_party_invite", token).await
    }
}

fn sender_of(event: &StoredEvent) -> Result<OwnedUserId, RoomError> {
    #[derive(Deserialize)]
    struct Event {
        sender: OwnedUserId,
    }
    let event: Event = serde_json::from_str(&event.row.json)
        .map_err(|error| RoomError::Fault(error.to_string()))?;
    Ok(event.sender)
}
