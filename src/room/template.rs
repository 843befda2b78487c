//! What another server makes of an event of ours: the template before it, the event after it.
//!
//! It exists because both come from a server that may want something else signed than what was
//! asked for. It knows nothing of building events and of how the answers are come by.

use belfry_event::Pdu;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::peers::Handshake;

/// The key of the user who vouches for the join of a restricted room.
pub(crate) const VOUCHER: &str = "join_authorised_via_users_server";

/// What is taken from a template: the event's place in the room, and who vouches for a join.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    pub(crate) depth: i64,
    pub(crate) voucher: Option<Value>,
}

#[derive(Deserialize)]
struct Fields {
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: i64,
    #[serde(rename = "type")]
    kind: String,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    state_key: String,
    content: Map<String, Value>,
}

/// Reads a template of this handshake of this user.
///
/// # Errors
/// Why it is none, in words. Nothing may be signed then, not even what was asked for: whoever
/// answers so does not know, or does not say, what the event is for.
pub(crate) fn read(
    handshake: Handshake,
    room_id: &RoomId,
    user: &UserId,
    event: &RawValue,
) -> Result<Place, String> {
    let fields: Fields = serde_json::from_str(event.get()).map_err(|error| error.to_string())?;
    let membership = fields.content.get("membership").and_then(Value::as_str);
    let is_it = fields.kind == "m.room.member"
        && fields.room_id.is_none_or(|said| said == room_id)
        && fields.sender == user
        && fields.state_key == user.as_str()
        && membership == Some(handshake.membership());
    if !is_it {
        return Err("it is not of the kind, the user or the room that was asked for".to_owned());
    }
    let mut content = fields.content;
    let voucher = content.remove(VOUCHER);
    Ok(Place {
        prev_events: fields.prev_events,
        auth_events: fields.auth_events,
        depth: fields.depth,
        voucher: voucher.filter(|_| handshake == Handshake::Join),
    })
}

/// Whether an event that came back is the one that was sent, but for signatures and `unsigned`.
pub(crate) fn is_same(sent: &Pdu, back: &RawValue) -> bool {
    let rest = |json: &str| -> Option<Map<String, Value>> {
        let mut event: Map<String, Value> = serde_json::from_str(json).ok()?;
        event.remove("signatures");
        event.remove("unsigned");
        Some(event)
    };
    let sent = rest(sent.json());
    sent.is_some() && sent == rest(back.get())
}
