//! One flaw each, and the cases that must notice it.

use std::{
    future::{Future, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{Answer, Flaw, Flawed, PageFuture, assert_caught};
use crate::{
    BoxFuture, Check, Commit, CommitError, Direction, Durability, Engine, Key, Memory, Page,
    Position, Range, ReadError, Snapshot, Write,
};

/// What a future of the memory engine has at hand.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory engine reads without waiting"),
    }
}

struct ChecksIgnoreTheGroup;
impl Flaw for ChecksIgnoreTheGroup {
    fn commit(engine: &Flawed<Self>, mut commit: Commit) -> Answer {
        let view = now(engine.inner.snapshot()).unwrap();
        let get = |key: &Key| {
            now(view.get_many(std::slice::from_ref(key)))
                .unwrap()
                .remove(0)
        };
        let count =
            |key| get(key).map_or(0, |v| i64::from_be_bytes(v.as_ref().try_into().unwrap()));
        let holds = std::mem::take(&mut commit.checks)
            .iter()
            .all(|check| match check {
                Check::Absent(key) => get(key).is_none(),
                Check::Equals(key, value) => get(key).as_ref() == Some(value),
                Check::Within { key, min, max } => (*min..=*max).contains(&count(key)),
            });
        if holds {
            engine.inner.commit(commit)
        } else {
            Box::pin(ready(Err(CommitError::Conflict)))
        }
    }
}

#[test]
fn checks_that_ignore_the_group_are_caught() {
    assert_caught::<ChecksIgnoreTheGroup>(&[
        "chained_commits_all_apply",
        "of_conflicting_commits_the_first_called_wins",
        "sums_and_bounds_hold_within_a_group",
        "deleted_ranges_are_absent_to_those_behind",
        "stamps_are_rows_to_those_behind",
        "one_of_many_takes_the_last_place",
        "random_operations_match_a_plain_map",
    ]);
}

struct PositionsRestart;
impl Flaw for PositionsRestart {
    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        let (answer, start) = (engine.inner.commit(commit), engine.opened_at.number());
        Box::pin(async move { Ok(Position::new(answer.await?.number() - start).unwrap()) })
    }
}

#[test]
fn positions_that_restart_are_caught() {
    assert_caught::<PositionsRestart>(&[
        "positions_increase_and_survive_reopening",
        "positions_increase_over_crashes",
        "random_operations_match_a_plain_map",
    ]);
}

struct LazyIsSynced;
impl Flaw for LazyIsSynced {
    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        let durability = Durability::Synced;
        engine.inner.commit(Commit {
            durability,
            ..commit
        })
    }
}

#[test]
fn lazy_commits_that_wake_are_caught() {
    assert_caught::<LazyIsSynced>(&[
        "lazy_commits_wake_nobody",
        "changed_names_the_last_synced_commit",
    ]);
}

struct SyncedIsLazy;
impl Flaw for SyncedIsLazy {
    const GROUPS: bool = false;

    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        let durability = Durability::Lazy;
        engine.inner.commit(Commit {
            durability,
            ..commit
        })
    }
}

#[test]
fn synced_commits_that_a_crash_loses_are_caught() {
    assert_caught::<SyncedIsLazy>(&[
        "synced_commits_survive_a_crash",
        "deletions_survive_a_crash",
        "a_crash_keeps_whole_commits_in_order",
        "a_synced_commit_carries_the_lazy_ones_before_it",
        "changed_waits_for_a_synced_commit",
        "random_operations_match_a_plain_map",
    ]);
}

struct PollCommits;
impl Flaw for PollCommits {
    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        let inner = Arc::clone(&engine.inner);
        Box::pin(async move { inner.commit(commit).await })
    }
}

#[test]
fn commits_that_wait_to_be_polled_are_caught() {
    assert_caught::<PollCommits>(&[
        "calls_order_commits_not_polls",
        "dropped_futures_commit",
        "appended_rows_are_ordered_as_the_calls",
    ]);
}

struct Halves;
impl Flaw for Halves {
    fn commit(engine: &Flawed<Self>, mut commit: Commit) -> Answer {
        let rest = commit.writes.split_off(commit.writes.len() / 2);
        let first = engine.inner.commit(commit.clone());
        let checks = Vec::new();
        let second = engine.inner.commit(Commit {
            checks,
            writes: rest,
            ..commit
        });
        Box::pin(async move { first.await.and(second.await) })
    }
}

