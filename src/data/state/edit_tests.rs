use std::collections::BTreeMap;

use belfry_event::EventHash;
use proptest::prelude::*;

use super::{Change, Changes, NODE_BYTES_MAX, Root, StateError, StateTuple, WorkingSet};
use crate::fixture::{hash, members, tuple};

type Model = BTreeMap<StateTuple, EventHash>;

/// Sets or removes: member number, and the event or nothing.
fn steps() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
    let step = (0..120_usize, proptest::option::weighted(0.7, 0..1000_usize));
    proptest::collection::vec(step, 0..300)
}

fn play(set: &mut WorkingSet, steps: &[(usize, Option<usize>)]) -> (Root, Model) {
    let mut model = Model::new();
    let mut root = Root::EMPTY;
    for (number, event) in steps {
        let event = event.map(hash);
        match event {
            Some(event) => model.insert(tuple(*number), event),
            None => model.remove(&tuple(*number)),
        };
        let change = Changes::from([(tuple(*number), event)]);
        root = set.apply(root, &change).unwrap();
    }
    (root, model)
}

fn at_once(set: &mut WorkingSet, model: &Model) -> Root {
    let changes = model
        .iter()
        .map(|(tuple, event)| (tuple.clone(), Some(*event)));
    set.apply(Root::EMPTY, &changes.collect()).unwrap()
}

fn entries(set: &WorkingSet, root: Root) -> Model {
    let entries = set.entries(root, usize::MAX).unwrap().into_iter();
    entries.map(|entry| (entry.tuple, entry.event)).collect()
}

fn differences(before: &Model, after: &Model) -> BTreeMap<StateTuple, Change> {
    let tuples = before.keys().chain(after.keys());
    let changes = tuples.map(|tuple| Change {
        tuple: tuple.clone(),
        before: before.get(tuple).copied(),
        after: after.get(tuple).copied(),
    });
    changes
        .filter(|change| change.before != change.after)
        .map(|change| (change.tuple.clone(), change))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_holds_what_a_map_holds(steps in steps()) {
        let mut set = WorkingSet::new();
        let (root, model) = play(&mut set, &steps);
        prop_assert_eq!(entries(&set, root), model.clone());
        prop_assert_eq!(set.len(root).unwrap(), model.len());
        for number in 0..120 {
            let expected = model.get(&tuple(number)).copied();
            prop_assert_eq!(set.get(root, &tuple(number)).unwrap(), expected);
        }
    }

    #[test]
    fn equal_maps_have_equal_roots_whatever_way_led_there(steps in steps()) {
        let mut set = WorkingSet::new();
        let (root, model) = play(&mut set, &steps);
        prop_assert_eq!(at_once(&mut WorkingSet::new(), &model), root);
    }

    #[test]
    fn a_diff_is_what_the_maps_differ_in(one in steps(), other in steps()) {
        let mut set = WorkingSet::new();
        let (before, before_model) = play(&mut set, &one);
        let (after, after_model) = play(&mut set, &other);
        let diff = set.diff(before, after, usize::MAX).unwrap();
        let found: BTreeMap<_, _> =
            diff.into_iter().map(|change| (change.tuple.clone(), change)).collect();
        prop_assert_eq!(found, differences(&before_model, &after_model));
    }

    #[test]
    fn written_nodes_are_enough_to_read_the_state_again(steps in steps()) {
        let mut set = WorkingSet::new();
        let (root, model) = play(&mut set, &steps);
        let mut fresh = WorkingSet::new();
        for (hash, bytes) in set.take_writes(&[root]) {
            prop_assert!(bytes.len() <= NODE_BYTES_MAX);
            fresh.load(hash, bytes).unwrap();
        }
        prop_assert_eq!(entries(&fresh, root), model);
    }
}

#[test]
fn a_missing_node_is_named() {
    let root = members(&mut WorkingSet::new(), 0..100);
    let mut empty = WorkingSet::new();
    let missing = StateError::Missing(vec![root.node().unwrap()]);
    assert_eq!(empty.get(root, &tuple(1)), Err(missing.clone()));
    assert_eq!(empty.set(root, tuple(1), hash(5)), Err(missing.clone()));
    assert_eq!(empty.diff(root, Root::EMPTY, 10), Err(missing));
}

#[test]
fn a_change_writes_the_path_only() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..10_000);
    set.take_writes(&[root]);
    let changed = set.set(root, tuple(17), hash(99_999)).unwrap();
    let writes = set.take_writes(&[changed]);
    let bytes: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(writes.len() <= 6, "{} nodes", writes.len());
    assert!(bytes < 1_500, "{bytes} bytes");
}

#[test]
fn nodes_that_no_kept_root_needs_are_not_written() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..100);
    let given_up = set.set(root, tuple(1), hash(999)).unwrap();
    set.take_writes(&[root]);
    assert_eq!(set.take_writes(&[root]), []);
    assert!(matches!(set.len(given_up), Err(StateError::Missing(_))));
}

#[test]
fn setting_what_is_set_changes_nothing() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..100);
    assert_eq!(set.set(root, tuple(40), hash(40)), Ok(root));
}

#[test]
fn more_differences_than_asked_for_are_refused() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..100);
    assert_eq!(
        set.diff(Root::EMPTY, root, 99),
        Err(StateError::TooMany(99))
    );
    assert_eq!(set.diff(Root::EMPTY, root, 100).unwrap().len(), 100);
}

#[test]
fn shrinking_drops_only_what_is_stored() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..100);
    set.take_writes(&[root]);
    let plan = set.set(root, tuple(1), hash(5)).unwrap();
    set.shrink(0);
    assert!(matches!(
        set.get(root, &tuple(2)),
        Err(StateError::Missing(_))
    ));
    assert!(set.len(plan).is_ok());
}

#[test]
fn the_longest_names_still_fit() {
    let mut set = WorkingSet::new();
    let long = |n: usize| StateTuple::new("t".repeat(255), format!("{n:0>255}")).unwrap();
    let changes: Changes = (0..50).map(|n| (long(n), Some(hash(n)))).collect();
    let root = set.apply(Root::EMPTY, &changes).unwrap();
    assert_eq!(set.entries(root, 50).unwrap().len(), 50);
    for (_, bytes) in set.take_writes(&[root]) {
        assert!(bytes.len() <= NODE_BYTES_MAX);
    }
    assert!(StateTuple::new("t".repeat(256), "").is_err());
}

#[test]
fn bytes_that_do_not_have_their_hash_are_refused() {
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..3);
    let (hash, bytes) = set.take_writes(&[root]).remove(0);
    let mut damaged = bytes.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = WorkingSet::new().load(hash, damaged.into());
    assert!(matches!(refused, Err(StateError::Read(_))), "{refused:?}");
}
