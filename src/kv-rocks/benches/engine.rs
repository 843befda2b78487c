//! Measures the engine beside the disk it works on; the figures go into `docs/adr/0002` and `0003`.
//!
//! `cargo bench -p belfry-kv-rocks` measures everything; name parts to measure less
//! (`-- write read open columns`), and a folder with a slash in it to measure another disk.
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the time, and starts itself again to weigh an empty process"
)]

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use belfry_kv::{
    Check, Commit, Direction, Engine, Key, Keyspace, Kind, Range, Shape, Temperature, Write,
};
use belfry_kv_rocks::{Columns, Options, Rocks};
use bytes::Bytes;
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error>>;

/// The argument with which it starts itself.
const WEIGH: &str = "weigh";
const ROWS: usize = 100_000;
const TABLES: u8 = 40;
const STORM: Duration = Duration::from_secs(1);
const LAYOUTS: [(&str, Columns); 3] = [
    ("one family", Columns::Single),
    ("family per profile", Columns::PerProfile),
    ("family per table", Columns::PerTable),
];

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == WEIGH) {
        return weigh(&arguments);
    }
    let folder = arguments.iter().find(|argument| argument.contains('/'));
    let folder = folder.map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let named: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.contains('/') && !argument.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    let wanted = |part| named.is_empty() || named.contains(&part);
    if wanted("write") {
        runtime.block_on(write(&folder))?;
    }
    if wanted("read") {
        runtime.block_on(read(&folder))?;
    }
    if wanted("open") {
        runtime.block_on(open(&folder))?;
    }
    if wanted("columns") {
        runtime.block_on(columns(&folder))?;
    }
    Ok(())
}

fn options() -> Options {
    let start = Instant::now();
    let mut options = Options::new(Arc::new(move || start.elapsed()));
    options.free_disk_min_bytes = 0;
    options
}

/// 40 tables of all shapes.
fn keyspaces() -> Vec<Keyspace> {
    let shapes = [
        Shape::Point,
        Shape::Scan,
        Shape::Queue,
        Shape::Log,
        Shape::Counter,
    ];
    (1..=TABLES)
        .map(|tag| Keyspace {
            name: "table",
            tag,
            shape: shapes[usize::from(tag) % shapes.len()],
            temperature: if tag % 4 == 0 {
                Temperature::Cold
            } else {
                Temperature::Hot
            },
            kind: Kind::Ground,
            row_version: 0,
        })
        .collect()
}

/// A tag of the shape.
fn tag(shape: Shape) -> u8 {
    let spaces = keyspaces();
    let found = spaces.iter().find(|space| space.shape == shape);
    found.map_or(1, |space| space.tag)
}

fn key(tag: u8, name: impl std::fmt::Display) -> Key {
    Key::new([&[tag], name.to_string().as_bytes()].concat())
}

/// What sending a message writes, about 1.2 KB, checked against the head it builds on.
fn message(writer: usize, number: usize) -> Commit {
    let head = key(tag(Shape::Scan), format!("head-{writer}"));
    let text = |number: usize| Bytes::from(format!("{number:032}"));
    let mut commit = Commit::synced();
    commit.checks.push(match number {
        0 => Check::Absent(head.clone()),
        _ => Check::Equals(head.clone(), text(number - 1)),
    });
    let event = key(tag(Shape::Point), format!("{writer:04}-{number:028}"));
    commit.writes = vec![
        Write::Put(event, Bytes::from(vec![b'e'; 900])),
        Write::Put(head, text(number)),
        Write::Append {
            prefix: key(tag(Shape::Log), ""),
            value: text(number),
        },
        Write::Append {
            prefix: key(tag(Shape::Log), writer),
            value: text(number),
        },
        Write::Add(key(tag(Shape::Counter), writer), 1),
    ];
    commit
}

