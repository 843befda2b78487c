//! Thousands of random commits, reads, crashes, compared with a plain map.
//!
//! Exists to find what nobody thought of. The choices come from fixed seeds; a failure names its
//! seed and step.

use std::{collections::BTreeMap, mem, sync::Arc};

use bytes::Bytes;

use super::{
    COLD, COUNTER, Db, Harness, LAST, LOG, NEXT, POINT, SCAN, add, append, delete, key, put, range,
    read_image, read_pages, stamp, within,
};
use crate::{
    Check, Commit, CommitError, Direction, Durability, Key, Position, Range, Snapshot, Stamp, Write,
};

const SEEDS: [u64; 4] = [1, 2, 3, 0xbe1f];
const STEPS: usize = 500;
/// Commits sent in one go, at most.
const GROUP_MAX: usize = 8;
/// Snapshots held while the database moves on.
const HELD_MAX: usize = 4;

/// `SplitMix64`: all that is asked of it is to be the same everywhere.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn number(&mut self) -> i64 {
        let ends = [i64::MIN, i64::MAX];
        if self.chance(5) {
            self.pick(&ends)
        } else {
            self.pick(&[-7, -1, 0, 1, 2, 30])
        }
    }

    /// Few enough keys that commits meet, with the bytes that encodings stumble over.
    fn row(&mut self) -> Key {
        let space = self.pick(&[&POINT, &SCAN, &NEXT, &LOG, &COLD, &LAST]);
        self.row_of(space)
    }

    fn row_of(&mut self, space: &crate::Keyspace) -> Key {
        let length = self.below(4);
        let columns: Vec<u8> = (0..length)
            .map(|_| self.pick(&[0, 1, b'a', 0xff]))
            .collect();
        key(space, columns)
    }

    fn counter(&mut self) -> Key {
        key(&COUNTER, [self.pick(&[0, 1, 2])])
    }

    fn range(&mut self) -> Range {
        let space = self.pick(&[&POINT, &SCAN, &NEXT, &LOG, &COLD, &LAST, &COUNTER]);
        let (from, to) = (self.row_of(space), self.row_of(space));
        match self.below(4) {
            0 => Range::table(space),
            1 => Range::prefix(&from),
            _ => range(&from, &to),
        }
    }

    fn value(&mut self) -> &'static str {
        self.pick(&["", "a", "b", "value"])
    }

    fn check(&mut self, model: &Model) -> Check {
        let holds = self.chance(85);
        if self.chance(30) {
            let counter = self.counter();
            let count = model.count(&counter);
            return if holds {
                within(&counter, count.saturating_sub(1), count)
            } else {
                within(&counter, count.saturating_add(1), count.saturating_add(2))
            };
        }
        let row = self.row();
        match (model.rows.get(&row), holds) {
            (Some(value), true) => Check::Equals(row, value.clone()),
            (None, true) | (Some(_), false) => Check::Absent(row),
            (None, false) => Check::Equals(row, Bytes::new()),
        }
    }

    fn write(&mut self, stamps: bool) -> Write {
        let row = self.row();
        match self.below(if stamps { 100 } else { 70 }) {
            0..30 => put(&row, self.value()),
            30..42 => delete(&row),
            42..48 => Write::DeleteRange(self.range()),
            48..50 => delete(&self.counter()),
            50..70 => add(&self.counter(), self.number()),
            70..86 => append(&row, self.value()),
            _ => stamp(&row, self.value()),
        }
    }

    fn commit(&mut self, model: &Model, stamps: bool) -> Commit {
        let (checks, writes) = (self.below(4), self.below(6));
        Commit {
            checks: (0..checks).map(|_| self.check(model)).collect(),
            writes: (0..writes).map(|_| self.write(stamps)).collect(),
            durability: if self.chance(40) {
                Durability::Synced
            } else {
                Durability::Lazy
            },
        }
    }
}

/// The database as the contract's words have it.
#[derive(Clone, Default, PartialEq)]
struct Model {
    rows: BTreeMap<Key, Bytes>,
}

impl Model {
    fn count(&self, counter: &Key) -> i64 {
        let value = self
            .rows
            .get(counter)
            .map(|value| value.as_ref().try_into());
        value.map_or(0, |value| i64::from_be_bytes(value.expect("eight bytes")))
    }

