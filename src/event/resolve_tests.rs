//! What must hold of any resolution, tried on rooms that grow at random: forks, merges, and
//! states that a server got wrong by joining through another.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use crate::hash::EventHash;
use crate::resolve::{Answers, Budget, Resolution, ResolveError, Step, Unconflicted};
use crate::resolve_conflict::{Conflict, StateMap};
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key, seeded};
use crate::resolve_walk::AuthEdges;

const USERS: [&str; 4] = [ALICE, BOB, CAROL, DAVE];
const LEVELS: [i64; 3] = [0, 50, 100];
const JOIN_RULES: [&str; 3] = ["public", "invite", "knock"];

/// One step in the life of a room; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Act {
    /// A user does something to the state of a fork, if allowed.
    Do { fork: u8, user: u8, what: What },
    /// A fork goes two ways.
    Fork { fork: u8 },
    /// Two forks become one again.
    Merge { one: u8, other: u8 },
    /// A server took the state of a fork from another, which had an entry wrong.
    Mistake { fork: u8, entry: u8, value: u8 },
    /// The next events claim to be older than they are.
    TurnClockBack { by: u8 },
}

#[derive(Debug, Clone)]
enum What {
    Member { target: u8, membership: u8 },
    Levels { target: u8, level: u8 },
    JoinRule(u8),
    Topic,
    Name,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (any::<u8>(), any::<u8>())
            .prop_map(|(target, membership)| What::Member { target, membership }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(target, level)| What::Levels { target, level }),
        1 => any::<u8>().prop_map(What::JoinRule),
        1 => Just(What::Topic),
        1 => Just(What::Name),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (any::<u8>(), any::<u8>(), what())
            .prop_map(|(fork, user, what)| Act::Do { fork, user, what }),
        3 => any::<u8>().prop_map(|fork| Act::Fork { fork }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(one, other)| Act::Merge { one, other }),
        1 => any::<u8>().prop_map(|by| Act::TurnClockBack { by }),
    ]
}

/// The same with mistakes, which are what version 2.1 is for.
fn act_or_mistake() -> impl Strategy<Value = Act> {
    prop_oneof![
        9 => act(),
        1 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(fork, entry, value)| Act::Mistake { fork, entry, value }),
    ]
}

fn pick<T>(from: &[T], by: u8) -> usize {
    usize::from(by) % from.len()
}

fn perform(room: &mut TestRoom, state: &StateMap, user: &str, what: &What) -> StateMap {
    let (event_type, state_key, content) = match what {
        What::Member { target, membership } => {
            let memberships = ["join", "leave", "invite", "ban", "knock", "join", "leave"];
            let membership = memberships[pick(&memberships, *membership)];
            let others = matches!(membership, "invite" | "ban") || *target % 3 == 0;
            let target = if others {
                USERS[pick(&USERS, *target)]
            } else {
                user
            };
            ("m.room.member", target, json!({"membership": membership}))
        }
        What::Levels { target, level } => {
            let at = key("m.room.power_levels", "");
            let mut users = room.content(state, &at, "users").unwrap_or(json!({}));
            users[USERS[pick(&USERS, *target)]] = LEVELS[pick(&LEVELS, *level)].into();
            ("m.room.power_levels", "", json!({"users": users}))
        }
        What::JoinRule(rule) => {
            let rule = JOIN_RULES[pick(&JOIN_RULES, *rule)];
            ("m.room.join_rules", "", json!({"join_rule": rule}))
        }
        What::Topic => ("m.room.topic", "", json!({"topic": user})),
        What::Name => ("m.room.name", "", json!({"name": user})),
    };
    room.try_state(state, user, event_type, state_key, &content)
        .unwrap_or_else(|_| state.clone())
}