/// The middle one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What appending and syncing as many bytes as a message's batch costs without a database.
fn append(file: &mut File, times: &mut Vec<Duration>, count: usize) -> Outcome {
    let record = [7; 1_300];
    for _ in 0..count {
        let start = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(())
}

async fn write(folder: &Path) -> Outcome {
    let folder = TempDir::new_in(folder)?;
    let rocks = Arc::new(Rocks::open(
        folder.path().join("database"),
        &keyspaces(),
        options(),
    )?);
    let mut file = File::create(folder.path().join("file"))?;
    let (mut disk, mut engine) = (Vec::new(), Vec::new());
    // By turns, because a disk that others use is now fast, now slow.
    for round in 0..8 {
        append(&mut file, &mut disk, 25)?;
        for number in round * 25..(round + 1) * 25 {
            let start = Instant::now();
            rocks.commit(message(0, number)).await?;
            engine.push(start.elapsed());
        }
    }
    let (disk, engine) = (median(&mut disk), median(&mut engine));
    println!("disk: append and fdatasync   p50 {disk:>10.1?}");
    println!(
        "one writer, synced commits   p50 {engine:>10.1?}  = {:.2} x the disk",
        ratio(engine, disk)
    );
    for (kind, make) in [
        ("messages", message as Make),
        ("rows of 100 bytes", row as Make),
    ] {
        for writers in [10, 100, 500] {
            let (mut disk, mut rate) = (Vec::new(), 0.0);
            for round in 0..5 {
                append(&mut file, &mut disk, 20)?;
                let offset = (writers * 10 + round) * 1_000;
                rate += storm(&rocks, make, offset, writers).await? / 5.0;
            }
            let disk = median(&mut disk);
            let syncs = rate * disk.as_secs_f64();
            println!(
                "{writers:>3} writers, {kind}: {rate:.0} commits/s = {syncs:.1} x 1/p50 of the \
                 disk, {disk:.1?} then"
            );
        }
    }
    lazy(&rocks).await
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// How a writer makes its next commit, of its own number and a running one.
type Make = fn(usize, usize) -> Commit;

/// The least that a commit can be.
fn row(writer: usize, number: usize) -> Commit {
    let mut commit = Commit::synced();
    let row = key(tag(Shape::Point), format!("row-{writer:08}-{number:08}"));
    commit
        .writes
        .push(Write::Put(row, Bytes::from_static(&[b'x'; 100])));
    commit
}

/// Commits a second of so many writers, numbered from `offset`, each of which waits for its answer.
async fn storm(
    rocks: &Arc<Rocks>,
    make: Make,
    offset: usize,
    writers: usize,
) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let tasks: Vec<_> = (offset..offset + writers)
        .map(|writer| {
            let rocks = Arc::clone(rocks);
            tokio::spawn(async move {
                let mut number = 0;
                while start.elapsed() < STORM {
                    rocks.commit(make(writer, number)).await?;
                    number += 1;
                }
                Ok::<_, belfry_kv::CommitError>(number)
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    let total = u32::try_from(total)?;
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

async fn lazy(rocks: &Rocks) -> Outcome {
    let mut times = Vec::new();
    for number in 0..2_000 {
        let mut commit = message(usize::MAX, number);
        commit.durability = belfry_kv::Durability::Lazy;
        let start = Instant::now();
        rocks.commit(commit).await?;
        times.push(start.elapsed());
    }
    println!(
        "one writer, lazy commits     p50 {:>10.1?}",
        median(&mut times)
    );
    Ok(())
}

/// Rows spread over all tables, about 200 bytes each.
async fn fill(rocks: &Rocks) -> Outcome {
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(1_000) {
        let mut commit = Commit::synced();
        for number in chunk {
            let tag = 1 + u8::try_from(number % usize::from(TABLES))?;
            let row = format!("!room-{:05}:server.example/{number:08}", number % 997);
            let value = format!(
                "{{\"number\":{number},\"body\":\"{}\"}}",
                "text ".repeat(30)
            );
            commit.writes.push(Write::Put(key(tag, row), value.into()));
        }
        rocks.commit(commit).await?;
    }
    Ok(())
}

async fn read(folder: &Path) -> Outcome {
    let folder = TempDir::new_in(folder)?;
    let rocks = Rocks::open(folder.path(), &keyspaces(), options())?;
    fill(&rocks).await?;
    drop(rocks);
    let rocks = Rocks::open(folder.path(), &keyspaces(), options())?;
    let space = tag(Shape::Scan);
    let numbers: Vec<usize> = (0..ROWS)
        .filter(|number| 1 + number % 40 == usize::from(space))
        .collect();
    let keys: Vec<Key> = numbers
        .iter()
        .map(|number| {
            key(
                space,
                format!("!room-{:05}:server.example/{number:08}", number % 997),
            )
        })
        .collect();
    for (name, rounds) in [("first", 1), ("again", 5)] {
        let (mut gets, mut snapshots) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for keys in keys.chunks(20) {
                let start = Instant::now();
                let view = rocks.snapshot().await?;
                snapshots.push(start.elapsed());
                view.get_many(keys).await?;
                gets.push(start.elapsed());
            }
        }
        println!(
            "snapshot, {name}             p50 {:>10.1?}",
            median(&mut snapshots)
        );
        println!(
            "20 keys, {name}              p50 {:>10.1?}",
            median(&mut gets)
        );
    }
    let start = Instant::now();
    rocks.snapshot().await?.get_many(&keys).await?;
    println!(
        "{} keys at once, by the pool       {:>10.1?}",
        keys.len(),
        start.elapsed()
    );
    let mut scans = Vec::new();
    for room in 0..997 {
        let range = Range::prefix(&key(space, format!("!room-{room:05}:server.example/")));
        let start = Instant::now();
        let view = rocks.snapshot().await?;
        view.scan(range, Direction::Forward, 50).await?;
        scans.push(start.elapsed());
    }
    println!(
        "a scan of a few rows         p50 {:>10.1?}",
        median(&mut scans)
    );
    Ok(())
}

async fn open(folder: &Path) -> Outcome {
    let folder = TempDir::new_in(folder)?;
    let (live, dead) = (folder.path().join("live"), folder.path().join("dead"));
    let rocks = Rocks::open(&live, &keyspaces(), options())?;
    fill(&rocks).await?;
    fs::create_dir(&dead)?;
    for entry in fs::read_dir(&live)? {
        let file = entry?.path();
        fs::copy(&file, dead.join(file.file_name().unwrap_or_default()))?;
    }
    let start = Instant::now();
    drop(rocks);
    println!("close, {ROWS} rows        {:>10.1?}", start.elapsed());
    for (name, path) in [("after a clean end", live), ("after a crash", dead)] {
        let start = Instant::now();
        let rocks = Rocks::open(path, &keyspaces(), options())?;
        println!("open, {ROWS} rows, {name}: {:.1?}", start.elapsed());
        drop(rocks);
    }
    Ok(())
}

async fn columns(folder: &Path) -> Outcome {
    println!(
        "layout, {TABLES} tables | RSS empty | files open | made in | opened in | {ROWS} rows in | table files | RSS with rows | opened in"
    );
    for (name, columns) in LAYOUTS {
        let folder = TempDir::new_in(folder)?;
        let path = folder.path();
        let layout = || Options {
            columns,
            ..options()
        };
        let start = Instant::now();
        drop(Rocks::open(path, &keyspaces(), layout())?);
        let made = start.elapsed();
        let (empty, files, reopened) = weighed(path, name)?;
        let rocks = Rocks::open(path, &keyspaces(), layout())?;
        let start = Instant::now();
        fill(&rocks).await?;
        let filled = start.elapsed();
        drop(rocks);
        let tables = fs::read_dir(path)?
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "sst"))
            .count();
        let (full, _, opened) = weighed(path, name)?;
        println!(
            "{name} | {empty} | {files} | {made:.0?} | {reopened} | {filled:.1?} | {tables} | {full} | {opened}"
        );
    }
    let (bare, ..) = weighed(Path::new("/nowhere"), "nothing")?;
    println!("a process without a database: {bare}");
    Ok(())
}

/// Memory, open files and opening time of a process with the database, and nothing else.
fn weighed(path: &Path, layout: &str) -> Result<(String, String, String), Box<dyn Error>> {
    let out = Command::new(env::current_exe()?)
        .args([WEIGH, layout])
        .arg(path)
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let mut words = text.trim().split('|').map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    Ok((next(), next(), next()))
}

fn weigh(arguments: &[String]) -> Outcome {
    let [_, layout, path] = arguments else {
        return Err("weigh LAYOUT PATH".into());
    };
    let start = Instant::now();
    let columns = LAYOUTS.iter().find(|known| known.0 == layout);
    let rocks = columns
        .map(|(_, columns)| {
            Rocks::open(
                path,
                &keyspaces(),
                Options {
                    columns: *columns,
                    ..options()
                },
            )
        })
        .transpose()?;
    let opened = start.elapsed();
    let status = fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let files = fs::read_dir("/proc/self/fd")?.count();
    println!("{}|{files}|{opened:.0?}", rss.unwrap_or_default().trim());
    drop(rocks);
    Ok(())
}
