use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use belfry_kv::{
    BoxFuture, Commit, Direction, Engine, Fault, Key, Memory, Range, ReadError, Snapshot,
    Unavailable, Write,
};
use bytes::Bytes;
use ruma_common::server_name;

use crate::{
    Database, Incarnation, MigrationError, OpenError, SCHEMA_VERSION, check,
    fixture::{WRITE_FIXTURES, from_hex, to_hex, write_fixture},
    keyspaces,
    migration::{Migration, MigrationStep},
    open, renew_incarnation,
    room_fixture::{TestRoom, local},
    schema::open_as,
    tables::{EVENT_EDGE, META},
};

const FIRST: Incarnation = Incarnation([1; 16]);
const SECOND: Incarnation = Incarnation([2; 16]);

/// A database that a build of schema 1 wrote: key, then value, in hexadecimal.
const SCHEMA_1: &str = include_str!("fixtures/schema_1.txt");

/// Every row.
async fn rows(engine: &Memory) -> Vec<(Key, Bytes)> {
    let snapshot = engine.snapshot().await.unwrap();
    let mut rows = Vec::new();
    for space in keyspaces() {
        let page = snapshot.scan(Range::table(space), Direction::Forward, 10_000);
        rows.extend(page.await.unwrap().rows);
    }
    rows
}

async fn load(text: &str) -> Arc<Memory> {
    let engine = Arc::new(Memory::default());
    let mut commit = Commit::synced();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let write = Write::Put(Key::new(from_hex(key)), from_hex(value).into());
        commit.writes.push(write);
    }
    engine.commit(commit).await.unwrap();
    engine
}

async fn scenario() -> Arc<Memory> {
    let engine = Arc::new(Memory::default());
    open(Arc::clone(&engine) as _, local(), FIRST)
        .await
        .unwrap();
    let mut room = TestRoom::new(Arc::clone(&engine)).await;
    room.join("@bob:elsewhere.org").await;
    for number in 0..10 {
        room.message(&number.to_string()).await;
    }
    engine
}

/// Run with `BELFRY_WRITE_FIXTURES=1` before a release to write the fixture of its schema.
#[tokio::test]
async fn the_fixture_of_the_current_schema_is_what_this_build_writes() {
    let rows = rows(&*scenario().await).await;
    let line =
        |(key, value): &(Key, Bytes)| format!("{} {}\n", to_hex(key.as_bytes()), to_hex(value));
    let text: String = rows.iter().map(line).collect();
    if WRITE_FIXTURES {
        write_fixture("fixtures/schema_1.txt", &text);
    }
    assert_eq!(
        SCHEMA_VERSION, 1,
        "keep this fixture, and write one for the new schema"
    );
    assert!(
        text == SCHEMA_1,
        "this build writes something else; is that meant?"
    );
}

#[tokio::test]
async fn a_database_of_the_first_schema_opens_and_is_clean() {
    let engine = load(SCHEMA_1).await;
    let database = open(Arc::clone(&engine) as _, local(), SECOND)
        .await
        .unwrap();
    assert_eq!(database.incarnation(), FIRST);
    assert_eq!(database.server_name(), local());
    let report = check(&*engine, 10).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert!(report.rows > 50);
}

async fn refused(engine: &Arc<Memory>) -> OpenError {
    let before = rows(engine).await;
    let opened = open(Arc::clone(engine) as _, local(), SECOND).await;
    assert_eq!(rows(engine).await, before, "a refused database was touched");
    opened.map(|_: Database| ()).unwrap_err()
}

#[tokio::test]
async fn a_newer_database_is_refused_and_untouched() {
    let engine = load(SCHEMA_1).await;
    let newer = SCHEMA_VERSION + 1;
    open_as(
        Arc::clone(&engine) as _,
        local(),
        FIRST,
        newer,
        &[&Doubling::new(newer)],
    )
    .await
    .unwrap();
    let error = refused(&engine).await;
    assert_eq!(
        error,
        OpenError::Newer {
            found: newer,
            known: SCHEMA_VERSION
        }
    );
}

#[tokio::test]
async fn another_servers_database_is_refused() {
    let engine = Arc::new(Memory::default());
    open(
        Arc::clone(&engine) as _,
        server_name!("elsewhere.org"),
        FIRST,
    )
    .await
    .unwrap();
    let error = refused(&engine).await;
    assert!(matches!(error, OpenError::OtherServer { .. }), "{error:?}");
}

#[tokio::test]
async fn rows_without_a_meta_row_are_not_ours() {
    let engine = load(SCHEMA_1).await;
    let mut commit = Commit::synced();
    META.delete(&mut commit, &());
    engine.commit(commit).await.unwrap();
    assert_eq!(refused(&engine).await, OpenError::NotOurs);
}

