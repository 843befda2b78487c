//! What only whole processes can show: killed in the middle, refused as the second, short of file
//! descriptors, of file size, of disk.
//!
//! Each test starts this binary again as a process of its own, with [`work`] as its only test and
//! the job in its environment.
#![expect(
    clippy::disallowed_methods,
    reason = "processes hand each other their jobs by the environment, and wait for real disks"
)]

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use belfry_kv::{
    Commit, CommitError, Durability, Engine, Key, Keyspace, Kind, Position, Shape, Temperature,
    Unavailable, Write,
};
use tempfile::TempDir;

use crate::{Options, Rocks};

const JOB: &str = "BELFRY_TEST_JOB";
const FOLDER: &str = "BELFRY_TEST_FOLDER";
const ROWS: Keyspace = Keyspace {
    name: "rows",
    tag: 1,
    shape: Shape::Point,
    temperature: Temperature::Hot,
    kind: Kind::Ground,
    row_version: 0,
};

fn options() -> Options {
    let start = Instant::now();
    let mut options = Options::new(Arc::new(move || start.elapsed()));
    options.free_disk_min_bytes = 0;
    options
}

fn open(folder: &Path) -> Rocks {
    Rocks::open(folder, &[ROWS], options()).unwrap()
}

fn key(number: u64) -> Key {
    Key::new([&[ROWS.tag], number.to_be_bytes().as_slice()].concat())
}

/// Bytes that no compression makes smaller, so that tables need as much space as the journal.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let step = |state: &mut u64| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some(state.to_be_bytes()[0])
    };
    std::iter::repeat_with(|| ())
        .scan(seed, |state, ()| step(state))
        .take(bytes)
        .collect()
}

fn put(number: u64, bytes: usize, durability: Durability) -> Commit {
    let mut commit = Commit::synced();
    commit.durability = durability;
    commit
        .writes
        .push(Write::Put(key(number), noise(number, bytes).into()));
    commit
}

fn synced(number: u64) -> Commit {
    put(number, 1_000, Durability::Synced)
}

async fn has(rocks: &Rocks, number: u64) -> bool {
    let view = rocks.snapshot().await.unwrap();
    view.get_many(&[key(number)]).await.unwrap()[0].is_some()
}

/// This binary as a process that does `job`; `shell` is what a shell does first.
fn start(job: &str, folder: &Path, shell: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let script = format!(
        "{shell} exec \"$0\" --exact process_tests::work --ignored --nocapture --test-threads=1"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(JOB, job)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// What the process reports, each line begun by `: ` to tell it from the test harness's own.
fn report(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    lines.find_map(|line| Some(line.ok()?.strip_prefix(": ")?.to_owned()))
}

fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n: {line}").unwrap();
}

#[tokio::test]
#[ignore = "a process of its own, started by the tests below"]
async fn work() {
    let (Ok(job), Some(folder)) = (env::var(JOB), env::var_os(FOLDER)) else {
        panic!("started by hand");
    };
    let folder = Path::new(&folder);
    match job.as_str() {
        "storm" => storm(folder).await,
        "open" => match Rocks::open(folder, &[ROWS], options()) {
            Ok(_) => say("opened"),
            Err(error) => say(error),
        },
        "many files" => many_files(folder).await,
        "small files" => small_files(folder).await,
        "small disk" => small_disk(folder).await,
        _ => panic!("no such job: {job}"),
    }
}

/// Commits until it is killed, each seventh synced.
async fn storm(folder: &Path) {
    let rocks = open(folder);
    let first = u64::try_from(rocks.snapshot().await.unwrap().position().number()).unwrap();
    for number in first.. {
        let lazy = !number.is_multiple_of(7);
        let durability = if lazy {
            Durability::Lazy
        } else {
            Durability::Synced
        };
        let position = rocks.commit(put(number, 100, durability)).await.unwrap();
        say(format!("{number} {lazy} {}", position.number()));
    }
}

#[tokio::test]
async fn a_killed_server_loses_nothing_acknowledged_and_gives_no_position_twice() {
    let folder = TempDir::new().unwrap();
    let (mut acknowledged, mut seen) = (Vec::new(), 0);
    for round in 0..6 {
        let (mut child, mut lines) = start("storm", folder.path(), "");
        for _ in 0..20 + round * 37 {
            let line = report(&mut lines).unwrap();
            let mut words = line.split(' ');
            let number: u64 = words.next().unwrap().parse().unwrap();
            if words.next() == Some("false") {
                acknowledged.push(number);
            }
            let position: u128 = words.next().unwrap().parse().unwrap();
            assert!(position > seen, "{position} was given before");
            seen = position;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it gave before it died, and nobody read any more.
        let unread = lines.filter_map(|line| line.ok()?.rsplit(' ').next()?.parse().ok());
        seen = unread.fold(seen, u128::max);
    }
    let rocks = open(folder.path());
    for number in acknowledged {
        assert!(has(&rocks, number).await, "row {number} is lost");
    }
    assert!(rocks.commit(synced(0)).await.unwrap() > Position::new(seen).unwrap());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = TempDir::new().unwrap();
    let rocks = open(folder.path());
    let (mut child, mut lines) = start("open", folder.path(), "");
    let said = report(&mut lines).unwrap();
    child.wait().unwrap();
    assert!(said.contains("in use by another process"), "{said}");
    rocks.commit(synced(1)).await.unwrap();
}

#[test]
fn too_few_file_descriptors_are_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let (mut child, mut lines) = start("open", folder.path(), "ulimit -n 100;");
    let said = report(&mut lines).unwrap();
    child.wait().unwrap();
    assert!(said.contains("LimitNOFILE"), "{said}");
}

/// Fills more table files than the process may open, then reads them all.
async fn many_files(folder: &Path) {
    let mut small = options();
    small.write_buffer_bytes = 64 << 10;
    let rocks = Rocks::open(folder, &[ROWS], small).unwrap();
    let sent: Vec<_> = (0..4_000)
        .map(|number| rocks.commit(synced(number)))
        .collect();
    for answer in sent {
        answer.await.unwrap();
    }
    rocks.census().await.unwrap();
    for number in (0..4_000).step_by(100) {
        assert!(has(&rocks, number).await);
    }
    say("worked");
}

#[test]
fn it_works_with_256_file_descriptors() {
    let folder = TempDir::new().unwrap();
    let (mut child, mut lines) = start("many files", folder.path(), "ulimit -n 256;");
    assert_eq!(report(&mut lines).as_deref(), Some("worked"));
    assert!(child.wait().unwrap().success());
}

/// Commits until a write fails, then checks what still works.
async fn small_files(folder: &Path) {
    let rocks = open(folder);
    let mut number = 0;
    let failed = loop {
        match rocks.commit(synced(number)).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, CommitError::Unknown(_)), "{failed}");
    let refused = rocks.commit(synced(number + 1)).await.unwrap_err();
    assert!(
        matches!(refused, CommitError::Unavailable(Unavailable::Failed(_))),
        "{refused}"
    );
    for number in 0..number {
        assert!(
            has(&rocks, number).await,
            "row {number} cannot be read any more"
        );
    }
    say(number);
    say(refused);
}

