//! Commits that are sent before the ones ahead of them are answered, as if each were alone.

use bytes::Bytes;

use super::{
    COLD, COUNTER, Db, Harness, LOG, POINT, QUEUE, SCAN, absent, add, append, bytes, delete,
    equals, key, lazy, put, stamp, synced, within,
};
use crate::{Commit, CommitError, Limit, Position, Range, VALUE_BYTES_MAX, Write};

/// Commits in one go: enough that an engine cannot but group some.
const GROUP: u8 = 50;
/// Commits in one go that every engine must be able to hold, though not in one group.
const LONG_QUEUE: u32 = 2_000;

type Answers = Vec<Result<Position, CommitError>>;

fn applied(answers: &Answers) -> Vec<bool> {
    let of = |answer: &Result<_, _>| match answer {
        Ok(_) => true,
        Err(CommitError::Conflict) => false,
        Err(error) => panic!("{error}"),
    };
    answers.iter().map(of).collect()
}

fn assert_increasing(answers: &Answers) {
    let positions: Vec<_> = answers.iter().flatten().collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
}

pub(super) async fn chained_commits_all_apply<H: Harness>(db: Db<H>) {
    let row = key(&POINT, "row");
    let mut chain = vec![synced([absent(&row)], [put(&row, [0])])];
    chain.extend((1..GROUP).map(|step| synced([equals(&row, [step - 1])], [put(&row, [step])])));
    let answers = db.group(chain).await;
    assert_eq!(applied(&answers), [true; GROUP as usize]);
    assert_increasing(&answers);
    assert_eq!(db.get(&row).await, Some(bytes([GROUP - 1])));
}

pub(super) async fn of_conflicting_commits_the_first_called_wins<H: Harness>(db: Db<H>) {
    let row = key(&SCAN, "row");
    let claim = |who: u8| {
        synced(
            [absent(&row)],
            [put(&row, [who]), put(&key(&POINT, [who]), "x")],
        )
    };
    let answers = db.group((0..GROUP).map(claim).collect()).await;
    let first = (0..GROUP).map(|who| who == 0).collect::<Vec<_>>();
    assert_eq!(applied(&answers), first);
    assert_eq!(db.get(&row).await, Some(bytes([0])));
    assert_eq!(db.rows(&POINT).await.len(), 1);
    let replace = |who: u8| synced([equals(&row, [0])], [put(&row, [who + 1])]);
    let answers = db.group((0..GROUP).map(replace).collect()).await;
    assert_eq!(applied(&answers), first);
    assert_eq!(db.get(&row).await, Some(bytes([1])));
}

pub(super) async fn a_conflict_in_a_group_leaves_nothing_behind<H: Harness>(db: Db<H>) {
    let [a, b, count] = [key(&POINT, "a"), key(&POINT, "b"), key(&COUNTER, "c")];
    let log = key(&LOG, "log");
    let everything = Write::DeleteRange(Range::table(&POINT));
    let lost = [
        put(&b, "lost"),
        add(&count, 1),
        append(&log, "lost"),
        delete(&a),
        everything,
    ];
    let answers = db
        .group(vec![
            synced([], [put(&a, "1")]),
            synced([absent(&a)], lost),
            synced(
                [absent(&b), within(&count, 0, 0), equals(&a, "1")],
                [put(&b, "2")],
            ),
        ])
        .await;
    assert_eq!(applied(&answers), [true, false, true]);
    assert_eq!(db.rows(&POINT).await, [(a, bytes("1")), (b, bytes("2"))]);
    assert_eq!(db.rows(&LOG).await, []);
    assert_eq!(db.get(&count).await, None);
}

pub(super) async fn sums_and_bounds_hold_within_a_group<H: Harness>(db: Db<H>) {
    let count = key(&COUNTER, "quota");
    let take = |_| synced([within(&count, 0, 9)], [add(&count, 1)]);
    let answers = db.group((0..GROUP).map(take).collect()).await;
    let taken: Vec<_> = (0..GROUP).map(|number| number < 10).collect();
    assert_eq!(applied(&answers), taken);
    assert_eq!(db.count(&count).await, 10);
    let answers = db
        .group(vec![
            synced([within(&count, 10, 10)], [delete(&count)]),
            synced(
                [within(&count, 0, 0), absent(&count)],
                [add(&count, 4), add(&count, 1)],
            ),
            synced([within(&count, 5, 5)], [put(&count, 90_i64.to_be_bytes())]),
            synced([within(&count, 90, 90)], [add(&count, i64::MAX)]),
            synced([within(&count, i64::MAX, i64::MAX)], [add(&count, -1)]),
        ])
        .await;
    assert_eq!(applied(&answers), [true; 5]);
    assert_eq!(db.count(&count).await, i64::MAX - 1);
}

