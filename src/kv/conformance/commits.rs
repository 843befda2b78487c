//! One commit at a time: atomicity, checks, writes, positions.

use std::collections::BTreeMap;

use super::{
    COLD, COUNTER, Db, Harness, LAST, LOG, NEXT, POINT, QUEUE, SCAN, absent, add, append, bytes,
    delete, equals, key, lazy, put, range, read_image, stamp, synced, within,
};
use crate::{Position, Range, Stamp, Write};

pub(super) async fn writes_of_every_kind_apply_together<H: Harness>(db: Db<H>) {
    let old = key(&SCAN, "old");
    db.apply(synced([], [put(&old, "x"), put(&key(&QUEUE, "gone"), "x")]))
        .await;
    let (row, log, count) = (key(&POINT, "row"), key(&LOG, "log"), key(&COUNTER, "count"));
    let position = db
        .apply(synced(
            [equals(&old, "x"), absent(&row), within(&count, 0, 0)],
            [
                put(&row, "row"),
                append(&log, "log"),
                stamp(&key(&COLD, "stamp"), "stamp"),
                add(&count, -3),
                delete(&key(&QUEUE, "gone")),
                Write::DeleteRange(Range::table(&SCAN)),
            ],
        ))
        .await;
    let at = |ordinal| Stamp { position, ordinal };
    let stamped = [&at(1).to_bytes()[..], b"stamp"].concat();
    let expected = BTreeMap::from([
        (row, bytes("row")),
        (log.stamped(at(0)), bytes("log")),
        (key(&COLD, "stamp"), bytes(stamped)),
        (count, bytes((-3_i64).to_be_bytes())),
    ]);
    assert_eq!(read_image(&*db.view().await).await, expected);
}

pub(super) async fn a_failed_check_leaves_nothing_behind<H: Harness>(db: Db<H>) {
    let (here, count) = (key(&POINT, "here"), key(&COUNTER, "count"));
    let before = db
        .apply(synced([], [put(&here, "1"), add(&count, 5)]))
        .await;
    let image = read_image(&*db.view().await).await;
    let writes = [
        put(&here, "2"),
        put(&key(&SCAN, "new"), "x"),
        append(&key(&LOG, "log"), "x"),
        stamp(&key(&COLD, "stamp"), "x"),
        add(&count, 1),
        Write::DeleteRange(Range::table(&POINT)),
    ];
    for failing in [absent(&here), equals(&here, "0"), within(&count, 6, 9)] {
        let holding = equals(&here, "1");
        db.conflict(synced([holding.clone(), failing.clone()], writes.clone()))
            .await;
        db.conflict(lazy([failing, holding], writes.clone())).await;
    }
    let view = db.view().await;
    assert_eq!(view.position(), before);
    assert_eq!(read_image(&*view).await, image);
}

pub(super) async fn absent_holds_without_a_row_only<H: Harness>(db: Db<H>) {
    let row = key(&POINT, "row");
    db.apply(synced([absent(&row)], [put(&row, "")])).await;
    db.conflict(synced([absent(&row)], [])).await;
    db.apply(synced(
        [absent(&key(&POINT, "ro")), absent(&key(&POINT, "row2"))],
        [],
    ))
    .await;
    db.apply(synced([], [delete(&row)])).await;
    db.apply(synced([absent(&row)], [])).await;
}

pub(super) async fn equals_compares_whole_values<H: Harness>(db: Db<H>) {
    let (row, empty, none) = (key(&SCAN, "row"), key(&SCAN, "empty"), key(&SCAN, "none"));
    db.apply(synced([], [put(&row, "abc"), put(&empty, "")]))
        .await;
    db.apply(synced([equals(&row, "abc"), equals(&empty, "")], []))
        .await;
    for other in ["", "ab", "abcd", "abd"] {
        db.conflict(synced([equals(&row, other)], [])).await;
    }
    db.conflict(synced([equals(&empty, "\0")], [])).await;
    db.conflict(synced([equals(&none, "")], [])).await;
}

pub(super) async fn within_includes_both_bounds_and_takes_absence_as_zero<H: Harness>(db: Db<H>) {
    let (count, none) = (key(&COUNTER, "count"), key(&COUNTER, "none"));
    db.apply(synced([], [add(&count, -2)])).await;
    for (min, max) in [(-2, -2), (-2, 9), (-9, -2), (i64::MIN, i64::MAX)] {
        db.apply(synced([within(&count, min, max)], [])).await;
    }
    for (min, max) in [(-1, 9), (-9, -3), (-1, -3), (i64::MAX, i64::MIN)] {
        db.conflict(synced([within(&count, min, max)], [])).await;
    }
    db.apply(synced([within(&none, 0, 0)], [])).await;
    db.conflict(synced([within(&none, 1, 1)], [])).await;
    db.conflict(synced([within(&none, -1, -1)], [])).await;
}

