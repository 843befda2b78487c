//! Typed tables: what a key and a row of one keyspace are, and how they are read and written.
//!
//! Exists so that no caller sees key bytes or row bytes. Every write goes into a [`Commit`]; every
//! read is of a [`Snapshot`]. Knows no engine and none of the tables: those are statics elsewhere.

use std::marker::PhantomData;

use bytes::Bytes;

use crate::{
    codec::{KeyCodec, KeyPrefix, KeyReader, KeyWriter, LogKey, RowCodec},
    contract::{Check, Commit, Direction, Page, ReadError, Snapshot, Write},
    key::{Key, Keyspace, Range, STAMP_BYTES, Shape, Stamp},
};

/// How a row lies in its value: a [`RowCodec`] behind its version byte; `(Stamp, row)` with the
/// stamp before that ([`Write::Stamp`]); or a counter's bare `i64`.
pub trait Layout: Sized {
    /// The keyspace's `row_version`; 0 for counters, which have none.
    const VERSION: u8;
    /// Whether the keyspace's shape is [`Shape::Counter`].
    const COUNTS: bool = false;

    /// The value as stored.
    fn to_value(&self) -> Bytes;

    /// The inverse of [`Self::to_value`], also for older row versions.
    fn from_value(value: &[u8]) -> Result<Self, ReadError>;
}

impl<V: RowCodec> Layout for V {
    const VERSION: u8 = V::VERSION;

    fn to_value(&self) -> Bytes {
        let mut out = vec![V::VERSION];
        self.encode(&mut out);
        out.into()
    }

    fn from_value(value: &[u8]) -> Result<Self, ReadError> {
        let (version, row) = value
            .split_first()
            .ok_or_else(|| ReadError::corrupt("a row has no version"))?;
        V::decode(*version, row)
    }
}

impl<V: RowCodec> Layout for (Stamp, V) {
    const VERSION: u8 = V::VERSION;

    fn to_value(&self) -> Bytes {
        let mut out = self.0.to_bytes().to_vec();
        out.push(V::VERSION);
        self.1.encode(&mut out);
        out.into()
    }

    fn from_value(value: &[u8]) -> Result<Self, ReadError> {
        let (stamp, row) = value
            .split_first_chunk::<STAMP_BYTES>()
            .ok_or_else(|| ReadError::corrupt("a stamped row has no stamp"))?;
        Ok((Stamp::from_bytes(*stamp), V::from_value(row)?))
    }
}

impl Layout for i64 {
    const VERSION: u8 = 0;
    const COUNTS: bool = true;

    fn to_value(&self) -> Bytes {
        Bytes::copy_from_slice(&self.to_be_bytes())
    }

    fn from_value(value: &[u8]) -> Result<Self, ReadError> {
        value
            .try_into()
            .map(Self::from_be_bytes)
            .map_err(|_| ReadError::corrupt("a counter is not eight bytes long"))
    }
}

/// A keyspace with typed keys and rows, made as a `static`. `R` is a [`RowCodec`], or
/// `(Stamp, row)` for rows written by [`Table::stamp`]. Counters are a [`crate::Counter`].
pub struct Table<K, R> {
    space: Keyspace,
    types: PhantomData<fn(K) -> R>,
}

/// A row as read, with the bytes it was read from, for a check that it has not changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<R> {
    /// The row, if there is one.
    pub row: Option<R>,
    bytes: Option<Bytes>,
}

impl<R: Layout> Seen<R> {
    pub(crate) fn decode(table: &str, bytes: Option<Bytes>) -> Result<Self, ReadError> {
        let row = bytes.as_deref().map(R::from_value).transpose();
        Ok(Self {
            row: row.map_err(|error| error.within(table))?,
            bytes,
        })
    }
}

/// A run of typed rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<K, R> {
    /// Key and row, in the direction asked.
    pub rows: Vec<(K, R)>,
    /// What was not read; see [`Page::rest`].
    pub rest: Option<Range>,
}

