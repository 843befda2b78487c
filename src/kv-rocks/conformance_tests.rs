//! The contract's own tests, on disk.

use std::{future::Future, mem, sync::Arc, time::Duration};

use belfry_kv::{
    Engine,
    conformance::{Harness, KEYSPACES},
    engine_conformance,
};
use tempfile::TempDir;

use crate::{
    Rocks,
    testing::{Hand, lose_power},
};

struct OnDisk {
    folder: TempDir,
    hand: Hand,
    rocks: Option<Arc<Rocks>>,
}

impl OnDisk {
    fn start(folder: TempDir, hand: Hand) -> Self {
        let rocks = Rocks::open(folder.path(), &KEYSPACES, hand.options()).unwrap();
        Self {
            folder,
            hand,
            rocks: Some(Arc::new(rocks)),
        }
    }
}

impl Harness for OnDisk {
    async fn open() -> Self {
        Self::start(TempDir::new().unwrap(), Hand::default())
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(self.rocks.as_ref().unwrap()) as Arc<dyn Engine>
    }

    fn reopen(&mut self) -> impl Future<Output = ()> {
        drop(self.rocks.take());
        let rocks = Rocks::open(self.folder.path(), &KEYSPACES, self.hand.options()).unwrap();
        self.rocks = Some(Arc::new(rocks));
        std::future::ready(())
    }

    fn crash(&mut self) -> impl Future<Output = ()> {
        let left = TempDir::new().unwrap();
        let rocks = self.rocks.take().unwrap();
        lose_power(&rocks, self.folder.path(), left.path());
        let restarted = Self::start(left, self.hand.clone());
        drop(mem::replace(self, restarted));
        std::future::ready(())
    }

    fn advance(&self, time: Duration) {
        self.hand.advance(time);
    }
}

engine_conformance!(on_disk, OnDisk);