pub(super) async fn checks_see_the_rows_before_the_commits_own_writes<H: Harness>(db: Db<H>) {
    let (row, count) = (key(&POINT, "row"), key(&COUNTER, "count"));
    db.apply(synced(
        [absent(&row), within(&count, 0, 0)],
        [put(&row, "1"), add(&count, 1)],
    ))
    .await;
    let checks = [equals(&row, "1"), within(&count, 1, 1)];
    db.apply(synced(checks, [delete(&row), add(&count, 1)]))
        .await;
    db.conflict(synced([equals(&row, "2")], [put(&row, "2")]))
        .await;
    db.conflict(synced([within(&count, 3, 3)], [add(&count, 1)]))
        .await;
}

pub(super) async fn the_last_write_to_a_key_wins<H: Harness>(db: Db<H>) {
    let rows = ["a", "b", "c", "d", "e", "f"].map(|name| key(&SCAN, name));
    db.apply(synced([], rows.each_ref().map(|row| put(row, "0"))))
        .await;
    let writes = [
        put(&rows[0], "lost"),
        put(&rows[1], "lost"),
        Write::DeleteRange(Range::table(&SCAN)),
        put(&rows[1], "1"),
        put(&rows[1], "2"),
        delete(&rows[2]),
        put(&rows[2], "3"),
        put(&rows[3], "lost"),
        delete(&rows[3]),
        stamp(&rows[4], "lost"),
        put(&rows[4], "4"),
    ];
    db.apply(synced([], writes)).await;
    let left = [(1, "2"), (2, "3"), (4, "4")].map(|(row, value)| (rows[row].clone(), bytes(value)));
    assert_eq!(db.rows(&SCAN).await, left);
    let log = key(&LOG, "log");
    let emptied = Write::DeleteRange(Range::table(&LOG));
    db.apply(synced(
        [],
        [append(&log, "lost"), emptied, append(&log, "kept")],
    ))
    .await;
    let kept = db.rows(&LOG).await;
    assert_eq!(kept.iter().map(|row| &row.1).collect::<Vec<_>>(), ["kept"]);
}

pub(super) async fn sums_saturate<H: Harness>(db: Db<H>) {
    let (up, down) = (key(&COUNTER, "up"), key(&COUNTER, "down"));
    db.apply(synced([], [add(&up, i64::MAX), add(&down, i64::MIN)]))
        .await;
    db.apply(synced([], [add(&up, 1), add(&down, -1)])).await;
    assert_eq!(
        (db.count(&up).await, db.count(&down).await),
        (i64::MAX, i64::MIN)
    );
    db.apply(synced(
        [],
        [
            add(&up, 1),
            add(&up, -1),
            add(&down, i64::MAX),
            add(&down, 1),
        ],
    ))
    .await;
    assert_eq!(
        (db.count(&up).await, db.count(&down).await),
        (i64::MAX - 1, 0)
    );
}

pub(super) async fn sums_start_from_what_the_commit_wrote_before<H: Harness>(db: Db<H>) {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| key(&COUNTER, name));
    db.apply(synced([], [&a, &b, &c].map(|count| add(count, 100))))
        .await;
    let writes = [
        delete(&a),
        add(&a, 1),
        put(&b, 7_i64.to_be_bytes()),
        add(&b, 1),
        add(&b, 1),
        add(&c, 1),
        Write::DeleteRange(range(&c, &d)),
        add(&c, 2),
        add(&d, 3),
        delete(&d),
    ];
    db.apply(synced([], writes)).await;
    assert_eq!(
        [db.count(&a).await, db.count(&b).await, db.count(&c).await],
        [1, 9, 2]
    );
    assert_eq!(db.get(&d).await, None);
    db.apply(synced([], [add(&d, 0)])).await;
    assert_eq!(
        db.get(&d).await,
        Some(bytes([0; 8])),
        "adding nothing makes a row"
    );
}

pub(super) async fn ordinals_count_the_stamping_writes<H: Harness>(db: Db<H>) {
    let (log, other, row) = (key(&LOG, "log"), key(&LOG, "other"), key(&COLD, "row"));
    let writes = [
        put(&key(&POINT, "a"), "x"),
        append(&log, "0"),
        add(&key(&COUNTER, "b"), 1),
        stamp(&row, "1"),
        delete(&key(&POINT, "a")),
        append(&other, "2"),
        append(&log, "3"),
    ];
    let position = db.apply(synced([], writes)).await;
    let at = |ordinal| Stamp { position, ordinal };
    let logged = [
        (log.stamped(at(0)), bytes("0")),
        (log.stamped(at(3)), bytes("3")),
    ];
    assert_eq!(db.rows(&LOG).await[..2], logged);
    assert_eq!(db.get(&other.stamped(at(2))).await, Some(bytes("2")));
    let stamped = [&at(1).to_bytes()[..], b"1"].concat();
    assert_eq!(db.get(&row).await, Some(bytes(stamped)));
}