#[tokio::test]
async fn a_restored_database_becomes_another_history() {
    let engine = load(SCHEMA_1).await;
    renew_incarnation(&*engine, SECOND).await.unwrap();
    let database = open(Arc::clone(&engine) as _, local(), FIRST)
        .await
        .unwrap();
    assert_eq!(database.incarnation(), SECOND);
}

/// A migration for tests: turns what every edge says round, one row a step.
struct Doubling {
    leads_to: u32,
    steps: AtomicUsize,
}

impl Doubling {
    fn new(leads_to: u32) -> Self {
        Self {
            leads_to,
            steps: AtomicUsize::new(0),
        }
    }
}

impl Migration for Doubling {
    fn leads_to(&self) -> u32 {
        self.leads_to
    }

    fn step<'a>(
        &'a self,
        snapshot: &'a dyn Snapshot,
        cursor: &'a [u8],
    ) -> BoxFuture<'a, Result<MigrationStep, ReadError>> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut range = EVENT_EDGE.whole();
            if !cursor.is_empty() {
                range.from = Key::new(cursor.to_vec()).successor();
            }
            let mut commit = Commit::synced();
            let row = EVENT_EDGE
                .first(snapshot, range, Direction::Forward)
                .await?;
            let next = row.map(|(key, mut row)| {
                row.covers = !row.covers;
                EVENT_EDGE.put(&mut commit, &key, &row);
                EVENT_EDGE.key(&key).as_bytes().to_vec()
            });
            Ok(MigrationStep { commit, next })
        })
    }
}

async fn migrated(engine: &Arc<Memory>, to: u32) -> Result<Database, OpenError> {
    let migration = Doubling::new(to);
    open_as(Arc::clone(engine) as _, local(), SECOND, to, &[&migration]).await
}

/// The process dies after every possible number of commits, also in the middle of one.
#[tokio::test]
async fn a_migration_that_was_killed_goes_on_where_it_stopped() {
    let whole = load(SCHEMA_1).await;
    migrated(&whole, 2).await.unwrap();
    let expected = rows(&whole).await;
    for death in [Fault::UnknownApplied, Fault::UnknownLost, unavailable()] {
        for survived in 0..20 {
            let mut engine = load(SCHEMA_1).await;
            let commits = AtomicUsize::new(0);
            let fault = death.clone();
            engine.set_faults(move |_| {
                let before = commits.fetch_add(1, Ordering::Relaxed);
                if before < survived {
                    Fault::None
                } else {
                    fault.clone()
                }
            });
            let killed = migrated(&engine, 2).await;
            engine.set_faults(|_| Fault::None);
            engine = Arc::new(engine.crash(0));
            migrated(&engine, 2).await.unwrap();
            assert_eq!(
                rows(&engine).await,
                expected,
                "{death:?} after {survived}, {killed:?}"
            );
        }
    }
}

fn unavailable() -> Fault {
    Fault::Unavailable(Unavailable::DiskFull)
}

#[tokio::test]
async fn a_migration_happens_once() {
    let engine = load(SCHEMA_1).await;
    let migration = Doubling::new(2);
    for _ in 0..2 {
        let opened = open_as(Arc::clone(&engine) as _, local(), SECOND, 2, &[&migration]).await;
        opened.unwrap();
    }
    let snapshot = engine.snapshot().await.unwrap();
    let edges = EVENT_EDGE
        .scan(&*snapshot, EVENT_EDGE.whole(), Direction::Forward, 100)
        .await;
    let edges = edges.unwrap().rows.len();
    assert_eq!(migration.steps.load(Ordering::Relaxed), edges + 1);
}

#[tokio::test]
async fn migrations_follow_one_another() {
    let engine = load(SCHEMA_1).await;
    let before = rows(&engine).await;
    let (second, third) = (Doubling::new(2), Doubling::new(3));
    open_as(
        Arc::clone(&engine) as _,
        local(),
        SECOND,
        3,
        &[&second, &third],
    )
    .await
    .unwrap();
    let after = rows(&engine).await;
    assert_eq!(before.len(), after.len());
    assert_eq!(before[1..], after[1..], "turned round twice");
    assert_ne!(before[0], after[0], "the schema version");
}

#[tokio::test]
async fn without_the_migration_the_database_is_left_as_it_is() {
    let engine = load(SCHEMA_1).await;
    let before = rows(&engine).await;
    let opened = open_as(
        Arc::clone(&engine) as _,
        local(),
        SECOND,
        3,
        &[&Doubling::new(3)],
    )
    .await;
    let error = opened.map(|_| ()).unwrap_err();
    assert_eq!(error, OpenError::Migration(MigrationError::Absent(2)));
    assert_eq!(rows(&engine).await, before);
}
