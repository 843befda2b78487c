use std::collections::BTreeSet;

use belfry_kv::{Commit, Direction, Engine, Memory};

use super::{NodeHash, Root, StateReader, Sweep, SweepStep, WorkingSet};
use crate::{
    fixture::{hash, members, put_nodes, room, store, tuple},
    tables::STATE_NODE,
};

async fn stored_nodes(engine: &Memory) -> BTreeSet<NodeHash> {
    let snapshot = engine.snapshot().await.unwrap();
    let page = STATE_NODE.scan(&*snapshot, STATE_NODE.whole(), Direction::Forward, 10_000);
    let rows = page.await.unwrap().rows.into_iter();
    rows.map(|((_, hash), _)| NodeHash(hash)).collect()
}

/// What the roots need, computed another way: by building them anew.
fn needed(states: &[&[usize]]) -> BTreeSet<NodeHash> {
    let mut set = WorkingSet::new();
    let roots: Vec<_> = states
        .iter()
        .map(|numbers| members(&mut set, numbers.iter().copied()))
        .collect();
    let writes = set.take_writes(&roots).into_iter();
    writes.map(|(hash, _)| hash).collect()
}

async fn step(
    engine: &Memory,
    sweep: &mut Sweep,
    set: &mut WorkingSet,
    nodes_max: usize,
) -> SweepStep {
    let snapshot = engine.snapshot().await.unwrap();
    let mut commit = Commit::synced();
    let step = sweep
        .step(&*snapshot, set, &mut commit, nodes_max)
        .await
        .unwrap();
    engine.commit(commit).await.unwrap();
    step
}

async fn finish(engine: &Memory, sweep: &mut Sweep, set: &mut WorkingSet) {
    while step(engine, sweep, set, 7).await != SweepStep::Done {}
}

#[tokio::test]
async fn every_unreachable_node_goes_and_no_other() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let (a, b, c): (Vec<_>, Vec<_>, Vec<_>) =
        ((0..200).collect(), (0..210).collect(), (150..300).collect());
    let roots = [&a, &b, &c].map(|numbers| members(&mut set, numbers.iter().copied()));
    store(&engine, &mut set, &roots).await;
    assert_eq!(stored_nodes(&engine).await, needed(&[&a, &b, &c]));

    let mut sweep = Sweep::new(room());
    sweep.retain([roots[0], roots[2]]).unwrap();
    finish(&engine, &mut sweep, &mut WorkingSet::new()).await;
    assert_eq!(stored_nodes(&engine).await, needed(&[&a, &c]));
    assert_eq!(sweep.marked(), needed(&[&a, &c]).len());
}

#[tokio::test]
async fn without_a_root_everything_goes() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..200);
    store(&engine, &mut set, &[root]).await;
    finish(&engine, &mut Sweep::new(room()), &mut set).await;
    assert_eq!(stored_nodes(&engine).await, BTreeSet::new());
}

#[tokio::test]
async fn other_rooms_are_left_alone() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..5);
    let mut commit = Commit::synced();
    let other = ruma_common::room_id!("!room2:example.org");
    put_nodes(&mut commit, other, set.take_writes(&[root]));
    engine.commit(commit).await.unwrap();
    finish(&engine, &mut Sweep::new(room()), &mut WorkingSet::new()).await;
    assert_eq!(stored_nodes(&engine).await.len(), 1);
}

#[tokio::test]
async fn a_state_committed_meanwhile_stays() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let old = members(&mut set, 0..200);
    store(&engine, &mut set, &[old]).await;
    let mut sweep = Sweep::new(room());
    sweep.retain([old]).unwrap();
    while step(&engine, &mut sweep, &mut set, 7).await == SweepStep::Marked {}

    let new = set.set(old, tuple(1_000), hash(1_000)).unwrap();
    store(&engine, &mut set, &[new]).await;
    sweep.retain([new]).unwrap();
    finish(&engine, &mut sweep, &mut set).await;
    assert_readable(&engine, &[old, new]).await;
}

/// The plan comes back to a state whose nodes the sweep is deleting page by page: the nodes that
/// are still stored must not vouch for those already gone.
#[tokio::test]
async fn a_plan_that_returns_to_a_swept_state_writes_it_again() {
    for steps_before_the_plan in 1..12 {
        let engine = Memory::default();
        let mut set = WorkingSet::new();
        let old = members(&mut set, 0..300);
        let kept = members(&mut set, 0..10);
        store(&engine, &mut set, &[old, kept]).await;
        let mut sweep = Sweep::new(room());
        sweep.retain([kept]).unwrap();
        for _ in 0..steps_before_the_plan {
            step(&engine, &mut sweep, &mut set, 4).await;
        }

        let again = members(&mut set, 0..300);
        assert_eq!(again, old);
        store(&engine, &mut set, &[again]).await;
        sweep.retain([again]).unwrap();
        finish(&engine, &mut sweep, &mut set).await;
        assert_readable(&engine, &[kept, again]).await;
    }
}

/// Planned before the sweep deletes, committed after.
#[tokio::test]
async fn a_plan_under_way_while_its_nodes_go_writes_them() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let old = members(&mut set, 0..300);
    store(&engine, &mut set, &[old]).await;
    let plan = set.set(old, tuple(500), hash(500)).unwrap();
    let mut sweep = Sweep::new(room());
    finish(&engine, &mut sweep, &mut set).await;
    assert_eq!(stored_nodes(&engine).await, BTreeSet::new());

    store(&engine, &mut set, &[plan]).await;
    assert_readable(&engine, &[plan]).await;
}

async fn assert_readable(engine: &Memory, roots: &[Root]) {
    let snapshot = engine.snapshot().await.unwrap();
    let reader = StateReader::new(&*snapshot, room());
    for root in roots {
        let page = reader
            .page(*root, super::Path::FIRST, usize::MAX)
            .await
            .unwrap();
        assert!(!page.entries.is_empty());
    }
}
