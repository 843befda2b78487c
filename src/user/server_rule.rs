//! The push rules that every account has from the start: those of the specification, and those
//! for polls (MSC3930), which clients show as switches of their own and match by themselves.
//!
//! Knows nothing of where rules are stored.

use js_int::UInt;
use ruma_common::{
    UserId,
    push::{
        Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData,
        PushCondition, RoomMemberCountConditionData, RoomMemberCountIs, Ruleset, SoundTweakValue,
        Tweak,
    },
};

/// The two kinds of poll events that notify, the oldest first, by the last part of type and rule.
const POLL_EVENTS: [&str; 2] = ["start", "end"];

/// The rules of somebody who has changed none.
pub(crate) fn server_default(user_id: &UserId) -> Ruleset {
    let mut rules = Ruleset::server_default(user_id);
    rules.override_.insert(poll_response());
    for name in POLL_EVENTS {
        // The narrower one first, for the first that matches counts.
        rules.underride.insert(poll_one_to_one(name));
        rules.underride.insert(poll(name));
    }
    rules
}

/// Votes are no news.
fn poll_response() -> ConditionalPushRule {
    rule("poll_response", vec![of_type("response")], Vec::new())
}

fn poll(name: &str) -> ConditionalPushRule {
    let conditions = vec![of_type(name)];
    rule(&format!("poll_{name}"), conditions, vec![Action::Notify])
}

fn poll_one_to_one(name: &str) -> ConditionalPushRule {
    let two = RoomMemberCountConditionData::new(RoomMemberCountIs::from(UInt::from(2_u32)));
    let conditions = vec![PushCondition::RoomMemberCount(two), of_type(name)];
    let sound = Action::SetTweak(Tweak::Sound(SoundTweakValue::Default));
    let actions = vec![Action::Notify, sound];
    rule(&format!("poll_{name}_one_to_one"), conditions, actions)
}

fn of_type(name: &str) -> PushCondition {
    PushCondition::EventMatch(EventMatchConditionData::new(
        "type".to_owned(),
        format!("org.matrix.msc3381.poll.{name}"),
    ))
}

fn rule(name: &str, conditions: Vec<PushCondition>, actions: Vec<Action>) -> ConditionalPushRule {
    ConditionalPushRuleInit {
        actions,
        default: true,
        enabled: true,
        rule_id: format!(".org.matrix.msc3930.rule.{name}"),
        conditions,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn polls_have_rules_behind_those_of_the_specification() {
        let rules = serde_json::to_value(server_default(user_id!("@ada:hs1"))).unwrap();
        let ids = |kind: &str| -> Vec<String> {
            let of_kind = rules[kind].as_array().unwrap().iter();
            let ids = of_kind.map(|rule| rule["rule_id"].as_str().unwrap().to_owned());
            ids.collect()
        };
        assert_eq!(ids("override")[0], ".m.rule.master");
        let polls: Vec<_> = ids("underride").split_off(5);
        let prefix = ".org.matrix.msc3930.rule.poll";
        let expected = ["start_one_to_one", "start", "end_one_to_one", "end"];
        assert_eq!(polls, expected.map(|name| format!("{prefix}_{name}")));
        assert_eq!(
            rules["underride"][5],
            json!({
                "rule_id": ".org.matrix.msc3930.rule.poll_start_one_to_one",
                "default": true,
                "enabled": true,
                "conditions": [
                    {"kind": "room_member_count", "is": "2"},
                    {"kind": "event_match", "key": "type", "pattern": "org.matrix.msc3381.poll.start"},
                ],
                "actions": ["notify", {"set_tweak": "sound", "value": "default"}],
            })
        );
        let votes = rules["override"].as_array().unwrap().last().unwrap();
        assert_eq!(votes["rule_id"], ".org.matrix.msc3930.rule.poll_response");
        assert_eq!(votes["actions"], json!([]));
    }
}
