//! What a user's power level permits beyond the authorisation rules.
//!
//! It exists because the rules accept every redaction into the room and leave to each server
//! whether it applies (room version 3, "Handling redactions"), and because each server decides by
//! itself who may list a room in its directory. It knows nothing of where the power levels come
//! from.

use std::sync::Arc;

use ruma_common::{UserId, room_version_rules::AuthorizationRules};
use ruma_events::TimelineEventType;
use ruma_events::room::power_levels::UserPowerLevel as Power;
use ruma_state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField};

use crate::pdu::Pdu;

/// Power level of the creator in a room without power levels, before room version 12.
const CREATOR_POWER_DEFAULT: i32 = 100;

/// Whether the user may redact events of others, by the room's create event and its power levels,
/// if it has any. Power levels that cannot be read permit nothing.
pub fn may_redact_others(create: &Arc<Pdu>, levels: Option<&Arc<Pdu>>, user: &UserId) -> bool {
    power_allows(create, levels, user, &Act::RedactOthers).unwrap_or(false)
}

/// Whether the user's power suffices to set state of this type, by the room's create event and its
/// power levels, if it has any. Power levels that cannot be read permit nothing. Whether the user
/// is in the room is not asked.
pub fn may_send_state(
    create: &Arc<Pdu>,
    levels: Option<&Arc<Pdu>>,
    user: &UserId,
    event_type: &TimelineEventType,
) -> bool {
    power_allows(create, levels, user, &Act::SendState(event_type)).unwrap_or(false)
}

/// Whether the user's power suffices to invite, by the room's create event and its power levels, if
/// it has any. Whether the user is in the room is not asked.
pub fn may_invite(create: &Arc<Pdu>, levels: Option<&Arc<Pdu>>, user: &UserId) -> bool {
    power_allows(create, levels, user, &Act::Invite).unwrap_or(false)
}

type Levels = RoomPowerLevelsEvent<Arc<Pdu>>;

enum Act<'a> {
    RedactOthers,
    Invite,
    SendState(&'a TimelineEventType),
}

impl Act<'_> {
    /// What decides unless the power levels name the event's type.
    fn field(&self) -> RoomPowerLevelsIntField {
        match self {
            Self::RedactOthers => RoomPowerLevelsIntField::Redact,
            Self::Invite => RoomPowerLevelsIntField::Invite,
            Self::SendState(_) => RoomPowerLevelsIntField::StateDefault,
        }
    }

    fn needed(&self, levels: &Levels, rules: &AuthorizationRules) -> Result<Power, String> {
        let needed = match self {
            Self::RedactOthers | Self::Invite => {
                levels.get_as_int_or_default(self.field(), rules)?
            }
            Self::SendState(event_type) => levels.event_power_level(event_type, Some(""), rules)?,
        };
        Ok(needed.into())
    }
}

fn power_allows(
    create: &Arc<Pdu>,
    levels: Option<&Arc<Pdu>>,
    user: &UserId,
    act: &Act<'_>,
) -> Result<bool, String> {
    let rules = create.rules().authorization();
    let created = RoomCreateEvent::new(Arc::clone(create))
        .creators(rules)?
        .contains(user);
    if created && rules.explicitly_privilege_room_creators {
        return Ok(true);
    }
    let Some(levels) = levels.map(|levels| RoomPowerLevelsEvent::new(Arc::clone(levels))) else {
        let power = if created { CREATOR_POWER_DEFAULT } else { 0 };
        return Ok(Power::Int(power.into()) >= act.field().default_value());
    };
    let needed = act.needed(&levels, rules)?;
    Ok(Power::from(levels.user_power_level(user, rules)?) >= needed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resolve_room::{ALICE, BOB, CAROL, TestRoom};

    const ALIAS: &str = "m.room.canonical_alias";

    /// Who of Alice, Bob and Carol may set the canonical alias.
    fn allowed(version: &str, levels: Option<Value>) -> [bool; 3] {
        let (mut room, state) = TestRoom::public(version, &[]);
        let create = Arc::clone(&room.events[&room.create]);
        let levels = levels
            .map(|content| room.make(&state, ALICE, "m.room.power_levels", Some(""), &content));
        [ALICE, BOB, CAROL].map(|user| {
            let user = user.try_into().unwrap();
            may_send_state(&create, levels.as_ref(), user, &ALIAS.into())
        })
    }

    #[test]
    fn without_power_levels_only_the_creator_sets_state() {
        assert_eq!(allowed("11", None), [true, false, false]);
        assert_eq!(allowed("12", None), [true, false, false]);
    }

    #[test]
    fn the_level_of_the_event_type_goes_before_the_one_of_all_state() {
        let users = json!({ALICE: 100, BOB: 50, CAROL: 10});
        let rows = [
            (json!({"users": users}), [true, true, false]),
            (
                json!({"users": users, "state_default": 60}),
                [true, false, false],
            ),
            (
                json!({"users": users, "events": {ALIAS: 10}}),
                [true, true, true],
            ),
            (
                json!({"users": users, "events": {ALIAS: 51}}),
                [true, false, false],
            ),
        ];
        for (content, expected) in rows {
            assert_eq!(allowed("11", Some(content.clone())), expected, "{content}");
        }
    }

    #[test]
    fn whoever_has_the_level_may_invite() {
        let (mut room, state) = TestRoom::public("11", &[]);
        let create = Arc::clone(&room.events[&room.create]);
        let content = json!({"users": {ALICE: 100, BOB: 50}, "invite": 50});
        let levels = room.make(&state, ALICE, "m.room.power_levels", Some(""), &content);
        let told = [ALICE, BOB, CAROL]
            .map(|user| may_invite(&create, Some(&levels), user.try_into().unwrap()));
        assert_eq!(told, [true, true, false]);
        assert!(may_invite(&create, None, CAROL.try_into().unwrap()));
    }

    #[test]
    fn a_creator_of_version_12_needs_no_level() {
        let levels = || Some(json!({"users": {BOB: 100}, "events": {ALIAS: 100}}));
        assert_eq!(allowed("12", levels()), [true, true, false]);
        assert_eq!(allowed("11", levels()), [false, true, false]);
    }
}
