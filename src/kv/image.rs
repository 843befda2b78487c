//! The state of the memory engine between two commits, as a value.
//!
//! Exists so that the meaning of every check and write stands in one place, in plain sequential
//! code. Knows no queue, no durability and no faults.

use bytes::Bytes;
use rpds::RedBlackTreeMapSync;

use crate::{
    contract::{
        Check, Commit, CommitError, Direction, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page,
        SCAN_MANY_BYTES_MAX, Unavailable, Write,
    },
    key::{Key, Position, Range, Stamp},
    table::Layout,
};

/// All rows, and the last commit among them. Cloning is O(1): the rows are shared.
#[derive(Clone, Default)]
pub(crate) struct Image {
    rows: RedBlackTreeMapSync<Key, Bytes>,
    position: Position,
}

impl Image {
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        self.rows.get(key).cloned()
    }

    /// The state after the commit, which stands at `position`.
    pub(crate) fn after(&self, commit: &Commit, position: Position) -> Result<Self, CommitError> {
        for check in &commit.checks {
            if !self.holds(check)? {
                return Err(CommitError::Conflict);
            }
        }
        let mut next = self.clone();
        let mut stamp = Stamp {
            position,
            ordinal: 0,
        };
        for write in &commit.writes {
            next.apply(write, stamp)?;
            stamp.ordinal += u16::from(write.stamps());
        }
        next.position = position;
        Ok(next)
    }

    fn holds(&self, check: &Check) -> Result<bool, CommitError> {
        Ok(match check {
            Check::Absent(key) => !self.rows.contains_key(key),
            Check::Equals(key, value) => self.rows.get(key) == Some(value),
            Check::Within { key, min, max } => (*min..=*max).contains(&self.count(key)?),
        })
    }

    fn apply(&mut self, write: &Write, stamp: Stamp) -> Result<(), CommitError> {
        match write {
            Write::Put(key, value) => {
                self.rows.insert_mut(key.clone(), value.clone());
            }
            Write::Delete(key) => {
                self.rows.remove_mut(key);
            }
            Write::DeleteRange(range) => self.delete(range),
            Write::Add(key, amount) => {
                let sum = self.count(key)?.saturating_add(*amount);
                self.rows.insert_mut(key.clone(), sum.to_value());
            }
            Write::Append { prefix, value } => {
                self.rows.insert_mut(prefix.stamped(stamp), value.clone());
            }
            Write::Stamp { key, value } => {
                let stamped = [&stamp.to_bytes(), value.as_ref()].concat();
                self.rows.insert_mut(key.clone(), stamped.into());
            }
        }
        Ok(())
    }

    fn count(&self, key: &Key) -> Result<i64, CommitError> {
        let value = self.rows.get(key).map(|value| i64::from_value(value));
        value
            .transpose()
            .map(Option::unwrap_or_default)
            .map_err(|error| CommitError::Unavailable(Unavailable::Failed(error.to_string())))
    }

    fn delete(&mut self, range: &Range) {
        let doomed: Vec<Key> = self.within(range).map(|(key, _)| key.clone()).collect();
        for key in doomed {
            self.rows.remove_mut(&key);
        }
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// If the range leaves its keyspace, which other engines need not support.
    fn within(&self, range: &Range) -> impl DoubleEndedIterator<Item = (&Key, &Bytes)> {
        let to = if range.is_empty() {
            &range.from
        } else {
            &range.to
        };
        let end = Range::prefix(&Key::new(vec![range.from.tag()])).to;
        assert!(*to <= end, "a range stays within its keyspace");
        self.rows.range(range.from.clone()..to.clone())
    }

    /// One page for each range, read forward, while the bytes last.
    pub(crate) fn pages(&self, ranges: Vec<Range>, limit_each: usize) -> Vec<Page> {
        let mut bytes = 0;
        let page = |range| {
            let exhausted = bytes >= SCAN_MANY_BYTES_MAX;
            let limit = if exhausted { 0 } else { limit_each };
            let page = self.page(range, Direction::Forward, limit);
            bytes += page.rows.iter().map(row_bytes).sum::<usize>();
            page
        };
        ranges.into_iter().map(page).collect()
    }

    pub(crate) fn page(&self, range: Range, direction: Direction, limit: usize) -> Page {
        let rows = self.within(&range);
        match direction {
            Direction::Forward => fill(rows, limit).into_page(range, |last, range| Range {
                from: last.successor(),
                ..range
            }),
            Direction::Backward => fill(rows.rev(), limit).into_page(range, |last, range| Range {
                to: last.clone(),
                ..range
            }),
        }
    }
}

fn row_bytes((key, value): &(Key, Bytes)) -> usize {
    key.as_bytes().len() + value.len()
}

/// The rows of a page, and whether a limit came before the range's end.
struct Filled {
    rows: Vec<(Key, Bytes)>,
    limited: bool,
}

fn fill<'a>(from: impl Iterator<Item = (&'a Key, &'a Bytes)>, limit: usize) -> Filled {
    let limit = limit.min(PAGE_ROWS_MAX);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    if limit > 0 {
        for (key, value) in from {
            let row = (key.clone(), value.clone());
            bytes += row_bytes(&row);
            rows.push(row);
            if rows.len() == limit || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
    }
    // At the limit it does not look whether a row follows: callers must cope with an empty rest.
    let limited = rows.len() == limit || bytes >= PAGE_BYTES_MAX;
    Filled { rows, limited }
}

impl Filled {
    fn into_page(self, range: Range, beyond: impl Fn(&Key, Range) -> Range) -> Page {
        let rest = match self.rows.last() {
            _ if !self.limited => None,
            Some((last, _)) => Some(beyond(last, range)),
            None => Some(range),
        };
        Page {
            rows: self.rows,
            rest: rest.filter(|rest| !rest.is_empty()),
        }
    }
}
