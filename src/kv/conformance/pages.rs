//! Runs of rows: limits, rests, both directions.

use bytes::Bytes;

use super::{Db, Harness, NEXT, POINT, SCAN, key, put, range, read_pages, synced};
use crate::{
    Direction, Key, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Range, SCAN_MANY_BYTES_MAX, Snapshot,
};

async fn put_rows<H: Harness>(db: &Db<H>, names: impl IntoIterator<Item = u8>) {
    let rows = names
        .into_iter()
        .map(|name| put(&key(&SCAN, [name]), [name]));
    db.apply(synced([], rows.collect::<Vec<_>>())).await;
}

async fn page(view: &dyn Snapshot, range: Range, direction: Direction, limit: usize) -> Page {
    view.scan(range, direction, limit).await.expect("a page")
}

fn names(rows: &[(Key, Bytes)]) -> Vec<u8> {
    rows.iter()
        .flat_map(|row| row.0.columns().to_vec())
        .collect()
}

pub(super) async fn limits_cut_pages_and_rests_continue_them<H: Harness>(db: Db<H>) {
    put_rows(&db, 0..20).await;
    db.apply(synced(
        [],
        [
            put(&key(&NEXT, "behind"), "x"),
            put(&key(&POINT, "before"), "x"),
        ],
    ))
    .await;
    let view = db.view().await;
    let ranges = [
        (Range::table(&SCAN), 0..20),
        (range(&key(&SCAN, [5]), &key(&SCAN, [15])), 5..15),
        (range(&key(&SCAN, [5, 0]), &key(&SCAN, [15, 0])), 6..16),
        (range(&key(&SCAN, ""), &key(&SCAN, [7])), 0..7),
        (range(&key(&SCAN, [18]), &key(&SCAN, [99])), 18..20),
    ];
    for (range, expected) in ranges {
        for limit in 1..=21 {
            let whole = range.clone();
            let forward = read_pages(&*view, whole.clone(), Direction::Forward, limit).await;
            assert!(
                names(&forward).into_iter().eq(expected.clone()),
                "{range:?} by {limit}"
            );
            let backward = read_pages(&*view, whole.clone(), Direction::Backward, limit).await;
            assert!(
                names(&backward).into_iter().eq(expected.clone().rev()),
                "{range:?} by {limit}"
            );
            let first = page(&*view, whole, Direction::Backward, limit).await;
            assert_eq!(first.rows.len(), expected.len().min(limit));
            assert!(
                first.rest.is_none() || first.rows.len() == limit,
                "a short page is the last"
            );
        }
    }
}

pub(super) async fn empty_and_inverted_ranges_have_no_rows<H: Harness>(db: Db<H>) {
    put_rows(&db, 0..5).await;
    let view = db.view().await;
    let [low, high] = [key(&SCAN, [1]), key(&SCAN, [3])];
    for range in [
        range(&low, &low),
        range(&high, &low),
        Range::prefix(&key(&SCAN, [9])),
    ] {
        for direction in [Direction::Forward, Direction::Backward] {
            let page = page(&*view, range.clone(), direction, 10).await;
            assert_eq!(page, Page::default(), "{range:?}");
        }
        let many = view.scan_many(vec![range], 10).await.expect("pages");
        assert_eq!(many, [Page::default()]);
    }
}

pub(super) async fn a_page_of_no_rows_leaves_the_range<H: Harness>(db: Db<H>) {
    put_rows(&db, 0..2).await;
    let view = db.view().await;
    for direction in [Direction::Forward, Direction::Backward] {
        let none = page(&*view, Range::table(&SCAN), direction, 0).await;
        assert_eq!(none.rows, []);
        assert_eq!(none.rest, Some(Range::table(&SCAN)));
    }
}

/// Sixty rows, more than a page's bytes; how many a page holds.
async fn put_large_rows<H: Harness>(db: &Db<H>) -> usize {
    let value = vec![7; 90_000];
    for tens in 0..6 {
        let rows = (0..10).map(|one| put(&key(&SCAN, [tens * 10 + one]), &value));
        db.apply(synced([], rows.collect::<Vec<_>>())).await;
    }
    PAGE_BYTES_MAX.div_ceil(value.len() + 2)
}

