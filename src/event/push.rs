//! Push-rule evaluation: what an event means to each local member of a room.
//!
//! It exists so that a message to a room of ten thousand members is taken apart once, not ten
//! thousand times: an [`EventNotifier`] holds what is the same for all members, remembers how
//! conditions that do not depend on the member came out, and answers for one member after the
//! other. Conditions and rules are ruma's (Client-Server API, "Push Notifications"). It knows
//! nothing of pushers, counts, or where rulesets are kept.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ruma_common::push::{
    Action, AnyPushRuleRef, ConditionalPushRule, FlattenedJson, PatternedPushRule, PushCondition,
    PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset,
};
use ruma_common::serde::Raw;
use ruma_common::{OwnedRoomId, UserId, owned_user_id};
use serde_json::value::RawValue;

/// Most condition outcomes remembered for one event; beyond that they are computed each time.
pub const OUTCOMES_MAX: usize = 128;

/// Rules that a client which tells mentions by `m.mentions` has done away with: off if the event
/// has that property (Client-Server API, "User and room mentions").
const LEGACY_MENTION_RULES: [&str; 3] = [
    ".m.rule.roomnotif",
    ".m.rule.contains_display_name",
    ".m.rule.contains_user_name",
];

/// An event that push rules cannot be evaluated on.
#[derive(Debug, thiserror::Error)]
#[error("the event is no JSON object that push rules can be evaluated on: {0}")]
pub struct NoPushEvent(#[from] serde_json::Error);

/// What push rules look at besides the event and the member: the room at the event.
#[derive(Debug, Clone)]
pub struct PushRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its joined members, local and remote.
    pub member_count: u32,
    /// Who may notify whom, from `RoomPowerLevels`; without it `@room` notifies nobody.
    pub power_levels: Option<PushConditionPowerLevelsCtx>,
}

/// What an event means to one member.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notification<'a> {
    /// The rule that matched; `None` if none did, or the member sent the event.
    pub rule_id: Option<&'a str>,
    /// The actions of that rule.
    pub actions: &'a [Action],
}

impl<'a> Notification<'a> {
    /// Whether the member is notified: the event counts, and goes to pushers.
    pub fn notifies(&self) -> bool {
        self.actions.iter().any(Action::should_notify)
    }

    /// Whether the event is to stand out, as a mention does.
    pub fn highlights(&self) -> bool {
        self.actions.iter().any(Action::is_highlight)
    }

    /// The sound to play, such as `default`.
    pub fn sound(&self) -> Option<&'a str> {
        self.actions
            .iter()
            .find_map(Action::sound)
            .map(AsRef::as_ref)
    }
}

/// Evaluates the push rules of many members on one event.
#[derive(Debug)]
pub struct EventNotifier {
    event: FlattenedJson,
    /// The room, and the member asked about last.
    context: PushConditionRoomCtx,
    has_mentions: bool,
    /// `content.body` as patterns are compared with it, if it is text.
    body_lowercase: Option<String>,
    outcomes: BTreeMap<String, BTreeMap<String, bool>>,
    outcomes_len: usize,
}

impl EventNotifier {
    /// Takes an event apart, in the format that clients get it in; `room_id` may be left out.
    ///
    /// # Errors
    /// If the event nests deeper than JSON parsers go, or has a number that none can hold.
    pub fn new(event: &RawValue, room: PushRoom) -> Result<Self, NoPushEvent> {
        // Flattening expects what this finds out: that the text parses as a value.
        serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(event.get())?;
        let event = FlattenedJson::from_raw(&Raw::<()>::from_json(event.to_owned()));
        let nobody = owned_user_id!("@nobody:localhost");
        let mut context = PushConditionRoomCtx::new(
            room.room_id,
            room.member_count.into(),
            nobody,
            String::new(),
        );
        context.power_levels = room.power_levels;
        Ok(Self {
            has_mentions: event.contains_mentions(),
            body_lowercase: event.get_str("content.body").map(str::to_lowercase),
            event,
            context,
            outcomes: BTreeMap::new(),
            outcomes_len: 0,
        })
    }

    /// What the event means to a member with these rules, the member's own events nothing.
    ///
    /// `display_name` is the member's in the room; only rules older than `m.mentions` look at it.
    pub fn notification<'a>(
        &mut self,
        user_id: &UserId,
        display_name: &str,
        rules: &'a Ruleset,
    ) -> Notification<'a> {
        if self.event.get_str("sender") == Some(user_id.as_str()) {
            return Notification::default();
        }
        user_id.clone_into(&mut self.context.user_id);
        display_name.clone_into(&mut self.context.user_display_name);
        let Some(rule) = rules.iter().find(|rule| self.matches(*rule)) else {
            return Notification::default();
        };
        Notification {
            rule_id: Some(rule.rule_id()),
            actions: rule.actions(),
        }
    }

    fn matches(&mut self, rule: AnyPushRuleRef<'_>) -> bool {
        if !rule.enabled() || (self.has_mentions && LEGACY_MENTION_RULES.contains(&rule.rule_id()))
        {
            return false;
        }
        match rule {
            AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => self.all_hold(rule),
            AnyPushRuleRef::Content(rule) => self.body_matches(rule),
            // These two name one room or user, and no pattern.
            AnyPushRuleRef::Room(rule) => rule.rule_id == self.context.room_id,
            AnyPushRuleRef::Sender(rule) => {
                self.event.get_str("sender") == Some(rule.rule_id.as_str())
            }
            other => at_once(other.applies(&self.event, &self.context)).unwrap_or(false),
        }
    }

    fn all_hold(&mut self, rule: &ConditionalPushRule) -> bool {
        rule.conditions
            .iter()
            .all(|condition| self.holds(condition, rule.default))
    }

    fn body_matches(&self, rule: &PatternedPushRule) -> bool {
        let Some(body) = &self.body_lowercase else {
            return false;
        };
        // A pattern without wildcards is somewhere in the body or does not match; looking for it
        // costs less than matching it.
        let may_match = rule.pattern.contains(['*', '?'])
            || body.contains(rule.pattern.to_lowercase().as_str());
        may_match && rule.applies_to("content.body", &self.event, &self.context)
    }

    /// Whether a condition holds, remembered if others are likely to ask again: members share the
    /// default rules, except for the conditions that name the member.
    fn holds(&mut self, condition: &PushCondition, is_default: bool) -> bool {
        let shared = match condition {
            PushCondition::EventMatch(data) if is_default => {
                Some((data.key.as_str(), data.pattern.as_str()))
            }
            _ => None,
        };
        let shared = shared.filter(|(_, pattern)| *pattern != self.context.user_id.as_str());
        let Some((key, pattern)) = shared else {
            return self.evaluate(condition);
        };
        let known = self
            .outcomes
            .get(key)
            .and_then(|patterns| patterns.get(pattern));
        if let Some(known) = known {
            return *known;
        }
        let outcome = self.evaluate(condition);
        if self.outcomes_len < OUTCOMES_MAX {
            self.outcomes
                .entry(key.to_owned())
                .or_default()
                .insert(pattern.to_owned(), outcome);
            self.outcomes_len = self.outcomes_len.saturating_add(1);
        }
        outcome
    }

    fn evaluate(&self, condition: &PushCondition) -> bool {
        at_once(condition.applies(&self.event, &self.context)).unwrap_or(false)
    }
}

/// The outcome of a future that has nothing to wait for. Conditions are futures for the sake of
/// one draft about thread subscriptions, which asks storage and is not compiled in; one that
/// waits after all is a condition that we do not support, and such never hold.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
