//! The events that a new room starts with (Client-Server API, "Creation").
//!
//! It exists so that a creation request is turned into a list of changes by a pure function, which
//! tests can read, before anything is hashed, signed or stored. It knows nothing of aliases' owners
//! and of who may create rooms.

use std::collections::BTreeSet;

use belfry_event::RoomRules;
use ruma_common::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId};
use ruma_events::TimelineEventType;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::change::{Change, MemberAct, Membership, Profile};

/// Most invites sent when a room is created.
pub const INVITES_MAX: usize = 100;
/// Power level of creators and of those who are to be their equals.
pub(crate) const POWER_ADMIN: i64 = 100;
/// Power level of `m.room.tombstone` from room version 12 on: only creators replace a room.
pub(crate) const POWER_TOMBSTONE_V12: i64 = 150;

/// A set of defaults that a client names (`preset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Joining needs an invite.
    PrivateChat,
    /// The same, and those invited have the creator's powers.
    TrustedPrivateChat,
    /// Anybody may join.
    PublicChat,
}

/// A request to create a room.
#[derive(Debug, Clone)]
pub struct CreateRoom {
    /// Who creates it.
    pub creator: OwnedUserId,
    /// The creator's profile, shown in the member event.
    pub profile: Profile,
    /// The room's version.
    pub version: RoomVersionId,
    /// The defaults.
    pub preset: Preset,
    /// `m.room.name`, if any.
    pub name: Option<String>,
    /// `m.room.topic`, if any.
    pub topic: Option<String>,
    /// The alias that is claimed for the room and becomes its `m.room.canonical_alias`.
    pub alias: Option<OwnedRoomAliasId>,
    /// Whether the server shows the room in its directory.
    pub published: bool,
    /// Whom to invite.
    pub invite: Vec<OwnedUserId>,
    /// Whether the invites are to a direct chat.
    pub is_direct: bool,
    /// Extra fields of `m.room.create`.
    pub creation_content: Map<String, Value>,
    /// State that replaces the preset's.
    pub initial_state: Vec<InitialState>,
    /// Fields that replace those of the default `m.room.power_levels`.
    pub power_level_content_override: Map<String, Value>,
    /// The room that this one replaces: what points at it is moved once the new room exists.
    pub replaces: Option<OwnedRoomId>,
}

/// One state event that the client wants in the room from the start.
#[derive(Debug, Clone)]
pub struct InitialState {
    /// The event's type.
    pub kind: TimelineEventType,
    /// The event's state key.
    pub state_key: String,
    /// The event's content.
    pub content: Box<RawValue>,
}

impl InitialState {
    fn change(&self) -> Change {
        Change::State {
            kind: self.kind.clone(),
            state_key: self.state_key.clone(),
            content: self.content.clone(),
        }
    }
}

