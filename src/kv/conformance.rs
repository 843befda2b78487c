//! What every engine must do, as tests that any engine can be put through.
//!
//! Exists so that callers need to know the contract and no engine. Each case opens a database of
//! its own by a [`Harness`] and fails by a panic. Knows no engine; the only faults it makes are
//! reopening and a loss of power.
//!
//! ```text
//! struct OnDisk { .. }
//! impl belfry_kv::conformance::Harness for OnDisk { .. }
//! belfry_kv::engine_conformance!(on_disk, OnDisk);
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "tests of an engine own their tasks, and a real engine takes real time"
)]

mod changes;
mod commits;
mod concurrency;
mod durability;
mod groups;
mod limits;
mod model;
mod pages;
mod reads;

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    BoxFuture, Check, Commit, CommitError, Direction, Engine, Key, Keyspace, Kind, PAGE_ROWS_MAX,
    Position, Range, Shape, Snapshot, Temperature, Write,
};

/// How long one case may take before it counts as hung: a missed wakeup, most likely.
const CASE_TIME_MAX: Duration = Duration::from_mins(2);

/// Rows read by key.
const POINT: Keyspace = keyspace("conformance_point", 1, Shape::Point, Temperature::Hot);
/// Rows read by range; neighbour of [`NEXT`].
const SCAN: Keyspace = keyspace("conformance_scan", 2, Shape::Scan, Temperature::Hot);
/// As [`SCAN`], with the tag right behind it: what overruns the one ends up here.
const NEXT: Keyspace = keyspace("conformance_next", 3, Shape::Scan, Temperature::Hot);
/// Appended rows.
const LOG: Keyspace = keyspace("conformance_log", 4, Shape::Log, Temperature::Hot);
/// Counters.
const COUNTER: Keyspace = keyspace("conformance_counter", 5, Shape::Counter, Temperature::Hot);
/// Rows that come and go.
const QUEUE: Keyspace = keyspace("conformance_queue", 6, Shape::Queue, Temperature::Hot);
/// Rows seldom read.
const COLD: Keyspace = keyspace("conformance_cold", 7, Shape::Scan, Temperature::Cold);
/// The highest tag there is.
const LAST: Keyspace = keyspace("conformance_last", 254, Shape::Scan, Temperature::Hot);

/// Every keyspace that the cases use: open the database with these.
pub const KEYSPACES: [Keyspace; 8] = [POINT, SCAN, NEXT, LOG, COUNTER, QUEUE, COLD, LAST];

const fn keyspace(name: &'static str, tag: u8, shape: Shape, temperature: Temperature) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature,
        kind: Kind::Ground,
        row_version: 0,
    }
}

/// A database under test, with its environment.
pub trait Harness: Sized {
    /// An empty database with [`KEYSPACES`], which no other harness shares.
    fn open() -> impl Future<Output = Self>;

    /// The open database. Cases drop it before they reopen or crash.
    fn engine(&self) -> Arc<dyn Engine>;

    /// Closes the database in good order and opens it again.
    fn reopen(&mut self) -> impl Future<Output = ()>;

    /// Loses power and opens the database again: whatever the engine has not made durable at this
    /// moment may be lost, and the more of it the better the test.
    fn crash(&mut self) -> impl Future<Output = ()>;

    /// Advances the clock by which snapshots expire; it stands still otherwise (or goes on slowly
    /// enough that a case ends within a second of it).
    fn advance(&self, time: Duration);
}

/// One case, to be run by name.
pub type Case = fn() -> BoxFuture<'static, ()>;

