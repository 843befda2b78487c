//! Stripped state that comes with an invitation or a knock.
//!
//! It exists so that what is kept of it is checked and bounded in one place. It knows nothing of
//! where it is kept.

use belfry_event::{Inbound, RoomRules};
use ruma_common::{OwnedUserId, RoomId};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::RoomError;
use crate::handshake::unfit;

/// Stripped state that is kept of an invitation.
pub const INVITE_STATE_MAX: usize = 50;
/// Bytes of it: with the member event, it is one value of the database.
const INVITE_STATE_BYTES_MAX: usize = 24 * 1024;

/// The stripped state of an invitation, as it is kept. From room version 12 on the create event
/// must be among it, whole: the room is named after its hash.
pub(crate) fn stripped(
    rules: &'static RoomRules,
    room_id: &RoomId,
    state: &[Box<RawValue>],
) -> Result<Vec<Box<str>>, RoomError> {
    let mut begins = !rules.room_id_is_hash();
    for event in state.iter().take(INVITE_STATE_MAX) {
        if let Ok(inbound) = Inbound::parse(rules, event.get().as_bytes()) {
            let pdu = inbound.unverified();
            if pdu.room_id() != room_id {
                return Err(unfit("the invite's state is of another room"));
            }
            begins |= pdu.is_create();
        }
    }
    if begins {
        Ok(kept(state))
    } else {
        Err(unfit(
            "the invite's state does not have the room's create event",
        ))
    }
}

/// What is kept of the state, as far as there is room: the create event first.
pub(crate) fn kept(state: &[Box<RawValue>]) -> Vec<Box<str>> {
    let stripped = state.iter().take(INVITE_STATE_MAX);
    let mut stripped: Vec<String> = stripped.filter_map(|event| strip(event)).collect();
    stripped.sort_by_key(|text| !text.contains("\"m.room.create\""));
    let mut bytes = 0;
    let fits = |text: &String| {
        bytes += text.len();
        bytes <= INVITE_STATE_BYTES_MAX
    };
    stripped.into_iter().filter(fits).map(Into::into).collect()
}

/// The four members of stripped state, if the event has them.
fn strip(event: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Stripped {
        content: serde_json::Map<String, Value>,
        sender: OwnedUserId,
        state_key: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let stripped: Stripped = serde_json::from_str(event.get()).ok()?;
    serde_json::to_string(&stripped).ok()
}
