//! What a user keeps for one room, given to the room that replaces it: tags, push rules, and that it
//! is a direct chat (Client-Server API, "Room upgrades").
//!
//! Knows nothing of rooms: that one replaces the other is the caller's knowledge.

use belfry_data::{
    Snapshot,
    account::{self as rows, AccountDataRef, AccountDataRow, UserChange},
};
use ruma_common::{
    RoomId, UserId,
    push::{
        NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushCondition, RuleKind, Ruleset,
    },
};
use serde_json::{Map, Value};

use crate::{
    Users,
    account_data::ACCOUNT_DATA_BYTES_MAX,
    fault::Fault,
    push_rule::{self, PushRuleError},
    store::Tries,
};

const TAGS: &str = "m.tag";
const DIRECT: &str = "m.direct";

impl Users {
    /// Gives what the user of this server keeps for `old` to `new`, where that has nothing of its
    /// own. Done again, it changes nothing. Nothing is done for those who have no account here.
    pub async fn inherit_room_data(
        &self,
        user_id: &UserId,
        old: &RoomId,
        new: &RoomId,
    ) -> Result<(), Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user_id).await? else {
                return Ok(());
            };
            if change.user.deactivated.is_some() {
                return Ok(());
            }
            let tags = inherit_tags(&*snapshot, &mut change, old, new).await?;
            let direct = inherit_direct(&*snapshot, &mut change, old, new).await?;
            let rules = inherit_rules(&*snapshot, &mut change, old, new).await?;
            let nothing = !(tags || direct || rules);
            if nothing || self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}

async fn inherit_tags(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    old: &RoomId,
    new: &RoomId,
) -> Result<bool, Fault> {
    let user = change.id().to_owned();
    let present = rows::account_data(snapshot, &user, new.as_str(), TAGS).await?;
    let row = rows::account_data(snapshot, &user, old.as_str(), TAGS).await?;
    let Some(row) = row.filter(|_| present.is_none()) else {
        return Ok(false);
    };
    put(snapshot, change, new.as_str(), TAGS, &row).await?;
    Ok(true)
}

async fn inherit_direct(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    old: &RoomId,
    new: &RoomId,
) -> Result<bool, Fault> {
    let user = change.id().to_owned();
    let Some(row) = rows::account_data(snapshot, &user, "", DIRECT).await? else {
        return Ok(false);
    };
    let mut content: Map<String, Value> = serde_json::from_str(&row.content).unwrap_or_default();
    let mut changed = false;
    for rooms in content.values_mut().filter_map(Value::as_array_mut) {
        let has = |room: &RoomId| rooms.iter().any(|value| value == room.as_str());
        if has(old) && !has(new) {
            rooms.push(new.as_str().into());
            changed = true;
        }
    }
    let content = Value::Object(content).to_string();
    if !changed || content.len() > ACCOUNT_DATA_BYTES_MAX {
        return Ok(false);
    }
    let row = AccountDataRow {
        content: content.into(),
    };
    put(snapshot, change, "", DIRECT, &row).await?;
    Ok(true)
}

async fn inherit_rules(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    old: &RoomId,
    new: &RoomId,
) -> Result<bool, Fault> {
    let user = change.id().to_owned();
    let mut rules = push_rule::read(snapshot, &user).await.map_err(fault)?;
    if !copy_rules(&mut rules, old, new) {
        return Ok(false);
    }
    match push_rule::put(snapshot, change, &rules).await {
        Ok(()) => Ok(true),
        // No room for more rules: then the new room goes by the general ones.
        Err(PushRuleError::TooLarge) => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

fn fault(error: PushRuleError) -> Fault {
    match error {
        PushRuleError::Fault(fault) => fault,
        error => Fault::Broken(error.to_string()),
    }
}

/// Adds the rules of the one room for the other; whether there were any.
fn copy_rules(rules: &mut Ruleset, old: &RoomId, new: &RoomId) -> bool {
    let mut copies: Vec<(NewPushRule, RuleKind, String, bool)> = Vec::new();
    if let Some(rule) = rules.room.iter().find(|rule| rule.rule_id == *old) {
        let copy = NewSimplePushRule::new(new.to_owned(), rule.actions.clone());
        let copy = NewPushRule::Room(copy);
        copies.push((copy, RuleKind::Room, new.to_string(), rule.enabled));
    }
    for rule in rules.override_.iter().filter(|rule| !rule.default) {
        let mut conditions = rule.conditions.clone();
        let mut named = false;
        for condition in &mut conditions {
            if let PushCondition::EventMatch(condition) = condition
                && condition.key == "room_id"
                && condition.pattern == old.as_str()
            {
                new.as_str().clone_into(&mut condition.pattern);
                named = true;
            }
        }
        if named {
            let rule_id = rule.rule_id.replace(old.as_str(), new.as_str());
            let same = rule_id == rule.rule_id;
            let rule_id = if same {
                format!("{rule_id} {new}")
            } else {
                rule_id
            };
            let copy =
                NewConditionalPushRule::new(rule_id.clone(), conditions, rule.actions.clone());
            let copy = NewPushRule::Override(copy);
            copies.push((copy, RuleKind::Override, rule_id, rule.enabled));
        }
    }
    let mut changed = false;
    for (copy, kind, rule_id, enabled) in copies {
        if rules.get(kind.clone(), &rule_id).is_none() && rules.insert(copy, None, None).is_ok() {
            // It was put there right now.
            changed |= rules.set_enabled(kind, &rule_id, enabled).is_ok();
        }
    }
    changed
}

async fn put(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    room: &str,
    event_type: &str,
    row: &AccountDataRow,
) -> Result<(), Fault> {
    let at = AccountDataRef {
        room: room.into(),
        event_type: event_type.into(),
    };
    Ok(change.put_account_data(snapshot, at, row).await?)
}

#[cfg(test)]
mod tests {
    use ruma_common::{push::Action, room_id, user_id};

    use super::*;

    #[test]
    fn rules_of_a_room_are_copied_once() {
        let (old, new) = (room_id!("!old:x"), room_id!("!new"));
        let mut rules = Ruleset::server_default(user_id!("@a:x"));
        assert!(!copy_rules(&mut rules, old, new));
        let room = NewSimplePushRule::new(old.to_owned(), vec![Action::Notify]);
        rules.insert(NewPushRule::Room(room), None, None).unwrap();
        let muted = serde_json::from_value(serde_json::json!(
            [{"kind": "event_match", "key": "room_id", "pattern": old}]
        ));
        let muted = NewConditionalPushRule::new(old.to_string(), muted.unwrap(), Vec::new());
        rules
            .insert(NewPushRule::Override(muted), None, None)
            .unwrap();
        rules.set_enabled(RuleKind::Room, old, false).unwrap();
        assert!(copy_rules(&mut rules, old, new));
        let copied = rules.get(RuleKind::Room, new).unwrap();
        assert!(!copied.enabled());
        let copied = rules.get(RuleKind::Override, new).unwrap();
        assert!(copied.enabled());
        assert!(!copy_rules(&mut rules, old, new));
    }
}
