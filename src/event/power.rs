//! What a user's power level permits beyond the authorisation rules.
//!
//! It exists because the rules accept every redaction into the room and leave to each server
//! whether it applies (room version 3, "Handling redactions"). It knows nothing of where the power
//! levels come from.

use std::sync::Arc;

use ruma_common::UserId;
use ruma_events::room::power_levels::UserPowerLevel;
use ruma_state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField};

use crate::pdu::Pdu;

/// Power level of the creator in a room without power levels, before room version 12.
const CREATOR_POWER_DEFAULT: i32 = 100;

/// Whether the user may redact events of others, by the room's create event and its power levels,
/// if it has any. Power levels that cannot be read permit nothing.
pub fn may_redact_others(create: &Arc<Pdu>, levels: Option<&Arc<Pdu>>, user: &UserId) -> bool {
    power_allows(create, levels, user, RoomPowerLevelsIntField::Redact).unwrap_or(false)
}

fn power_allows(
    create: &Arc<Pdu>,
    levels: Option<&Arc<Pdu>>,
    user: &UserId,
    act: RoomPowerLevelsIntField,
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
        return Ok(UserPowerLevel::Int(power.into()) >= act.default_value());
    };
    let needed = levels.get_as_int_or_default(act, rules)?;
    Ok(levels.user_power_level(user, rules)? >= needed)
}