/// Makes a module with one `#[tokio::test]` per case: `engine_conformance!(memory, InMemory);`
/// where the harness `InMemory` is in scope. Needs tokio's features `macros`, `rt` and `time`.
#[macro_export]
macro_rules! engine_conformance {
    ($module:ident, $harness:ident) => {
        mod $module {
            $crate::engine_conformance!(@cases tests super::$harness);
        }
    };
    (@tests $harness:path; $($group:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::run::<$harness>(stringify!($case)).await;
            }
        )*)*
    };
    (@find $harness:path; $($group:ident { $($case:ident)* })*) => {
        /// Every case's name.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$($(stringify!($case)),*),*];

        /// Runs the case with this name, on a database of its own.
        pub async fn run<H: Harness>(name: &str) {
            let db = Db::<H>::open().await;
            let case: Pin<Box<dyn Future<Output = ()>>> = match name {
                $($(stringify!($case) => Box::pin($group::$case(db)),)*)*
                _ => panic!("no case is named {name}"),
            };
            assert!(
                tokio::time::timeout(CASE_TIME_MAX, case).await.is_ok(),
                "{name} hangs: is a wakeup missed?"
            );
        }
    };
    (@cases $form:ident $harness:path) => {
        $crate::engine_conformance! { @$form $harness;
            commits {
                writes_of_every_kind_apply_together
                a_failed_check_leaves_nothing_behind
                absent_holds_without_a_row_only
                equals_compares_whole_values
                within_includes_both_bounds_and_takes_absence_as_zero
                checks_see_the_rows_before_the_commits_own_writes
                the_last_write_to_a_key_wins
                sums_saturate
                sums_start_from_what_the_commit_wrote_before
                ordinals_count_the_stamping_writes
                stamped_rows_are_overwritten_and_checked_like_others
                ranges_are_deleted_half_open
                empty_and_inverted_ranges_delete_nothing
                keyspaces_are_apart
                deleting_what_is_absent_is_no_error
                an_empty_commit_has_a_position
                positions_increase_and_survive_reopening
                a_snapshot_stands_at_the_last_commit
            }
            groups {
                chained_commits_all_apply
                of_conflicting_commits_the_first_called_wins
                a_conflict_in_a_group_leaves_nothing_behind
                sums_and_bounds_hold_within_a_group
                sums_add_up_within_a_group
                deleted_ranges_are_absent_to_those_behind
                rows_put_behind_a_deleted_range_stay
                stamps_are_rows_to_those_behind
                appended_rows_are_ordered_as_the_calls
                calls_order_commits_not_polls
                dropped_futures_commit
                lazy_and_synced_keep_their_order
                a_refused_commit_harms_no_other
                queues_longer_than_a_group_keep_their_order
                queues_of_large_commits_keep_their_order
            }
            reads {
                values_come_in_the_order_asked
                empty_values_are_not_absent
                edge_keys_are_apart_and_in_order
                prefixes_end_at_their_successor
                the_highest_tag_can_be_scanned
                snapshots_never_change
                snapshots_expire
                a_snapshot_holds_what_was_answered
            }
            pages {
                limits_cut_pages_and_rests_continue_them
                empty_and_inverted_ranges_have_no_rows
                a_page_of_no_rows_leaves_the_range
                pages_end_by_size
                pages_end_by_rows
                many_pages_end_by_their_size_together
                many_ranges_are_read_in_one_trip
            }
            limits {
                keys_have_a_longest
                values_have_a_longest
                commits_have_a_size
                commits_have_a_number_of_writes
                commits_have_a_number_of_checks
                reads_have_a_number_of_keys
                reads_have_a_number_of_ranges
            }
            durability {
                synced_commits_survive_a_crash
                deletions_survive_a_crash
                a_crash_loses_only_the_last_lazy_commits
                a_synced_commit_carries_the_lazy_ones_before_it
                a_clean_reopen_loses_nothing
                a_crash_keeps_whole_commits_in_order
                positions_increase_over_crashes
                what_readers_saw_of_a_synced_commit_survives
                counters_survive_crash_after_crash
            }
            changes {
                changed_names_the_last_synced_commit
                changed_waits_for_a_synced_commit
                lazy_commits_wake_nobody
                conflicts_wake_nobody
                all_waiters_wake
                no_wakeup_is_missed
                changed_goes_on_after_reopening
            }
            concurrency {
                a_hundred_tasks_add_up
                compare_and_set_loses_no_step
                readers_see_whole_commits
                one_of_many_takes_the_last_place
            }
            model {
                random_operations_match_a_plain_map
            }
        }
    };
}

engine_conformance!(@cases find super::Harness);

/// A harness with the words that the cases speak in.
struct Db<H>(H);

impl<H: Harness> Db<H> {
    async fn open() -> Self {
        Self(H::open().await)
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.0.engine()
    }

    /// Calls without waiting.
    fn send(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        self.engine().commit(commit)
    }

    /// Calls all before it waits for the first, then waits for the last first.
    async fn group(&self, commits: Vec<Commit>) -> Vec<Result<Position, CommitError>> {
        let engine = self.engine();
        let sent: Vec<_> = commits.into_iter().map(|one| engine.commit(one)).collect();
        let mut answers = Vec::new();
        for answer in sent.into_iter().rev() {
            answers.push(answer.await);
        }
        answers.reverse();
        answers
    }