/// Lets a room live; answers with the room and the states of its forks.
fn live(version: &str, acts: &[Act]) -> (TestRoom, Vec<StateMap>) {
    let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
    let mut forks = vec![state.clone(), state];
    for act in acts {
        match act {
            Act::Do { fork, user, what } => {
                let at = pick(&forks, *fork);
                forks[at] = perform(&mut room, &forks[at], USERS[pick(&USERS, *user)], what);
            }
            Act::Fork { fork } => forks.push(forks[pick(&forks, *fork)].clone()),
            Act::Merge { one, other } => {
                let (one, other) = (pick(&forks, *one), pick(&forks, *other));
                forks[one] = room.resolve(&[forks[one].clone(), forks[other].clone()]);
            }
            Act::Mistake { fork, entry, value } => {
                let at = pick(&forks, *fork);
                let keys: Vec<_> = forks[at].keys().skip(1).cloned().collect();
                let wrong = keys[pick(&keys, *entry)].clone();
                let versions = room.versions_of(&wrong);
                forks[at].insert(wrong, versions[pick(&versions, *value)]);
            }
            Act::TurnClockBack { by } => room.now = room.now.saturating_sub((*by).into()),
        }
    }
    (room, forks)
}

fn version() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["6", "11", "12"])
}

proptest! {
    #![proptest_config(seeded(2))]

    /// [`TestRoom::resolve`] compares reduced input of both sources with ruma's algorithm on whole
    /// states.
    #[test]
    fn reduced_input_equals_whole_states_and_ruma(
        version in version(),
        acts in prop::collection::vec(act_or_mistake(), 0..60),
    ) {
        let (room, forks) = live(version, &acts);
        room.resolve(&forks);
        for pair in forks.windows(2) {
            room.resolve(pair);
        }
    }

    #[test]
    fn the_order_of_forks_does_not_matter(
        version in version(),
        acts in prop::collection::vec(act_or_mistake(), 0..60),
        seed in any::<u64>(),
    ) {
        let (room, mut forks) = live(version, &acts);
        let resolved = room.resolve(&forks);
        // Duplicates do not matter either.
        let again = forks[usize::try_from(seed % 7).unwrap() % forks.len()].clone();
        forks.push(again);
        forks.sort_by_key(|fork| fork.values().map(|hash| hash.as_bytes()[0]).fold(seed, |a, b| {
            a.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(b.into())
        }));
        prop_assert_eq!(room.resolve(&forks), resolved);
    }

    #[test]
    fn a_state_resolves_with_itself_to_itself(
        version in version(),
        acts in prop::collection::vec(act_or_mistake(), 0..60),
    ) {
        let (room, forks) = live(version, &acts);
        for fork in &forks {
            prop_assert_eq!(&room.resolve(&[fork.clone(), fork.clone()]), fork);
        }
        let resolved = room.resolve(&forks);
        prop_assert_eq!(&room.resolve(&[resolved.clone(), resolved.clone()]), &resolved);
    }

    /// Unless an entry got lost: `an_entry_that_resolution_loses_comes_back_when_resolved_again`.
    #[test]
    fn an_outcome_resolves_with_its_inputs_to_itself(
        version in version(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let (room, mut forks) = live(version, &acts);
        let resolved = room.resolve(&forks);
        let lost = |fork: &StateMap| fork.keys().any(|key| !resolved.contains_key(key));
        if !forks.iter().any(lost) {
            forks.push(resolved.clone());
            prop_assert_eq!(room.resolve(&forks), resolved);
        }
    }

    #[test]
    fn differences_are_enough(
        version in version(),
        acts in prop::collection::vec(act_or_mistake(), 0..60),
    ) {
        let (_, forks) = live(version, &acts);
        let (conflict, _) = Conflict::from_states(&forks);
        let differences: Vec<_> =
            forks[1..].iter().map(|fork| differences(&forks[0], fork)).collect();
        prop_assert_eq!(Conflict::from_differences(&differences), conflict);
    }
}

fn differences(
    base: &StateMap,
    other: &StateMap,
) -> BTreeMap<crate::StateMapKey, crate::Difference> {
    let at = |k: &crate::StateMapKey| crate::Difference {
        base: base.get(k).copied(),
        other: other.get(k).copied(),
    };
    let keys = base.keys().chain(other.keys());
    keys.map(|k| (k.clone(), at(k)))
        .filter(|(_, d)| d.base != d.other)
        .collect()
}

/// A room with an auth chain of some length, and two topics at its end, by users whose last
/// change of name was late.
fn long_room() -> (TestRoom, Vec<StateMap>) {
    let (mut room, mut state) = TestRoom::public("11", &[(BOB, 50), (CAROL, 50)]);
    for level in 0..40 {
        let mut levels = room.levels(&[(BOB, 50), (CAROL, 50)]);
        levels["ban"] = level.into();
        state = room.state(&state, ALICE, "m.room.power_levels", "", &levels);
    }
    for user in [BOB, CAROL] {
        let content = json!({"membership": "join", "displayname": user});
        state = room.state(&state, user, "m.room.member", user, &content);
    }
    let forks = [BOB, CAROL]
        .map(|user| room.topic(&state, user, user))
        .to_vec();
    (room, forks)
}

#[test]
fn the_walk_stops_where_the_chains_have_become_one() {
    let (room, forks) = long_room();
    let budget = Budget {
        edges_max: 15,
        citers_max: 50,
        events_max: 20,
    };
    let (_, resolved) = room.resolve_by(&forks, true, budget).unwrap();
    // The two topics, and the two memberships that nothing else in the state rests on.
    assert_eq!(resolved.replayed, 4);
}

#[test]
fn budgets_are_kept() {
    let (room, forks) = long_room();
    let enough = Budget::default();
    for (what, budget) in [
        (
            "auth edges",
            Budget {
                edges_max: 3,
                ..enough
            },
        ),
        (
            "events",
            Budget {
                events_max: 3,
                ..enough
            },
        ),
        (
            "citers",
            Budget {
                citers_max: 1,
                ..enough
            },
        ),
    ] {
        let error = room.resolve_by(&forks, true, budget).unwrap_err();
        assert!(matches!(error, ResolveError::BudgetExceeded { what: w, .. } if w == what));
    }
}

#[test]
fn unanswered_questions_end_the_resolution() {
    let (room, forks) = long_room();
    let (conflict, unconflicted) = Conflict::from_states(&forks);
    for keep_silent_at in 0..6 {
        let mut resolution = Resolution::new(
            room.rules,
            conflict.clone(),
            Unconflicted::Asked,
            Budget::default(),
        )
        .unwrap();
        let mut answers = Answers::default();
        let mut steps = 0;
        let outcome = loop {
            match resolution.step(answers) {
                Ok(Step::Gather(_)) if steps == keep_silent_at => answers = Answers::default(),
                Ok(Step::Gather(wanted)) => answers = room.gather(&wanted, &unconflicted),
                Ok(Step::Done(resolved)) => break Ok(resolved),
                Err(error) => break Err(error),
            }
            steps += 1;
        };
        let silent = matches!(
            outcome,
            Err(ResolveError::Missing(_) | ResolveError::Unanswered(_))
        );
        assert!(
            silent,
            "silent at step {keep_silent_at} of {steps}: {outcome:?}"
        );
    }
}

#[test]
fn forged_depths_are_noticed() {
    let (room, forks) = long_room();
    let (conflict, unconflicted) = Conflict::from_states(&forks);
    let all: Vec<EventHash> = unconflicted.values().copied().collect();
    let resolution = Resolution::new(
        room.rules,
        conflict,
        Unconflicted::Listed(all),
        Budget::default(),
    );
    let error = resolution
        .unwrap()
        .run(|wanted| {
            let mut answers = room.gather(wanted, &unconflicted);
            let flat = |edges: &mut AuthEdges| edges.auth_depth = 7;
            answers.edges.iter_mut().for_each(|(_, edges)| flat(edges));
            answers
        })
        .unwrap_err();
    assert!(matches!(error, ResolveError::DepthWrong(_)));
}

#[test]
fn events_of_other_rooms_are_refused() {
    let (room, forks) = long_room();
    let (other, _) = TestRoom::public("11", &[]);
    let foreign = {
        let mut json: serde_json::Value =
            serde_json::from_str(other.events[&other.create].json()).unwrap();
        json["room_id"] = "!elsewhere:a".into();
        crate::resolve_room::pdu(other.rules, &json)
    };
    let (conflict, unconflicted) = Conflict::from_states(&forks);
    let resolution =
        Resolution::new(room.rules, conflict, Unconflicted::Asked, Budget::default()).unwrap();
    let error = resolution
        .run(|wanted| {
            let mut answers = room.gather(wanted, &unconflicted);
            if !answers.events.is_empty() {
                answers.events.push(Arc::clone(&foreign));
            }
            answers
        })
        .unwrap_err();
    assert_eq!(error, ResolveError::OtherRoom(foreign.hash()));
}
