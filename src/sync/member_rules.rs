//! The push rules of members, and whom they ignore, remembered while they stay the same.
//!
//! It exists so that a message in a room of a thousand does not parse a thousand rulesets. The
//! projector forgets a user's when it reads of a change. It knows nothing of rooms and events.

use std::{collections::BTreeMap, sync::Arc};

use belfry_data::{Snapshot, account};
use ruma_common::{OwnedUserId, UserId, push::Ruleset};
use serde_json::Value;

use crate::{error::Fault, ignored::Ignored, thread_rules};

/// Users whose rules are remembered; beyond that all are forgotten.
pub const RULE_BOOK_MAX: usize = 2_000;

/// What decides whether an event notifies somebody.
#[derive(Debug)]
pub(crate) struct MemberRules {
    pub(crate) rules: Ruleset,
    pub(crate) ignored: Ignored,
    /// Whether member events may notify them that are not about themselves.
    pub(crate) hears_of_members: bool,
    /// Whether subscriptions of threads decide.
    pub(crate) threads: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RuleBook(BTreeMap<OwnedUserId, Arc<MemberRules>>);

impl RuleBook {
    pub(crate) async fn of(
        &mut self,
        snapshot: &dyn Snapshot,
        user: &UserId,
    ) -> Result<Arc<MemberRules>, Fault> {
        if let Some(known) = self.0.get(user) {
            return Ok(Arc::clone(known));
        }
        let row = account::account_data(snapshot, user, "", "m.push_rules").await?;
        let rules = ruleset(row.as_ref().map(|row| &*row.content), user);
        let read = Arc::new(MemberRules {
            hears_of_members: hears_of_members(&rules),
            rules,
            ignored: Ignored::of(snapshot, user).await?,
            threads: thread_rules::hold_for(snapshot, user).await?,
        });
        if self.0.len() >= RULE_BOOK_MAX {
            self.0.clear();
        }
        self.0.insert(user.to_owned(), Arc::clone(&read));
        Ok(read)
    }

    pub(crate) fn forget(&mut self, user: &UserId) {
        self.0.remove(user);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The rules as stored, brought up to date; the server's own if there are none that can be read.
pub(crate) fn ruleset(content: Option<&str>, user: &UserId) -> Ruleset {
    let default = Ruleset::server_default(user);
    let content = content.and_then(|content| serde_json::from_str::<Value>(content).ok());
    let stored = content.and_then(|mut content| {
        let global = content.get_mut("global")?.take();
        serde_json::from_value::<Ruleset>(global).ok()
    });
    match stored {
        Some(mut rules) => {
            rules.update_with_server_default(default);
            rules
        }
        None => default,
    }
}

/// Unless the server's own rule silences them, and no other stands before it.
fn hears_of_members(rules: &Ruleset) -> bool {
    let silenced = |rule: &&ruma_common::push::ConditionalPushRule| {
        rule.rule_id == ".m.rule.member_event" && rule.enabled && rule.actions.is_empty()
    };
    let own = rules
        .override_
        .iter()
        .any(|rule| !rule.default && rule.enabled);
    own || !rules.override_.iter().any(|rule| silenced(&rule))
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;
    use serde_json::json;

    use super::*;

    const OVERRIDE: [&str; 10] = [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".m.rule.suppress_edits",
    ];
    const UNDERRIDE: [&str; 5] = [
        ".m.rule.call",
        ".m.rule.encrypted_room_one_to_one",
        ".m.rule.room_one_to_one",
        ".m.rule.message",
        ".m.rule.encrypted",
    ];

    #[test]
    fn servers_rules_are_those_of_the_spec_in_their_order() {
        let rules = ruleset(None, user_id!("@a:x"));
        let ids = rules.override_.iter().map(|rule| rule.rule_id.as_str());
        assert!(ids.eq(OVERRIDE), "{:?}", rules.override_);
        let ids = rules.underride.iter().map(|rule| rule.rule_id.as_str());
        assert!(ids.eq(UNDERRIDE), "{:?}", rules.underride);
        assert!(rules.content.is_empty() && rules.room.is_empty() && rules.sender.is_empty());
        assert!(!hears_of_members(&rules));
    }

    #[test]
    fn stored_rules_that_cannot_be_read_are_the_servers() {
        for content in ["", "[]", "{\"global\":5}"] {
            let rules = ruleset(Some(content), user_id!("@a:x"));
            assert_eq!(rules.override_.len(), OVERRIDE.len(), "{content}");
        }
    }

    #[test]
    fn who_changed_the_rule_of_members_hears_of_them() {
        let user = user_id!("@a:x");
        let rule = json!({"rule_id": ".m.rule.member_event", "default": true, "enabled": false,
            "conditions": [], "actions": []});
        let content = json!({"global": {"override": [rule]}}).to_string();
        assert!(hears_of_members(&ruleset(Some(&content), user)));
    }
}
