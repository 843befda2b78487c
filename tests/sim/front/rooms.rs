//! Acts as `belfry-room` takes them, and its answers.
//!
//! It exists to be the one place of the simulation that names them. It knows nothing of HTTP.

use belfry_room::{
    Append, Change, CreateRoom, MemberAct, Membership, Profile, RoomError, Rooms, Txn,
};
use ruma_common::{OwnedUserId, RoomId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::act::{Act, Creation};
use crate::door::{Answer, Refusal, Told};

pub(crate) async fn ask(
    rooms: &Rooms,
    user: &UserId,
    device: &str,
    act: &Act,
    mark: &str,
) -> Answer {
    let txn = |scope: String, id: &str| Txn {
        user: user.to_owned(),
        device: device.into(),
        scope,
        id: id.to_owned(),
    };
    let (room, change, txn) = match act {
        Act::Create(creation) => {
            let made = rooms.create(request(creation, user)).await;
            return made.map_or_else(
                |error| answer(&error),
                |room| Answer::Done(Told::Room(room)),
            );
        }
        Act::Send {
            room,
            kind,
            txn: id,
            content,
        } => {
            let kind = (*kind).into();
            let content = raw(content);
            let scope = format!("send/{room}/{kind}");
            let change = Change::Message { kind, content };
            (room, change, Some(txn(scope, id)))
        }
        Act::Redact {
            room,
            event,
            txn: id,
        } => {
            let scope = format!("redact/{room}/{event}");
            let change = Change::Redaction {
                redacts: event.clone(),
                content: raw(&json!({"reason": mark})),
            };
            (room, change, Some(txn(scope, id)))
        }
        Act::State {
            room,
            kind,
            key,
            content,
        } => {
            let change = Change::State {
                kind: (*kind).into(),
                state_key: key.clone(),
                content: raw(content),
            };
            (room, change, None)
        }
        Act::Member { room, act, target } => (room, member(*act, target, mark), None),
    };
    append(rooms, user, room, change, txn).await
}

async fn append(
    rooms: &Rooms,
    user: &UserId,
    room: &RoomId,
    change: Change,
    txn: Option<Txn>,
) -> Answer {
    let append = Append {
        sender: user.to_owned(),
        change,
        txn,
        timestamp_ms: None,
    };
    let sent = rooms.append(room, append).await;
    sent.map_or_else(
        |error| answer(&error),
        |sent| Answer::Done(Told::Event(sent.event_id)),
    )
}

fn member(act: MemberAct, target: &OwnedUserId, mark: &str) -> Change {
    let mut change = Membership::new(target.clone(), act);
    change.reason = Some(mark.to_owned());
    Change::Member(change)
}

fn raw(content: &Value) -> Box<RawValue> {
    to_raw_value(content).expect("JSON is JSON")
}

/// The request as the server takes it.
pub(crate) fn request(creation: &Creation, creator: &UserId) -> CreateRoom {
    CreateRoom {
        creator: creator.to_owned(),
        profile: Profile::default(),
        version: creation.version.clone(),
        preset: creation.preset,
        name: Some(creation.name.clone()),
        topic: creation.topic.clone(),
        alias: creation.alias.clone(),
        published: false,
        invite: creation.invite.clone(),
        is_direct: creation.is_direct,
        creation_content: Map::new(),
        initial_state: Vec::new(),
        power_level_content_override: Map::new(),
        replaces: None,
    }
}

fn answer(error: &RoomError) -> Answer {
    let text = format!("{error:?}");
    match error {
        RoomError::Busy | RoomError::Unavailable(_) => Answer::Later(text),
        RoomError::Unsure => Answer::Unsure,
        RoomError::Fault(_) => Answer::Broken(text),
        _ => Answer::Refused(Refusal {
            forbidden: matches!(error, RoomError::Forbidden(_)),
            text,
        }),
    }
}
