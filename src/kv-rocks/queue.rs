//! Commits on their way to the committer: bounded, in the order of the calls.
//!
//! Knows nothing of what a commit does, but for the two things that decide where a group ends: its
//! size, and whether it deletes a range.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_kv::{Check, Commit, CommitError, Position, Unavailable, Write};
use tokio::sync::oneshot;

/// Commits that may wait; more are answered [`Unavailable::Busy`].
pub const QUEUE_COMMITS_MAX: usize = 4_096;
/// Bytes of keys and values that may wait; more are answered [`Unavailable::Busy`].
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Commits written together.
const GROUP_COMMITS_MAX: usize = 1_024;
/// A group ends with the commit that takes it to this size.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How the committer waits for its next group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait {
    /// At most so long for the first commit; for ever if `None`.
    pub(crate) patience: Option<Duration>,
    /// Then for as many commits as this,
    pub(crate) hoped: usize,
    /// but no longer than this.
    pub(crate) gather: Duration,
}

/// What a caller of `commit` is told.
pub(crate) type Answer = Result<Position, CommitError>;

/// A commit and who waits for it.
pub(crate) struct Pending {
    pub(crate) commit: Commit,
    bytes: usize,
    caller: oneshot::Sender<Answer>,
}

impl Pending {
    pub(crate) fn answer(self, answer: Answer) {
        // The caller may have gone: that takes no commit back.
        drop(self.caller.send(answer));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The line before the committer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    bytes: usize,
    closed: bool,
    /// The committer sleeps until so many wait; 0 while it is awake.
    wanted: usize,
}

impl Queue {
    /// Queues a commit, or says at once why not.
    pub(crate) fn push(&self, commit: Commit) -> Result<oneshot::Receiver<Answer>, CommitError> {
        let bytes = bytes(&commit);
        let mut state = self.lock();
        state.admit(bytes).map_err(CommitError::Unavailable)?;
        let (caller, answer) = oneshot::channel();
        state.bytes += bytes;
        state.waiting.push_back(Pending {
            commit,
            bytes,
            caller,
        });
        let awaited = state.wanted > 0 && state.waiting.len() >= state.wanted;
        drop(state);
        if awaited {
            self.ready.notify_one();
        }
        Ok(answer)
    }

    /// The next group; an empty one if none came in time. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, wait: Wait) -> Option<Vec<Pending>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            let late;
            (state, late) = self.sleep(state, 1, wait.patience);
            if late {
                break;
            }
        }
        let short = (1..wait.hoped).contains(&state.waiting.len());
        if short && !state.closed && !wait.gather.is_zero() {
            (state, _) = self.sleep(state, wait.hoped, Some(wait.gather));
        }
        Some(state.group())
    }

    /// Waits until `wanted` commits wait, or longer; tells whether time ran out.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wanted: usize,
        patience: Option<Duration>,
    ) -> (MutexGuard<'a, State>, bool) {
        state.wanted = wanted;
        let (mut state, late) = match patience {
            None => (
                self.ready
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                false,
            ),
            Some(patience) => {
                let woken = self.ready.wait_timeout(state, patience);
                let (state, result) = woken.unwrap_or_else(PoisonError::into_inner);
                (state, result.timed_out())
            }
        };
        state.wanted = 0;
        (state, late)
    }

    /// Everything that waits now.
    pub(crate) fn drain(&self) -> Vec<Pending> {
        let mut state = self.lock();
        state.bytes = 0;
        state.waiting.drain(..).collect()
    }

    /// How many commits wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes no more; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&self, bytes: usize) -> Result<(), Unavailable> {
        if self.closed {
            return Err(Unavailable::Closed);
        }
        let full = self.waiting.len() >= QUEUE_COMMITS_MAX;
        // An empty queue takes one of any size: it is the contract that limits commits.
        let heavy = !self.waiting.is_empty() && self.bytes + bytes > QUEUE_BYTES_MAX;
        if full || heavy {
            Err(Unavailable::Busy)
        } else {
            Ok(())
        }
    }

    /// The oldest commits, up to the limits of a group.
    fn group(&mut self) -> Vec<Pending> {
        let (mut group, mut bytes, mut ended) = (Vec::new(), 0, false);
        while !ended && let Some(pending) = self.waiting.pop_front() {
            bytes += pending.bytes;
            self.bytes -= pending.bytes;
            // What a range deletes is only known once it is written.
            let deletes = |write: &Write| matches!(write, Write::DeleteRange(_));
            ended = pending.commit.writes.iter().any(deletes)
                || bytes >= GROUP_BYTES_MAX
                || group.len() + 1 >= GROUP_COMMITS_MAX;
            group.push(pending);
        }
        group
    }
}

/// What a commit takes of the queue: its writes, and the values that it compares with.
fn bytes(commit: &Commit) -> usize {
    let compared = commit.checks.iter().map(|check| match check {
        Check::Equals(key, value) => key.as_bytes().len() + value.len(),
        Check::Absent(key) | Check::Within { key, .. } => key.as_bytes().len(),
    });
    commit.bytes() + compared.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use belfry_kv::{Key, Range};
    use bytes::Bytes;

    use super::*;

    fn put(bytes: usize) -> Commit {
        let mut commit = Commit::synced();
        let value = Bytes::from(vec![0; bytes]);
        commit.writes.push(Write::Put(Key::new(vec![1]), value));
        commit
    }

    fn delete_range() -> Commit {
        let mut commit = Commit::synced();
        let range = Range::prefix(&Key::new(vec![1]));
        commit.writes.push(Write::DeleteRange(range));
        commit
    }

    fn take(queue: &Queue) -> usize {
        let wait = Wait {
            patience: Some(Duration::ZERO),
            ..Wait::default()
        };
        queue.take(wait).map_or(0, |group| group.len())
    }

    #[test]
    fn a_full_queue_is_busy_until_a_group_is_taken() {
        let queue = Queue::default();
        for _ in 0..QUEUE_COMMITS_MAX {
            assert!(queue.push(put(1)).is_ok());
        }
        let refused = queue.push(put(1)).unwrap_err();
        assert_eq!(refused, CommitError::Unavailable(Unavailable::Busy));
        assert_eq!(take(&queue), GROUP_COMMITS_MAX);
        assert!(queue.push(put(1)).is_ok());
    }

    #[test]
    fn a_heavy_queue_is_busy_although_it_is_short() {
        let queue = Queue::default();
        while queue.lock().bytes + (1 << 20) < QUEUE_BYTES_MAX {
            assert!(queue.push(put(1 << 20)).is_ok());
        }
        assert!(queue.len() < QUEUE_COMMITS_MAX);
        let refused = queue.push(put(1 << 20)).unwrap_err();
        assert_eq!(refused, CommitError::Unavailable(Unavailable::Busy));
        assert!(take(&queue) <= 5);
        assert!(queue.push(put(1 << 20)).is_ok());
    }

    #[test]
    fn a_range_deletion_ends_its_group() {
        let queue = Queue::default();
        for commit in [put(1), delete_range(), put(1), put(1)] {
            assert!(queue.push(commit).is_ok());
        }
        assert_eq!([take(&queue), take(&queue), take(&queue)], [2, 2, 0]);
    }

    #[test]
    fn a_closed_queue_hands_out_what_it_holds_and_takes_no_more() {
        let queue = Queue::default();
        assert!(queue.push(put(1)).is_ok());
        queue.close();
        let refused = queue.push(put(1)).unwrap_err();
        assert_eq!(refused, CommitError::Unavailable(Unavailable::Closed));
        assert_eq!(take(&queue), 1);
        assert!(queue.take(Wait::default()).is_none());
    }
}