/// Why a request describes no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// `initial_state` holds an event that only the server writes.
    #[error("initial_state must not contain {0}; use the request's own fields for it")]
    Reserved(&'static str),
    /// `creation_content.additional_creators` is not a list of user IDs.
    #[error("creation_content.additional_creators must be a list of user IDs")]
    AdditionalCreators,
    /// A field of `creation_content` is not what the create event's schema has there.
    #[error("creation_content.{0} has the wrong type")]
    CreationField(&'static str),
    /// More are invited than at once.
    #[error("a room is created with at most {INVITES_MAX} invites; send more afterwards")]
    TooManyInvites,
    /// A content is not JSON that an event can hold.
    #[error("a content cannot be written as JSON: {0}")]
    Content(String),
}

impl CreateRoom {
    /// The create event's content.
    ///
    /// # Errors
    /// If `additional_creators` is malformed.
    pub fn create_content(&self, rules: &RoomRules) -> Result<Value, Unfit> {
        let mut content = self.creation_content.clone();
        check_creation(&content)?;
        content.insert("room_version".to_owned(), self.version.as_str().into());
        content.remove("creator");
        if !rules.authorization().use_room_create_sender {
            content.insert("creator".to_owned(), self.creator.as_str().into());
        }
        if rules.room_id_is_hash() {
            self.add_creators(&mut content)?;
        }
        Ok(content.into())
    }

    /// Room version 12: the invited of a trusted private chat are creators too (MSC4289).
    fn add_creators(&self, content: &mut Map<String, Value>) -> Result<(), Unfit> {
        let given = content.remove("additional_creators").unwrap_or(json!([]));
        let given: Vec<OwnedUserId> =
            serde_json::from_value(given).map_err(|_| Unfit::AdditionalCreators)?;
        let trusted = self
            .invite
            .iter()
            .filter(|_| self.preset == Preset::TrustedPrivateChat);
        let all: BTreeSet<_> = given
            .iter()
            .chain(trusted)
            .filter(|user| **user != self.creator)
            .collect();
        if !all.is_empty() {
            content.insert("additional_creators".to_owned(), json!(all));
        }
        Ok(())
    }

    /// What follows the create event, in order.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn changes(&self, rules: &RoomRules) -> Result<Vec<Change>, Unfit> {
        self.refuse_reserved()?;
        if self.invite.len() > INVITES_MAX {
            return Err(Unfit::TooManyInvites);
        }
        if self.replaces.is_some() {
            return self.successor_changes(rules);
        }
        let mut changes = vec![self.join(), self.power_levels(rules)?];
        if let Some(alias) = &self.alias {
            changes.push(state("m.room.canonical_alias", json!({"alias": alias}))?);
        }
        changes.extend(self.preset_state()?);
        changes.extend(
            self.initial_state
                .iter()
                .filter(|state| !self.replaced(state))
                .map(InitialState::change),
        );
        if let Some(name) = &self.name {
            changes.push(state("m.room.name", json!({"name": name}))?);
        }
        if let Some(topic) = &self.topic {
            changes.push(state("m.room.topic", topic_content(topic))?);
        }
        changes.extend(self.invites());
        Ok(changes)
    }

    /// What follows the create event of a room that replaces another. Without power levels the
    /// creator may set any state, so those of the old room, by which they perhaps may not, come
    /// last.
    fn successor_changes(&self, rules: &RoomRules) -> Result<Vec<Change>, Unfit> {
        let copied = self
            .initial_state
            .iter()
            .filter(|state| !self.replaced(state));
        let mut changes = vec![self.join()];
        changes.extend(copied.map(InitialState::change));
        changes.push(self.power_levels(rules)?);
        Ok(changes)
    }

    fn refuse_reserved(&self) -> Result<(), Unfit> {
        for reserved in ["m.room.create", "m.room.member"] {
            if self
                .initial_state
                .iter()
                .any(|state| state.kind.to_string() == reserved)
            {
                return Err(Unfit::Reserved(reserved));
            }
        }
        Ok(())
    }

    /// Whether a field of the request replaces this piece of initial state, or it was used already.
    fn replaced(&self, state: &InitialState) -> bool {
        let kind = state.kind.to_string();
        state.state_key.is_empty()
            && (kind == "m.room.power_levels"
                || (kind == "m.room.name" && self.name.is_some())
                || (kind == "m.room.topic" && self.topic.is_some()))
    }

    fn join(&self) -> Change {
        let mut join = Membership::new(self.creator.clone(), MemberAct::Join);
        join.profile = self.profile.clone();
        Change::Member(join)
    }

    fn invites(&self) -> impl Iterator<Item = Change> {
        self.invites_of(true).map(Change::Member)
    }

    /// Invites of other servers' users: those servers sign them, once the room is there.
    pub(crate) fn invites_elsewhere(&self) -> impl Iterator<Item = Membership> {
        self.invites_of(false)
    }

    /// Invites of users of the creator's server, or of all other servers.
    fn invites_of(&self, here: bool) -> impl Iterator<Item = Membership> {
        let own = self.creator.server_name();
        let invited: BTreeSet<_> = self.invite.iter().collect();
        let invited = invited.into_iter();
        invited
            .filter(move |user| (user.server_name() == own) == here)
            .map(|user| {
                let mut invite = Membership::new(user.clone(), MemberAct::Invite);
                invite.is_direct = self.is_direct;
                invite
            })
    }

    fn initial(&self, kind: &str) -> Option<&InitialState> {
        self.initial_state
            .iter()
            .find(|s| s.state_key.is_empty() && s.kind.to_string() == kind)
    }

    fn power_levels(&self, rules: &RoomRules) -> Result<Change, Unfit> {
        if let Some(given) = self.initial("m.room.power_levels") {
            return Ok(given.change());
        }
        let mut content = self.default_power_levels(rules);
        if let Value::Object(fields) = &mut content {
            fields.extend(self.power_level_content_override.clone());
        }
        state("m.room.power_levels", content)
    }

    fn default_power_levels(&self, rules: &RoomRules) -> Value {
        let mut users = Map::new();
        let tombstone = if rules.room_id_is_hash() {
            POWER_TOMBSTONE_V12
        } else {
            POWER_ADMIN
        };
        if !rules.room_id_is_hash() {
            users.insert(self.creator.to_string(), POWER_ADMIN.into());
            if self.preset == Preset::TrustedPrivateChat {
                let equals = self
                    .invite
                    .iter()
                    .map(|user| (user.to_string(), POWER_ADMIN.into()));
                users.extend(equals);
            }
        }
        let invite = if self.preset == Preset::PublicChat {
            50
        } else {
            0
        };
        json!({
            "users": users,
            "users_default": 0,
            "events": {
                "m.room.avatar": 50,
                "m.room.canonical_alias": 50,
                "m.room.encryption": POWER_ADMIN,
                "m.room.history_visibility": POWER_ADMIN,
                "m.room.name": 50,
                "m.room.power_levels": POWER_ADMIN,
                "m.room.server_acl": POWER_ADMIN,
                "m.room.tombstone": tombstone,
            },
            "events_default": 0,
            "state_default": 50,
            "ban": 50,
            "kick": 50,
            "redact": 50,
            "invite": invite,
        })
    }

    /// Join rules, history visibility and guest access, where `initial_state` does not say them.
    fn preset_state(&self) -> Result<Vec<Change>, Unfit> {
        let (join_rule, guest_access) = match self.preset {
            Preset::PublicChat => ("public", "forbidden"),
            Preset::PrivateChat | Preset::TrustedPrivateChat => ("invite", "can_join"),
        };
        let defaults = [
            ("m.room.join_rules", json!({"join_rule": join_rule})),
            (
                "m.room.history_visibility",
                json!({"history_visibility": "shared"}),
            ),
            ("m.room.guest_access", json!({"guest_access": guest_access})),
        ];
        let wanted = defaults
            .into_iter()
            .filter(|(kind, _)| self.initial(kind).is_none());
        wanted.map(|(kind, content)| state(kind, content)).collect()
    }
}