pub(super) async fn sums_add_up_within_a_group<H: Harness>(db: Db<H>) {
    let count = key(&COUNTER, "sum");
    db.apply(synced([], [add(&count, 1000)])).await;
    let commits = (0..GROUP).map(|one| synced([], [add(&count, one.into()), add(&count, 1)]));
    assert_eq!(
        applied(&db.group(commits.collect()).await),
        [true; GROUP as usize]
    );
    let sum = (0..i64::from(GROUP)).sum::<i64>() + i64::from(GROUP) + 1000;
    assert_eq!(db.count(&count).await, sum);
}

pub(super) async fn deleted_ranges_are_absent_to_those_behind<H: Harness>(db: Db<H>) {
    let (old, new, count) = (key(&SCAN, "r/old"), key(&SCAN, "r/new"), key(&COUNTER, "r"));
    db.apply(synced([], [put(&old, "1"), add(&count, 8)])).await;
    let clear = Write::DeleteRange(Range::prefix(&key(&SCAN, "r/")));
    let zero = Write::DeleteRange(Range::table(&COUNTER));
    let answers = db
        .group(vec![
            synced([absent(&new)], [put(&new, "1")]),
            synced([equals(&old, "1"), equals(&new, "1")], [clear, zero]),
            synced([equals(&old, "1")], [put(&key(&SCAN, "s"), "lost")]),
            synced(
                [absent(&old), absent(&new), within(&count, 0, 0)],
                [add(&count, 2)],
            ),
            synced([absent(&count)], []),
            synced([within(&count, 2, 2)], [add(&count, 1)]),
        ])
        .await;
    assert_eq!(applied(&answers), [true, true, false, true, false, true]);
    assert_eq!(db.rows(&SCAN).await, []);
    assert_eq!(db.count(&count).await, 3);
}

pub(super) async fn rows_put_behind_a_deleted_range_stay<H: Harness>(db: Db<H>) {
    let rows = |number: u8| key(&QUEUE, [b'q', number]);
    let clear = || Write::DeleteRange(Range::table(&QUEUE));
    let commits = (0..GROUP).map(|number| match number {
        20 | 40 => synced(
            [equals(&rows(number - 1), "x")],
            [clear(), put(&rows(number), "x")],
        ),
        21 | 41 => synced([absent(&rows(19)), equals(&rows(number - 1), "x")], []),
        _ => synced([absent(&rows(number))], [put(&rows(number), "x")]),
    });
    let answers = db.group(commits.collect()).await;
    assert_eq!(applied(&answers), [true; GROUP as usize]);
    assert_increasing(&answers);
    let left: Vec<_> = db.rows(&QUEUE).await.into_iter().map(|row| row.0).collect();
    let expected = [40].into_iter().chain(42..GROUP).map(rows);
    assert_eq!(left, expected.collect::<Vec<_>>());
}

pub(super) async fn stamps_are_rows_to_those_behind<H: Harness>(db: Db<H>) {
    let (row, log) = (key(&COLD, "row"), key(&LOG, "log"));
    let answers = db
        .group(vec![
            synced([absent(&row)], [put(&row, "1")]),
            synced(
                [equals(&row, "1")],
                [stamp(&row, "1"), append(&log, "lost")],
            ),
            synced([absent(&row)], []),
            synced([equals(&row, "1")], []),
            synced(
                [],
                [
                    Write::DeleteRange(Range::prefix(&log)),
                    append(&log, "kept"),
                ],
            ),
            synced([], [put(&row, "2")]),
            synced([equals(&row, "2")], []),
        ])
        .await;
    assert_eq!(
        applied(&answers),
        [true, true, false, false, true, true, true]
    );
    let kept: Vec<Bytes> = db.rows(&LOG).await.into_iter().map(|row| row.1).collect();
    assert_eq!(kept, ["kept"]);
}

