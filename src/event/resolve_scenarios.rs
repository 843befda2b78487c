//! Forks with names, each resolved by version 2.0 and 2.1, from reduced and from whole input.

use serde_json::json;

use crate::resolve::{Budget, Resolution, Unconflicted};
use crate::resolve_conflict::{Conflict, StateMap};
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key};

const VERSIONS: [&str; 5] = ["3", "6", "10", "11", "12"];

fn topic_of(room: &TestRoom, state: &StateMap) -> Option<serde_json::Value> {
    room.content(state, &key("m.room.topic", ""), "topic")
}

#[test]
fn a_ban_beats_the_topic_that_the_banned_user_sets_meanwhile() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let before = room.topic(&state, ALICE, "before");
        let topic = room.topic(&before, BOB, "evil");
        let ban = room.member(&before, ALICE, BOB, "ban");
        let resolved = room.resolve(&[topic, ban]);
        assert_eq!(
            room.membership(&resolved, BOB),
            Some("ban".into()),
            "{version}"
        );
        assert_eq!(
            topic_of(&room, &resolved),
            Some("before".into()),
            "{version}"
        );
    }
}

#[test]
fn a_topic_that_only_the_banned_user_has_set_is_gone() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let topic = room.topic(&state, BOB, "evil");
        let ban = room.member(&state, ALICE, BOB, "ban");
        let resolved = room.resolve(&[topic, ban]);
        assert_eq!(topic_of(&room, &resolved), None, "{version}");
    }
}

#[test]
fn of_two_topics_by_equals_the_later_stays() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 50)]);
        let first = room.topic(&state, BOB, "first");
        let second = room.topic(&state, CAROL, "second");
        let resolved = room.resolve(&[second, first]);
        assert_eq!(
            topic_of(&room, &resolved),
            Some("second".into()),
            "{version}"
        );
    }
}

#[test]
fn a_demotion_undoes_what_the_demoted_user_does_meanwhile() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
        let demoted = room.levels(&[(BOB, 0), (CAROL, 0)]);
        let promoted = room.levels(&[(BOB, 50), (CAROL, 50)]);
        // Bob claims to have been first; his lower power counts more than his clock.
        room.now = 100;
        let one = room.state(&state, ALICE, "m.room.power_levels", "", &demoted);
        room.now = 50;
        let other = room.state(&state, BOB, "m.room.power_levels", "", &promoted);
        let other = room.topic(&other, CAROL, "promoted");
        let resolved = room.resolve(&[one.clone(), other]);
        let at = key("m.room.power_levels", "");
        assert_eq!(resolved[&at], one[&at], "{version}");
        assert_eq!(topic_of(&room, &resolved), None, "{version}");
    }
}

#[test]
fn the_earlier_of_two_power_level_changes_by_equals_is_overtaken() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 50), (DAVE, 0)]);
        let bobs = room.levels(&[(BOB, 50), (CAROL, 50), (DAVE, 10)]);
        let carols = room.levels(&[(BOB, 50), (CAROL, 50), (DAVE, 20)]);
        let one = room.state(&state, BOB, "m.room.power_levels", "", &bobs);
        let other = room.state(&state, CAROL, "m.room.power_levels", "", &carols);
        let resolved = room.resolve(&[one, other.clone()]);
        let at = key("m.room.power_levels", "");
        assert_eq!(resolved[&at], other[&at], "{version}");
    }
}

#[test]
fn closing_a_room_keeps_out_who_joins_meanwhile() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let joined = room.join(&state, DAVE);
        let closed = room.join_rule(&state, ALICE, "invite");
        let resolved = room.resolve(&[joined, closed]);
        assert_eq!(room.membership(&resolved, DAVE), None, "{version}");
    }
}

#[test]
fn closing_a_room_keeps_in_who_was_there() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let renamed = room.state(
            &state,
            BOB,
            "m.room.member",
            BOB,
            &json!({"membership": "join", "displayname": "Bob"}),
        );
        let closed = room.join_rule(&state, ALICE, "invite");
        let resolved = room.resolve(&[renamed.clone(), closed]);
        let at = key("m.room.member", BOB);
        assert_eq!(resolved[&at], renamed[&at], "{version}");
    }
}

#[test]
fn a_kick_beats_the_invitation_that_the_kicked_user_sends_meanwhile() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let closed = room.join_rule(&state, ALICE, "invite");
        let invited = room.member(&closed, BOB, DAVE, "invite");
        let kicked = room.member(&closed, ALICE, BOB, "leave");
        let resolved = room.resolve(&[invited, kicked]);
        assert_eq!(room.membership(&resolved, DAVE), None, "{version}");
        assert_eq!(
            room.membership(&resolved, BOB),
            Some("leave".into()),
            "{version}"
        );
    }
}

#[test]
fn moderators_who_ban_each_other_are_judged_by_power() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 60), (CAROL, 50)]);
        let bobs = room.member(&state, BOB, CAROL, "ban");
        let topic = room.topic(&state, CAROL, "last words");
        let resolved = room.resolve(&[topic, bobs]);
        assert_eq!(
            room.membership(&resolved, CAROL),
            Some("ban".into()),
            "{version}"
        );
        assert_eq!(topic_of(&room, &resolved), None, "{version}");
    }
}

#[test]
fn three_forks_resolve_at_once() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 50)]);
        let ban = room.member(&state, ALICE, BOB, "ban");
        let topic = room.topic(&state, BOB, "evil");
        let name = room.state(&state, CAROL, "m.room.name", "", &json!({"name": "fine"}));
        let resolved = room.resolve(&[ban, topic, name]);
        assert_eq!(topic_of(&room, &resolved), None, "{version}");
        let name = room.content(&resolved, &key("m.room.name", ""), "name");
        assert_eq!(name, Some("fine".into()), "{version}");
    }
}