pub(super) async fn many_pages_end_by_their_size_together<H: Harness>(db: Db<H>) {
    let per_page = put_large_rows(&db).await;
    let whole = Range::table(&SCAN);
    let full = SCAN_MANY_BYTES_MAX / PAGE_BYTES_MAX;
    let view = db.view().await;
    let asked = vec![whole.clone(); full + 2];
    let pages = view.scan_many(asked, 100).await.expect("pages");
    let rows: Vec<_> = pages.iter().map(|page| page.rows.len()).collect();
    assert_eq!(rows, [&vec![per_page; full][..], &[0, 0]].concat());
    assert_eq!(pages[full].rest, Some(whole));
}

pub(super) async fn pages_end_by_size<H: Harness>(db: Db<H>) {
    let per_page = put_large_rows(&db).await;
    let view = db.view().await;
    for (direction, first) in [(Direction::Forward, 0), (Direction::Backward, 59)] {
        let whole = page(&*view, Range::table(&SCAN), direction, 100).await;
        assert_eq!(whole.rows.len(), per_page, "{direction:?}");
        assert_eq!(names(&whole.rows)[0], first);
        let rest = whole.rest.expect("the range goes on");
        let rest = page(&*view, rest, direction, 100).await;
        assert_eq!((rest.rows.len(), rest.rest), (60 - per_page, None));
    }
    let many = view
        .scan_many(vec![Range::table(&SCAN)], 100)
        .await
        .expect("pages");
    assert_eq!(many[0].rows.len(), per_page);
}

pub(super) async fn pages_end_by_rows<H: Harness>(db: Db<H>) {
    let rows = |numbers: std::ops::Range<usize>| {
        let rows = numbers.map(|number| put(&key(&SCAN, number.to_be_bytes()), ""));
        synced([], rows.collect::<Vec<_>>())
    };
    db.apply(rows(0..PAGE_ROWS_MAX)).await;
    db.apply(rows(PAGE_ROWS_MAX..PAGE_ROWS_MAX + 1)).await;
    let view = db.view().await;
    for direction in [Direction::Forward, Direction::Backward] {
        let most = page(&*view, Range::table(&SCAN), direction, usize::MAX).await;
        assert_eq!(most.rows.len(), PAGE_ROWS_MAX);
        let rest = page(
            &*view,
            most.rest.expect("one row is left"),
            direction,
            usize::MAX,
        )
        .await;
        assert_eq!((rest.rows.len(), rest.rest), (1, None));
    }
}

pub(super) async fn many_ranges_are_read_in_one_trip<H: Harness>(db: Db<H>) {
    put_rows(&db, 0..9).await;
    db.apply(synced([], [put(&key(&NEXT, "n"), "x")])).await;
    let view = db.view().await;
    let asked = vec![
        range(&key(&SCAN, [4]), &key(&SCAN, [9])),
        Range::table(&NEXT),
        Range::prefix(&key(&SCAN, "none")),
        range(&key(&SCAN, [3]), &key(&SCAN, [6])),
        Range::table(&POINT),
    ];
    let pages = view.scan_many(asked, 3).await.expect("pages");
    let found: Vec<_> = pages.iter().map(|page| names(&page.rows)).collect();
    assert_eq!(
        found,
        [vec![4, 5, 6], b"n".to_vec(), vec![], vec![3, 4, 5], vec![]]
    );
    let rest = pages[0].rest.clone().expect("two rows are left");
    assert_eq!(
        names(&page(&*view, rest, Direction::Forward, 9).await.rows),
        [7, 8]
    );
    assert_eq!(
        (&pages[1].rest, &pages[2].rest, &pages[4].rest),
        (&None, &None, &None)
    );
    assert_eq!(view.scan_many(vec![], 3).await, Ok(vec![]));
}
