//! What the tests of this crate are made of: names, hashes, an engine that counts its reads.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use belfry_event::EventHash;
use belfry_kv::{
    BoxFuture, Commit, Direction, Engine, Key, Memory, Page, Position, Range, ReadError, Snapshot,
};
use bytes::Bytes;
use ruma_common::{RoomId, room_id};

use crate::{
    column::RoomKey,
    state::{NodeHash, Root, StateTuple, WorkingSet},
    tables::{STATE_NODE, StateNode},
};

/// Whether tests are to write what they would compare with. Set when the tests are *built*.
pub(crate) const WRITE_FIXTURES: bool = option_env!("BELFRY_WRITE_FIXTURES").is_some();

/// Writes a file of this crate.
pub(crate) fn write_fixture(name: &str, text: &str) {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, text).unwrap();
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    format!("{:02x}", Bytes::copy_from_slice(bytes))
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

pub(crate) fn room() -> &'static RoomId {
    room_id!("!room:example.org")
}

pub(crate) fn tuple(number: usize) -> StateTuple {
    StateTuple::member(&format!("@user{number}:example.org")).unwrap()
}

pub(crate) fn hash(number: usize) -> EventHash {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    EventHash::from(bytes)
}

/// A state with the members `numbers`, each set by the event of the same number.
pub(crate) fn members(set: &mut WorkingSet, numbers: impl IntoIterator<Item = usize>) -> Root {
    let changes = numbers.into_iter().map(|n| (tuple(n), Some(hash(n))));
    set.apply(Root::EMPTY, &changes.collect()).unwrap()
}

pub(crate) fn put_nodes(commit: &mut Commit, room: &RoomId, nodes: Vec<(NodeHash, Bytes)>) {
    for (hash, bytes) in nodes {
        STATE_NODE.put(commit, &(RoomKey::from(room), hash.0), &StateNode(bytes));
    }
}

/// Stores what these roots need.
pub(crate) async fn store(engine: &Memory, set: &mut WorkingSet, roots: &[Root]) {
    let nodes = set.take_writes(roots);
    for chunk in nodes.chunks(500) {
        let mut commit = Commit::synced();
        put_nodes(&mut commit, room(), chunk.to_vec());
        engine.commit(commit).await.unwrap();
    }
}

/// A snapshot that counts round trips and the rows that they gave.
pub(crate) struct Counted {
    inner: Arc<dyn Snapshot>,
    pub(crate) trips: AtomicUsize,
    pub(crate) rows: AtomicUsize,
}

impl Counted {
    pub(crate) async fn new(engine: &Memory) -> Self {
        Self {
            inner: engine.snapshot().await.unwrap(),
            trips: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
        }
    }

    pub(crate) fn trips(&self) -> usize {
        self.trips.load(Ordering::Relaxed)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }
}

impl Snapshot for Counted {
    fn position(&self) -> Position {
        self.inner.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(keys.len(), Ordering::Relaxed);
        self.inner.get_many(keys)
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.inner.scan(range, direction, limit)
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.inner.scan_many(ranges, limit_each)
    }
}
