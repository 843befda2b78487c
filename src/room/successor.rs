//! The room that replaces another of an older version (Client-Server API, "Room upgrades").
//!
//! It exists so that what is carried over is decided in one place, by a pure function of the old
//! room's state. It knows nothing of what follows once the new room exists: see
//! [`belfry_data::FlowAct::ReplaceRoom`].

use belfry_data::{Membership, RoomReader, user_in_rooms};
use belfry_event::{RoomRules, may_send_state};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId};
use ruma_events::TimelineEventType;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use crate::change::Profile;
use crate::create::{CreateRoom, InitialState, POWER_ADMIN, POWER_TOMBSTONE_V12, Preset};
use crate::error::RoomError;
use crate::planner::rules_of;
use crate::rooms::Rooms;
use crate::settings::state_events;

/// What is carried over as it is, where the old room has it.
const COPIED: [&str; 8] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
];
/// Fields of the create event that are carried over.
const CREATION: [&str; 2] = ["type", "m.federate"];
/// Levels of power levels that are single integers.
const LEVELS: [&str; 7] = [
    "ban",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users_default",
];

/// A wish to replace a room.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The room to be replaced.
    pub old: OwnedRoomId,
    /// Who replaces it.
    pub by: OwnedUserId,
    /// Their profile, shown in the new room.
    pub profile: Profile,
    /// The new room's version.
    pub version: RoomVersionId,
    /// Further creators, where the version has them.
    pub additional_creators: Vec<OwnedUserId>,
}

/// What is known of a room that is to be replaced.
pub(crate) struct Past {
    pub(crate) create: Map<String, Value>,
    pub(crate) levels: Option<Map<String, Value>>,
    pub(crate) copied: Vec<InitialState>,
    /// The last event, by its ID.
    pub(crate) last: Option<String>,
    /// Creators whom no power level binds (room version 12).
    pub(crate) creators: Vec<OwnedUserId>,
}

impl Rooms {
    /// The room that is to replace another, for somebody who may put a tombstone there.
    ///
    /// # Errors
    /// [`RoomError::UnsupportedVersion`], [`RoomError::UnknownRoom`], [`RoomError::Forbidden`].
    pub async fn successor(&self, wish: &Replacement) -> Result<CreateRoom, RoomError> {
        let rules = RoomRules::new(&wish.version)
            .ok_or_else(|| RoomError::UnsupportedVersion(wish.version.to_string()))?;
        let past = self.past(&wish.old, &wish.by).await?;
        Ok(wish.room(rules, past))
    }

    async fn past(&self, old: &RoomId, by: &UserId) -> Result<Past, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, old);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let row = user_in_rooms(&*snapshot, by, &[old]).await?;
        let row = row.into_iter().flatten().next();
        if row.is_none_or(|row| row.membership != Membership::Join) {
            let text = "you are not in this room; join it first";
            return Err(RoomError::Forbidden(text.to_owned()));
        }
        let fixed = ["m.room.create", "m.room.power_levels"];
        let wanted: Vec<_> = fixed
            .iter()
            .chain(&COPIED)
            .map(|kind| (*kind, ""))
            .collect();
        let mut found = state_events(&reader, &head, &wanted).await?.into_iter();
        let create = found.next().flatten();
        let create =
            create.ok_or_else(|| RoomError::Fault("a room has no create event".to_owned()))?;
        let levels = found.next().flatten();
        if !may_send_state(
            &create,
            levels.as_ref(),
            by,
            &TimelineEventType::RoomTombstone,
        ) {
            let text = "your power level is too low to replace this room";
            return Err(RoomError::Forbidden(text.to_owned()));
        }
        let rules = rules_of(&head)?;
        let content = parse(create.content_json());
        let last = head.extremities.last();
        Ok(Past {
            levels: levels.map(|levels| parse(levels.content_json())),
            copied: found
                .flatten()
                .filter_map(|event| {
                    Some(InitialState {
                        kind: event.event_type().clone(),
                        state_key: String::new(),
                        content: to_raw_value(&parse(event.content_json())).ok()?,
                    })
                })
                .collect(),
            last: last.map(|last| last.to_event_id(rules.alphabet()).to_string()),
            creators: if rules.room_id_is_hash() {
                creators(create.sender(), &content)
            } else {
                Vec::new()
            },
            create: content,
        })
    }
}

impl Replacement {
    /// The new room.
    pub(crate) fn room(&self, rules: &RoomRules, past: Past) -> CreateRoom {
        let mut creation = Map::new();
        for field in CREATION {
            let value = past.create.get(field).cloned();
            creation.extend(value.map(|value| (field.to_owned(), value)));
        }
        let mut predecessor = json!({"room_id": self.old});
        if let (Some(last), Value::Object(fields)) = (&past.last, &mut predecessor) {
            fields.insert("event_id".to_owned(), last.as_str().into());
        }
        creation.insert("predecessor".to_owned(), predecessor);
        if rules.room_id_is_hash() && !self.additional_creators.is_empty() {
            let creators = json!(self.additional_creators);
            creation.insert("additional_creators".to_owned(), creators);
        }
        let levels = past
            .levels
            .map(|levels| self.levels(rules, levels, &past.creators));
        let levels = levels.and_then(|levels| to_raw_value(&levels).ok());
        let mut initial_state = past.copied;
        initial_state.extend(levels.map(|content| InitialState {
            kind: TimelineEventType::RoomPowerLevels,
            state_key: String::new(),
            content,
        }));
        CreateRoom {
            creator: self.by.clone(),
            profile: self.profile.clone(),
            version: self.version.clone(),
            preset: Preset::PrivateChat,
            name: None,
            topic: None,
            alias: None,
            published: false,
            invite: Vec::new(),
            is_direct: false,
            creation_content: creation,
            initial_state,
            power_level_content_override: Map::new(),
            replaces: Some(self.old.clone()),
        }
    }

