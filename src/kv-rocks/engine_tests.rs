//! The whole engine: opening, refusing, reading from disk, copying, closing.

use std::{fs, path::Path, sync::Arc, time::Duration};

use belfry_kv::{
    Commit, CommitError, Direction, Engine, Key, Keyspace, Position, Range, ReadError, Temperature,
    Unavailable, Write,
};
use bytes::Bytes;
use tempfile::TempDir;

use crate::{
    ArchiveError, Columns, OpenError, Rocks,
    testing::{
        COUNTER, Hand, LOG, POINT, SCAN, crash, flip, get, key, keyspaces, newest, open, put,
    },
};

fn entries(folder: &Path) -> Vec<(String, u64)> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().len())
        })
        .collect();
    entries.sort();
    entries
}

#[test]
fn a_folder_is_opened_once() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("deep/database");
    drop(open(&folder).unwrap());
    assert_eq!(
        fs::metadata(folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn unknown_column_families_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut newer = Hand::default().options();
    newer.columns = Columns::PerTable;
    drop(Rocks::open(folder.path(), &keyspaces(), newer).unwrap());
    let before = entries(folder.path());
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("table_1"), "{error}");
    assert_eq!(entries(folder.path()), before);
}

#[test]
fn a_table_that_would_lose_its_rows_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    let mut declared: Vec<Keyspace> = keyspaces();
    declared[0].temperature = Temperature::Cold;
    let options = Hand::default().options();
    let error = Rocks::open(folder.path(), &declared, options).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("point_hot") && text.contains("point_cold"),
        "{text}"
    );
}

#[tokio::test]
async fn a_table_that_nobody_declared_takes_no_commit_and_no_read() {
    let folder = TempDir::new().unwrap();
    let rocks = open(folder.path()).unwrap();
    let mut commit = Commit::synced();
    commit.writes.push(Write::Put(key(99, "a"), Bytes::new()));
    let error = rocks.commit(commit).await.unwrap_err().to_string();
    assert!(error.contains("tag 99"), "{error}");
    let view = rocks.snapshot().await.unwrap();
    let read = view.get_many(&[key(99, "a")]).await.unwrap_err();
    assert!(read.to_string().contains("tag 99"), "{read}");
}

/// Rows of several tables, in files, none of them cached.
async fn filled(folder: &Path, count: usize) -> Rocks {
    let rocks = open(folder).unwrap();
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let mut commit = Commit::synced();
        for number in chunk {
            let value = Bytes::from(vec![b'v'; 100]);
            let room = format!("!room-{:04}:row-{number:06}", number % 50);
            commit.writes.extend([
                Write::Put(key(POINT, number), value.clone()),
                Write::Put(key(SCAN, room), value),
            ]);
        }
        rocks.commit(commit).await.unwrap();
    }
    drop(rocks);
    open(folder).unwrap()
}

#[tokio::test]
async fn rows_come_from_disk_and_then_from_memory() {
    let folder = TempDir::new().unwrap();
    let rocks = filled(folder.path(), 2_000).await;
    let keys: Vec<Key> = (0..100).map(|number| key(POINT, number * 30)).collect();
    for _ in 0..2 {
        let view = rocks.snapshot().await.unwrap();
        let found = view.get_many(&keys).await.unwrap();
        let present: Vec<bool> = found.iter().map(Option::is_some).collect();
        let expected: Vec<bool> = (0..100).map(|number| number * 30 < 2_000).collect();
        assert_eq!(present, expected);
    }
}

