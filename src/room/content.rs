//! What the server does not let its own users put into state events, although the authorisation
//! rules would.
//!
//! It exists so that a client's mistake is refused where it is made, instead of breaking a room for
//! everybody. It knows nothing of events from other servers, which are judged by the rules alone.

use std::collections::BTreeSet;

use belfry_data::{RoomReader, alias_seen};
use ruma_common::{OwnedRoomAliasId, RoomId, ServerName, UserId};
use ruma_events::room::server_acl::RoomServerAclEventContent;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::RoomError;
use crate::planner::rules_of;
use crate::rooms::Rooms;
use crate::settings::state_events;

/// The members of power levels that are levels.
const LEVELS: [&str; 7] = [
    "ban",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users_default",
];
/// Those that are maps of levels.
const LEVEL_MAPS: [&str; 3] = ["events", "notifications", "users"];

/// Alternative aliases that one `m.room.canonical_alias` may add.
pub const ALT_ALIASES_MAX: usize = 100;

impl Rooms {
    /// Refuses state that would break the room.
    pub(crate) async fn check_content(
        &self,
        room_id: &RoomId,
        change: &Change,
    ) -> Result<(), RoomError> {
        let Change::State {
            kind,
            state_key,
            content,
        } = change
        else {
            return Ok(());
        };
        if !state_key.is_empty() {
            return Ok(());
        }
        match &*kind.to_string() {
            "m.room.power_levels" => self.check_power_levels(room_id, content).await,
            "m.room.server_acl" => check_server_acl(content, &self.0.identity.server_name),
            "m.room.tombstone" => check_tombstone(content, room_id),
            "m.room.canonical_alias" => self.check_canonical_alias(room_id, content).await,
            _ => Ok(()),
        }
    }

    /// Levels are numbers; before room version 10 they may be numbers in text.
    async fn check_power_levels(
        &self,
        room_id: &RoomId,
        content: &RawValue,
    ) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let head = RoomReader::new(&*snapshot, room_id).head().await?;
        let rules = rules_of(&head.ok_or(RoomError::UnknownRoom)?)?;
        let integers = rules.authorization().integer_power_levels;
        check_power_levels(content, integers)
    }

    /// Aliases that are new in the content must be of this room.
    async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        content: &RawValue,
    ) -> Result<(), RoomError> {
        let named = aliases_in(&object(content)?)?;
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let present = state_events(&reader, &head, &[("m.room.canonical_alias", "")]).await?;
        let present = present.into_iter().flatten().next();
        let before = present
            .and_then(|event| serde_json::from_str(event.content_json()).ok())
            .and_then(|content| aliases_in(&content).ok())
            .unwrap_or_default();
        for alias in named.difference(&before) {
            let row = alias_seen(&*snapshot, alias).await?.row;
            if row.is_none_or(|row| row.room != *room_id) {
                return Err(RoomError::BadAlias(alias.clone()));
            }
        }
        Ok(())
    }
}

fn object(content: &RawValue) -> Result<Map<String, Value>, RoomError> {
    serde_json::from_str(content.get()).map_err(|error| RoomError::BadContent(error.to_string()))
}

/// The aliases in a canonical alias event.
fn aliases_in(content: &Map<String, Value>) -> Result<BTreeSet<OwnedRoomAliasId>, RoomError> {
    let bad = || {
        let text = "alias must be an alias, alt_aliases a list of aliases";
        RoomError::BadParameter(text.to_owned())
    };
    let parse = |value: &Value| {
        let text = value.as_str().ok_or_else(bad)?;
        OwnedRoomAliasId::try_from(text).map_err(|_| bad())
    };
    let set = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    let mut aliases = BTreeSet::new();
    if let Some(alias) = content.get("alias").filter(set) {
        aliases.insert(parse(alias)?);
    }
    if let Some(alternatives) = content.get("alt_aliases").filter(|it| !it.is_null()) {
        let alternatives = alternatives.as_array().ok_or_else(bad)?;
        if alternatives.len() > ALT_ALIASES_MAX {
            let text = format!("a room has at most {ALT_ALIASES_MAX} alternative aliases");
            return Err(RoomError::BadParameter(text));
        }
        for alias in alternatives {
            aliases.insert(parse(alias)?);
        }
    }
    Ok(aliases)
}

