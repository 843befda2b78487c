//! Several commits become one write: checks against the database and the group's own earlier
//! writes, then one batch. Knows nothing of queues, disks or durability.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belfry_kv::{
    Check, Commit, CommitError, Durability, GET_MANY_KEYS_MAX, Key, Position, Range, ReadError,
    Stamp, Write,
};
use bytes::Bytes;
use rocksdb::WriteBatch;

use crate::{
    fault::failed,
    queue::Answer,
    store::{Got, Store, Tier, within_keyspace},
    wal,
};

/// What a group comes to.
pub(crate) struct Plan {
    pub(crate) batch: WriteBatch,
    /// For each commit what its caller is told if the batch is written.
    pub(crate) answers: Vec<Answer>,
    /// The last position given; the one before the group if no commit applies.
    pub(crate) last: Position,
    /// Where the last synced commit that applies stands.
    pub(crate) synced: Option<Position>,
}

/// Plans a group whose first commit stands behind `last`. `durable` is `RocksDB`'s count of the
/// writes that are known to be on disk, for the journal's audit.
pub(crate) fn plan<'a>(
    store: &Store,
    commits: impl Iterator<Item = &'a Commit> + Clone,
    last: Position,
    durable: u64,
) -> Plan {
    let mut planner = Planner::new(store, read_rows(store, commits.clone()), last, durable);
    let (mut answers, mut synced) = (Vec::new(), None);
    for commit in commits {
        let answer = planner.admit(commit);
        if let Ok(position) = answer
            && commit.durability == Durability::Synced
        {
            synced = Some(position);
        }
        answers.push(answer);
    }
    Plan {
        batch: planner.batch,
        answers,
        last: planner.last,
        synced,
    }
}

/// The rows that the group's checks and additions look at, as the database holds them.
fn read_rows<'a>(store: &Store, commits: impl Iterator<Item = &'a Commit>) -> BTreeMap<Key, Got> {
    let mut wanted = BTreeSet::new();
    for commit in commits {
        wanted.extend(commit.checks.iter().map(checked));
        wanted.extend(commit.writes.iter().filter_map(|write| match write {
            Write::Add(key, _) => Some(key),
            _ => None,
        }));
    }
    let wanted: Vec<Key> = wanted.into_iter().cloned().collect();
    let unread = || Err(ReadError::Unavailable("a row was not read".to_owned()));
    let got = wanted
        .chunks(GET_MANY_KEYS_MAX)
        .flat_map(|keys| store.get_many(None, keys, Tier::Disk))
        .map(|got| got.unwrap_or_else(unread))
        .collect::<Vec<_>>();
    wanted.into_iter().zip(got).collect()
}

fn checked(check: &Check) -> &Key {
    match check {
        Check::Absent(key) | Check::Equals(key, _) | Check::Within { key, .. } => key,
    }
}

enum Op {
    Put(Key, Bytes),
    Delete(Key),
    DeleteRange(Range),
}

struct Planner<'a> {
    store: &'a Store,
    /// Every row that some commit of the group looks at, as the commits so far leave it.
    rows: BTreeMap<Key, Got>,
    batch: WriteBatch,
    last: Position,
}

/// One commit's changes, before it is certain that all of it applies.
struct Draft<'a> {
    rows: &'a BTreeMap<Key, Got>,
    changed: HashMap<Key, Option<Bytes>>,
    ops: Vec<Op>,
}

impl<'a> Planner<'a> {
    fn new(store: &'a Store, rows: BTreeMap<Key, Got>, last: Position, durable: u64) -> Self {
        let mut batch = WriteBatch::default();
        batch.put_log_data(wal::mark(durable));
        Self {
            store,
            rows,
            batch,
            last,
        }
    }

    fn admit(&mut self, commit: &Commit) -> Answer {
        for check in &commit.checks {
            if !self.holds(check)? {
                return Err(CommitError::Conflict);
            }
        }
        let exhausted = || failed("no positions are left");
        let position = self.last.successor().ok_or_else(exhausted)?;
        let draft = draft(&self.rows, commit, position)?;
        let (changed, ops) = (draft.changed, draft.ops);
        for op in &ops {
            self.write(op)?;
        }
        for (key, row) in changed {
            self.rows.insert(key, Ok(row));
        }
        self.last = position;
        Ok(position)
    }