impl<K: KeyCodec, R: Layout> Table<K, R> {
    /// The table of a keyspace.
    ///
    /// # Panics
    /// At compile time if it initialises a static: a tag of 255, a `row_version` or a shape that
    /// is not the row type's.
    pub const fn new(space: Keyspace) -> Self {
        assert!(space.tag < u8::MAX, "tags are below 255");
        assert!(
            space.row_version == R::VERSION,
            "the keyspace's row_version is the row type's VERSION"
        );
        assert!(
            matches!(space.shape, Shape::Counter) == R::COUNTS,
            "Shape::Counter goes with Counter"
        );
        Self {
            space,
            types: PhantomData,
        }
    }

    /// Name, tag, shape and so on.
    pub const fn space(&self) -> &Keyspace {
        &self.space
    }

    /// The key of a row.
    pub fn key(&self, key: &K) -> Key {
        self.key_prefix(key)
    }

    /// What the keys that begin with these columns start with.
    pub fn key_prefix(&self, prefix: &impl KeyPrefix<K>) -> Key {
        let mut out = KeyWriter::new(self.space.tag);
        prefix.encode_prefix(&mut out);
        out.finish()
    }

    /// The whole table.
    pub fn whole(&self) -> Range {
        Range::table(&self.space)
    }

    /// The rows whose keys begin with these columns.
    pub fn prefix(&self, prefix: &impl KeyPrefix<K>) -> Range {
        Range::prefix(&self.key_prefix(prefix))
    }

    /// The rows from `from` (included) to `to` (excluded, with all that begins with it).
    pub fn range(&self, from: &impl KeyPrefix<K>, to: &impl KeyPrefix<K>) -> Range {
        Range {
            from: self.key_prefix(from),
            to: self.key_prefix(to),
        }
    }

    /// The rows that begin with `prefix`, from `from` (included) on.
    pub fn range_from(&self, prefix: &impl KeyPrefix<K>, from: &impl KeyPrefix<K>) -> Range {
        Range {
            from: self.key_prefix(from),
            to: self.prefix(prefix).to,
        }
    }

    /// The rows that begin with `prefix`, behind `after` and all that begins with it.
    pub fn range_after(&self, prefix: &impl KeyPrefix<K>, after: &impl KeyPrefix<K>) -> Range {
        Range {
            from: self.prefix(after).to,
            to: self.prefix(prefix).to,
        }
    }

    /// The rows that begin with `prefix`, before `to` (excluded, with all that begins with it).
    pub fn range_until(&self, prefix: &impl KeyPrefix<K>, to: &impl KeyPrefix<K>) -> Range {
        Range {
            from: self.key_prefix(prefix),
            to: self.key_prefix(to),
        }
    }

    /// The row with this key.
    pub async fn get(&self, snapshot: &dyn Snapshot, key: &K) -> Result<Option<R>, ReadError> {
        Ok(self.get_seen(snapshot, key).await?.row)
    }

    /// The row with this key, for [`Self::check_unchanged`].
    pub async fn get_seen(&self, snapshot: &dyn Snapshot, key: &K) -> Result<Seen<R>, ReadError> {
        let mut values = snapshot.get_many(&[self.key(key)]).await?;
        Seen::decode(self.space.name, values.pop().flatten())
    }

    /// The rows with these keys, in the order asked; one round trip. At most
    /// [`crate::GET_MANY_KEYS_MAX`].
    pub async fn get_many(
        &self,
        snapshot: &dyn Snapshot,
        keys: &[K],
    ) -> Result<Vec<Option<R>>, ReadError> {
        let keys: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
        let values = snapshot.get_many(&keys).await?;
        values
            .into_iter()
            .map(|value| value.map(|value| self.decode_row(&value)).transpose())
            .collect()
    }