/// Holds the fields that servers act on to the create event's schema.
fn check_creation(content: &Map<String, Value>) -> Result<(), Unfit> {
    let fits = |field: &str, is: fn(&Value) -> bool| content.get(field).is_none_or(is);
    let names_a_room = |value: &Value| {
        let room = value.get("room_id").and_then(Value::as_str);
        room.is_some_and(|room| <&RoomId>::try_from(room).is_ok())
    };
    if !fits("m.federate", Value::is_boolean) {
        return Err(Unfit::CreationField("m.federate"));
    }
    if !fits("type", Value::is_string) {
        return Err(Unfit::CreationField("type"));
    }
    if !fits("predecessor", names_a_room) {
        return Err(Unfit::CreationField("predecessor"));
    }
    Ok(())
}

/// Plain text, and the same as the `m.topic` block that newer clients read.
fn topic_content(topic: &str) -> Value {
    json!({"topic": topic, "m.topic": {"m.text": [{"body": topic}]}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads as a table where it is called"
)]
fn state(kind: &str, content: Value) -> Result<Change, Unfit> {
    let content = to_raw_value(&content).map_err(|error| Unfit::Content(error.to_string()))?;
    Ok(Change::State {
        kind: kind.into(),
        state_key: String::new(),
        content,
    })
}
