//! Groups against one writer at a time, without a queue.

use belfry_kv::{Check, Commit, CommitError, Position, Range, Unavailable, Write};
use bytes::Bytes;
use tempfile::TempDir;

use crate::{
    group::{Plan, plan},
    open,
    store::{Store, Tier},
    testing::{COUNTER, Hand, POINT, SCAN, at, key, keyspaces, put},
};

struct Fixture {
    store: Store,
    _folder: TempDir,
}

fn fixture() -> Fixture {
    let folder = TempDir::new().unwrap();
    let store = open::open(folder.path(), &keyspaces(), Hand::default().options()).unwrap();
    Fixture {
        store,
        _folder: folder,
    }
}

impl Fixture {
    fn plan(&self, commits: &[Commit]) -> Plan {
        plan(&self.store, commits.iter(), Position::ZERO, 0)
    }

    fn write(&self, commits: &[Commit]) -> Vec<Result<Position, CommitError>> {
        let plan = self.plan(commits);
        self.store.db.write(plan.batch).unwrap();
        plan.answers
    }

    fn get(&self, tag: u8, name: &str) -> Option<Bytes> {
        let got = self.store.get_many(None, &[key(tag, name)], Tier::Disk);
        got.into_iter().next().unwrap().unwrap().unwrap()
    }

    fn count(&self, name: &str) -> Option<i64> {
        let value = self.get(COUNTER, name)?;
        Some(i64::from_be_bytes(value.as_ref().try_into().unwrap()))
    }
}

fn add(name: &str, amount: i64) -> Commit {
    let mut commit = Commit::synced();
    commit.writes.push(Write::Add(key(COUNTER, name), amount));
    commit
}

fn checked(check: Check, mut commit: Commit) -> Commit {
    commit.checks.push(check);
    commit
}

#[test]
fn a_commit_sees_what_the_one_before_it_wrote() {
    let fixture = fixture();
    let second = checked(Check::Equals(key(POINT, "a"), "1".into()), put("a", "2"));
    let third = checked(Check::Equals(key(POINT, "a"), "2".into()), put("a", "3"));
    let answers = fixture.write(&[put("a", "1"), second, third]);
    assert_eq!(answers, [Ok(at(1)), Ok(at(2)), Ok(at(3))]);
    assert_eq!(fixture.get(POINT, "a"), Some("3".into()));
}

#[test]
fn of_two_that_claim_the_same_row_the_first_wins() {
    let fixture = fixture();
    let claim = |value: &'static str| checked(Check::Absent(key(POINT, "a")), put("a", value));
    let answers = fixture.write(&[claim("1"), claim("2"), put("b", "3")]);
    assert_eq!(answers, [Ok(at(1)), Err(CommitError::Conflict), Ok(at(2))]);
    assert_eq!(fixture.get(POINT, "a"), Some("1".into()));
}

#[test]
fn a_refused_commit_leaves_nothing_for_the_next() {
    let fixture = fixture();
    let refused = checked(Check::Equals(key(POINT, "x"), "no".into()), put("a", "1"));
    let next = checked(Check::Absent(key(POINT, "a")), put("a", "2"));
    let answers = fixture.write(&[refused, next]);
    assert_eq!(answers, [Err(CommitError::Conflict), Ok(at(1))]);
    assert_eq!(fixture.get(POINT, "a"), Some("2".into()));
}

#[test]
fn additions_of_a_group_add_up_and_its_bounds_see_them() {
    let fixture = fixture();
    fixture.write(&[add("n", 5)]);
    let bounded = |max| {
        let key = key(COUNTER, "n");
        checked(Check::Within { key, min: 0, max }, add("n", 1))
    };
    let answers = fixture.write(&[add("n", 3), bounded(7), bounded(8), bounded(8)]);
    let applied: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(applied, [true, false, true, false]);
    assert_eq!(fixture.count("n"), Some(9));
}

#[test]
fn an_addition_saturates() {
    let fixture = fixture();
    fixture.write(&[
        add("n", i64::MAX),
        add("n", 1),
        add("m", i64::MIN),
        add("m", -1),
    ]);
    assert_eq!(fixture.count("n"), Some(i64::MAX));
    assert_eq!(fixture.count("m"), Some(i64::MIN));
}

#[test]
fn writes_of_a_commit_apply_in_order_around_a_range_deletion() {
    let fixture = fixture();
    fixture.write(&[add("n", 5), add("z", 5)]);
    let mut commit = add("n", 1);
    let all = Range::prefix(&key(COUNTER, ""));
    commit.writes.push(Write::DeleteRange(all));
    commit.writes.push(Write::Add(key(COUNTER, "n"), 10));
    fixture.write(&[commit]);
    assert_eq!((fixture.count("n"), fixture.count("z")), (Some(10), None));
}

#[test]
fn a_row_that_is_no_counter_fails_its_commit_alone() {
    let fixture = fixture();
    let mut garbage = Commit::synced();
    garbage
        .writes
        .push(Write::Put(key(COUNTER, "n"), "short".into()));
    let mut partly = put("a", "1");
    partly.writes.push(Write::Add(key(COUNTER, "n"), 1));
    let answers = fixture.write(&[garbage, partly, put("b", "2")]);
    let Err(CommitError::Unavailable(Unavailable::Failed(text))) = &answers[1] else {
        panic!("{answers:?}");
    };
    assert!(text.contains("no counter"), "{text}");
    assert_eq!(
        (fixture.get(POINT, "a"), fixture.get(POINT, "b")),
        (None, Some("2".into()))
    );
}

#[test]
fn stamps_carry_position_and_ordinal() {
    let fixture = fixture();
    let mut commit = put("a", "1");
    let append = |value: &'static str| Write::Append {
        prefix: key(SCAN, "log"),
        value: value.into(),
    };
    commit.writes.extend([append("x"), append("y")]);
    commit.writes.push(Write::Stamp {
        key: key(POINT, "tail"),
        value: "z".into(),
    });
    fixture.write(&[put("first", "0"), commit]);
    let stamp = |ordinal| belfry_kv::Stamp {
        position: at(2),
        ordinal,
    };
    let tail = [stamp(2).to_bytes().as_slice(), b"z"].concat();
    assert_eq!(fixture.get(POINT, "tail"), Some(tail.into()));
    let second = key(SCAN, "log").stamped(stamp(1));
    let got = fixture.store.get_many(None, &[second], Tier::Disk);
    assert_eq!(got[0].clone().unwrap().unwrap(), Some("y".into()));
}

#[test]
fn a_group_of_refusals_gives_no_position() {
    let fixture = fixture();
    let refused = checked(Check::Equals(key(POINT, "x"), "no".into()), put("a", "1"));
    let plan = fixture.plan(&[refused]);
    assert_eq!(
        (plan.last, plan.synced, plan.batch.len()),
        (Position::ZERO, None, 0)
    );
}