    fn holds(&self, check: &Check) -> Result<bool, CommitError> {
        let row = row(&self.rows, checked(check))?;
        Ok(match check {
            Check::Absent(_) => row.is_none(),
            Check::Equals(_, value) => row.as_ref() == Some(value),
            Check::Within { key, min, max } => (*min..=*max).contains(&count(key, row.as_ref())?),
        })
    }

    /// Fails only for a tag that nobody declared, which the engine refuses before it queues.
    fn write(&mut self, op: &Op) -> Result<(), CommitError> {
        let tag = match op {
            Op::Put(key, _) | Op::Delete(key) => key.tag(),
            Op::DeleteRange(range) => range.from.tag(),
        };
        let (family, _) = self
            .store
            .family(tag)
            .map_err(|error| failed(error.to_string()))?;
        match op {
            Op::Put(key, value) => self.batch.put_cf(family, key.as_bytes(), value),
            Op::Delete(key) => self.batch.delete_cf(family, key.as_bytes()),
            Op::DeleteRange(range) => {
                let (from, to) = (range.from.as_bytes(), range.to.as_bytes());
                self.batch.delete_range_cf(family, from, to);
            }
        }
        Ok(())
    }
}

fn draft<'a>(
    rows: &'a BTreeMap<Key, Got>,
    commit: &Commit,
    position: Position,
) -> Result<Draft<'a>, CommitError> {
    let mut draft = Draft {
        rows,
        changed: HashMap::new(),
        ops: Vec::with_capacity(commit.writes.len()),
    };
    let mut stamp = Stamp {
        position,
        ordinal: 0,
    };
    for write in &commit.writes {
        draft.apply(write, stamp)?;
        stamp.ordinal += u16::from(write.stamps());
    }
    Ok(draft)
}

impl Draft<'_> {
    fn apply(&mut self, write: &Write, stamp: Stamp) -> Result<(), CommitError> {
        match write {
            Write::Put(key, value) => self.put(key.clone(), value.clone()),
            Write::Delete(key) => {
                self.note(key, None);
                self.ops.push(Op::Delete(key.clone()));
            }
            Write::DeleteRange(range) => self.delete_range(within_keyspace(range.clone())),
            Write::Add(key, amount) => {
                let sum = self.count(key)?.saturating_add(*amount);
                self.put(key.clone(), Bytes::copy_from_slice(&sum.to_be_bytes()));
            }
            Write::Append { prefix, value } => self.put(prefix.stamped(stamp), value.clone()),
            Write::Stamp { key, value } => {
                let stamped = [&stamp.to_bytes(), value.as_ref()].concat();
                self.put(key.clone(), stamped.into());
            }
        }
        Ok(())
    }

    fn put(&mut self, key: Key, value: Bytes) {
        self.note(&key, Some(value.clone()));
        self.ops.push(Op::Put(key, value));
    }

    fn delete_range(&mut self, range: Range) {
        if range.is_empty() {
            return;
        }
        for (key, _) in self.rows.range(range.from.clone()..range.to.clone()) {
            self.changed.insert(key.clone(), None);
        }
        self.ops.push(Op::DeleteRange(range));
    }

    /// Remembers a change if anybody in the group looks at the row.
    fn note(&mut self, key: &Key, value: Option<Bytes>) {
        if self.rows.contains_key(key) {
            self.changed.insert(key.clone(), value);
        }
    }

    fn count(&self, key: &Key) -> Result<i64, CommitError> {
        match self.changed.get(key) {
            Some(changed) => count(key, changed.as_ref()),
            None => count(key, row(self.rows, key)?.as_ref()),
        }
    }
}

fn row<'a>(rows: &'a BTreeMap<Key, Got>, key: &Key) -> Result<&'a Option<Bytes>, CommitError> {
    match rows.get(key) {
        Some(Ok(row)) => Ok(row),
        Some(Err(error)) => Err(failed(error.to_string())),
        None => Err(failed("a row was not read")),
    }
}

fn count(key: &Key, row: Option<&Bytes>) -> Result<i64, CommitError> {
    let Some(row) = row else {
        return Ok(0);
    };
    let bytes = <[u8; 8]>::try_from(row.as_ref());
    bytes.map(i64::from_be_bytes).map_err(|_| {
        let (tag, length) = (key.tag(), row.len());
        failed(format!(
            "a row of table {tag} has {length} bytes and is no counter"
        ))
    })
}
