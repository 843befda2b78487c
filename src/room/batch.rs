//! Jobs that are committed together, and what came of each.
//!
//! It exists so that a batch is a value: what was asked, what to answer, and how to tell from the
//! database whether it was applied. It knows nothing of planning and of the order of batches.

use std::sync::Arc;

use belfry_data::RoomReader;
use belfry_event::{EventHash, Pdu, PolicyServer, RoomRules};
use ruma_common::OwnedRoomId;

use crate::arrival::Fate;
use crate::change::Change;
use crate::error::RoomError;
use crate::job::{Appended, Held, Job, Sent, Txn};
use crate::rooms::Shared;
use crate::worker::ATTEMPTS_MAX;

/// Jobs in one batch.
pub(crate) const TASKS_MAX: usize = 128;

/// A job on its way through batches.
pub(crate) struct Task {
    pub(crate) job: Job,
    attempts: u32,
    /// A commit that held it may yet turn out to have been applied.
    unsure: bool,
}

impl Task {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            attempts: 0,
            unsure: false,
        }
    }

    /// Whether other jobs may be in the same batch, and batches be under way. A redaction
    /// rewrites an event, which must be in the database for that; what waited for a signature may
    /// fork the room, and what it follows must be there.
    pub(crate) fn shares_batch(&self) -> bool {
        match &self.job {
            Job::Append { append, signed, .. } => {
                signed.is_none() && !matches!(append.change, Change::Redaction { .. })
            }
            Job::Found { .. } | Job::Receive { .. } | Job::Sweep { .. } => false,
        }
    }

    /// The task for another attempt; answered and gone if it had its share of them.
    pub(crate) fn again(mut self) -> Option<Self> {
        self.attempts += 1;
        if self.attempts <= ATTEMPTS_MAX {
            return Some(self);
        }
        self.refuse(RoomError::Busy);
        None
    }

    /// Answers that it was not done, as far as that is known.
    pub(crate) fn refuse(self, error: RoomError) {
        self.job.refuse(if self.unsure {
            RoomError::Unsure
        } else {
            error
        });
    }
}

/// What came of a job.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// The event that it led to, and whether that was there before.
    Event { hash: EventHash, repeated: bool },
    /// The event that it leads to once this policy server has signed it.
    Held {
        event: Arc<Pdu>,
        policy: PolicyServer,
    },
    /// The room was created, or existed.
    Founded(bool),
    /// Events of other servers were judged.
    Judged(Vec<Fate>),
    /// It was not to be done.
    Refused(RoomError),
}

/// Jobs with what came of them, to be answered when that is durable.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<(Task, Done)>,
    /// Of a batch that writes: a room and an event of it that tell whether it was applied.
    pub(crate) witness: Option<(OwnedRoomId, EventHash)>,
    pub(crate) rules: Option<&'static RoomRules>,
}

impl Batch {
    /// Whether anything is to be committed.
    pub(crate) fn writes(&self) -> bool {
        self.witness.is_some()
    }

    /// The transactions in the batch and the events that they led to.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = (Txn, EventHash)> {
        self.entries
            .iter()
            .filter_map(|(task, done)| match (&task.job, done) {
                (Job::Append { append, .. }, Done::Event { hash, .. }) => {
                    Some((append.txn.clone()?, *hash))
                }
                _ => None,
            })
    }

    /// Tells everybody what came of it.
    pub(crate) fn answer(self) {
        let rules = self.rules;
        for (task, done) in self.entries {
            if let Done::Refused(error) = done {
                task.refuse(error);
                continue;
            }
            match (task.job, done) {
                (Job::Append { reply, .. }, Done::Event { hash, repeated }) => {
                    let told = rules
                        .map(|rules| hash.to_event_id(rules.alphabet()))
                        .map(|event_id| {
                            Sent::Done(Appended {
                                event_id,
                                hash,
                                repeated,
                            })
                        })
                        .ok_or_else(|| RoomError::Fault("a batch has no rules".to_owned()));
                    // Whoever asked may be gone.
                    drop(reply.send(told));
                }
                (Job::Append { append, reply, .. }, Done::Held { event, policy }) => {
                    let held = Held {
                        append,
                        event,
                        policy,
                    };
                    drop(reply.send(Ok(Sent::Held(Box::new(held)))));
                }
                (Job::Found { reply, .. }, Done::Founded(made)) => drop(reply.send(Ok(made))),
                (Job::Receive { reply, .. }, Done::Judged(fates)) => drop(reply.send(Ok(fates))),
                (job, _) => job.refuse(RoomError::Fault("an answer of another kind".to_owned())),
            }
        }
    }

    /// Tells everybody that it was not done.
    pub(crate) fn refuse(self, error: &RoomError) {
        for (task, _) in self.entries {
            task.refuse(error.clone());
        }
    }

    /// The jobs, as if they had not been planned.
    pub(crate) fn into_tasks(self) -> Vec<Task> {
        self.entries.into_iter().map(|(task, _)| task).collect()
    }

    /// The same, after a commit that may yet turn out to have been applied.
    pub(crate) fn into_unsure_tasks(self) -> Vec<Task> {
        let mut tasks = self.into_tasks();
        for task in &mut tasks {
            task.unsure = true;
        }
        tasks
    }

    /// Looks whether the database holds what the batch wrote.
    pub(crate) async fn was_applied(&self, shared: &Arc<Shared>) -> Result<bool, RoomError> {
        let Some((room_id, event)) = &self.witness else {
            return Ok(true);
        };
        let snapshot = shared.engine.snapshot().await?;
        let stored = RoomReader::new(&*snapshot, room_id).event(*event).await?;
        // An outlier was there before: the batch gave it its place.
        Ok(stored.is_some_and(|stored| !stored.row.is_outlier()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::fixture::{alice, append, message};

    #[tokio::test]
    async fn a_refusal_says_nothing_of_an_earlier_attempt_that_may_have_been_applied() {
        for (unsure, expected) in [(false, RoomError::UnknownRoom), (true, RoomError::Unsure)] {
            let (reply, answer) = oneshot::channel();
            let append = Box::new(append(alice(), message("?")));
            let signed = None;
            let mut task = Task::new(Job::Append {
                append,
                signed,
                reply,
            });
            task.unsure = unsure;
            let mut batch = Batch::default();
            batch
                .entries
                .push((task, Done::Refused(RoomError::UnknownRoom)));
            batch.answer();
            assert_eq!(answer.await.unwrap().err(), Some(expected));
        }
    }
}
