//! Every limit of the contract, at its edge and one beyond.

use super::{
    Db, Harness, LOG, POINT, SCAN, absent, add, append, delete, equals, key, lazy, put, stamp,
    synced,
};
use crate::{
    COMMIT_BYTES_MAX, COMMIT_CHECKS_MAX, COMMIT_WRITES_MAX, Commit, CommitError, Direction,
    GET_MANY_KEYS_MAX, KEY_BYTES_MAX, Key, Limit, Range, ReadError, SCAN_MANY_RANGES_MAX,
    STAMP_BYTES, VALUE_BYTES_MAX, Write,
};

/// Refused, also as a lazy commit, and nothing of it stored.
async fn refuse<H: Harness>(db: &Db<H>, commit: Commit, limit: Limit) {
    let before = db.view().await.position();
    let late = lazy(commit.checks.clone(), commit.writes.clone());
    for commit in [commit, late] {
        assert_eq!(db.send(commit).await, Err(CommitError::TooLarge(limit)));
    }
    assert_eq!(db.view().await.position(), before);
}

fn long_key(bytes: usize) -> Key {
    key(&SCAN, vec![b'k'; bytes - 1])
}

pub(super) async fn keys_have_a_longest<H: Harness>(db: Db<H>) {
    let (longest, longer) = (long_key(KEY_BYTES_MAX), long_key(KEY_BYTES_MAX + 1));
    db.apply(synced(
        [absent(&longest)],
        [put(&longest, "x"), stamp(&longest, "x")],
    ))
    .await;
    assert_eq!(db.rows(&SCAN).await.len(), 1);
    db.apply(synced(
        [],
        [
            Write::DeleteRange(Range::prefix(&longest)),
            delete(&longest),
        ],
    ))
    .await;
    let prefix = key(&LOG, vec![b'k'; KEY_BYTES_MAX - STAMP_BYTES - 1]);
    db.apply(synced([], [append(&prefix, "x")])).await;
    let logged = db.rows(&LOG).await;
    assert_eq!(logged[0].0.as_bytes().len(), KEY_BYTES_MAX);

    let prefix = key(&LOG, vec![b'k'; KEY_BYTES_MAX - STAMP_BYTES]);
    let range = Range {
        from: key(&SCAN, ""),
        to: longer.clone(),
    };
    let writes = [
        put(&longer, ""),
        delete(&longer),
        add(&longer, 1),
        stamp(&longer, ""),
        append(&prefix, ""),
        Write::DeleteRange(range),
    ];
    for write in writes {
        refuse(
            &db,
            synced([], [put(&key(&POINT, "a"), "x"), write]),
            Limit::Key,
        )
        .await;
    }
    refuse(&db, synced([absent(&longer)], []), Limit::Key).await;
}

pub(super) async fn values_have_a_longest<H: Harness>(db: Db<H>) {
    let row = key(&SCAN, "row");
    let value = |bytes: usize| vec![b'v'; bytes];
    let longest = value(VALUE_BYTES_MAX);
    db.apply(synced([], [put(&row, &longest)])).await;
    db.apply(synced([equals(&row, &longest)], [])).await;
    assert_eq!(db.rows(&SCAN).await[0].1.len(), VALUE_BYTES_MAX);
    db.apply(synced(
        [],
        [stamp(&row, value(VALUE_BYTES_MAX - STAMP_BYTES))],
    ))
    .await;
    assert_eq!(db.rows(&SCAN).await[0].1.len(), VALUE_BYTES_MAX);
    db.apply(synced([], [append(&key(&LOG, "l"), &longest)]))
        .await;

    let longer = value(VALUE_BYTES_MAX + 1);
    let stamped = stamp(&row, value(VALUE_BYTES_MAX - STAMP_BYTES + 1));
    for write in [
        put(&row, &longer),
        append(&key(&LOG, "l"), &longer),
        stamped,
    ] {
        refuse(&db, synced([], [write]), Limit::Value).await;
    }
    refuse(&db, synced([equals(&row, &longer)], []), Limit::Value).await;
}

pub(super) async fn commits_have_a_size<H: Harness>(db: Db<H>) {
    let full = |extra: usize| {
        let row = |number: u8, bytes: usize| put(&key(&SCAN, [number]), vec![number; bytes]);
        let mut writes: Vec<_> = (0..10).map(|number| row(number, 90_000)).collect();
        let left = COMMIT_BYTES_MAX - 10 * 90_002 - 2 * 2 - 90_000;
        writes.extend([row(10, 90_000), row(11, left + extra)]);
        synced([], writes)
    };
    assert_eq!(full(0).bytes(), COMMIT_BYTES_MAX);
    db.apply(full(0)).await;
    assert_eq!(db.rows(&SCAN).await.len(), 12);
    refuse(&db, full(1), Limit::Bytes).await;
}

pub(super) async fn commits_have_a_number_of_writes<H: Harness>(db: Db<H>) {
    let appends = |count| synced([], vec![append(&key(&LOG, "l"), ""); count]);
    db.apply(appends(COMMIT_WRITES_MAX)).await;
    refuse(&db, appends(COMMIT_WRITES_MAX + 1), Limit::Writes).await;
    let view = db.view().await;
    let last = view
        .scan(Range::table(&LOG), Direction::Backward, 1)
        .await
        .expect("a page");
    let ordinal = last.rows[0].0.as_bytes().last_chunk().expect("a stamp");
    assert_eq!(
        usize::from(u16::from_be_bytes(*ordinal)),
        COMMIT_WRITES_MAX - 1
    );
}

pub(super) async fn commits_have_a_number_of_checks<H: Harness>(db: Db<H>) {
    let checks = |count| synced(vec![absent(&key(&POINT, "none")); count], []);
    db.apply(checks(COMMIT_CHECKS_MAX)).await;
    refuse(&db, checks(COMMIT_CHECKS_MAX + 1), Limit::Checks).await;
}

pub(super) async fn reads_have_a_number_of_keys<H: Harness>(db: Db<H>) {
    let row = key(&POINT, "row");
    db.apply(synced([], [put(&row, "x")])).await;
    let view = db.view().await;
    let values = view
        .get_many(&vec![row.clone(); GET_MANY_KEYS_MAX])
        .await
        .expect("values");
    assert_eq!(values.iter().flatten().count(), GET_MANY_KEYS_MAX);
    let more = view.get_many(&vec![row; GET_MANY_KEYS_MAX + 1]).await;
    assert_eq!(more, Err(ReadError::TooLarge));
}

pub(super) async fn reads_have_a_number_of_ranges<H: Harness>(db: Db<H>) {
    db.apply(synced([], [put(&key(&SCAN, "row"), "x")])).await;
    let view = db.view().await;
    let ranges = |count| vec![Range::table(&SCAN); count];
    let pages = view
        .scan_many(ranges(SCAN_MANY_RANGES_MAX), 1)
        .await
        .expect("pages");
    assert_eq!(
        pages.iter().flat_map(|page| &page.rows).count(),
        SCAN_MANY_RANGES_MAX
    );
    let more = view.scan_many(ranges(SCAN_MANY_RANGES_MAX + 1), 1).await;
    assert_eq!(more, Err(ReadError::TooLarge));
}