#[tokio::test]
async fn a_failed_write_stops_writes_not_reads_until_a_restart() {
    let folder = TempDir::new().unwrap();
    // A write beyond the limit fails, as on a broken disk, instead of ending the process.
    let limited = "trap '' XFSZ; ulimit -f 500;";
    let (mut child, mut lines) = start("small files", folder.path(), limited);
    let count: u64 = report(&mut lines).unwrap().parse().unwrap();
    let refused = report(&mut lines).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        count > 100 && refused.contains("restart"),
        "{count}: {refused}"
    );
    let rocks = open(folder.path());
    for number in 0..count {
        assert!(has(&rocks, number).await, "row {number} is lost");
    }
    rocks.commit(synced(count)).await.unwrap();
}

/// The file system that [`small_disk`] fills.
const SMALL_DISK_BYTES: u64 = 64 << 20;
/// What it frees again.
const BALLAST_BYTES: usize = 24 << 20;

/// Fills the disk, frees some of it, goes on; says how far it came.
async fn small_disk(folder: &Path) {
    if crate::options::free_disk_bytes(folder).unwrap() > SMALL_DISK_BYTES {
        // Filling the machine's own disk is nothing that a test may do.
        return say("skipped: the mounted file system is not limited");
    }
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();
    // RocksDB goes on once half of this is free.
    let mut small = options();
    small.write_buffer_bytes = 8 << 20;
    let rocks = Rocks::open(folder.join("database"), &[ROWS], small).unwrap();
    let number = fill(&rocks).await;
    say("full");
    assert!(has(&rocks, 0).await, "reads go on");
    std::fs::remove_file(ballast).unwrap();
    let freed_at = Instant::now();
    while let Err(error) = rocks.commit(synced(number)).await {
        assert_eq!(error, CommitError::Unavailable(Unavailable::DiskFull));
        assert!(
            freed_at.elapsed() < Duration::from_mins(1),
            "writes do not return"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for number in 0..=number {
        assert!(has(&rocks, number).await, "row {number} is lost");
    }
    say("recovered");
    drop(rocks);
    say("closed");
    let rocks = open(&folder.join("database"));
    for number in 0..=number {
        assert!(
            has(&rocks, number).await,
            "row {number} is lost after the restart"
        );
    }
    say("opened again");
}

/// Commits until the disk is full; how many were acknowledged.
async fn fill(rocks: &Rocks) -> u64 {
    let mut number = 0;
    let failed = loop {
        match rocks.commit(put(number, 90_000, Durability::Synced)).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    // The journal found no space, or a flush did and writes are held back for it.
    assert!(failed.to_string().contains("No space left"), "{failed}");
    let refused = rocks.commit(synced(number)).await.unwrap_err();
    assert_eq!(refused, CommitError::Unavailable(Unavailable::DiskFull));
    number
}

#[test]
fn a_full_disk_stops_writes_until_it_has_space_again() {
    let spaces = Command::new("unshare").args(["-rm", "true"]).status();
    if !spaces.is_ok_and(|status| status.success()) {
        // Nothing can be mounted here; the guard before it is tested with an injected disk.
        eprintln!("skipped: no user namespaces");
        return;
    }
    let folder = TempDir::new().unwrap();
    // A process that stands still is ended, and has said how far it came.
    let mounted = format!(
        "exec timeout -s ABRT 180 unshare -rm sh -c 'mount -t tmpfs -o size={SMALL_DISK_BYTES} none {} \
         && exec \"$0\" --exact process_tests::work --ignored --nocapture' \"$0\";",
        folder.path().display()
    );
    let (mut child, mut lines) = start("small disk", folder.path(), &mounted);
    let first = report(&mut lines).unwrap_or_default();
    if first.starts_with("skipped") {
        eprintln!("{first}");
    } else {
        assert_eq!(first, "full");
        for step in ["recovered", "closed", "opened again"] {
            assert_eq!(report(&mut lines).as_deref(), Some(step));
        }
    }
    assert!(child.wait().unwrap().success());
}
