//! What is left after a loss of power, and after an orderly end.

use tokio::task::yield_now;

use super::{
    COLD, COUNTER, Db, Harness, LOG, POINT, SCAN, absent, add, append, bytes, delete, key, lazy,
    put, read_image, stamp, synced,
};
use crate::{Position, Range, Write};

pub(super) async fn synced_commits_survive_a_crash<H: Harness>(mut db: Db<H>) {
    for number in 0..10_i64 {
        let row = number.to_be_bytes();
        let writes = [
            put(&key(&SCAN, row), row),
            append(&key(&LOG, "log"), row),
            stamp(&key(&COLD, row), row),
            add(&key(&COUNTER, "sum"), number),
        ];
        db.apply(synced([absent(&key(&SCAN, row))], writes)).await;
    }
    let image = read_image(&*db.view().await).await;
    db.crash().await;
    assert_eq!(read_image(&*db.view().await).await, image);
    db.conflict(synced([absent(&key(&SCAN, 1_i64.to_be_bytes()))], []))
        .await;
}

pub(super) async fn deletions_survive_a_crash<H: Harness>(mut db: Db<H>) {
    let rows = ["a", "b", "c", "d"].map(|name| key(&SCAN, name));
    db.apply(synced([], rows.each_ref().map(|row| put(row, "x"))))
        .await;
    db.reopen().await;
    let range = super::range(&rows[1], &rows[3]);
    db.apply(synced([], [delete(&rows[0])])).await;
    db.apply(synced([], [Write::DeleteRange(range)])).await;
    db.crash().await;
    assert_eq!(db.names(&SCAN).await, ["d"]);
    db.apply(synced(
        [absent(&rows[0]), absent(&rows[2])],
        [put(&rows[2], "y")],
    ))
    .await;
    db.crash().await;
    assert_eq!(db.names(&SCAN).await, ["c", "d"]);
}

/// Lazy commits, each of two rows.
async fn apply_lazily<H: Harness>(db: &Db<H>, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let rows = [
            put(&key(&SCAN, [number]), "x"),
            put(&key(&POINT, [number]), "x"),
        ];
        db.apply(lazy([], rows)).await;
    }
}

/// How many of the rows 0.. there are; fails if one is missing in between, or half a commit.
async fn count_prefix<H: Harness>(db: &Db<H>) -> usize {
    let found: Vec<_> = db.rows(&SCAN).await.into_iter().map(|row| row.0).collect();
    let halves: Vec<_> = db.rows(&POINT).await.into_iter().map(|row| row.0).collect();
    let prefix = |space| {
        (0_u8..)
            .take(found.len())
            .map(move |number| key(space, [number]))
    };
    assert_eq!(found, prefix(&SCAN).collect::<Vec<_>>());
    assert_eq!(halves, prefix(&POINT).collect::<Vec<_>>());
    found.len()
}

pub(super) async fn a_crash_loses_only_the_last_lazy_commits<H: Harness>(mut db: Db<H>) {
    for _ in 0..5 {
        apply_lazily(&db, 0..20).await;
        db.crash().await;
        assert!(count_prefix(&db).await <= 20);
        let clear = [&SCAN, &POINT].map(|space| Write::DeleteRange(Range::table(space)));
        db.apply(synced([], clear)).await;
    }
}

pub(super) async fn a_synced_commit_carries_the_lazy_ones_before_it<H: Harness>(mut db: Db<H>) {
    apply_lazily(&db, 0..7).await;
    db.apply(synced([], [])).await;
    apply_lazily(&db, 7..20).await;
    db.crash().await;
    let kept = count_prefix(&db).await;
    assert!((7..=20).contains(&kept), "{kept}");
}

pub(super) async fn a_clean_reopen_loses_nothing<H: Harness>(mut db: Db<H>) {
    apply_lazily(&db, 0..7).await;
    db.reopen().await;
    assert_eq!(count_prefix(&db).await, 7);
    db.crash().await;
    assert_eq!(count_prefix(&db).await, 7);
}

pub(super) async fn a_crash_keeps_whole_commits_in_order<H: Harness>(mut db: Db<H>) {
    let commit = |number: u8| {
        let rows = [
            put(&key(&SCAN, [number]), "x"),
            put(&key(&POINT, [number]), "x"),
        ];
        synced([], rows)
    };
    let sent: Vec<_> = (0..40).map(|number| db.send(commit(number))).collect();
    for answer in sent.into_iter().take(10) {
        answer.await.expect("applied before the crash");
    }
    db.crash().await;
    let kept = count_prefix(&db).await;
    assert!((10..=40).contains(&kept), "{kept}");
}

pub(super) async fn positions_increase_over_crashes<H: Harness>(mut db: Db<H>) {
    let mut last = Position::ZERO;
    let log = key(&LOG, "log");
    for round in 0..6_u8 {
        for number in 0..10_u8 {
            let row = [append(&log, [round, number])];
            // Rounds that end with lazy commits, which may be lost: their positions are gone, too.
            let commit = if number < round {
                synced([], row)
            } else {
                lazy([], row)
            };
            let position = db.apply(commit).await;
            assert!(
                position > last,
                "round {round}: {position:?} behind {last:?}"
            );
            last = position;
        }
        db.crash().await;
    }
    let logged: Vec<_> = db.rows(&LOG).await.into_iter().map(|row| row.1).collect();
    assert!(logged.is_sorted(), "{logged:?}");
    assert!(logged.contains(&bytes([5, 4])));
}

pub(super) async fn counters_survive_crash_after_crash<H: Harness>(mut db: Db<H>) {
    let count = key(&COUNTER, "count");
    for round in 1..=5 {
        db.apply(lazy([], [add(&count, 1)])).await;
        db.apply(synced([], [add(&count, 1)])).await;
        if round % 2 == 0 {
            db.reopen().await;
        } else {
            db.crash().await;
        }
        assert_eq!(db.count(&count).await, 2 * round);
    }
}

pub(super) async fn what_readers_saw_of_a_synced_commit_survives<H: Harness>(mut db: Db<H>) {
    for round in 0..10_u8 {
        let row = key(&SCAN, [round]);
        let stands = db.view().await.position();
        drop(db.send(synced([], [put(&row, "x")])));
        if round.is_multiple_of(2) {
            db.engine().changed(stands).await;
        } else {
            while db.get(&row).await.is_none() {
                yield_now().await;
            }
        }
        db.crash().await;
        assert_eq!(db.get(&row).await, Some(bytes("x")), "round {round}");
    }
}
