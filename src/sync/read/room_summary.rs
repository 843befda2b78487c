//! What may be told of a room to those who might join it (`/room_summary`, directories, spaces).
//!
//! It exists so that name, topic and number of members are told to nobody who may not come in. It
//! knows nothing of rooms that this server is not in.

use std::collections::BTreeMap;

use belfry_data::{Membership, Snapshot, user_in_rooms};
use belfry_event::{RoomRules, Visibility};
use ruma_common::{OwnedRoomId, RoomId, UserId};
use serde_json::{Map, Value};

use super::space::FarRoom;
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    json::{EventList, Object, write_string},
    room_view::RoomView,
    sight::{plain_tuple, visibility_in},
    summary::counts,
    views::Views,
};

/// Rooms whose members may join a restricted room, of which so many are looked at.
pub(super) const ALLOWED_ROOMS_MAX: usize = 100;

const TYPES: [&str; 9] = [
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    "m.room.topic",
];

/// What is told of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomSummary {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// `m.room.avatar`.
    pub avatar_url: Option<String>,
    /// `m.room.canonical_alias`.
    pub canonical_alias: Option<String>,
    /// The `type` of the create event: `m.space`, for instance.
    pub room_type: Option<String>,
    /// `m.room.join_rules`; `invite` if there is none.
    pub join_rule: String,
    /// The rooms whose members may join, of a restricted room.
    pub allowed_room_ids: Vec<OwnedRoomId>,
    /// Whether guests may join.
    pub guest_can_join: bool,
    /// Whether its history is open to the world.
    pub world_readable: bool,
    /// The algorithm of an encrypted room.
    pub encryption: Option<String>,
    /// The room's version.
    pub room_version: String,
    /// How many have joined; `None` while they are being counted.
    pub num_joined_members: Option<u32>,
    /// What the reader is to the room, if anything.
    pub membership: Option<Membership>,
}

impl RoomSummary {
    /// Adds its members to a JSON object (`room_id`, `name`, `num_joined_members` and so on).
    pub(crate) fn write(&self, room: &RoomId, object: &mut Object<'_>) {
        object.string("room_id", room.as_str());
        let texts = [
            ("name", &self.name),
            ("topic", &self.topic),
            ("avatar_url", &self.avatar_url),
            ("canonical_alias", &self.canonical_alias),
            ("room_type", &self.room_type),
            ("encryption", &self.encryption),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                object.string(name, text);
            }
        }
        object.string("join_rule", &self.join_rule);
        object.string("room_version", &self.room_version);
        object.plain("guest_can_join", self.guest_can_join);
        object.plain("world_readable", self.world_readable);
        // Clients insist on a number, also in the moments in which members are being counted.
        object.plain("num_joined_members", self.num_joined_members.unwrap_or(0));
        if !self.allowed_room_ids.is_empty() {
            let mut list = EventList::default();
            for room in &self.allowed_room_ids {
                list.push(|out| write_string(room.as_str(), out));
            }
            object.list("allowed_room_ids", &list);
        }
    }

    /// The JSON object that goes over the wire for `/room_summary`.
    pub fn to_json(&self, room: &RoomId) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        self.write(room, &mut object);
        if let Some(membership) = self.membership {
            object.string("membership", membership.name());
        }
        object.end();
        out
    }

    /// Whether anybody may join the room or read it.
    pub(crate) fn is_open(&self) -> bool {
        self.world_readable || self.join_rule == "public"
    }
}

impl Views {
    /// What may be told of a room to this reader, or to anybody.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for rooms that are not there or that the reader could not join,
    /// [`ViewError::Fault`].
    pub async fn room_summary(
        &self,
        user: Option<&UserId>,
        room: &RoomId,
    ) -> Result<RoomSummary, ViewError> {
        let summary = self.0.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let view = RoomView::now(snapshot, room).await?;
            let mut view = view.ok_or(ViewError::NotFound)?;
            let told = told(snapshot, user, room, &mut view).await?;
            told.ok_or(ViewError::NotFound)
        });
        summary.await
    }
}

impl Views {
    /// The same of a room that this server is not in, as another one told of it.
    ///
    /// # Errors
    /// As [`Self::room_summary`] has them.
    pub async fn far_summary(
        &self,
        user: Option<&UserId>,
        far: &FarRoom,
    ) -> Result<RoomSummary, ViewError> {
        let told = self.0.read(|snapshot| async move {
            let summary = far.summary.clone();
            let told = told_of(&*snapshot, user, &far.room_id, summary).await?;
            told.ok_or(ViewError::NotFound)
        });
        told.await
    }
}

/// What may be told of a room to this reader, or to anybody; `None` if nothing may.
pub(super) async fn told(
    snapshot: &dyn Snapshot,
    user: Option<&UserId>,
    room: &RoomId,
    view: &mut RoomView<'_>,
) -> Result<Option<RoomSummary>, Fault> {
    let summary = read(view).await?;
    told_of(snapshot, user, room, summary).await
}

