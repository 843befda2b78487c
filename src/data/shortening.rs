//! Shortens a log of the server without telling its readers less.
//!
//! Exists so that no log grows for ever. In place of what goes, one entry stays that says «it may
//! have been anybody»: whoever comes with an older token meets it and looks at everybody anew, and
//! whoever comes with a later one does not. Both are one commit. Knows nothing of tokens.

use belfry_kv::{Commit, Direction, ReadError, RowCodec, Snapshot, Stamp, Table};

/// Entries that one commit takes away, at most.
pub const TRIM_ENTRIES_MAX: usize = 1_000;

/// Where the log may be cut so that `kept` entries stay: the newest that goes; `None` if all are kept.
pub(crate) async fn cut<R: RowCodec>(
    log: &Table<(Stamp,), R>,
    snapshot: &dyn Snapshot,
    kept: usize,
) -> Result<Option<Stamp>, ReadError> {
    let mut range = log.whole();
    let mut left = kept.saturating_add(1);
    loop {
        let limit = left.min(TRIM_ENTRIES_MAX);
        let page = log
            .scan(snapshot, range, Direction::Backward, limit)
            .await?;
        left = left.saturating_sub(page.rows.len());
        let last = page.rows.last().map(|((at,), _)| *at);
        if left == 0 {
            return Ok(last);
        }
        match page.rest {
            Some(rest) => range = rest,
            None => return Ok(None),
        }
    }
}

/// Adds to the commit that the oldest entries up to `cut` go, at most [`TRIM_ENTRIES_MAX`], and `mark`
/// stays; how many went. Call it again until none do.
pub(crate) async fn shorten<R: RowCodec + PartialEq>(
    log: &Table<(Stamp,), R>,
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    (cut, mark): (Stamp, R),
) -> Result<usize, ReadError> {
    let mut range = log.whole();
    range.to = log.key(&(cut,)).successor();
    let page = log.scan(snapshot, range, Direction::Forward, TRIM_ENTRIES_MAX);
    let page = page.await?;
    // The last one stays, as the mark; alone it is the mark of an earlier cut, or becomes one.
    let Some(((last, before), gone)) = page.rows.split_last() else {
        return Ok(0);
    };
    if gone.is_empty() && *before == mark {
        return Ok(0);
    }
    for (at, _) in gone {
        log.delete(commit, at);
    }
    log.check_equals(commit, last, Some(before));
    log.put(commit, last, &mark);
    let taken = page.rows.iter().filter(|(_, row)| *row != mark);
    Ok(taken.count())
}
