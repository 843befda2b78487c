use proptest::prelude::*;
use ruma_common::push::{
    AnyPushRuleRef, NewConditionalPushRule, NewPatternedPushRule, NewPushRule, NewSimplePushRule,
    PushConditionPowerLevelsCtx, PushConditionRoomCtx, RuleKind, Ruleset,
};
use ruma_common::serde::Raw;
use ruma_common::{OwnedUserId, RoomVersionId, UserId, owned_room_id, owned_user_id, user_id};
use ruma_events::room::power_levels::{
    RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource,
};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::push::{EventNotifier, PushRoom};
use crate::resolve_room::seeded;

fn room(member_count: u32) -> PushRoom {
    let rules = RoomVersionId::V12.rules().unwrap();
    let mut levels = RoomPowerLevelsEventContent::new(&rules.authorization);
    levels.users.insert(owned_user_id!("@mod:x"), 50.into());
    let source = RoomPowerLevelsSource::from(levels);
    let levels = RoomPowerLevels::new(source, &rules.authorization, [owned_user_id!("@boss:x")]);
    PushRoom {
        room_id: owned_room_id!("!room:x"),
        member_count,
        power_levels: Some(PushConditionPowerLevelsCtx::from(levels)),
    }
}

fn message(sender: &str, content: &Value) -> Value {
    json!({
        "type": "m.room.message", "sender": sender, "event_id": "$1", "origin_server_ts": 1,
        "content": content,
    })
}

fn notifier(event: &Value, member_count: u32) -> EventNotifier {
    EventNotifier::new(&to_raw_value(event).unwrap(), room(member_count)).unwrap()
}

/// The rule that matches, whether it notifies, whether it highlights, and the sound.
type Outcome = (Option<String>, bool, bool, Option<String>);

fn ours(notifier: &mut EventNotifier, user: &UserId, name: &str, rules: &Ruleset) -> Outcome {
    let found = notifier.notification(user, name, rules);
    let sound = found.sound().map(ToOwned::to_owned);
    (
        found.rule_id.map(ToOwned::to_owned),
        found.notifies(),
        found.highlights(),
        sound,
    )
}

fn rumas(event: &Value, room: &PushRoom, user: &UserId, name: &str, rules: &Ruleset) -> Outcome {
    let mut context = PushConditionRoomCtx::new(
        room.room_id.clone(),
        room.member_count.into(),
        user.to_owned(),
        name.to_owned(),
    );
    context.power_levels.clone_from(&room.power_levels);
    let raw: Raw<Value> = Raw::from_json(to_raw_value(event).unwrap());
    let found = crate::push::at_once(rules.get_match(&raw, &context)).unwrap();
    let sound = found
        .and_then(AnyPushRuleRef::triggers_sound)
        .map(|s| s.as_str().to_owned());
    (
        found.map(|rule| rule.rule_id().to_owned()),
        found.is_some_and(AnyPushRuleRef::triggers_notification),
        found.is_some_and(AnyPushRuleRef::triggers_highlight),
        sound,
    )
}

#[test]
fn messages_notify_and_mentions_stand_out() {
    let me = user_id!("@me:x");
    let rules = Ruleset::server_default(me);
    let mut plain = notifier(
        &message("@boss:x", &json!({"msgtype": "m.text", "body": "hi"})),
        3,
    );
    let found = plain.notification(me, "Me", &rules);
    assert_eq!(found.rule_id, Some(".m.rule.message"));
    assert!(found.notifies() && !found.highlights());
    assert_eq!(found.sound(), None);
    let content = json!({"body": "hi", "m.mentions": {"user_ids": ["@me:x"]}});
    let mut mention = notifier(&message("@boss:x", &content), 3);
    let found = mention.notification(me, "Me", &rules);
    assert_eq!(found.rule_id, Some(".m.rule.is_user_mention"));
    assert!(found.notifies() && found.highlights());
    assert_eq!(found.sound(), Some("default"));
}

#[test]
fn a_mention_is_for_the_mentioned_whoever_is_asked_about_before() {
    let content = json!({"body": "hi", "m.mentions": {"user_ids": ["@me:x"]}});
    let mut notifier = notifier(&message("@boss:x", &content), 3);
    for user in [
        user_id!("@other:x"),
        user_id!("@me:x"),
        user_id!("@third:x"),
    ] {
        let rules = Ruleset::server_default(user);
        let found = notifier.notification(user, "", &rules);
        assert_eq!(found.highlights(), user == "@me:x", "{user}");
    }
}

