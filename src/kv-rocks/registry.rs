//! The engine's own rows: the format, how each keyspace is stored, and how far positions are
//! reserved. Knows nothing of anybody else's rows.
//!
//! A position that was once seen is never given again, although a crash may lose the lazy commit
//! that had it: positions are given below a *ceiling* that is on disk, and a start after a crash
//! goes on above it. A clean end puts the ceiling back to the last position given.

use belfry_kv::{Keyspace, POSITION_BYTES, Position, ReadError};
use rocksdb::{ColumnFamily, WriteBatch, WriteOptions};

use crate::{fault::OpenError, layout::profile_name, store::Store, wal};

/// Positions reserved with one write: at 10,000 commits a second, one write in 100 s.
const RESERVE: u128 = 1 << 20;
/// What this version writes; raised when older versions must not open the database.
const FORMAT: u8 = 1;

const FORMAT_KEY: &[u8] = b"format";
const CEILING_KEY: &[u8] = b"ceiling";
const KEYSPACE_KEY: &[u8] = b"keyspace/";

/// Positions given, and those that may be given without a further write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) given: Position,
    pub(crate) ceiling: Position,
}

impl Reserved {
    /// The ceiling that must be on disk before `position` is seen.
    pub(crate) fn ceiling_for(self, position: Position) -> Position {
        if position <= self.ceiling {
            self.ceiling
        } else {
            above(position)
        }
    }
}

fn above(position: Position) -> Position {
    Position::new(position.number().saturating_add(RESERVE)).unwrap_or(Position::MAX)
}

/// Adds the ceiling to a batch.
pub(crate) fn put_ceiling(
    store: &Store,
    batch: &mut WriteBatch,
    ceiling: Position,
) -> Result<(), String> {
    let meta = store.meta().map_err(|error| error.to_string())?;
    batch.put_cf(meta, CEILING_KEY, ceiling.to_bytes());
    Ok(())
}

/// Compares the declared keyspaces with those on disk, remembers the new ones and reserves
/// positions. To be called once, before anything is written.
pub(crate) fn enrol(store: &Store, keyspaces: &[Keyspace]) -> Result<Reserved, OpenError> {
    let mut batch = WriteBatch::default();
    batch.put_log_data(wal::mark(store.db.latest_sequence_number()));
    check_format(store)?;
    let family = meta(store)?;
    batch.put_cf(family, FORMAT_KEY, [FORMAT]);
    for space in keyspaces {
        check_keyspace(store, space)?;
        let row = format!(
            "{} {}",
            profile_name(space.shape, space.temperature),
            space.name
        );
        batch.put_cf(family, keyspace_key(space.tag), row);
    }
    let given = read_ceiling(store)?;
    let ceiling = above(given);
    put_ceiling(store, &mut batch, ceiling).map_err(OpenError::Failed)?;
    let mut options = WriteOptions::default();
    options.set_sync(true);
    store.db.write_opt(batch, &options)?;
    Ok(Reserved { given, ceiling })
}

fn check_format(store: &Store) -> Result<(), OpenError> {
    match read(store, FORMAT_KEY)?.as_deref() {
        None | Some([FORMAT]) => Ok(()),
        Some(format) => Err(OpenError::Newer {
            path: store.path.clone(),
            what: format!("format {format:?}, this version knows {FORMAT}"),
        }),
    }
}

/// A table of another shape or temperature may be in another family: its rows would be missed.
fn check_keyspace(store: &Store, space: &Keyspace) -> Result<(), OpenError> {
    let Some(row) = read(store, &keyspace_key(space.tag))? else {
        return Ok(());
    };
    let row = String::from_utf8_lossy(&row);
    let stored = row.split(' ').next().unwrap_or_default();
    let declared = profile_name(space.shape, space.temperature);
    if stored == declared {
        return Ok(());
    }
    Err(OpenError::Keyspace {
        name: space.name.to_owned(),
        tag: space.tag,
        stored: stored.to_owned(),
        declared,
    })
}

fn read_ceiling(store: &Store) -> Result<Position, OpenError> {
    let Some(row) = read(store, CEILING_KEY)? else {
        return Ok(Position::ZERO);
    };
    let bytes = <[u8; POSITION_BYTES]>::try_from(row.as_slice());
    bytes
        .map(Position::from_bytes)
        .map_err(|_| OpenError::Damaged {
            what: format!("the row of reserved positions has {} bytes", row.len()),
        })
}

fn read(store: &Store, key: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
    let family = meta(store)?;
    Ok(store.db.get_cf(family, key)?)
}

fn meta(store: &Store) -> Result<&ColumnFamily, OpenError> {
    let unread = |error: ReadError| OpenError::Failed(error.to_string());
    store.meta().map_err(unread)
}

fn keyspace_key(tag: u8) -> Vec<u8> {
    [KEYSPACE_KEY, &[tag]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u128) -> Position {
        Position::new(number).unwrap()
    }

    #[test]
    fn the_ceiling_is_raised_only_when_it_is_reached() {
        let reserved = Reserved {
            given: at(5),
            ceiling: at(10),
        };
        assert_eq!(reserved.ceiling_for(at(10)), at(10));
        assert_eq!(reserved.ceiling_for(at(11)), at(11 + RESERVE));
    }

    #[test]
    fn the_ceiling_stops_at_the_last_position() {
        assert_eq!(above(Position::MAX), Position::MAX);
    }
}