    async fn apply(&self, commit: Commit) -> Position {
        self.send(commit).await.expect("the commit applies")
    }

    async fn conflict(&self, commit: Commit) {
        let answer = self.send(commit).await;
        assert_eq!(answer, Err(CommitError::Conflict));
    }

    async fn view(&self) -> Arc<dyn Snapshot> {
        self.engine().snapshot().await.expect("a snapshot is made")
    }

    async fn get(&self, key: &Key) -> Option<Bytes> {
        let view = self.view().await;
        let values = view.get_many(std::slice::from_ref(key)).await;
        values.expect("a value is read").remove(0)
    }

    async fn count(&self, key: &Key) -> i64 {
        let value = self.get(key).await.map(|value| value.as_ref().try_into());
        value.map_or(0, |value| i64::from_be_bytes(value.expect("eight bytes")))
    }

    async fn rows(&self, space: &Keyspace) -> Vec<(Key, Bytes)> {
        read_all(&*self.view().await, Range::table(space)).await
    }

    /// The columns of all rows, as text.
    async fn names(&self, space: &Keyspace) -> Vec<String> {
        let text = |key: &Key| String::from_utf8_lossy(key.columns()).into_owned();
        let rows = self.rows(space).await;
        rows.iter().map(|(key, _)| text(key)).collect()
    }

    async fn reopen(&mut self) {
        self.0.reopen().await;
    }

    async fn crash(&mut self) {
        self.0.crash().await;
    }
}

/// All rows of a range in one direction, by pages of at most `limit`.
async fn read_pages(
    view: &dyn Snapshot,
    range: Range,
    direction: Direction,
    limit: usize,
) -> Vec<(Key, Bytes)> {
    let mut rows = Vec::new();
    let mut rest = Some(range);
    while let Some(range) = rest {
        let page = view.scan(range.clone(), direction, limit).await;
        let page = page.expect("a page is read");
        assert!(page.rows.len() <= limit, "more rows than asked for");
        assert_ne!(page.rest.as_ref(), Some(&range), "a page leads nowhere");
        rows.extend(page.rows);
        rest = page.rest;
    }
    rows
}

/// All rows of a range, ascending.
async fn read_all(view: &dyn Snapshot, range: Range) -> Vec<(Key, Bytes)> {
    read_pages(view, range, Direction::Forward, PAGE_ROWS_MAX).await
}

/// Everything that a view holds.
async fn read_image(view: &dyn Snapshot) -> BTreeMap<Key, Bytes> {
    let mut rows = BTreeMap::new();
    for space in &KEYSPACES {
        rows.extend(read_all(view, Range::table(space)).await);
    }
    rows
}

/// Polls once: what a future has at hand.
async fn at_hand<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn key(space: &Keyspace, columns: impl AsRef<[u8]>) -> Key {
    Key::new([&[space.tag], columns.as_ref()].concat())
}

fn bytes(value: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(value.as_ref())
}

fn put(key: &Key, value: impl AsRef<[u8]>) -> Write {
    Write::Put(key.clone(), bytes(value))
}

fn add(key: &Key, amount: i64) -> Write {
    Write::Add(key.clone(), amount)
}

fn delete(key: &Key) -> Write {
    Write::Delete(key.clone())
}

fn append(prefix: &Key, value: impl AsRef<[u8]>) -> Write {
    Write::Append {
        prefix: prefix.clone(),
        value: bytes(value),
    }
}

fn stamp(key: &Key, value: impl AsRef<[u8]>) -> Write {
    Write::Stamp {
        key: key.clone(),
        value: bytes(value),
    }
}

fn absent(key: &Key) -> Check {
    Check::Absent(key.clone())
}

fn equals(key: &Key, value: impl AsRef<[u8]>) -> Check {
    Check::Equals(key.clone(), bytes(value))
}

fn within(key: &Key, min: i64, max: i64) -> Check {
    Check::Within {
        key: key.clone(),
        min,
        max,
    }
}

fn range(from: &Key, to: &Key) -> Range {
    Range {
        from: from.clone(),
        to: to.clone(),
    }
}

fn synced(checks: impl Into<Vec<Check>>, writes: impl Into<Vec<Write>>) -> Commit {
    Commit {
        checks: checks.into(),
        writes: writes.into(),
        ..Commit::synced()
    }
}

fn lazy(checks: impl Into<Vec<Check>>, writes: impl Into<Vec<Write>>) -> Commit {
    Commit {
        checks: checks.into(),
        writes: writes.into(),
        ..Commit::lazy()
    }
}