/// The same of a summary, wherever the room is.
pub(super) async fn told_of(
    snapshot: &dyn Snapshot,
    user: Option<&UserId>,
    room: &RoomId,
    mut summary: RoomSummary,
) -> Result<Option<RoomSummary>, Fault> {
    summary.membership = match user {
        Some(user) => membership(snapshot, user, room).await?,
        None => None,
    };
    let told = may_know(snapshot, user, &summary).await?;
    Ok(told.then_some(summary))
}

async fn membership(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
) -> Result<Option<Membership>, Fault> {
    let row = user_in_rooms(snapshot, user, &[room])
        .await?
        .pop()
        .flatten();
    Ok(row.map(|row| row.membership))
}

/// Whoever is in the room or asked in, and whoever could join or ask.
async fn may_know(
    snapshot: &dyn Snapshot,
    user: Option<&UserId>,
    summary: &RoomSummary,
) -> Result<bool, Fault> {
    let within = [Membership::Join, Membership::Invite, Membership::Knock].map(Some);
    if within.contains(&summary.membership) || summary.world_readable {
        return Ok(true);
    }
    match &*summary.join_rule {
        "public" | "knock" | "knock_restricted" => Ok(true),
        "restricted" => match user {
            Some(user) => is_in_any(snapshot, user, &summary.allowed_room_ids).await,
            None => Ok(false),
        },
        _ => Ok(false),
    }
}

async fn is_in_any(
    snapshot: &dyn Snapshot,
    user: &UserId,
    rooms: &[OwnedRoomId],
) -> Result<bool, Fault> {
    let rooms: Vec<_> = rooms.iter().map(|room| &**room).collect();
    let rows = user_in_rooms(snapshot, user, &rooms).await?;
    let mut rows = rows.into_iter().flatten();
    Ok(rows.any(|row| row.membership == Membership::Join))
}

/// What is to be told of a room, to whomever it may be told.
pub(crate) async fn read(view: &mut RoomView<'_>) -> Result<RoomSummary, Fault> {
    let mut tuples = Vec::new();
    for event_type in TYPES {
        tuples.push(plain_tuple(event_type)?);
    }
    let found = view.pick(view.state, tuples).await?;
    let hashes: Vec<_> = found.into_values().collect();
    let events = view.events(&hashes).await?;
    let open = |event: &RoomEvent| visibility_in(event) == Visibility::WorldReadable;
    let by_type: BTreeMap<_, _> = events
        .iter()
        .map(|event| (event.pdu.event_type().to_string(), event))
        .collect();
    let contents = Contents(&by_type);
    Ok(RoomSummary {
        name: contents.text("m.room.name", "name"),
        topic: contents.text("m.room.topic", "topic"),
        avatar_url: contents.text("m.room.avatar", "url"),
        canonical_alias: contents.text("m.room.canonical_alias", "alias"),
        room_type: contents.text("m.room.create", "type"),
        join_rule: contents.join_rule(view.rules),
        allowed_room_ids: contents.allowed_rooms(),
        guest_can_join: contents
            .text("m.room.guest_access", "guest_access")
            .as_deref()
            == Some("can_join"),
        world_readable: by_type
            .get("m.room.history_visibility")
            .is_some_and(|event| open(event)),
        encryption: contents.text("m.room.encryption", "algorithm"),
        room_version: view.rules.version().to_string(),
        num_joined_members: counts(&view.head).map(|(joined, _)| joined),
        membership: None,
    })
}

/// Contents by type, read leniently: other servers' users wrote some of them.
struct Contents<'e>(&'e BTreeMap<String, &'e RoomEvent>);

impl Contents<'_> {
    fn of(&self, event_type: &str) -> Option<Map<String, Value>> {
        let event = self.0.get(event_type)?;
        serde_json::from_str(event.pdu.content_json()).ok()
    }

    /// A text that is not empty.
    fn text(&self, event_type: &str, field: &str) -> Option<String> {
        let content = self.of(event_type)?;
        let text = content.get(field)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The join rule that is in force: a room whose version does not know it can be joined by
    /// invitation only.
    fn join_rule(&self, rules: &RoomRules) -> String {
        let rules = rules.authorization();
        let known = |rule: &String| match rule.as_str() {
            "knock" => rules.knocking,
            "restricted" => rules.restricted_join_rule,
            "knock_restricted" => rules.knock_restricted_join_rule,
            _ => true,
        };
        let rule = self.text("m.room.join_rules", "join_rule");
        rule.filter(known).unwrap_or_else(|| "invite".to_owned())
    }

    fn allowed_rooms(&self) -> Vec<OwnedRoomId> {
        let content = self.of("m.room.join_rules").unwrap_or_default();
        let allow = content.get("allow").and_then(Value::as_array);
        let rooms = allow.into_iter().flatten();
        let rooms = rooms.filter(|one| one["type"] == "m.room_membership");
        let rooms = rooms.filter_map(|one| one["room_id"].as_str()?.try_into().ok());
        rooms.take(ALLOWED_ROOMS_MAX).collect()
    }
}