pub(super) async fn appended_rows_are_ordered_as_the_calls<H: Harness>(db: Db<H>) {
    let log = key(&LOG, "log");
    let commits = (0..GROUP).map(|one| {
        let writes = [append(&log, [one, 0]), append(&log, [one, 1])];
        if one.is_multiple_of(3) {
            lazy([], writes)
        } else {
            synced([], writes)
        }
    });
    let answers = db.group(commits.collect()).await;
    assert_increasing(&answers);
    let rows: Vec<Bytes> = db.rows(&LOG).await.into_iter().map(|row| row.1).collect();
    let called = (0..GROUP).flat_map(|one| [bytes([one, 0]), bytes([one, 1])]);
    assert_eq!(rows, called.collect::<Vec<_>>());
}

pub(super) async fn calls_order_commits_not_polls<H: Harness>(db: Db<H>) {
    let row = key(&POINT, "row");
    let first = db.send(synced([absent(&row)], [put(&row, "first")]));
    let second = db.send(synced([equals(&row, "first")], [put(&row, "second")]));
    let third = db.send(lazy([equals(&row, "second")], [put(&row, "third")]));
    let third = third.await.expect("built on the second");
    let second = second.await.expect("built on the first");
    let first = first.await.expect("called first");
    assert!(first < second && second < third);
    assert_eq!(db.get(&row).await, Some(bytes("third")));
}

pub(super) async fn dropped_futures_commit<H: Harness>(db: Db<H>) {
    let count = key(&COUNTER, "sum");
    for number in 0..GROUP {
        let commit = synced([], [add(&count, 1), put(&key(&POINT, [number]), "x")]);
        drop(db.send(commit));
    }
    db.apply(synced([within(&count, GROUP.into(), GROUP.into())], []))
        .await;
    assert_eq!(db.rows(&POINT).await.len(), GROUP.into());
}

pub(super) async fn lazy_and_synced_keep_their_order<H: Harness>(db: Db<H>) {
    let row = key(&POINT, "row");
    let commit = |step: u8| -> Commit {
        let (checks, writes) = ([equals(&row, [step])], [put(&row, [step + 1])]);
        if step.is_multiple_of(2) {
            synced(checks, writes)
        } else {
            lazy(checks, writes)
        }
    };
    db.apply(lazy([], [put(&row, [0])])).await;
    let answers = db.group((0..GROUP).map(commit).collect()).await;
    assert_eq!(applied(&answers), [true; GROUP as usize]);
    assert_increasing(&answers);
}

pub(super) async fn a_refused_commit_harms_no_other<H: Harness>(db: Db<H>) {
    let [a, b, c] = ["a", "b", "c"].map(|name| key(&POINT, name));
    let answers = db
        .group(vec![
            synced([], [put(&a, "1")]),
            synced([], [put(&b, "1"), put(&b, vec![0; VALUE_BYTES_MAX + 1])]),
            synced([equals(&a, "1"), absent(&b)], [put(&c, "1")]),
        ])
        .await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1], Err(CommitError::TooLarge(Limit::Value)));
    assert_eq!(db.names(&POINT).await, ["a", "c"]);
}

pub(super) async fn queues_longer_than_a_group_keep_their_order<H: Harness>(db: Db<H>) {
    let (row, log) = (key(&POINT, "row"), key(&LOG, "log"));
    db.apply(synced([], [put(&row, 0_u32.to_be_bytes())])).await;
    let step = |step: u32| {
        let next = put(&row, (step + 1).to_be_bytes());
        synced(
            [equals(&row, step.to_be_bytes())],
            [next, append(&log, step.to_be_bytes())],
        )
    };
    let answers = db.group((0..LONG_QUEUE).map(step).collect()).await;
    assert!(applied(&answers).iter().all(|applied| *applied));
    assert_increasing(&answers);
    let logged: Vec<Bytes> = db.rows(&LOG).await.into_iter().map(|row| row.1).collect();
    assert!(
        logged
            .into_iter()
            .eq((0..LONG_QUEUE).map(|step| bytes(step.to_be_bytes())))
    );
}

pub(super) async fn queues_of_large_commits_keep_their_order<H: Harness>(db: Db<H>) {
    let large = |number: u8| {
        let row = |half: u8| key(&COLD, [number, half]);
        let previous = number.checked_sub(1).map(|before| key(&COLD, [before, 0]));
        let checks = previous.map(|before| equals(&before, vec![number - 1; 90_000]));
        let rows = (0..5).map(|part| put(&row(part), vec![number; 90_000]));
        synced(Vec::from_iter(checks), rows.collect::<Vec<_>>())
    };
    let answers = db.group((0..20).map(large).collect()).await;
    assert_eq!(applied(&answers), [true; 20]);
    assert_increasing(&answers);
    assert_eq!(db.rows(&COLD).await.len(), 100);
}
