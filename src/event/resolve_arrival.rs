//! Servers that get the events of one room in different orders and portions come to the same
//! state, because the state before an event follows from its `prev_events` alone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use crate::resolve_conflict::StateMap;
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key, seeded};

const USERS: [&str; 4] = [ALICE, BOB, CAROL, DAVE];

/// An event of the graph: what came before it, and the state entry it sets, if any.
#[derive(Debug, Clone)]
struct Node {
    prev: Vec<usize>,
    sets: Option<(crate::StateMapKey, crate::EventHash)>,
}

/// A room of its time: every event was sent by someone who knew all that its server knew.
struct History {
    room: TestRoom,
    opening: StateMap,
    nodes: Vec<Node>,
}

impl History {
    fn state_before(&self, after: &BTreeMap<usize, StateMap>, prev: &[usize]) -> StateMap {
        match prev {
            [] => self.opening.clone(),
            [one] => after[one].clone(),
            several => {
                let states: Vec<_> = several.iter().map(|node| after[node].clone()).collect();
                self.room.resolve(&states)
            }
        }
    }

    fn state_after(&self, after: &BTreeMap<usize, StateMap>, node: usize) -> StateMap {
        let Node { prev, sets } = &self.nodes[node];
        let mut state = self.state_before(after, prev);
        state.extend(sets.clone());
        state
    }
}

/// Each number lets someone do something on top of one or two of the latest events.
fn history(version: &str, seeds: &[u32]) -> History {
    let (room, opening) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
    let mut history = History {
        room,
        opening,
        nodes: Vec::new(),
    };
    let mut after = BTreeMap::new();
    for seed in seeds {
        let count = history.nodes.len();
        let back = |shift: u32| {
            let distance = usize::try_from(seed >> shift & 7).unwrap() + 1;
            count.checked_sub(distance)
        };
        let prev: BTreeSet<usize> = [back(0), back(3)].into_iter().flatten().collect();
        let prev: Vec<_> = prev.into_iter().collect();
        let state = history.state_before(&after, &prev);
        let sets = act(&mut history.room, &state, seed >> 6);
        history.nodes.push(Node { prev, sets });
        let state = history.state_after(&after, count);
        after.insert(count, state);
    }
    history
}

fn act(
    room: &mut TestRoom,
    state: &StateMap,
    seed: u32,
) -> Option<(crate::StateMapKey, crate::EventHash)> {
    let pick = |shift: u32, among: usize| usize::try_from(seed >> shift).unwrap() % among;
    let (user, target) = (USERS[pick(0, 4)], USERS[pick(2, 4)]);
    let (event_type, state_key, content) = match pick(4, 8) {
        0 => ("m.room.member", target, json!({"membership": "ban"})),
        1 => ("m.room.member", target, json!({"membership": "invite"})),
        2 => ("m.room.member", target, json!({"membership": "leave"})),
        3 => ("m.room.member", user, json!({"membership": "join"})),
        4 => ("m.room.topic", "", json!({"topic": user})),
        5 => {
            let rule = ["public", "invite"][pick(7, 2)];
            ("m.room.join_rules", "", json!({"join_rule": rule}))
        }
        6 => {
            let levels = room.content(state, &key("m.room.power_levels", ""), "users");
            let mut users = levels.unwrap_or(json!({}));
            users[target] = [0, 50, 100][pick(7, 3)].into();
            ("m.room.power_levels", "", json!({"users": users}))
        }
        _ => return None,
    };
    let after = room
        .try_state(state, user, event_type, state_key, &content)
        .ok()?;
    let at = key(event_type, state_key);
    Some((at.clone(), after[&at]))
}

/// A server that has received some of the events.
struct Server<'a> {
    history: &'a History,
    after: BTreeMap<usize, StateMap>,
    waiting: BTreeSet<usize>,
}

impl<'a> Server<'a> {
    fn new(history: &'a History) -> Self {
        Self {
            history,
            after: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes events in any order; one whose `prev_events` are unknown waits for them.
    fn receive(&mut self, nodes: &[usize]) {
        self.waiting.extend(nodes);
        loop {
            let known = |node: &&usize| {
                let prev = &self.history.nodes[**node].prev;
                prev.iter().all(|node| self.after.contains_key(node))
            };
            let Some(node) = self.waiting.iter().find(known).copied() else {
                return;
            };
            self.waiting.remove(&node);
            let state = self.history.state_after(&self.after, node);
            self.after.insert(node, state);
        }
    }

    /// The resolution of the states after the forward extremities.
    fn current(&self) -> StateMap {
        let cited = |node: &usize| self.history.nodes[*node].prev.clone();
        let cited: BTreeSet<_> = self.after.keys().flat_map(cited).collect();
        let tips = self.after.keys().filter(|node| !cited.contains(node));
        self.history
            .state_before(&self.after, &tips.copied().collect::<Vec<_>>())
    }
}

proptest! {
    #![proptest_config(seeded(1))]

    #[test]
    fn every_order_and_portion_of_arrival_ends_in_the_same_state(
        version in prop::sample::select(vec!["6", "11", "12"]),
        seeds in prop::collection::vec(any::<u32>(), 1..24),
        (order, other_order) in Just(()).prop_flat_map(|()| {
            let order = || Just((0..24_usize).collect::<Vec<_>>()).prop_shuffle();
            (order(), order())
        }),
        portion in 2_usize..6,
    ) {
        let history = history(version, &seeds);
        let mine = |order: Vec<usize>| -> Vec<usize> {
            order.into_iter().filter(|node| *node < history.nodes.len()).collect()
        };
        let (order, other_order) = (mine(order), mine(other_order));
        let mut one_by_one = Server::new(&history);
        for node in &order {
            one_by_one.receive(&[*node]);
            one_by_one.current();
        }
        let mut by_portion = Server::new(&history);
        for nodes in other_order.chunks(portion) {
            by_portion.receive(nodes);
            by_portion.current();
        }
        let mut at_once = Server::new(&history);
        at_once.receive(&other_order);
        prop_assert_eq!(&one_by_one.after, &at_once.after);
        prop_assert_eq!(&by_portion.after, &at_once.after);
        prop_assert_eq!(one_by_one.current(), at_once.current());
        prop_assert_eq!(by_portion.current(), at_once.current());
    }
}