    /// The old room's power levels, as the new version has them.
    fn levels(
        &self,
        rules: &RoomRules,
        mut levels: Map<String, Value>,
        past_creators: &[OwnedUserId],
    ) -> Map<String, Value> {
        integers(&mut levels);
        let mut users = take_object(&mut levels, "users");
        if rules.room_id_is_hash() {
            // Creators have all power, and no level.
            let creators = self.additional_creators.iter().chain([&self.by]);
            creators.for_each(|creator| drop(users.remove(creator.as_str())));
            let mut events = take_object(&mut levels, "events");
            let tombstone = events.get("m.room.tombstone").and_then(Value::as_i64);
            let tombstone = tombstone.unwrap_or_default().max(POWER_TOMBSTONE_V12);
            events.insert("m.room.tombstone".to_owned(), tombstone.into());
            levels.insert("events".to_owned(), events.into());
        } else {
            for creator in past_creators {
                users.insert(creator.to_string(), POWER_ADMIN.into());
            }
        }
        levels.insert("users".to_owned(), users.into());
        levels
    }
}

/// Those whom no power level binds.
fn creators(sender: &UserId, create: &Map<String, Value>) -> Vec<OwnedUserId> {
    let further = create.get("additional_creators").cloned();
    let further: Vec<OwnedUserId> = further
        .and_then(|users| serde_json::from_value(users).ok())
        .unwrap_or_default();
    [sender.to_owned()].into_iter().chain(further).collect()
}

/// Before room version 10, levels may be integers in strings.
fn integers(levels: &mut Map<String, Value>) {
    let integer = |value: &mut Value| {
        if let Some(level) = value
            .as_str()
            .and_then(|text| text.trim().parse::<i64>().ok())
        {
            *value = level.into();
        }
    };
    for name in LEVELS {
        levels.get_mut(name).into_iter().for_each(integer);
    }
    for name in ["users", "events", "notifications"] {
        let map = levels.get_mut(name).and_then(Value::as_object_mut);
        map.into_iter().flat_map(Map::values_mut).for_each(integer);
    }
}

fn take_object(levels: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match levels.remove(name) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn parse(content: &str) -> Map<String, Value> {
    serde_json::from_str(content).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ruma_common::{room_id, user_id};

    use super::*;

    fn wish(version: RoomVersionId) -> Replacement {
        Replacement {
            old: room_id!("!old:x").to_owned(),
            by: user_id!("@by:x").to_owned(),
            profile: Profile::default(),
            version,
            additional_creators: vec![user_id!("@also:x").to_owned()],
        }
    }

    fn room(version: &RoomVersionId, levels: &Value, creators: Vec<OwnedUserId>) -> (Value, Value) {
        let create = json!({"type": "m.space", "m.federate": false, "org.own": 1});
        let past = Past {
            create: create.as_object().unwrap().clone(),
            levels: levels.as_object().cloned(),
            copied: Vec::new(),
            last: Some("$last".to_owned()),
            creators,
        };
        let rules = RoomRules::new(version).unwrap();
        let room = wish(version.clone()).room(rules, past);
        let levels = &room.initial_state[0].content;
        (
            room.create_content(rules).unwrap(),
            serde_json::from_str(levels.get()).unwrap(),
        )
    }

    #[test]
    fn from_version_12_on_creators_have_no_level() {
        let levels = json!({
            "users": {"@by:x": 100, "@also:x": 100, "@other:x": "50"},
            "ban": "60",
            "events": {"m.room.name": 50},
        });
        let (create, levels) = room(&RoomVersionId::V12, &levels, Vec::new());
        assert_eq!(create["additional_creators"], json!(["@also:x"]));
        assert_eq!(
            create["predecessor"],
            json!({"room_id": "!old:x", "event_id": "$last"})
        );
        assert_eq!(
            (&create["type"], &create["m.federate"]),
            (&json!("m.space"), &json!(false))
        );
        assert!(create.get("org.own").is_none());
        assert_eq!(levels["users"], json!({"@other:x": 50}));
        assert_eq!(levels["ban"], 60);
        assert_eq!(
            levels["events"],
            json!({"m.room.name": 50, "m.room.tombstone": 150})
        );
    }

    #[test]
    fn back_from_version_12_creators_get_the_highest_usual_level() {
        let creators = vec![user_id!("@by:x").to_owned()];
        let (create, levels) = room(&RoomVersionId::V11, &json!({"users": {}}), creators);
        assert!(create.get("additional_creators").is_none());
        assert_eq!(levels["users"], json!({"@by:x": 100}));
    }
}