    /// At most `limit` rows of a range of this table; see [`Snapshot::scan`].
    pub async fn scan(
        &self,
        snapshot: &dyn Snapshot,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows<K, R>, ReadError> {
        self.decode_page(snapshot.scan(range, direction, limit).await?)
    }

    /// At most `limit_each` rows of each range, read forward; one round trip. At most
    /// [`crate::SCAN_MANY_RANGES_MAX`] ranges.
    pub async fn scan_many(
        &self,
        snapshot: &dyn Snapshot,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> Result<Vec<Rows<K, R>>, ReadError> {
        let pages = snapshot.scan_many(ranges, limit_each).await?;
        pages
            .into_iter()
            .map(|page| self.decode_page(page))
            .collect()
    }

    /// The lowest (`Forward`) or highest (`Backward`) row of a range.
    pub async fn first(
        &self,
        snapshot: &dyn Snapshot,
        range: Range,
        direction: Direction,
    ) -> Result<Option<(K, R)>, ReadError> {
        Ok(self.scan(snapshot, range, direction, 1).await?.rows.pop())
    }

    /// Sets the row.
    pub fn put(&self, commit: &mut Commit, key: &K, row: &R) {
        commit
            .writes
            .push(Write::Put(self.key(key), row.to_value()));
    }

    /// Removes the row, if there is one.
    pub fn delete(&self, commit: &mut Commit, key: &K) {
        commit.writes.push(Write::Delete(self.key(key)));
    }

    /// Removes every row whose key begins with these columns.
    pub fn delete_prefix(&self, commit: &mut Commit, prefix: &impl KeyPrefix<K>) {
        commit.writes.push(Write::DeleteRange(self.prefix(prefix)));
    }

    /// The commit applies only if there is no such row.
    pub fn check_absent(&self, commit: &mut Commit, key: &K) {
        commit.checks.push(Check::Absent(self.key(key)));
    }

    /// The commit applies only if the row is exactly this one, or there is none for `None`. A row
    /// stored in an older version never equals: where those may be, use [`Self::check_unchanged`].
    pub fn check_equals(&self, commit: &mut Commit, key: &K, seen: Option<&R>) {
        let bytes = seen.map(Layout::to_value);
        commit.checks.push(unchanged(self.key(key), bytes));
    }

    /// The commit applies only if the row is as it was read, byte for byte.
    pub fn check_unchanged(&self, commit: &mut Commit, key: &K, seen: &Seen<R>) {
        commit
            .checks
            .push(unchanged(self.key(key), seen.bytes.clone()));
    }

    /// The columns of one of this table's keys.
    pub fn decode_key(&self, key: &Key) -> Result<K, ReadError> {
        let mut input = KeyReader::new(key.columns());
        let own = if key.tag() == self.space.tag {
            Ok(())
        } else {
            Err(ReadError::corrupt("a key is of another table"))
        };
        own.and_then(|()| K::decode(&mut input))
            .and_then(|key| input.finish().map(|()| key))
            .map_err(|error| error.within(self.space.name))
    }

    /// A row from its stored value.
    pub fn decode_row(&self, value: &[u8]) -> Result<R, ReadError> {
        R::from_value(value).map_err(|error| error.within(self.space.name))
    }

    fn decode_page(&self, page: Page) -> Result<Rows<K, R>, ReadError> {
        let rows = page
            .rows
            .iter()
            .map(|(key, value)| Ok((self.decode_key(key)?, self.decode_row(value)?)))
            .collect::<Result<_, ReadError>>()?;
        Ok(Rows {
            rows,
            rest: page.rest,
        })
    }
}

impl<K: LogKey, V: RowCodec> Table<K, V> {
    /// Adds a row at the key `prefix ++ stamp`; the engine makes the stamp when it commits.
    pub fn append(&self, commit: &mut Commit, prefix: &K::Prefix, row: &V) {
        commit.writes.push(Write::Append {
            prefix: self.key_prefix(prefix),
            value: row.to_value(),
        });
    }
}

impl<K: KeyCodec, V: RowCodec> Table<K, (Stamp, V)> {
    /// Sets the row, with the stamp that the engine makes when it commits.
    pub fn stamp(&self, commit: &mut Commit, key: &K, row: &V) {
        commit.writes.push(Write::Stamp {
            key: self.key(key),
            value: row.to_value(),
        });
    }
}

fn unchanged(key: Key, bytes: Option<Bytes>) -> Check {
    match bytes {
        Some(bytes) => Check::Equals(key, bytes),
        None => Check::Absent(key),
    }
}
