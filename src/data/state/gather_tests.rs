use belfry_kv::{Engine, Memory};

use super::{Path, Root, StateError, StateReader, WorkingSet};
use crate::fixture::{Counted, hash, members, room, store, tuple};

/// A stored state with this many members, and the same with two of them changed.
async fn stored(count: usize) -> (Memory, Root, Root) {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let root = members(&mut set, 0..count);
    let changes = [
        (tuple(3), Some(hash(9_999))),
        (tuple(count), Some(hash(count))),
    ];
    let other = set.apply(root, &changes.into()).unwrap();
    store(&engine, &mut set, &[root, other]).await;
    (engine, root, other)
}

#[tokio::test]
async fn gathering_takes_a_round_trip_a_level() {
    let (engine, root, _) = stored(5_000).await;
    let snapshot = Counted::new(&engine).await;
    let tuples: Vec<_> = (0..50).map(tuple).collect();
    let mut set = WorkingSet::new();
    let reader = StateReader::new(&snapshot, room());
    reader.gather(&mut set, &[root], &tuples).await.unwrap();
    assert!(snapshot.trips() <= 6, "{} trips", snapshot.trips());
    for number in 0..50 {
        assert_eq!(set.get(root, &tuple(number)), Ok(Some(hash(number))));
    }
}

#[tokio::test]
async fn a_plan_on_gathered_nodes_equals_one_on_all() {
    let (engine, root, other) = stored(5_000).await;
    let snapshot = engine.snapshot().await.unwrap();
    let reader = StateReader::new(&*snapshot, room());
    let mut set = WorkingSet::new();
    let changes = [
        (tuple(3), Some(hash(9_999))),
        (tuple(5_000), Some(hash(5_000))),
    ]
    .into();
    assert_eq!(reader.apply(&mut set, root, &changes).await, Ok(other));
}

#[tokio::test]
async fn a_diff_of_large_states_reads_what_differs() {
    let (engine, root, other) = stored(5_000).await;
    let snapshot = Counted::new(&engine).await;
    let reader = StateReader::new(&snapshot, room());
    let mut set = WorkingSet::new();
    let diff = reader.diff(&mut set, root, other, 10).await.unwrap();
    assert_eq!(diff.len(), 2);
    assert!(snapshot.rows() <= 24, "{} nodes", snapshot.rows());
}

#[tokio::test]
async fn a_state_streams_in_pages_over_several_snapshots() {
    let (engine, root, _) = stored(1_000).await;
    let (mut found, mut from, mut pages) = (Vec::new(), Some(Path::FIRST), 0);
    while let Some(at) = from {
        let snapshot = engine.snapshot().await.unwrap();
        let reader = StateReader::new(&*snapshot, room());
        let page = reader.page(root, at, 100).await.unwrap();
        assert!(page.entries.len() < 100 + 30, "{}", page.entries.len());
        found.extend(page.entries.into_iter().map(|entry| entry.tuple));
        (from, pages) = (page.next, pages + 1);
    }
    let mut expected: Vec<_> = (0..1_000).map(tuple).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!((8..=10).contains(&pages), "{pages} pages");
}

#[tokio::test]
async fn pages_read_ahead() {
    let (engine, root, _) = stored(5_000).await;
    let snapshot = Counted::new(&engine).await;
    let page = StateReader::new(&snapshot, room())
        .page(root, Path::FIRST, usize::MAX)
        .await;
    assert_eq!(page.unwrap().entries.len(), 5_000);
    let (trips, rows) = (snapshot.trips(), snapshot.rows());
    assert!(trips * 50 < rows, "{trips} trips for {rows} nodes");
}

#[tokio::test]
async fn a_node_that_is_not_stored_is_damage() {
    let (engine, ..) = stored(10).await;
    let snapshot = engine.snapshot().await.unwrap();
    let elsewhere = members(&mut WorkingSet::new(), 70..80);
    let reader = StateReader::new(&*snapshot, room());
    let got = reader
        .gather(&mut WorkingSet::new(), &[elsewhere], &[tuple(70)])
        .await;
    assert!(matches!(got, Err(StateError::Read(_))), "{got:?}");
}
