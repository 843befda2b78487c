//! A space's children, and rooms as other servers tell of them.
//!
//! It exists so that what a space holds reads the same whether it lies here or elsewhere. It knows
//! nothing of walks and of who may know of what.

use belfry_data::CURRENT_PAGE_MAX;
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, RoomId};
use serde::Deserialize;
use serde_json::Value;

use super::room_summary::RoomSummary;
use crate::{
    error::Fault,
    event::RoomEvent,
    json::{EventList, Object},
    room_view::RoomView,
};

pub(super) const SPACE: &str = "m.space";
const CHILD: &str = "m.space.child";

/// Longest `order` that counts, in characters.
const ORDER_MAX: usize = 50;
/// Servers by which a child is asked for.
const VIA_MAX: usize = 10;
/// Children of a room elsewhere that are read.
const FAR_CHILDREN_MAX: usize = 1_000;
/// Longest text of a room elsewhere, in bytes; a longer one is left out.
const FAR_TEXT_BYTES_MAX: usize = 16 * 1024;

/// A child of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) room_id: OwnedRoomId,
    /// Servers to ask about it.
    pub(super) via: Vec<OwnedServerName>,
    pub(super) suggested: bool,
    order: Option<String>,
    sent: u64,
    /// The event as it is told: stripped, with its time.
    json: String,
}

impl Child {
    /// Those with an order first, by it; then by time; then by room.
    fn place(&self) -> (bool, Option<&str>, u64, &str) {
        let order = self.order.as_deref();
        (order.is_none(), order, self.sent, self.room_id.as_str())
    }
}

/// The space's children in the order in which they are shown.
pub(super) async fn children(view: &mut RoomView<'_>) -> Result<Vec<Child>, Fault> {
    let current = view.reader.current(&view.head);
    let hashes: Vec<EventHash> =
        if let Some(entries) = current.of_type(CHILD, CURRENT_PAGE_MAX).await? {
            entries.into_iter().map(|entry| entry.event).collect()
        } else {
            let all = view.entries(view.state, false).await?.into_iter();
            let children = all.filter(|(tuple, _)| tuple.event_type() == CHILD);
            children.map(|(_, event)| event).collect()
        };
    let events = view.events(&hashes).await?;
    let mut children: Vec<_> = events.iter().filter_map(of_event).collect();
    children.sort_by(|a, b| a.place().cmp(&b.place()));
    Ok(children)
}

fn of_event(event: &RoomEvent) -> Option<Child> {
    let pdu = &event.pdu;
    let sent = pdu.origin_server_ts().get();
    let mut json = String::new();
    pdu.write_stripped_json(&mut json);
    let mut object = Object::reopen(&mut json);
    object.plain("origin_server_ts", sent);
    object.end();
    child(pdu.state_key()?, pdu.content_json(), sent.into(), json)
}

/// What an `m.space.child` event says; `None` if it names no child (any more).
fn child(state_key: &str, content: &str, sent: u64, json: String) -> Option<Child> {
    #[derive(Deserialize)]
    struct Content {
        via: Option<Value>,
        #[serde(default)]
        suggested: Value,
        order: Option<Value>,
    }
    let content: Content = serde_json::from_str(content).ok()?;
    let via = content.via?;
    let via = via.as_array()?.iter();
    let via = via.filter_map(|server| OwnedServerName::try_from(server.as_str()?).ok());
    let valid = |order: &str| {
        order.len() <= ORDER_MAX && order.chars().all(|one| (' '..='~').contains(&one))
    };
    let order = content.order.as_ref().and_then(Value::as_str);
    Some(Child {
        room_id: state_key.try_into().ok()?,
        via: via.take(VIA_MAX).collect(),
        suggested: content.suggested == true,
        order: order.filter(|order| valid(order)).map(str::to_owned),
        sent,
        json,
    })
}

/// Appends a room as `/hierarchy` tells it.
pub(super) fn write_room(
    room: &RoomId,
    summary: &RoomSummary,
    children: &[Child],
    out: &mut String,
) {
    let mut object = Object::new(out);
    summary.write(room, &mut object);
    let mut list = EventList::default();
    for child in children {
        list.push(|out| out.push_str(&child.json));
    }
    object.list("children_state", &list);
    object.end();
}

/// A room that this server is not in, as another one tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarRoom {
    pub(super) room_id: OwnedRoomId,
    pub(super) summary: RoomSummary,
    pub(super) children: Vec<Child>,
}