async fn scan(rocks: &Rocks, range: &Range, direction: Direction) -> Vec<Key> {
    let view = rocks.snapshot().await.unwrap();
    let page = view.scan(range.clone(), direction, 10_000).await.unwrap();
    assert_eq!(page.rest, None);
    page.rows.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn filtered_scans_find_what_unfiltered_ones_do() {
    let folder = TempDir::new().unwrap();
    let rocks = filled(folder.path(), 2_000).await;
    let all = scan(&rocks, &Range::prefix(&key(SCAN, "")), Direction::Forward).await;
    assert_eq!(all.len(), 2_000);
    for prefix in [
        "",
        "!",
        "!room-00",
        "!room-001",
        "!room-0017",
        "!room-0017:row-0000",
        "!none-00",
    ] {
        let range = Range::prefix(&key(SCAN, prefix));
        let forward = scan(&rocks, &range, Direction::Forward).await;
        let inside = |key: &&Key| **key >= range.from && **key < range.to;
        let expected: Vec<Key> = all.iter().filter(inside).cloned().collect();
        assert_eq!(forward, expected, "{prefix}");
        let mut backward = scan(&rocks, &range, Direction::Backward).await;
        backward.reverse();
        assert_eq!(backward, expected, "{prefix} backward");
    }
}

#[tokio::test]
async fn a_census_counts_every_row() {
    let folder = TempDir::new().unwrap();
    let rocks = filled(folder.path(), 1_000).await;
    let mut commit = put("one more", "x");
    commit.writes.push(Write::Add(key(COUNTER, "n"), 1));
    rocks.commit(commit).await.unwrap();
    let census = rocks.census().await.unwrap();
    let rows: Vec<_> = census
        .tables
        .iter()
        .map(|table| (table.tag, table.rows))
        .collect();
    assert_eq!(
        rows,
        [(POINT, 1_001), (SCAN, 1_000), (COUNTER, 1), (LOG, 0)]
    );
    drop(rocks);
    let options = Hand::default().options();
    let fewer = Rocks::open(folder.path(), &keyspaces()[1..], options).unwrap();
    assert_eq!(fewer.census().await.unwrap().undeclared_rows, 1_001);
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_is_reported_and_never_returned() {
    let folder = TempDir::new().unwrap();
    drop(filled(folder.path(), 3_000).await);
    let table = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|kind| kind == "sst"))
        .max_by_key(|file| file.metadata().unwrap().len())
        .unwrap();
    flip(&table, 1_000);
    let rocks = open(folder.path()).unwrap();
    let error = rocks.census().await.unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Read(ReadError::Corrupt(_))),
        "{error}"
    );
    assert!(error.to_string().contains("restore a backup"), "{error}");
    rocks.commit(put("a", "x")).await.unwrap();
}

#[tokio::test]
async fn figures_tell_tables_apart() {
    let folder = TempDir::new().unwrap();
    let rocks = filled(folder.path(), 2_000).await;
    rocks.commit(put("a", "x")).await.unwrap();
    let stats = rocks.stats().await.unwrap();
    let disk = |tag| {
        stats
            .tables
            .iter()
            .find(|table| table.tag == tag)
            .unwrap()
            .disk_bytes
    };
    assert!(disk(POINT) > 0 && disk(SCAN) > 0);
    assert_eq!((disk(COUNTER), disk(LOG)), (0, 0));
    assert_eq!(stats.families.len(), 11);
    assert_eq!((stats.commits, stats.conflicts, stats.syncs), (1, 0, 1));
    assert!(stats.journal_bytes > 0 && stats.free_disk_bytes.is_some());
    assert_eq!(stats.background_errors, 0);
}

#[tokio::test]
async fn a_backup_holds_what_was_answered_before_and_opens_elsewhere() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("backup");
    let rocks = Arc::new(open(&folder.path().join("live")).unwrap());
    let mut last = Position::ZERO;
    for number in 0..50 {
        last = rocks.commit(put(number, "x")).await.unwrap();
    }
    // These go on while the copy is made.
    let during: Vec<_> = (50..100)
        .map(|number| rocks.commit(put(number, "x")))
        .collect();
    rocks.checkpoint(&copy).await.unwrap();
    for answer in during {
        answer.await.unwrap();
    }
    drop(rocks);
    let restored = open(&copy).unwrap();
    for number in 0..50 {
        assert_eq!(get(&restored, number).await, Some("x".into()), "{number}");
    }
    restored.census().await.unwrap();
    assert!(restored.commit(put("new", "x")).await.unwrap() > last);
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let folder = TempDir::new().unwrap();
    let rocks = open(&folder.path().join("live")).unwrap();
    let error = rocks.checkpoint(folder.path()).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Exists(_)), "{error}");
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(
        rocks.checkpoint(nowhere).await,
        Err(ArchiveError::Failed(_))
    ));
}

#[tokio::test]
async fn a_crash_behind_a_backup_leaves_both_whole() {
    let folder = TempDir::new().unwrap();
    let (live, copy) = (folder.path().join("live"), folder.path().join("backup"));
    let rocks = open(&live).unwrap();
    rocks.commit(put("a", "x")).await.unwrap();
    rocks.checkpoint(&copy).await.unwrap();
    rocks.commit(put("a", "y")).await.unwrap();
    let dead = folder.path().join("dead");
    crash(&live, &dead);
    assert_eq!(get(&open(&dead).unwrap(), "a").await, Some("y".into()));
    assert_eq!(get(&open(&copy).unwrap(), "a").await, Some("x".into()));
}