/// Levels are levels, and the users that power levels name are users.
fn check_power_levels(content: &RawValue, integers: bool) -> Result<(), RoomError> {
    let content = object(content)?;
    check_levels(&content, integers)?;
    let Some(users) = content.get("users").and_then(Value::as_object) else {
        return Ok(());
    };
    let mut strangers = users
        .keys()
        .filter(|user| <&UserId>::try_from(user.as_str()).is_err());
    match strangers.next() {
        None => Ok(()),
        Some(stranger) => Err(RoomError::BadContent(format!(
            "users must name users by their IDs, and {stranger} is none"
        ))),
    }
}

fn check_levels(content: &Map<String, Value>, integers: bool) -> Result<(), RoomError> {
    let is_level = |value: &Value| match value {
        Value::String(text) => !integers && text.trim().parse::<i64>().is_ok(),
        other => other.as_i64().is_some(),
    };
    let bad = |name: &str| RoomError::BadContent(format!("{name} must be a power level: a number"));
    for name in LEVELS {
        if content.get(name).is_some_and(|level| !is_level(level)) {
            return Err(bad(name));
        }
    }
    for name in LEVEL_MAPS {
        match content.get(name) {
            None => {}
            Some(Value::Object(levels)) if levels.values().all(is_level) => {}
            Some(_) => return Err(bad(name)),
        }
    }
    Ok(())
}

/// Nobody locks their own server out of a room.
fn check_server_acl(content: &RawValue, own: &ServerName) -> Result<(), RoomError> {
    let acl: RoomServerAclEventContent = serde_json::from_str(content.get())
        .map_err(|error| RoomError::BadContent(error.to_string()))?;
    if acl.is_allowed(own) {
        return Ok(());
    }
    let text = format!("this would lock {own} out of the room, for good; allow it");
    Err(RoomError::BadContent(text))
}

/// A room is not replaced by itself.
fn check_tombstone(content: &RawValue, room_id: &RoomId) -> Result<(), RoomError> {
    let content = object(content)?;
    let replacement = content.get("replacement_room").and_then(Value::as_str);
    if replacement == Some(room_id.as_str()) {
        let text = "a room cannot be its own replacement; name another room";
        return Err(RoomError::BadContent(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma_common::{room_id, server_name};
    use serde_json::json;

    use super::*;
    use crate::fixture::content;

    #[test]
    fn what_would_break_a_room_is_refused() {
        let own = server_name!("x.example");
        let acl = |value| check_server_acl(&content(&value), own);
        assert_eq!(acl(json!({"allow": ["*"]})), Ok(()));
        for value in [
            json!({"allow": ["*"], "deny": ["x.*"]}),
            json!({"allow": ["y.example"]}),
            json!({}),
        ] {
            assert!(matches!(acl(value), Err(RoomError::BadContent(_))));
        }
        let room = room_id!("!r:x.example");
        let own = check_tombstone(&content(&json!({"replacement_room": room})), room);
        assert!(matches!(own, Err(RoomError::BadContent(_))));
        for levels in [
            json!({"users": {"nobody": 50}}),
            json!({"users_default": "x"}),
            json!({"ban": null}),
            json!({"events": {"m.room.name": 1.5}}),
            json!({"events": []}),
        ] {
            let told = check_power_levels(&content(&levels), false);
            assert!(matches!(told, Err(RoomError::BadContent(_))), "{levels}");
        }
        let text = content(&json!({"kick": " 50", "events": {"m.room.name": "5"}}));
        assert_eq!(check_power_levels(&text, false), Ok(()));
        assert!(check_power_levels(&text, true).is_err());
    }

    #[test]
    fn aliases_of_the_wrong_form_are_refused() {
        for value in [
            json!({"alias": 5}),
            json!({"alias": "a"}),
            json!({"alt_aliases": "#a:x"}),
            json!({"alt_aliases": ["a"]}),
            json!({"alt_aliases": vec!["#a:x"; 101]}),
        ] {
            let told = aliases_in(value.as_object().unwrap());
            assert!(matches!(told, Err(RoomError::BadParameter(_))), "{value}");
        }
        let none = json!({"alias": null, "alt_aliases": null});
        assert_eq!(aliases_in(none.as_object().unwrap()), Ok(BTreeSet::new()));
    }
}
