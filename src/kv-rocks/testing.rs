//! What the tests of this crate share: three tables, a clock that a test moves, copies of a folder
//! as a crash leaves it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use belfry_kv::{
    Commit, Engine, Key, Keyspace, Kind, Position, Shape, Snapshot, Temperature, Write,
};
use bytes::Bytes;

use crate::{OpenError, Options, Rocks};

pub(crate) const POINT: u8 = 1;
pub(crate) const SCAN: u8 = 2;
pub(crate) const COUNTER: u8 = 3;
pub(crate) const LOG: u8 = 4;

pub(crate) fn keyspaces() -> Vec<Keyspace> {
    let space = |name, tag, shape, temperature| Keyspace {
        name,
        tag,
        shape,
        temperature,
        kind: Kind::Ground,
        row_version: 0,
    };
    vec![
        space("points", POINT, Shape::Point, Temperature::Hot),
        space("scans", SCAN, Shape::Scan, Temperature::Hot),
        space("counters", COUNTER, Shape::Counter, Temperature::Hot),
        space("logs", LOG, Shape::Log, Temperature::Cold),
    ]
}

/// A clock that stands still until a test moves it.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        let by_us = u64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(by_us, Ordering::SeqCst);
    }

    pub(crate) fn options(&self) -> Options {
        let hand = self.clone();
        let mut options = Options::new(Arc::new(move || {
            Duration::from_micros(hand.0.load(Ordering::SeqCst))
        }));
        options.free_disk_min_bytes = 0;
        options
    }
}

pub(crate) fn open(path: &Path) -> Result<Rocks, OpenError> {
    Rocks::open(path, &keyspaces(), Hand::default().options())
}

pub(crate) fn key(tag: u8, name: impl std::fmt::Display) -> Key {
    Key::new([&[tag], name.to_string().as_bytes()].concat())
}

pub(crate) fn put(name: impl std::fmt::Display, value: impl Into<Bytes>) -> Commit {
    let mut commit = Commit::synced();
    commit
        .writes
        .push(Write::Put(key(POINT, name), value.into()));
    commit
}

pub(crate) fn lazy(name: impl std::fmt::Display) -> Commit {
    let mut commit = put(name, "lazy");
    commit.durability = belfry_kv::Durability::Lazy;
    commit
}

pub(crate) async fn get(rocks: &Rocks, name: impl std::fmt::Display) -> Option<Bytes> {
    let view = rocks.snapshot().await.unwrap();
    get_from(&*view, name).await
}

pub(crate) async fn get_from(view: &dyn Snapshot, name: impl std::fmt::Display) -> Option<Bytes> {
    let keys = [key(POINT, name)];
    view.get_many(&keys).await.unwrap().pop().flatten()
}

pub(crate) fn at(number: u128) -> Position {
    Position::new(number).unwrap()
}

/// The folder as `kill -9` would leave it now: what was written, synced or not. Only while nothing
/// is being compacted.
pub(crate) fn crash(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // First what names the others, so that none named is missing; the journal last.
    files.sort_by_key(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let named = !(name == "CURRENT" || name.starts_with("MANIFEST"));
        let journal = file.extension().is_some_and(|kind| kind == "log");
        (named, journal, name)
    });
    for file in files {
        match fs::copy(&file, to.join(file.file_name().unwrap())) {
            // It was being deleted when the copy began: nothing names it any more.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
}

/// The newest file of a kind that is not empty.
pub(crate) fn newest(folder: &Path, extension: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|kind| kind == extension))
        .filter(|file| file.metadata().unwrap().len() > 0)
        .collect();
    files.sort();
    files.pop().unwrap()
}

/// Changes one byte of a file.
pub(crate) fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x40;
    fs::write(file, bytes).unwrap();
}

/// The folder as a loss of power may leave it: only what is known to be on disk.
pub(crate) fn lose_power(rocks: &Rocks, from: &Path, to: &Path) {
    let durable = rocks.durable();
    rocks.keep_files();
    crash(from, to);
    let journal = newest(to, "log");
    if let Some(end) = crate::wal::end_of(&journal, durable) {
        let file = fs::File::options().write(true).open(&journal).unwrap();
        file.set_len(end).unwrap();
    }
}
