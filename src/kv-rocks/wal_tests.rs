//! The audit against journals that `RocksDB` wrote and a test damaged.

use std::{fs, path::Path};

use belfry_kv::{Commit, Engine};
use tempfile::TempDir;

use crate::{
    OpenError, Rocks,
    testing::{crash, flip, get, lazy, newest, open, put},
    wal::{Verdict, audit},
};

/// What a crash leaves after these commits, one group each.
async fn crashed_after(commits: Vec<Commit>) -> TempDir {
    let (alive, dead) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let rocks = open(alive.path()).unwrap();
    for commit in commits {
        rocks.commit(commit).await.unwrap();
    }
    crash(alive.path(), dead.path());
    dead
}

async fn crashed_with_rows(count: usize, bytes: usize) -> TempDir {
    let row = |number| put(format!("row-{number:03}"), vec![b'x'; bytes]);
    crashed_after((0..count).map(row).collect()).await
}

/// Where in the folder's journal the row's key is.
fn find(folder: &Path, row: &str) -> usize {
    let journal = fs::read(newest(folder, "log")).unwrap();
    let mut windows = journal.windows(row.len());
    windows.position(|window| window == row.as_bytes()).unwrap()
}

fn refusal(folder: &Path) -> String {
    let before = contents(folder);
    let error = open(folder).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(contents(folder), before, "a refused database was changed");
    error.to_string()
}

fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| !file.ends_with("belfry.lock"))
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    files.sort();
    files
}

async fn rows(rocks: &Rocks, count: usize) -> usize {
    let mut found = 0;
    for number in 0..count {
        found += usize::from(get(rocks, format!("row-{number:03}")).await.is_some());
    }
    found
}

#[tokio::test]
async fn a_sound_journal_is_intact_and_replayed() {
    for bytes in [10, 50_000] {
        let folder = crashed_with_rows(20, bytes).await;
        assert_eq!(audit(folder.path()).unwrap(), Verdict::Intact);
        assert_eq!(rows(&open(folder.path()).unwrap(), 20).await, 20);
    }
}

#[tokio::test]
async fn any_flipped_byte_of_a_middle_record_is_refused() {
    let folder = crashed_with_rows(20, 10).await;
    let journal = newest(folder.path(), "log");
    let (from, to) = (
        find(folder.path(), "row-005"),
        find(folder.path(), "row-006"),
    );
    for at in from..to {
        flip(&journal, at);
        assert!(audit(folder.path()).is_err(), "byte {at} of {from}..{to}");
        flip(&journal, at);
    }
    flip(&journal, from);
    let text = refusal(folder.path());
    assert!(
        text.contains("restore a backup") && text.contains(".log"),
        "{text}"
    );
}

#[tokio::test]
async fn a_flipped_byte_in_a_record_of_many_blocks_is_refused() {
    let folder = crashed_with_rows(10, 90_000).await;
    let journal = newest(folder.path(), "log");
    let from = find(folder.path(), "row-003");
    for at in [from, from + 40_000, from + 80_000] {
        flip(&journal, at);
        refusal(folder.path());
        flip(&journal, at);
    }
}

#[tokio::test]
async fn a_torn_last_record_is_left_out_wherever_it_is_torn() {
    let folder = crashed_with_rows(20, 10).await;
    let journal = newest(folder.path(), "log");
    let whole = fs::read(&journal).unwrap();
    let last = find(folder.path(), "row-019");
    for end in [last - 30, last - 3, last, last + 5, whole.len() - 1] {
        fs::write(&journal, &whole[..end]).unwrap();
        let verdict = audit(folder.path()).unwrap();
        assert!(
            matches!(verdict, Verdict::Torn { .. }),
            "{end}: {verdict:?}"
        );
    }
    let rocks = open(folder.path()).unwrap();
    assert_eq!(rows(&rocks, 20).await, 19);
    rocks.commit(put("row-019", "again")).await.unwrap();
    drop(rocks);
    assert_eq!(rows(&open(folder.path()).unwrap(), 20).await, 20);
}

#[tokio::test]
async fn a_torn_record_of_many_blocks_is_left_out() {
    let folder = crashed_with_rows(4, 90_000).await;
    let journal = newest(folder.path(), "log");
    let last = find(folder.path(), "row-003");
    // The first page never reached the disk, the others did.
    let mut torn = fs::read(&journal).unwrap();
    torn[last - 39..last + 4_096].fill(0);
    fs::write(&journal, torn).unwrap();
    assert_eq!(rows(&open(folder.path()).unwrap(), 4).await, 3);
}

#[tokio::test]
async fn zeros_behind_the_last_record_are_an_unfinished_end() {
    let folder = crashed_with_rows(5, 10).await;
    let journal = newest(folder.path(), "log");
    let mut padded = fs::read(&journal).unwrap();
    padded.resize(padded.len() + 100_000, 0);
    fs::write(&journal, padded).unwrap();
    assert_eq!(rows(&open(folder.path()).unwrap(), 5).await, 5);
}

#[tokio::test]
async fn a_damaged_lazy_row_is_no_loss_until_something_synced_stands_behind_it() {
    let commits = vec![put("row-000", "x"), lazy("row-001"), put("row-002", "x")];
    // The sync that would have covered rows 1 and 2 may not have been over.
    let folder = crashed_after(commits.clone()).await;
    flip(
        &newest(folder.path(), "log"),
        find(folder.path(), "row-001"),
    );
    assert_eq!(rows(&open(folder.path()).unwrap(), 3).await, 1);

    let synced = [commits, vec![put("row-003", "x")]].concat();
    let folder = crashed_after(synced).await;
    flip(
        &newest(folder.path(), "log"),
        find(folder.path(), "row-001"),
    );
    refusal(folder.path());
}

#[tokio::test]
async fn a_stored_row_that_looks_like_a_record_is_not_taken_for_one() {
    let (alive, dead) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let rocks = open(alive.path()).unwrap();
    rocks.commit(put("row-000", "x")).await.unwrap();
    let record = fs::read(newest(alive.path(), "log")).unwrap();
    rocks.commit(put("row-001", record)).await.unwrap();
    crash(alive.path(), dead.path());
    // The record that holds it is whole, so what is in it is not looked at.
    assert_eq!(audit(dead.path()).unwrap(), Verdict::Intact);
}

#[tokio::test]
async fn a_lost_current_file_is_not_taken_for_an_empty_folder() {
    let folder = crashed_with_rows(3, 10).await;
    fs::remove_file(folder.path().join("CURRENT")).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("CURRENT"), "{text}");
}