#[derive(Deserialize)]
struct FarChild {
    #[serde(rename = "type")]
    kind: String,
    sender: String,
    state_key: String,
    content: Box<serde_json::value::RawValue>,
    #[serde(default)]
    origin_server_ts: u64,
}

impl FarRoom {
    /// Reads what another server said of a room; what has the wrong shape is left out, and `None`
    /// is left if no room is named.
    pub fn parse(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let text = |name: &str| {
            let text = value.get(name)?.as_str()?;
            (!text.is_empty() && text.len() <= FAR_TEXT_BYTES_MAX).then(|| text.to_owned())
        };
        let truth = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        let allowed = value.get("allowed_room_ids").and_then(Value::as_array);
        let allowed = allowed.into_iter().flatten();
        let allowed = allowed.filter_map(|room| room.as_str()?.try_into().ok());
        let joined = value.get("num_joined_members").and_then(Value::as_u64);
        let summary = RoomSummary {
            name: text("name"),
            topic: text("topic"),
            avatar_url: text("avatar_url"),
            canonical_alias: text("canonical_alias"),
            room_type: text("room_type"),
            // The spec: rooms of which it is not said are public.
            join_rule: text("join_rule").unwrap_or_else(|| "public".to_owned()),
            allowed_room_ids: allowed
                .take(super::room_summary::ALLOWED_ROOMS_MAX)
                .collect(),
            guest_can_join: truth("guest_can_join"),
            world_readable: truth("world_readable"),
            encryption: text("encryption"),
            room_version: text("room_version").unwrap_or_else(|| "1".to_owned()),
            num_joined_members: joined.map(|joined| u32::try_from(joined).unwrap_or(u32::MAX)),
            membership: None,
        };
        let states = value.get("children_state").and_then(Value::as_array);
        let states = states.into_iter().flatten().take(FAR_CHILDREN_MAX);
        let mut children: Vec<_> = states.filter_map(far_child).collect();
        children.sort_by(|a, b| a.place().cmp(&b.place()));
        Some(Self {
            room_id: value.get("room_id")?.as_str()?.try_into().ok()?,
            summary,
            children,
        })
    }

    /// Which room it is.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// Whether there may be rooms below it.
    pub fn is_space(&self) -> bool {
        self.summary.room_type.as_deref() == Some(SPACE)
    }
}

fn far_child(state: &Value) -> Option<Child> {
    let event: FarChild = serde_json::from_str(&state.to_string()).ok()?;
    if event.kind != CHILD {
        return None;
    }
    let mut json = String::new();
    let mut object = Object::new(&mut json);
    object.string("type", CHILD);
    object.string("sender", &event.sender);
    object.string("state_key", &event.state_key);
    object.member("content").push_str(event.content.get());
    object.plain("origin_server_ts", event.origin_server_ts);
    object.end();
    let content = event.content.get();
    child(&event.state_key, content, event.origin_server_ts, json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_room_elsewhere_is_read_as_far_as_its_shape_is_right() {
        let child = |room: &str, content: Value| {
            json!({"type": "m.space.child", "sender": "@a:x", "state_key": room,
                "content": content, "origin_server_ts": 5, "more": 1})
        };
        let via = json!(["x.org", "not a name"]);
        let room = json!({
            "room_id": "!s:x", "name": 5, "topic": "t", "room_type": "m.space",
            "num_joined_members": u64::MAX, "world_readable": "yes",
            "children_state": [
                child("!b:x", json!({"via": via})),
                child("!a:x", json!({"via": via, "order": "1", "suggested": true})),
                child("no room", json!({"via": via})),
                child("!gone:x", json!({})),
                {"type": "m.room.member"},
            ],
        });
        let room = FarRoom::parse(&room.to_string()).unwrap();
        assert!(room.is_space());
        assert_eq!(room.summary.name, None);
        assert_eq!(room.summary.topic.as_deref(), Some("t"));
        assert!(!room.summary.world_readable);
        let names: Vec<_> = room.children.iter().map(|it| it.room_id.as_str()).collect();
        assert_eq!(names, ["!a:x", "!b:x"]);
        assert_eq!(room.children[0].via, ["x.org"]);
        assert!(room.children[0].suggested && !room.children[1].suggested);
        assert_eq!(FarRoom::parse("{}"), None);
        assert_eq!(FarRoom::parse("[1]"), None);
    }
}