#[test]
fn commits_applied_by_halves_are_caught() {
    assert_caught::<Halves>(&[
        "a_failed_check_leaves_nothing_behind",
        "ordinals_count_the_stamping_writes",
        "a_conflict_in_a_group_leaves_nothing_behind",
        "random_operations_match_a_plain_map",
    ]);
}

struct RangesStay;
impl Flaw for RangesStay {
    fn commit(engine: &Flawed<Self>, mut commit: Commit) -> Answer {
        commit
            .writes
            .retain(|write| !matches!(write, Write::DeleteRange(_)));
        engine.inner.commit(commit)
    }
}

#[test]
fn ranges_that_stay_are_caught() {
    assert_caught::<RangesStay>(&[
        "ranges_are_deleted_half_open",
        "keyspaces_are_apart",
        "rows_put_behind_a_deleted_range_stay",
        "random_operations_match_a_plain_map",
    ]);
}

struct NoLimits;
impl Flaw for NoLimits {
    fn commit(engine: &Flawed<Self>, commit: Commit) -> Answer {
        let fits = commit.within_limits().is_ok();
        engine
            .inner
            .commit(if fits { commit } else { Commit::synced() })
    }
}

#[test]
fn missing_limits_are_caught() {
    assert_caught::<NoLimits>(&[
        "keys_have_a_longest",
        "values_have_a_longest",
        "commits_have_a_size",
        "commits_have_a_number_of_writes",
        "commits_have_a_number_of_checks",
        "a_refused_commit_harms_no_other",
    ]);
}

struct MissesWakeups;
impl Flaw for MissesWakeups {
    fn changed(engine: &Flawed<Self>, _: Position) -> BoxFuture<'_, Position> {
        let now = now(engine.inner.snapshot()).unwrap().position();
        engine.inner.changed(now)
    }
}

#[test]
fn missed_wakeups_are_caught() {
    assert_caught::<MissesWakeups>(&[
        "changed_names_the_last_synced_commit",
        "no_wakeup_is_missed",
        "changed_goes_on_after_reopening",
    ]);
}

struct LiveView;
struct Live(Arc<Memory>, Position);

impl Flaw for LiveView {
    fn see(engine: &Flawed<Self>, view: Arc<dyn Snapshot>) -> Arc<dyn Snapshot> {
        Arc::new(Live(Arc::clone(&engine.inner), view.position()))
    }
}

impl Live {
    fn view(&self) -> Arc<dyn Snapshot> {
        now(self.0.snapshot()).unwrap()
    }
}

impl Snapshot for Live {
    fn position(&self) -> Position {
        self.1
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        Box::pin(async { self.view().get_many(keys).await })
    }

    fn scan(&self, range: Range, direction: Direction, limit: usize) -> PageFuture<'_> {
        Box::pin(async move { self.view().scan(range, direction, limit).await })
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        Box::pin(async move { self.view().scan_many(ranges, limit_each).await })
    }
}

#[test]
fn snapshots_that_change_are_caught() {
    assert_caught::<LiveView>(&[
        "snapshots_never_change",
        "snapshots_expire",
        "random_operations_match_a_plain_map",
    ]);
}

struct EndsAreIncluded;
impl Flaw for EndsAreIncluded {
    fn page(
        view: &dyn Snapshot,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> PageFuture<'_> {
        let inside = range.to.tag() == range.from.tag();
        let to = if inside {
            range.to.successor()
        } else {
            range.to
        };
        view.scan(Range { to, ..range }, direction, limit)
    }
}

#[test]
fn ends_that_are_included_are_caught() {
    assert_caught::<EndsAreIncluded>(&[
        "limits_cut_pages_and_rests_continue_them",
        "empty_and_inverted_ranges_have_no_rows",
        "random_operations_match_a_plain_map",
    ]);
}

struct NoRest;
impl Flaw for NoRest {
    fn page(
        view: &dyn Snapshot,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> PageFuture<'_> {
        let page = view.scan(range, direction, limit);
        Box::pin(async move {
            Ok(Page {
                rest: None,
                ..page.await?
            })
        })
    }
}

#[test]
fn pages_without_a_rest_are_caught() {
    assert_caught::<NoRest>(&[
        "limits_cut_pages_and_rests_continue_them",
        "a_page_of_no_rows_leaves_the_range",
        "pages_end_by_size",
        "pages_end_by_rows",
        "random_operations_match_a_plain_map",
    ]);
}
