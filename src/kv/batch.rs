//! Reads of several tables in one round trip.
//!
//! Exists because a round trip is paid per step of a request, not per row. Knows no table and no
//! engine.

use std::{ops, sync::Arc};

use bytes::Bytes;

use crate::{
    codec::KeyCodec,
    contract::{GET_MANY_KEYS_MAX, ReadError, Snapshot},
    counter::Counter,
    key::Key,
    table::{Layout, Seen, Table},
};

/// Keys of any tables to be read together. At most [`GET_MANY_KEYS_MAX`].
/// The crate's documentation shows one at work.
#[derive(Debug, Default)]
pub struct Batch {
    keys: Vec<Key>,
    identity: Arc<()>,
}

/// Where the answer to one question will lie; give it to [`Got::take`].
#[must_use = "the row is read, but only its handle gives it"]
#[derive(Debug)]
pub struct Handle<T> {
    slots: ops::Range<usize>,
    batch: Arc<()>,
    table: &'static str,
    decode: Decode<T>,
}

/// From a table's name and the values asked for.
type Decode<T> = fn(&str, &mut [Option<Bytes>]) -> Result<T, ReadError>;

/// The answers to a [`Batch`].
#[derive(Debug)]
pub struct Got {
    values: Vec<Option<Bytes>>,
    batch: Arc<()>,
}

impl Batch {
    /// Asks for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys were asked for.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Asks for a row.
    pub fn get<K: KeyCodec, R: Layout>(
        &mut self,
        table: &Table<K, R>,
        key: &K,
    ) -> Handle<Option<R>> {
        self.ask(table.space().name, [table.key(key)], |name, values| {
            Ok(first::<R>(name, values)?.row)
        })
    }

    /// Asks for a row that is to be checked with [`Table::check_unchanged`].
    pub fn get_seen<K: KeyCodec, R: Layout>(
        &mut self,
        table: &Table<K, R>,
        key: &K,
    ) -> Handle<Seen<R>> {
        self.ask(table.space().name, [table.key(key)], first)
    }

    /// Asks for several rows of one table; the answer keeps their order.
    pub fn get_many<'k, K: KeyCodec + 'k, R: Layout>(
        &mut self,
        table: &Table<K, R>,
        keys: impl IntoIterator<Item = &'k K>,
    ) -> Handle<Vec<Option<R>>> {
        let keys = keys.into_iter().map(|key| table.key(key));
        self.ask(table.space().name, keys, |name, values| {
            values
                .iter_mut()
                .map(|value| Ok(Seen::decode(name, value.take())?.row))
                .collect()
        })
    }

    /// Asks for a counter.
    pub fn count<K: KeyCodec>(&mut self, counter: &Counter<K>, key: &K) -> Handle<i64> {
        self.ask(counter.space().name, [counter.key(key)], |name, values| {
            Ok(first(name, values)?.row.unwrap_or_default())
        })
    }

    /// Reads all that was asked for. [`ReadError::TooLarge`] beyond [`GET_MANY_KEYS_MAX`] keys; no
    /// round trip for none.
    pub async fn read(self, snapshot: &dyn Snapshot) -> Result<Got, ReadError> {
        if self.keys.len() > GET_MANY_KEYS_MAX {
            return Err(ReadError::TooLarge);
        }
        let values = if self.keys.is_empty() {
            Vec::new()
        } else {
            snapshot.get_many(&self.keys).await?
        };
        Ok(Got {
            values,
            batch: self.identity,
        })
    }

    fn ask<T>(
        &mut self,
        table: &'static str,
        keys: impl IntoIterator<Item = Key>,
        decode: Decode<T>,
    ) -> Handle<T> {
        let start = self.keys.len();
        self.keys.extend(keys);
        Handle {
            slots: start..self.keys.len(),
            batch: Arc::clone(&self.identity),
            table,
            decode,
        }
    }
}

impl Got {
    /// The answer that the handle stands for.
    ///
    /// # Panics
    /// If the handle is of another batch: a mistake in the caller that would mix rows up.
    pub fn take<T>(&mut self, handle: Handle<T>) -> Result<T, ReadError> {
        assert!(
            Arc::ptr_eq(&self.batch, &handle.batch),
            "a handle gives the answer of its own batch"
        );
        let values = self
            .values
            .get_mut(handle.slots)
            .ok_or_else(|| ReadError::corrupt("the engine answered fewer keys than were asked"))?;
        (handle.decode)(handle.table, values)
    }
}

fn first<R: Layout>(table: &str, values: &mut [Option<Bytes>]) -> Result<Seen<R>, ReadError> {
    Seen::decode(table, values.first_mut().and_then(Option::take))
}
