//! The rows of a stopped server's database, changed as no server would.

use std::{sync::Arc, time::Duration};

use belfry_kv::{Commit, Direction, Engine, Key, Keyspace, Range, Write};
use belfry_kv_rocks::{Options, Rocks};
use tokio::runtime::{Builder, Runtime};

use crate::process::Place;

/// An open database.
pub(crate) struct Rows {
    rocks: Rocks,
    runtime: Runtime,
}

impl Rows {
    pub(crate) fn open(place: &Place) -> Self {
        let options = Options::new(Arc::new(|| Duration::ZERO));
        let folder = place.path("data/db");
        Self {
            rocks: Rocks::open(folder, belfry_data::keyspaces(), options).unwrap(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    /// The table's first row.
    pub(crate) fn first(&self, table: &str) -> (Key, Vec<u8>) {
        let read = async {
            let snapshot = self.rocks.snapshot().await.unwrap();
            let range = Range::table(space(table));
            snapshot.scan(range, Direction::Forward, 1).await.unwrap()
        };
        let (key, row) = self.runtime.block_on(read).rows.remove(0);
        (key, row.to_vec())
    }

    /// Writes a row.
    pub(crate) fn put(&self, key: &Key, row: &[u8]) {
        let mut commit = Commit::synced();
        commit
            .writes
            .push(Write::Put(key.clone(), row.to_vec().into()));
        self.runtime.block_on(self.rocks.commit(commit)).unwrap();
    }

    /// Writes a row of this table with these columns.
    pub(crate) fn put_new(&self, table: &str, columns: &[u8], row: &[u8]) {
        let key = [&[space(table).tag], columns].concat();
        self.put(&Key::new(key), row);
    }

    pub(crate) fn close(self) {
        self.rocks.close();
    }
}

fn space(table: &str) -> &'static Keyspace {
    let mut spaces = belfry_data::keyspaces().iter();
    spaces.find(|space| space.name == table).unwrap()
}
