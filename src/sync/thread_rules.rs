//! What a subscription of a thread makes of a message in it (MSC4306): a message of a thread that
//! the reader has subscribed notifies them whatever the room's rules say, one of another thread does
//! not.
//!
//! The draft has two rules for that, of a kind that stands between `content` and `room`. They hold for
//! whoever has ever subscribed a thread: for everybody else, whose clients know nothing of
//! subscriptions, threads would fall silent. It knows nothing of how rules are stored.

use belfry_data::{STAMP_FIRST, STAMP_LAST, Snapshot, subscription_changes};
use ruma_common::{
    UserId,
    push::{Action, Ruleset, SoundTweakValue, Tweak},
};

use crate::error::Fault;

/// Whether the rules hold for the user.
pub(crate) async fn hold_for(snapshot: &dyn Snapshot, user: &UserId) -> Result<bool, Fault> {
    let all = (STAMP_FIRST, STAMP_LAST);
    let direction = belfry_data::Direction::Backward;
    let page = subscription_changes(snapshot, user, all, direction, 1).await?;
    Ok(!page.entries.is_empty())
}

/// The actions for a message in a thread, unless the rule that was found stands before the draft's
/// two: those by which one is mentioned do, and what the user has put above them.
pub(crate) fn actions(
    rules: &Ruleset,
    found: Option<&str>,
    subscribed: bool,
) -> Option<Vec<Action>> {
    let stands_before = found.is_some_and(|id| {
        let mut above = rules.override_.iter().map(|rule| rule.rule_id.as_str());
        let mut content = rules.content.iter().map(|rule| rule.rule_id.as_str());
        above.any(|rule| rule == id) || content.any(|rule| rule == id)
    });
    if stands_before {
        return None;
    }
    let sound = || Action::SetTweak(Tweak::Sound(SoundTweakValue::Default));
    Some(if subscribed {
        vec![Action::Notify, sound()]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    #[test]
    fn mentions_stand_before_subscriptions_and_rooms_behind() {
        let rules = Ruleset::server_default(user_id!("@a:x"));
        let of = |found, subscribed| actions(&rules, found, subscribed);
        assert!(of(Some(".m.rule.is_user_mention"), false).is_none());
        assert!(of(Some(".m.rule.master"), true).is_none());
        for found in [None, Some(".m.rule.message"), Some("!room:x")] {
            assert!(of(found, false).is_some_and(|actions| actions.is_empty()));
            let told = of(found, true).unwrap();
            assert!(told.iter().any(Action::should_notify));
        }
    }
}