pub(super) async fn stamped_rows_are_overwritten_and_checked_like_others<H: Harness>(db: Db<H>) {
    let row = key(&COLD, "row");
    db.apply(synced([], [stamp(&row, "1")])).await;
    let first = db.get(&row).await.expect("a stamped row");
    db.conflict(synced([absent(&row)], [])).await;
    db.apply(synced([equals(&row, &first)], [stamp(&row, "1")]))
        .await;
    db.conflict(synced([equals(&row, &first)], [])).await;
    db.apply(synced([], [put(&row, &first)])).await;
    db.apply(synced([equals(&row, &first)], [])).await;
}

pub(super) async fn ranges_are_deleted_half_open<H: Harness>(db: Db<H>) {
    let names = ["a", "b", "b\0", "b\u{7f}", "c", "c\0"];
    db.apply(synced([], names.map(|name| put(&key(&SCAN, name), "x"))))
        .await;
    let doomed = range(&key(&SCAN, "b"), &key(&SCAN, "c"));
    db.apply(synced([], [Write::DeleteRange(doomed)])).await;
    assert_eq!(db.names(&SCAN).await, ["a", "c", "c\0"]);
    db.apply(synced(
        [],
        [Write::DeleteRange(Range::prefix(&key(&SCAN, "c")))],
    ))
    .await;
    assert_eq!(db.names(&SCAN).await, ["a"]);
}

pub(super) async fn empty_and_inverted_ranges_delete_nothing<H: Harness>(db: Db<H>) {
    let [a, b, c] = ["a", "b", "c"].map(|name| key(&SCAN, name));
    db.apply(synced([], [&a, &b, &c].map(|row| put(row, "x"))))
        .await;
    let nothing = [range(&b, &b), range(&c, &a), range(&b, &a)];
    db.apply(synced([], nothing.map(Write::DeleteRange))).await;
    assert_eq!(db.names(&SCAN).await, ["a", "b", "c"]);
}

pub(super) async fn keyspaces_are_apart<H: Harness>(db: Db<H>) {
    let spaces = [&POINT, &SCAN, &NEXT, &LOG, &QUEUE, &COLD, &LAST];
    let writes = spaces.map(|space| put(&key(space, "same"), space.name));
    db.apply(synced([], writes)).await;
    for space in spaces {
        assert_eq!(db.get(&key(space, "same")).await, Some(bytes(space.name)));
        assert_eq!(db.names(space).await, ["same"], "{}", space.name);
    }
    let doomed = [&SCAN, &LAST].map(|space| Write::DeleteRange(Range::table(space)));
    db.apply(synced([], doomed)).await;
    for space in spaces {
        let left = usize::from(space.tag != SCAN.tag && space.tag != LAST.tag);
        assert_eq!(db.rows(space).await.len(), left, "{}", space.name);
    }
}

pub(super) async fn deleting_what_is_absent_is_no_error<H: Harness>(db: Db<H>) {
    let none = key(&SCAN, "none");
    db.apply(synced(
        [],
        [delete(&none), Write::DeleteRange(Range::table(&NEXT))],
    ))
    .await;
    assert_eq!(db.get(&none).await, None);
}

pub(super) async fn an_empty_commit_has_a_position<H: Harness>(db: Db<H>) {
    let first = db.apply(synced([], [])).await;
    let second = db.apply(lazy([], [])).await;
    let third = db.apply(synced([absent(&key(&POINT, "none"))], [])).await;
    assert!(Position::ZERO < first && first < second && second < third);
    assert_eq!(db.view().await.position(), third);
}

pub(super) async fn positions_increase_and_survive_reopening<H: Harness>(mut db: Db<H>) {
    let mut last = Position::ZERO;
    for round in 0..3 {
        for number in 0..5 {
            let row = put(&key(&POINT, [number]), [round]);
            let position = db.apply(if number.is_multiple_of(2) {
                synced([], [row])
            } else {
                lazy([], [row])
            });
            let position = position.await;
            assert!(
                position > last,
                "round {round}: {position:?} behind {last:?}"
            );
            last = position;
        }
        db.reopen().await;
        assert!(db.view().await.position() >= last);
    }
}

pub(super) async fn a_snapshot_stands_at_the_last_commit<H: Harness>(db: Db<H>) {
    let empty = db.view().await.position();
    let first = db.apply(synced([], [put(&key(&POINT, "a"), "x")])).await;
    assert!(empty < first);
    let view = db.view().await;
    assert_eq!(view.position(), first);
    let second = db.apply(lazy([], [put(&key(&POINT, "a"), "y")])).await;
    assert_eq!(view.position(), first);
    assert_eq!(db.view().await.position(), second);
    db.conflict(synced([absent(&key(&POINT, "a"))], [])).await;
    assert_eq!(db.view().await.position(), second);
}
