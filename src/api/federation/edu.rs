//! EDUs of other servers: what passes and is not part of a room's history.
//!
//! One that cannot be read, is of somebody else's user, or is of a kind that is not known is left
//! out; the others of its transaction are not concerned. (Server-Server API, "EDUs".)

use std::{collections::BTreeMap, time::Duration};

use belfry_user::{DeviceUpdate, KeyError, PresenceState, PresenceUpdate};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, ServerName};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::state::Api;

/// How long somebody types who is said to type: senders repeat it.
const TYPING: Duration = Duration::from_secs(30);
/// Receipts of one EDU that are looked at.
const RECEIPTS_MAX: usize = 500;
/// Users of one EDU of presence that are looked at.
const PRESENCES_MAX: usize = 100;
/// Users that one EDU of messages to devices may name.
const TO_DEVICE_USERS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Edu {
    edu_type: String,
    content: Box<RawValue>,
}

/// Takes what can be taken.
pub(crate) async fn take(api: &Api, origin: &ServerName, edus: &[Box<RawValue>]) {
    for edu in edus {
        let Some(edu) = read::<Edu>(edu) else {
            continue;
        };
        let taken = match edu.edu_type.as_str() {
            "m.typing" => typing(api, origin, &edu.content).await,
            "m.receipt" => receipts(api, origin, &edu.content).await,
            "m.direct_to_device" => to_device(api, origin, &edu.content).await,
            "m.presence" => presence(api, origin, &edu.content).await,
            "m.device_list_update" => device_list(api, origin, &edu.content).await,
            "m.signing_key_update" => signing_keys(api, origin, &edu.content).await,
            _ => Some(()),
        };
        if taken.is_none() {
            tracing::debug!(%origin, kind = edu.edu_type, "an EDU was left out");
        }
    }
}

fn read<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

#[derive(Deserialize)]
struct Typing {
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    #[serde(rename = "typing")]
    begins: bool,
}

async fn typing(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let typing: Typing = read(content)?;
    let (room, user) = (&typing.room_id, &typing.user_id);
    let timeout = typing.begins.then_some(TYPING);
    let told = api.rooms.receive_typing(origin, room, user, timeout);
    told.await.ok()
}

/// By room, then kind, then user.
type Receipts = BTreeMap<OwnedRoomId, BTreeMap<String, BTreeMap<OwnedUserId, Receipt>>>;

#[derive(Deserialize)]
struct Receipt {
    event_ids: Vec<OwnedEventId>,
    #[serde(default)]
    data: ReceiptData,
}

#[derive(Default, Deserialize)]
struct ReceiptData {
    thread_id: Option<String>,
}

async fn receipts(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let mut left = RECEIPTS_MAX;
    for (room, kinds) in read::<Receipts>(content)? {
        let public = kinds.into_iter().filter(|(kind, _)| kind == "m.read");
        for (user, receipt) in public.flat_map(|(_, users)| users) {
            left = left.checked_sub(1)?;
            let Some(event) = receipt.event_ids.first() else {
                continue;
            };
            let mark = (&**event, receipt.data.thread_id.as_deref());
            let told = api.rooms.receive_receipt(origin, &room, &user, mark);
            if let Err(error) = told.await {
                tracing::debug!(%origin, %error, "a receipt was left out");
            }
        }
    }
    Some(())
}

#[derive(Deserialize)]
struct ToDevice {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
    message_id: String,
    messages: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
}

async fn to_device(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let edu: ToDevice = read(content)?;
    if edu.sender.server_name() != origin || edu.messages.len() > TO_DEVICE_USERS_MAX {
        return None;
    }
    let text = |(device, content): (String, Box<RawValue>)| (device, content.get().to_owned());
    let messages = edu.messages.into_iter();
    let messages = messages.map(|(user, each)| (user, each.into_iter().map(text).collect()));
    let messages = messages.collect();
    let stored = api
        .users
        .receive_to_devices(&edu.sender, &edu.kind, &edu.message_id, &messages);
    stored.await.ok()
}

#[derive(Deserialize)]
struct Presences {
    push: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Present {
    user_id: OwnedUserId,
    presence: String,
    status_msg: Option<String>,
    #[serde(default)]
    last_active_ago: u64,
}

async fn presence(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let mut news = false;
    for update in read::<Presences>(content)?.push.iter().take(PRESENCES_MAX) {
        let Some(update) = read::<Present>(update) else {
            continue;
        };
        let Some(state) = PresenceState::from_name(&update.presence) else {
            continue;
        };
        let update = PresenceUpdate {
            user_id: update.user_id,
            state,
            status: update.status_msg,
            active_ago_ms: update.last_active_ago,
        };
        news |= api.users.receive_presence(origin, update).await.ok()?;
    }
    if news {
        api.views.nudge();
    }
    Some(())
}

#[derive(Deserialize)]
struct ListUpdate {
    user_id: OwnedUserId,
    device_id: String,
    stream_id: u64,
    #[serde(default)]
    prev_id: Vec<u64>,
    #[serde(default)]
    deleted: bool,
    device_display_name: Option<String>,
    keys: Option<Box<RawValue>>,
}

async fn device_list(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let update: ListUpdate = read(content)?;
    let update = DeviceUpdate {
        user_id: update.user_id,
        device_id: update.device_id,
        name: update.device_display_name,
        stream_id: update.stream_id,
        prev_id: update.prev_id,
        deleted: update.deleted,
        keys: update.keys.map(|keys| keys.get().to_owned()),
    };
    told(api.users.receive_device_update(origin, &update).await)
}

#[derive(Deserialize)]
struct SigningUpdate {
    user_id: OwnedUserId,
}

async fn signing_keys(api: &Api, origin: &ServerName, content: &RawValue) -> Option<()> {
    let update: SigningUpdate = read(content)?;
    let user = &update.user_id;
    told(api.users.receive_signing_update(origin, user).await)
}

/// Whether it was taken; why not, for whoever looks for it.
fn told(taken: Result<(), KeyError>) -> Option<()> {
    taken
        .inspect_err(|error| tracing::debug!(%error, "a change of a device list was left out"))
        .ok()
}