    fn admits(&self, commit: &Commit) -> bool {
        commit.checks.iter().all(|check| match check {
            Check::Absent(key) => !self.rows.contains_key(key),
            Check::Equals(key, value) => self.rows.get(key) == Some(value),
            Check::Within { key, min, max } => {
                let count = self.count(key);
                *min <= count && count <= *max
            }
        })
    }

    fn apply(&mut self, commit: &Commit, position: Position) {
        let mut ordinal = 0;
        for write in &commit.writes {
            let stamp = Stamp { position, ordinal };
            ordinal += u16::from(write.stamps());
            self.write(write, stamp);
        }
    }

    fn write(&mut self, write: &Write, stamp: Stamp) {
        let (key, value) = match write {
            Write::Put(key, value) => (key.clone(), value.clone()),
            Write::Delete(key) => {
                self.rows.remove(key);
                return;
            }
            Write::DeleteRange(range) => {
                self.rows
                    .retain(|key, _| *key < range.from || *key >= range.to);
                return;
            }
            Write::Add(key, amount) => {
                let sum = self.count(key).saturating_add(*amount);
                (key.clone(), sum.to_be_bytes().to_vec().into())
            }
            Write::Append { prefix, value } => (prefix.stamped(stamp), value.clone()),
            Write::Stamp { key, value } => {
                let stamped = [&stamp.to_bytes(), value.as_ref()].concat();
                (key.clone(), stamped.into())
            }
        };
        self.rows.insert(key, value);
    }

    fn scan(&self, range: &Range, direction: Direction) -> Vec<(Key, Bytes)> {
        let inside = |key: &Key| range.from <= *key && *key < range.to;
        let rows = self.rows.iter().filter(|(key, _)| inside(key));
        let mut rows: Vec<_> = rows
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        rows
    }
}

struct Run<H> {
    db: Db<H>,
    choices: Choices,
    now: Model,
    /// Where `now` stands.
    stands: Position,
    /// The last position ever answered or seen, which a crash may have lost.
    last: Position,
    /// What a crash may leave, the durable state first.
    survivors: Vec<Model>,
    held: Vec<(Arc<dyn Snapshot>, Model)>,
    /// For messages.
    place: String,
}

pub(super) async fn random_operations_match_a_plain_map<H: Harness>(db: Db<H>) {
    let mut first = Some(db);
    for seed in SEEDS {
        let db = match first.take() {
            Some(db) => db,
            None => Db::open().await,
        };
        let mut run = Run {
            db,
            choices: Choices(seed),
            now: Model::default(),
            stands: Position::ZERO,
            last: Position::ZERO,
            survivors: vec![Model::default()],
            held: Vec::new(),
            place: String::new(),
        };
        for step in 0..STEPS {
            run.place = format!("seed {seed}, step {step}");
            run.step().await;
        }
        run.compare_all().await;
    }
}

impl<H: Harness> Run<H> {
    async fn step(&mut self) {
        match self.choices.below(100) {
            0..60 => self.commit_group().await,
            60..80 => self.read().await,
            80..86 => self.hold().await,
            86..94 => self.compare_held().await,
            94..96 => self.compare_all().await,
            96..97 => self.reopen().await,
            97..99 => self.crash(Vec::new()).await,
            _ => self.crash_within_a_group().await,
        }
    }

    /// Commits built one on the other, as if each applied with the position after the last.
    fn build_group(&mut self, stamps: bool) -> Vec<Commit> {
        let mut ahead = self.now.clone();
        let mut position = self.last;
        let count = 1 + self.choices.below(GROUP_MAX);
        let mut group = Vec::with_capacity(count);
        for _ in 0..count {
            let commit = self.choices.commit(&ahead, stamps);
            position = position.successor().expect("positions are left");
            if ahead.admits(&commit) {
                ahead.apply(&commit, position);
            }
            group.push(commit);
        }
        group
    }