/// An event that is in an unconflicted entry's auth chain is in every chain, so it is not
/// replayed. Were it, Bob's leaving would be, and his coming back refused by the join rule that
/// the room has by now: the last lines, which keep the unconflicted entries secret, show it.
#[test]
fn what_an_unconflicted_entry_rests_on_is_not_replayed() {
    for version in ["3", "11"] {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 50)]);
        let left = room.member(&state, BOB, BOB, "leave");
        let back = room.join(&left, BOB);
        let closed = room.join_rule(&back, ALICE, "invite");
        let carols = room.topic(&closed, CAROL, "carol");
        let bobs = room.topic(&closed, BOB, "bob");
        let forks = [bobs, carols];
        let resolved = room.resolve(&forks);
        assert_eq!(topic_of(&room, &resolved), Some("bob".into()), "{version}");
        let (conflict, unconflicted) = Conflict::from_states(&forks);
        let secretly = Unconflicted::Listed(vec![]);
        let wrong = Resolution::new(room.rules, conflict, secretly, Budget::default())
            .unwrap()
            .run(|wanted| room.gather(wanted, &unconflicted))
            .unwrap();
        let at = key("m.room.topic", "");
        assert_eq!(wrong.changes[&at], Some(forks[1][&at]), "{version}");
    }
}

/// MSC4297, problem A: both forks know that Alice has left, one has an outdated join rule. Version
/// 2.0 loses the join rule for want of Alice; 2.1 replays onto nothing and keeps it.
#[test]
fn outdated_join_rules_of_someone_who_left_reset_the_join_rules_before_version_12() {
    for (version, kept) in [("11", false), ("12", true)] {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 100)]);
        let newer = room.join_rule(&state, ALICE, "invite");
        let newer = room.member(&newer, ALICE, ALICE, "leave");
        let newer = room.topic(&newer, BOB, "after Alice");
        let at = key("m.room.join_rules", "");
        let mut outdated = newer.clone();
        outdated.insert(at.clone(), state[&at]);
        let resolved = room.resolve(&[newer.clone(), outdated]);
        assert_eq!(resolved.get(&at), kept.then_some(&newer[&at]), "{version}");
    }
}

/// MSC4297, problem B: one fork has power levels from before Alice promoted Bob, the other those
/// that Bob set since. Version 2.0 does not replay the promotion in between, which both have seen,
/// and falls back to the oldest levels; 2.1 does, and keeps the newest.
#[test]
fn outdated_power_levels_undo_a_chain_of_promotions_before_version_12() {
    for (version, kept) in [("11", false), ("12", true)] {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 0), (CAROL, 0)]);
        let at = key("m.room.power_levels", "");
        let promoted = room.levels(&[(BOB, 50), (CAROL, 0)]);
        let promoted = room.state(&state, ALICE, &at.0.to_string(), "", &promoted);
        let levels = room.levels(&[(BOB, 50), (CAROL, 50)]);
        let newest = room.state(&promoted, BOB, &at.0.to_string(), "", &levels);
        let newest = room.topic(&newest, CAROL, "promoted");
        let mut outdated = newest.clone();
        outdated.insert(at.clone(), state[&at]);
        let resolved = room.resolve(&[newest.clone(), outdated]);
        let expected = if kept { &newest } else { &state };
        assert_eq!(resolved[&at], expected[&at], "{version}");
    }
}

#[test]
fn creators_of_version_12_outrank_everybody() {
    let (mut room, state) = TestRoom::public("12", &[(BOB, 9_007_199_254_740_991)]);
    let at = key("m.room.power_levels", "");
    let lowered = room.levels(&[(BOB, 0)]);
    room.now = 100;
    let alices = room.state(&state, ALICE, &at.0.to_string(), "", &lowered);
    room.now = 50;
    let content = json!({"users": {BOB: 9_007_199_254_740_991_i64}, "state_default": 100});
    let bobs = room.state(&state, BOB, &at.0.to_string(), "", &content);
    let resolved = room.resolve(&[bobs, alices.clone()]);
    assert_eq!(resolved[&at], alices[&at]);
}

#[test]
fn a_state_that_lacks_entries_takes_them_from_the_other() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let full = room.topic(&state, BOB, "topic");
        let mut holes = full.clone();
        holes.remove(&key("m.room.topic", ""));
        holes.remove(&key("m.room.member", BOB));
        let resolved = room.resolve(&[holes, full.clone()]);
        assert_eq!(resolved, full, "{version}");
    }
}

/// Bob removes Carol in both forks; in one he is removed himself. In the end no event that removes
/// Carol is allowed, and there is no other to fall back to: her joining is in both chains, so it
/// is not replayed, and the outcome has no entry for her. Resolving that with its inputs finds her
/// joining again, which the outcome's chain lacks. So outcomes are no inputs.
#[test]
fn an_entry_that_resolution_loses_comes_back_when_resolved_again() {
    for version in VERSIONS {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
        let one = room.member(&state, BOB, CAROL, "leave");
        let other = room.member(&state, BOB, CAROL, "leave");
        let other = room.member(&other, ALICE, BOB, "leave");
        let at = key("m.room.member", CAROL);
        let resolved = room.resolve(&[one.clone(), other.clone()]);
        assert_eq!(resolved.get(&at), None, "{version}");
        let again = room.resolve(&[one, other, resolved]);
        assert_eq!(again.get(&at), Some(&state[&at]), "{version}");
    }
}