#[test]
fn a_room_of_two_plays_a_sound() {
    let me = user_id!("@me:x");
    let rules = Ruleset::server_default(me);
    let event = message("@boss:x", &json!({"msgtype": "m.text", "body": "hi"}));
    let found = notifier(&event, 2)
        .notification(me, "Me", &rules)
        .sound()
        .map(str::to_owned);
    assert_eq!(found.as_deref(), Some("default"));
}

#[test]
fn whole_rooms_are_mentioned_by_who_may() {
    let me = user_id!("@me:x");
    let rules = Ruleset::server_default(me);
    for (sender, may) in [("@boss:x", true), ("@mod:x", true), ("@other:x", false)] {
        let content = json!({"body": "hi", "m.mentions": {"room": true}});
        let mut notifier = notifier(&message(sender, &content), 3);
        assert_eq!(
            notifier.notification(me, "Me", &rules).highlights(),
            may,
            "{sender}"
        );
    }
}

#[test]
fn ones_own_events_never_notify() {
    let me = user_id!("@me:x");
    let mut notifier = notifier(&message("@me:x", &json!({"body": "hi"})), 2);
    assert_eq!(
        notifier
            .notification(me, "Me", &Ruleset::server_default(me))
            .rule_id,
        None
    );
}

#[test]
fn rooms_and_senders_are_named_to_the_letter() {
    let me = user_id!("@me:x");
    let event = message("@boss:x", &json!({"body": "hi"}));
    for (rule_id, matches) in [("!room:x", true), ("!ROOM:x", false), ("!ro*:x", false)] {
        let mut rules = Ruleset::new();
        let rule = NewSimplePushRule::new(rule_id.try_into().unwrap(), vec![]);
        rules.insert(NewPushRule::Room(rule), None, None).unwrap();
        let mut notifier = notifier(&event, 3);
        assert_eq!(
            notifier.notification(me, "", &rules).rule_id.is_some(),
            matches,
            "{rule_id}"
        );
    }
}

#[test]
fn events_that_nest_too_deep_are_refused() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let raw = serde_json::value::RawValue::from_string(deep).unwrap();
    assert!(EventNotifier::new(&raw, room(3)).is_err());
    let huge = serde_json::value::RawValue::from_string("{\"a\":1e999}".into()).unwrap();
    assert!(EventNotifier::new(&huge, room(3)).is_err());
    let array = serde_json::value::RawValue::from_string("[]".into()).unwrap();
    assert!(EventNotifier::new(&array, room(3)).is_err());
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "hello",
        "Hello!",
        "me",
        "ME",
        "meme",
        "me_too",
        "über",
        "İstanbul",
        "café",
        "@room",
        "*bold*",
        "a.b",
        "日本",
        "ok?",
        "",
    ]);
    prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "))
}

fn pattern() -> impl Strategy<Value = String> {
    let patterns = vec![
        "me", "Me", "hell*", "?ello", "*", "m?", "über", "istanbul", "caf?", "日本", "a.b", "ok?",
        "hello me", "", "meme", "@room", "bold", "too",
    ];
    prop::sample::select(patterns).prop_map(ToOwned::to_owned)
}

fn event() -> impl Strategy<Value = Value> {
    let senders = prop::sample::select(vec!["@boss:x", "@mod:x", "@other:x", "@me:x"]);
    let types = prop::sample::select(vec![
        "m.room.message",
        "m.room.encrypted",
        "m.room.member",
        "m.room.tombstone",
        "m.reaction",
        "m.room.server_acl",
        "m.call.invite",
        "org.example.thing",
    ]);
    let mentions = prop::option::of(prop::sample::select(vec![
        json!({}),
        json!({"room": true}),
        json!({"user_ids": ["@me:x"]}),
        json!({"user_ids": ["@you:x", 1, null]}),
    ]));
    let state_key = prop::option::of(prop::sample::select(vec!["", "@me:x", "@you:x"]));
    let extra = prop::sample::select(vec![
        json!({}),
        json!({"msgtype": "m.notice"}),
        json!({"membership": "invite"}),
        json!({"membership": "join"}),
        json!({"m.relates_to": {"rel_type": "m.replace", "event_id": "$2"}}),
    ]);
    (senders, types, words(), mentions, state_key, extra).prop_map(
        |(sender, event_type, body, mentions, state_key, extra)| {
            let mut event = message(sender, &extra);
            event["type"] = event_type.into();
            event["content"]["body"] = body.into();
            if let Some(mentions) = mentions {
                event["content"]["m.mentions"] = mentions;
            }
            if let Some(state_key) = state_key {
                event["state_key"] = state_key.into();
            }
            event
        },
    )
}

