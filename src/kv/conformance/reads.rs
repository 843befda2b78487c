//! Rows, keys at the edges, snapshots.

use std::time::Duration;

use super::{
    COUNTER, Db, Harness, LAST, LOG, NEXT, POINT, SCAN, add, append, bytes, delete, key, lazy, put,
    read_all, read_image, synced,
};
use crate::{Direction, Key, Range, ReadError, SNAPSHOT_AGE_MAX, Snapshot, Write};

pub(super) async fn values_come_in_the_order_asked<H: Harness>(db: Db<H>) {
    let (a, b, none) = (key(&POINT, "a"), key(&LAST, "b"), key(&SCAN, "none"));
    db.apply(synced([], [put(&a, "1"), put(&b, "2")])).await;
    let view = db.view().await;
    let asked = [&b, &none, &a, &b, &none].map(Key::clone);
    let values = view.get_many(&asked).await.expect("values");
    let (one, two) = (Some(bytes("1")), Some(bytes("2")));
    assert_eq!(values, [two.clone(), None, one, two, None]);
    assert_eq!(view.get_many(&[]).await, Ok(vec![]));
}

pub(super) async fn empty_values_are_not_absent<H: Harness>(mut db: Db<H>) {
    let row = key(&SCAN, "row");
    db.apply(synced([], [put(&row, "")])).await;
    for _ in 0..2 {
        assert_eq!(db.get(&row).await, Some(bytes("")));
        assert_eq!(db.rows(&SCAN).await, [(row.clone(), bytes(""))]);
        db.reopen().await;
    }
}

/// Columns that a careless encoding would confuse, in order.
const EDGES: [&[u8]; 14] = [
    &[],
    &[0x00],
    &[0x00, 0x00],
    &[0x00, 0xff],
    &[0x01],
    &[0x7f, 0xff],
    &[0x80],
    &[0xfe, 0xff, 0xff],
    &[0xff],
    &[0xff, 0x00],
    &[0xff, 0x01],
    &[0xff, 0xfe],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff],
];

async fn put_edges<H: Harness>(db: &Db<H>) {
    let spaces = [&POINT, &SCAN, &NEXT, &LOG, &LAST];
    let rows = spaces
        .iter()
        .flat_map(|space| EDGES.map(|edge| put(&key(space, edge), edge)));
    db.apply(synced([], rows.collect::<Vec<_>>())).await;
}

pub(super) async fn edge_keys_are_apart_and_in_order<H: Harness>(db: Db<H>) {
    put_edges(&db).await;
    for space in [&POINT, &SCAN, &NEXT, &LOG, &LAST] {
        let rows = EDGES.map(|edge| (key(space, edge), bytes(edge)));
        assert_eq!(db.rows(space).await, rows, "{}", space.name);
        for (row, value) in rows {
            assert_eq!(db.get(&row).await, Some(value), "{row:?}");
        }
    }
}

pub(super) async fn prefixes_end_at_their_successor<H: Harness>(db: Db<H>) {
    put_edges(&db).await;
    let view = db.view().await;
    for prefix in EDGES {
        let expected = EDGES.iter().filter(|edge| edge.starts_with(prefix));
        let expected: Vec<_> = expected.map(|edge| key(&SCAN, edge)).collect();
        let range = Range::prefix(&key(&SCAN, prefix));
        for direction in [Direction::Forward, Direction::Backward] {
            let page = view
                .scan(range.clone(), direction, 100)
                .await
                .expect("a page");
            let mut rows: Vec<_> = page.rows.into_iter().map(|row| row.0).collect();
            if direction == Direction::Backward {
                rows.reverse();
            }
            assert_eq!(rows, expected, "{prefix:?} {direction:?}");
        }
        let doomed = Write::DeleteRange(range);
        let others = EDGES.len() - expected.len();
        db.apply(synced([], [doomed])).await;
        assert_eq!(db.rows(&SCAN).await.len(), others, "{prefix:?}");
        assert_eq!(db.rows(&NEXT).await.len(), EDGES.len());
        put_edges(&db).await;
    }
}

pub(super) async fn the_highest_tag_can_be_scanned<H: Harness>(db: Db<H>) {
    let highest = key(&LAST, [0xff; 40]);
    db.apply(synced([], [put(&highest, "x"), put(&key(&LAST, ""), "y")]))
        .await;
    let view = db.view().await;
    let page = view
        .scan(Range::table(&LAST), Direction::Backward, 1)
        .await
        .expect("a page");
    assert_eq!(page.rows, [(highest.clone(), bytes("x"))]);
    db.apply(synced([], [Write::DeleteRange(Range::prefix(&highest))]))
        .await;
    assert_eq!(db.names(&LAST).await, [""]);
}

pub(super) async fn snapshots_never_change<H: Harness>(db: Db<H>) {
    let rows = ["a", "b", "c"].map(|name| key(&SCAN, name));
    let count = key(&COUNTER, "count");
    let first = [put(&rows[0], "1"), put(&rows[1], "1"), add(&count, 1)];
    db.apply(synced([], first)).await;
    let view = db.view().await;
    let (position, image) = (view.position(), read_image(&*view).await);
    let later = [
        synced([], [put(&rows[0], "2"), put(&rows[2], "2")]),
        lazy([], [delete(&rows[1]), add(&count, 1)]),
        synced([], [append(&key(&LOG, "log"), "x")]),
        synced([], [Write::DeleteRange(Range::table(&SCAN))]),
        synced([], [put(&rows[1], "3")]),
    ];
    for commit in later {
        db.apply(commit).await;
        assert_eq!(read_image(&*view).await, image);
        assert_eq!(view.position(), position);
    }
    let values = view.get_many(&rows).await.expect("values");
    assert_eq!(values, [Some(bytes("1")), Some(bytes("1")), None]);
    assert_eq!(db.names(&SCAN).await, ["b"]);
}

/// What each kind of read answers.
async fn read_each(view: &dyn Snapshot) -> [Result<(), ReadError>; 3] {
    let range = Range::table(&SCAN);
    [
        view.get_many(&[key(&SCAN, "a")]).await.map(|_| ()),
        view.scan(range.clone(), Direction::Forward, 1)
            .await
            .map(|_| ()),
        view.scan_many(vec![range], 1).await.map(|_| ()),
    ]
}

pub(super) async fn snapshots_expire<H: Harness>(db: Db<H>) {
    let a_second = Duration::from_secs(1);
    let view = db.view().await;
    db.0.advance(SNAPSHOT_AGE_MAX.saturating_sub(a_second));
    assert_eq!(read_each(&*view).await, [Ok(()), Ok(()), Ok(())]);
    db.0.advance(a_second + a_second);
    let expired = || Err(ReadError::Expired);
    assert_eq!(read_each(&*view).await, [expired(), expired(), expired()]);
    assert_eq!(read_each(&*db.view().await).await, [Ok(()), Ok(()), Ok(())]);
}

pub(super) async fn a_snapshot_holds_what_was_answered<H: Harness>(db: Db<H>) {
    for number in 0..100_u8 {
        let row = key(&SCAN, [number]);
        let commit = if number.is_multiple_of(2) {
            synced([], [put(&row, "x")])
        } else {
            lazy([], [put(&row, "x")])
        };
        let position = db.apply(commit).await;
        let view = db.view().await;
        assert_eq!(view.position(), position);
        let rows = read_all(&*view, Range::table(&SCAN)).await;
        assert_eq!(rows.len(), usize::from(number) + 1);
    }
}
