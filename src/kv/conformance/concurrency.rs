//! Many tasks at once: nothing lost, nothing torn.

use std::sync::Arc;

use tokio::task::{JoinSet, yield_now};

use super::{
    COUNTER, Db, Harness, LOG, SCAN, absent, add, append, bytes, equals, key, put, synced, within,
};
use crate::{Commit, CommitError, Engine, Key};

async fn join(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a task ends well");
    }
}

pub(super) async fn a_hundred_tasks_add_up<H: Harness>(db: Db<H>) {
    let mut tasks = JoinSet::new();
    for task in 0..100_i64 {
        let engine = db.engine();
        tasks.spawn(async move {
            let (count, log) = (key(&COUNTER, "sum"), key(&LOG, "log"));
            for _ in 0..3 {
                let writes = [add(&count, task), append(&log, task.to_be_bytes())];
                engine.commit(synced([], writes)).await.expect("applied");
            }
        });
    }
    join(tasks).await;
    assert_eq!(db.count(&key(&COUNTER, "sum")).await, 3 * 99 * 100 / 2);
    assert_eq!(db.rows(&LOG).await.len(), 300);
}

/// Reads, thinks, writes if nothing changed; again if something did.
async fn step(engine: &Arc<dyn Engine>, row: &Key) {
    loop {
        let view = engine.snapshot().await.expect("a snapshot");
        let seen = view
            .get_many(std::slice::from_ref(row))
            .await
            .expect("a value")
            .remove(0);
        yield_now().await;
        let (check, next) = match &seen {
            Some(seen) => (equals(row, seen), [seen.as_ref(), b"x"].concat()),
            None => (absent(row), b"x".to_vec()),
        };
        match engine.commit(synced([check], [put(row, next)])).await {
            Ok(_) => return,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn compare_and_set_loses_no_step<H: Harness>(db: Db<H>) {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let engine = db.engine();
        tasks.spawn(async move {
            for _ in 0..10 {
                step(&engine, &key(&SCAN, "row")).await;
            }
        });
    }
    join(tasks).await;
    assert_eq!(db.get(&key(&SCAN, "row")).await, Some(bytes([b'x'; 80])));
}

pub(super) async fn readers_see_whole_commits<H: Harness>(db: Db<H>) {
    let rows = [key(&SCAN, "debit"), key(&LOG, "credit")];
    let both = |value: u8| synced([], [put(&rows[0], [value]), put(&rows[1], [value])]);
    db.apply(both(0)).await;
    let commits: Vec<Commit> = (1..=60).map(both).collect();
    let engine = db.engine();
    let writer = tokio::spawn(async move {
        for commit in commits {
            engine.commit(commit).await.expect("applied");
        }
    });
    let last = Some(bytes([60]));
    loop {
        let view = db.view().await;
        let values = view.get_many(&rows).await.expect("values");
        assert_eq!(values[0], values[1], "one commit, seen by halves");
        if values[0] == last {
            break;
        }
        yield_now().await;
    }
    writer.await.expect("the writer");
}

pub(super) async fn one_of_many_takes_the_last_place<H: Harness>(db: Db<H>) {
    let mut tasks = JoinSet::new();
    for task in 0..50_u8 {
        let engine = db.engine();
        tasks.spawn(async move {
            let count = key(&COUNTER, "places");
            let claim = [add(&count, 1), put(&key(&SCAN, [task]), "x")];
            match engine.commit(synced([within(&count, 0, 4)], claim)).await {
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    join(tasks).await;
    assert_eq!(db.count(&key(&COUNTER, "places")).await, 5);
    assert_eq!(db.rows(&SCAN).await.len(), 5);
}