/// Conditions as clients and older servers write them, unknown ones included.
fn condition() -> impl Strategy<Value = Value> {
    let matches = (
        prop::sample::select(vec!["content.body", "type", "room_id", "sender"]),
        pattern(),
    )
        .prop_map(|(key, pattern)| json!({"kind": "event_match", "key": key, "pattern": pattern}));
    let others = prop::sample::select(vec![
        json!({"kind": "contains_display_name"}),
        json!({"kind": "room_member_count", "is": "<3"}),
        json!({"kind": "sender_notification_permission", "key": "room"}),
        json!({"kind": "event_property_is", "key": "type", "value": "m.room.message"}),
        json!({"kind": "org.example.unknown"}),
    ]);
    prop_oneof![matches, others]
}

fn rules_of(user: OwnedUserId) -> impl Strategy<Value = (OwnedUserId, Ruleset)> {
    let conditional = prop::collection::vec(prop::collection::vec(condition(), 0..3), 0..3);
    let content = prop::collection::vec(pattern(), 0..3);
    let off = prop::collection::vec(0_usize..12, 0..4);
    let legacy = any::<bool>();
    (conditional, content, off, legacy, any::<[bool; 2]>()).prop_map(
        move |(conditional, content, off, legacy, [room, sender])| {
            let mut rules = Ruleset::server_default(&user);
            for (n, conditions) in conditional.into_iter().enumerate() {
                let conditions = serde_json::from_value(conditions.into()).unwrap();
                let rule = NewConditionalPushRule::new(format!("c{n}"), conditions, vec![]);
                let rule = if n == 0 {
                    NewPushRule::Override(rule)
                } else {
                    NewPushRule::Underride(rule)
                };
                rules.insert(rule, None, None).unwrap();
            }
            for (n, pattern) in content.into_iter().enumerate() {
                let rule = NewPatternedPushRule::new(format!("p{n}"), pattern, vec![]);
                rules
                    .insert(NewPushRule::Content(rule), None, None)
                    .unwrap();
            }
            if legacy {
                let old = json!({
                    "override": [{"rule_id": ".m.rule.contains_display_name", "default": true,
                        "enabled": true, "actions": ["notify"],
                        "conditions": [{"kind": "contains_display_name"}]}],
                    "content": [{"rule_id": ".m.rule.contains_user_name", "default": true,
                        "enabled": true, "actions": ["notify"], "pattern": user.localpart()}],
                });
                let old: Ruleset = serde_json::from_value(old).unwrap();
                rules.override_.extend(old.override_);
                rules.content.extend(old.content);
            }
            if room {
                let rule = NewSimplePushRule::new(owned_room_id!("!room:x"), vec![]);
                rules.insert(NewPushRule::Room(rule), None, None).unwrap();
            }
            if sender {
                let rule = NewSimplePushRule::new(owned_user_id!("@mod:x"), vec![]);
                rules.insert(NewPushRule::Sender(rule), None, None).unwrap();
            }
            let all: Vec<_> = rules
                .override_
                .iter()
                .map(|rule| rule.rule_id.clone())
                .collect();
            for rule_id in off.iter().filter_map(|n| all.get(*n)) {
                let enabled = rule_id == ".m.rule.master";
                rules
                    .set_enabled(RuleKind::Override, rule_id, enabled)
                    .unwrap();
            }
            (user.clone(), rules)
        },
    )
}

proptest! {
    #![proptest_config(seeded(4))]

    #[test]
    fn agrees_with_ruma_for_every_member(
        event in event(),
        member_count in 2_u32..4,
        me in rules_of(owned_user_id!("@me:x")),
        you in rules_of(owned_user_id!("@you:x")),
        other in rules_of(owned_user_id!("@other:x")),
    ) {
        let mut notifier = notifier(&event, member_count);
        for (user, rules) in [me, you, other] {
            for name in ["me", "Über", ""] {
                let expected = rumas(&event, &room(member_count), &user, name, &rules);
                prop_assert_eq!(ours(&mut notifier, &user, name, &rules), expected);
            }
        }
    }
}
