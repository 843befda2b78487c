//! Tables of numbers that many commits add to without reading them first.
//!
//! Exists because a counter's absent row is 0, which a [`Table`]'s is not. Knows no engine.

use crate::{
    codec::{KeyCodec, KeyPrefix},
    contract::{Check, Commit, Direction, ReadError, Snapshot, Write},
    key::{Key, Keyspace, Range},
    table::{Rows, Table},
};

/// A keyspace of [`crate::Shape::Counter`] with typed keys, made as a `static`.
pub struct Counter<K>(Table<K, i64>);

impl<K: KeyCodec> Counter<K> {
    /// The counters of a keyspace.
    ///
    /// # Panics
    /// At compile time if it initialises a static: a shape other than `Counter`, a tag of 255, a
    /// `row_version` other than 0 (counters have no version byte).
    pub const fn new(space: Keyspace) -> Self {
        Self(Table::new(space))
    }

    /// Name, tag, shape and so on.
    pub const fn space(&self) -> &Keyspace {
        self.0.space()
    }

    /// The key of a counter.
    pub fn key(&self, key: &K) -> Key {
        self.0.key(key)
    }

    /// All counters.
    pub fn whole(&self) -> Range {
        self.0.whole()
    }

    /// The counters whose keys begin with these columns.
    pub fn prefix(&self, prefix: &impl KeyPrefix<K>) -> Range {
        self.0.prefix(prefix)
    }

    /// What was counted; 0 if nothing ever was.
    pub async fn get(&self, snapshot: &dyn Snapshot, key: &K) -> Result<i64, ReadError> {
        Ok(self.0.get(snapshot, key).await?.unwrap_or_default())
    }

    /// Many counters, in the order asked; one round trip. At most [`crate::GET_MANY_KEYS_MAX`].
    pub async fn get_many(
        &self,
        snapshot: &dyn Snapshot,
        keys: &[K],
    ) -> Result<Vec<i64>, ReadError> {
        let counts = self.0.get_many(snapshot, keys).await?;
        Ok(counts.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// At most `limit` of the counters that have a row, 0 among them; see [`Snapshot::scan`].
    pub async fn scan(
        &self,
        snapshot: &dyn Snapshot,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows<K, i64>, ReadError> {
        self.0.scan(snapshot, range, direction, limit).await
    }

    /// Adds to the counter; saturates at the ends of `i64`.
    pub fn add(&self, commit: &mut Commit, key: &K, amount: i64) {
        commit.writes.push(Write::Add(self.key(key), amount));
    }

    /// Sets the counter whatever it is, as a rebuild does.
    pub fn put(&self, commit: &mut Commit, key: &K, count: i64) {
        self.0.put(commit, key, &count);
    }

    /// Removes the counter's row, so that it is 0 again.
    pub fn delete(&self, commit: &mut Commit, key: &K) {
        self.0.delete(commit, key);
    }

    /// Removes every counter whose key begins with these columns.
    pub fn delete_prefix(&self, commit: &mut Commit, prefix: &impl KeyPrefix<K>) {
        self.0.delete_prefix(commit, prefix);
    }

    /// The commit applies only if the counter lies within `min..=max` before the commit's own
    /// writes: to keep a quota, add `amount` and check `max - amount`.
    pub fn check_within(&self, commit: &mut Commit, key: &K, min: i64, max: i64) {
        let key = self.key(key);
        commit.checks.push(Check::Within { key, min, max });
    }
}