#[tokio::test]
async fn a_closed_engine_refuses_and_wakes_nobody() {
    let folder = TempDir::new().unwrap();
    let rocks = open(folder.path()).unwrap();
    let view = rocks.snapshot().await.unwrap();
    let waiting = rocks.commit(put("a", "x"));
    rocks.close();
    waiting.await.unwrap();
    let refused = rocks.commit(put("b", "x")).await.unwrap_err();
    assert_eq!(refused, CommitError::Unavailable(Unavailable::Closed));
    assert!(rocks.snapshot().await.is_err());
    assert!(matches!(
        rocks.checkpoint("x").await,
        Err(ArchiveError::Closed)
    ));
    let mut changed = rocks.changed(Position::ZERO);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(changed.as_mut().poll(&mut context).is_pending());
    // A view outlives its engine.
    assert_eq!(crate::testing::get_from(&*view, "a").await, None);
}

#[tokio::test]
async fn a_clean_end_leaves_an_empty_journal_and_no_gap() {
    let folder = TempDir::new().unwrap();
    let rocks = open(folder.path()).unwrap();
    let last = rocks.commit(crate::testing::lazy("a")).await.unwrap();
    drop(rocks);
    let rocks = open(folder.path()).unwrap();
    assert_eq!(rocks.snapshot().await.unwrap().position(), last);
    let next = rocks.commit(put("b", "x")).await.unwrap();
    assert_eq!(Some(next), last.successor());
    assert!(newest(folder.path(), "log").metadata().unwrap().len() < 2_000);
}

#[tokio::test]
async fn an_expired_view_says_so() {
    let folder = TempDir::new().unwrap();
    let hand = Hand::default();
    let rocks = Rocks::open(folder.path(), &keyspaces(), hand.options()).unwrap();
    let view = rocks.snapshot().await.unwrap();
    hand.advance(Duration::from_secs(5));
    assert!(view.get_many(&[key(POINT, "a")]).await.is_ok());
    hand.advance(Duration::from_millis(1));
    let read = view
        .scan(Range::prefix(&key(SCAN, "")), Direction::Forward, 1)
        .await;
    assert_eq!(read, Err(ReadError::Expired));
}

/// Table files whose ranges overlap: row `number` is in file `number % FILES`.
async fn write_overlapping_files(folder: &Path, rows: usize) {
    const FILES: usize = 6;
    for file in 0..FILES {
        let rocks = open(folder).unwrap();
        for number in (file..rows).step_by(FILES) {
            let mut commit = Commit::synced();
            commit.durability = belfry_kv::Durability::Lazy;
            for tag in [POINT, SCAN, LOG] {
                let key = key(tag, format!("{number:04}"));
                let value = vec![b'x'; 300 + (number * 37) % 1_500];
                commit.writes.push(Write::Put(key, value.into()));
            }
            rocks.commit(commit).await.unwrap();
        }
    }
}

/// A batched read that meets a block outside of the cache in a newer file, while the row is in an
/// older one, was answered by `RocksDB` with an empty row.
#[tokio::test]
async fn a_row_outside_of_the_cache_is_never_read_as_an_empty_one() {
    const ROWS: usize = 1_500;
    let folder = TempDir::new().unwrap();
    write_overlapping_files(folder.path(), ROWS).await;
    // Indexes and filters fit, blocks of rows come and go.
    let mut options = Hand::default().options();
    options.cache_bytes = 400 << 10;
    let rocks = Rocks::open(folder.path(), &keyspaces(), options).unwrap();
    for number in (0..ROWS * 8).map(|step| step * 701 % ROWS) {
        let view = rocks.snapshot().await.unwrap();
        let asked: Vec<Key> = [(LOG, 0), (POINT, 3), (LOG, 5), (SCAN, 1)]
            .map(|(tag, step)| key(tag, format!("{:04}", (number + step) % ROWS)))
            .to_vec();
        let got = view.get_many(&asked).await.unwrap();
        assert!(
            got.iter()
                .all(|row| row.as_ref().is_some_and(|row| row.len() >= 300)),
            "{asked:?}"
        );
    }
}