    async fn commit_group(&mut self) {
        let group = self.build_group(true);
        let answers = self.db.group(group.clone()).await;
        for (commit, answer) in group.iter().zip(answers) {
            let admitted = self.now.admits(commit);
            match answer {
                Ok(position) => {
                    assert!(admitted, "{}: applied {commit:?}", self.place);
                    assert!(position > self.last, "{}: {position:?}", self.place);
                    self.now.apply(commit, position);
                    self.stands = position;
                    self.last = position;
                    if commit.durability == Durability::Synced {
                        self.survivors.clear();
                    }
                    self.survivors.push(self.now.clone());
                }
                Err(CommitError::Conflict) => {
                    assert!(!admitted, "{}: refused {commit:?}", self.place);
                }
                Err(error) => panic!("{}: {error}", self.place),
            }
        }
        let stands = self.db.view().await.position();
        assert_eq!(stands, self.stands, "{}", self.place);
    }

    async fn read(&mut self) {
        let view = self.db.view().await;
        self.compare(&*view, &self.now.clone()).await;
    }

    /// Some rows by key, and a range by pages.
    async fn compare(&mut self, view: &dyn Snapshot, model: &Model) {
        let mut keys: Vec<_> = (0..4).map(|_| self.choices.row()).collect();
        keys.push(self.choices.counter());
        let values = view.get_many(&keys).await.expect("values");
        let expected: Vec<_> = keys
            .iter()
            .map(|key| model.rows.get(key).cloned())
            .collect();
        assert_eq!(values, expected, "{}: {keys:?}", self.place);

        let range = self.choices.range();
        let direction = self
            .choices
            .pick(&[Direction::Forward, Direction::Backward]);
        let limit = 1 + self.choices.below(5);
        let rows = read_pages(view, range.clone(), direction, limit).await;
        let expected = model.scan(&range, direction);
        assert_eq!(rows, expected, "{}: {range:?} {direction:?}", self.place);
        let pages = view
            .scan_many(vec![range.clone(); 2], 1)
            .await
            .expect("pages");
        let first = model.scan(&range, Direction::Forward).into_iter().take(1);
        assert_eq!(
            pages[1].rows,
            first.collect::<Vec<_>>(),
            "{}: {range:?}",
            self.place
        );
    }

    async fn hold(&mut self) {
        if self.held.len() < HELD_MAX {
            self.held.push((self.db.view().await, self.now.clone()));
        }
    }

    /// Looks again at a view of the past, which is then given up.
    async fn compare_held(&mut self) {
        if !self.held.is_empty() {
            let at = self.choices.below(self.held.len());
            let (view, model) = self.held.swap_remove(at);
            self.compare(&*view, &model).await;
            assert_eq!(read_image(&*view).await, model.rows, "{}", self.place);
        }
    }

    async fn compare_all(&mut self) {
        let image = read_image(&*self.db.view().await).await;
        assert_eq!(image, self.now.rows, "{}", self.place);
    }

    async fn reopen(&mut self) {
        self.held.clear();
        self.db.reopen().await;
        self.survivors = vec![self.now.clone()];
        self.compare_all().await;
        self.find_position().await;
    }

    /// `unanswered`: the states after each commit that was sent and not waited for.
    async fn crash(&mut self, unanswered: Vec<Model>) {
        self.held.clear();
        let mut survivors = mem::take(&mut self.survivors);
        survivors.extend(unanswered);
        self.db.crash().await;
        let rows = read_image(&*self.db.view().await).await;
        let found = Model { rows };
        assert!(
            survivors.contains(&found),
            "{}: no state was ever {:?}",
            self.place,
            found.rows
        );
        self.survivors.push(found.clone());
        self.now = found;
        self.find_position().await;
    }

    /// Engines may stand anywhere behind what they hold and before what comes.
    async fn find_position(&mut self) {
        self.stands = self.db.view().await.position();
        self.last = self.last.max(self.stands);
    }

    async fn crash_within_a_group(&mut self) {
        // No stamps: what their rows would be is known only to who waits.
        let group = self.build_group(false);
        let mut ahead = self.now.clone();
        let mut states = Vec::new();
        for commit in group {
            if ahead.admits(&commit) {
                ahead.apply(&commit, Position::ZERO);
                states.push(ahead.clone());
            }
            drop(self.db.send(commit));
        }
        self.crash(states).await;
    }
}
