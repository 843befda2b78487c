//! Follows the server's log and decides whom each event notifies, by the push rules in force then.
//!
//! It exists so that a send costs the same whoever listens: what an event means to each local member
//! is found afterwards, at a cost of theirs. Its rows are written without being waited for; whoever
//! shows an event waits for them (`counts`). It knows nothing of pushers and badges.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use belfry_data::{
    Commit, CommitError, CursorRow, Engine, GlobalRow, Position, STAMP_FIRST, Snapshot, Stamp,
    cursor, global_log, move_cursor,
};
use belfry_env::Env;
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, UserId};

use crate::{
    audience::Audiences, counts::Counts, error::Fault, member_rules::RuleBook, note_trim::Notified,
    notifier::Notifier, projection::Projection, push::Noted, room_view::behind,
};

/// The projector's name among the readers of the log.
const NAME: &str = "notes";
/// Entries of the log read at once.
const LOG_PAGE: usize = 100;
/// Writes after which what was found is committed, if need be in the middle of an event.
const WRITES_MAX: usize = 1_000;
/// How long it waits after it could not read or write.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Failures in a row between two alarms: five minutes of them.
const FAILURES_PER_ALARM: u32 = 300;

/// See the module.
pub(crate) struct Projector {
    engine: Arc<dyn Engine>,
    pub(crate) env: Env,
    counts: Arc<Counts>,
    notifier: Arc<Notifier>,
    /// Told who was notified.
    pub(crate) noted: Arc<Noted>,
    notified: Arc<Notified>,
    cursor: Option<CursorRow>,
    begun: bool,
    settled: bool,
    pub(crate) local: OwnedServerName,
    pub(crate) book: RuleBook,
    pub(crate) audiences: Audiences,
}

/// What is to be committed together.
struct Batch {
    commit: Commit,
    /// Rooms of which something was counted that may have been shown before.
    late: BTreeSet<OwnedRoomId>,
    noted: BTreeSet<OwnedUserId>,
    /// Everything up to here is in this commit or those before.
    upto: Stamp,
    /// Of the next event, everything about users up to this one as well.
    within: Option<OwnedUserId>,
}

impl Batch {
    fn new(upto: Stamp) -> Self {
        Self {
            commit: Commit::lazy(),
            late: BTreeSet::new(),
            noted: BTreeSet::new(),
            upto,
            within: None,
        }
    }
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("{0}")]
    Cursor(#[from] belfry_data::CursorTooLong),
}

impl Projector {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        local: OwnedServerName,
        counts: Arc<Counts>,
        notifier: Arc<Notifier>,
        (noted, to_trim): (Arc<Noted>, Arc<Notified>),
    ) -> Self {
        Self {
            engine,
            env,
            counts,
            notifier,
            noted,
            notified: to_trim,
            cursor: None,
            begun: false,
            settled: false,
            local,
            book: RuleBook::default(),
            audiences: Audiences::default(),
        }
    }

    /// Follows the log until the server stops.
    pub(crate) async fn run(mut self) {
        let mut seen = Position::ZERO;
        let mut failures = 0_u32;
        while !self.env.shutdown.begun() {
            tokio::select! {
                biased;
                () = self.env.shutdown.wait() => return,
                last = self.engine.changed(seen) => seen = last,
                () = self.counts.wanted() => {}
            }
            if let Err(halt) = self.catch_up().await {
                failures = failures.saturating_add(1);
                self.pause(&halt, failures).await;
            } else {
                failures = 0;
            }
        }
    }

    /// Waits, then has the same entries looked at again. What caused it is told where it happened;
    /// only if it lasts, somebody is to look for it here.
    async fn pause(&mut self, halt: &Halt, failures: u32) {
        if failures.is_multiple_of(FAILURES_PER_ALARM) {
            tracing::warn!(%halt, failures, "events cannot be counted; look for the cause");
        } else {
            tracing::info!(%halt, "events could not be counted; trying again");
        }
        self.begun = false;
        let pause = self.env.clock.sleep(RETRY_AFTER);
        _ = self.env.shutdown.unless(pause).await;
        // Without waiting for another entry.
        self.counts.poke();
    }

    async fn catch_up(&mut self) -> Result<(), Halt> {
        loop {
            let snapshot = self.engine.snapshot().await.map_err(Fault::from)?;
            if !self.begun {
                self.cursor = cursor(&*snapshot, NAME).await.map_err(Fault::from)?;
                self.book.clear();
                self.begun = true;
            }
            let after = self.cursor.as_ref().map_or(STAMP_FIRST, |row| row.stamp);
            let page = global_log(&*snapshot, after, LOG_PAGE).await;
            let page = page.map_err(Fault::from)?;
            let mut batch = Batch::new(after);
            let mut within = self.within();
            for (at, row) in page.entries {
                self.take(&*snapshot, (at, row), within.take(), &mut batch)
                    .await?;
                (batch.upto, batch.within) = (at, None);
                if batch.commit.writes.len() >= WRITES_MAX {
                    self.send(&mut batch).await?;
                }
            }
            if batch.upto > after {
                self.send(&mut batch).await?;
            }
            if !page.more {
                self.counts.settle(behind(&*snapshot), !self.settled);
                self.settled = true;
                return Ok(());
            }
        }
    }

    /// Up to which user the event behind the cursor is done.
    fn within(&self) -> Option<OwnedUserId> {
        let resume = self.cursor.as_ref().map(|row| &row.resume[..])?;
        OwnedUserId::try_from(std::str::from_utf8(resume).ok()?).ok()
    }

    async fn take(
        &mut self,
        snapshot: &dyn Snapshot,
        (at, row): (Stamp, GlobalRow),
        within: Option<OwnedUserId>,
        batch: &mut Batch,
    ) -> Result<(), Halt> {
        match row {
            GlobalRow::Event { room, event } => {
                let Ok(room) = OwnedRoomId::try_from(&*room) else {
                    return Ok(());
                };
                match self
                    .project(snapshot, (at, &room, event), within, batch)
                    .await
                {
                    Err(Halt::Fault(fault)) if fault.is_of_room() => {
                        tracing::error!(%room, %fault, "an event cannot be counted");
                        Ok(())
                    }
                    projected => projected,
                }
            }
            GlobalRow::AccountData { user } => {
                if let Ok(user) = <&UserId>::try_from(&*user) {
                    self.book.forget(user);
                }
                Ok(())
            }
            GlobalRow::Stay { room, user } => {
                let room = OwnedRoomId::try_from(&*room);
                let (Ok(room), Ok(user)) = (room, OwnedUserId::try_from(&*user)) else {
                    return Ok(());
                };
                let commit = &mut batch.commit;
                match self.take_stay(snapshot, at, (&room, &user), commit).await {
                    Err(fault) if fault.is_of_room() => {
                        tracing::error!(%room, %fault, "an invitation cannot be counted");
                    }
                    concerned => batch.noted.extend(concerned?),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What follows from one event, a few users at a time: a commit holds only so much.
    async fn project(
        &mut self,
        snapshot: &dyn Snapshot,
        (at, room, event): (Stamp, &OwnedRoomId, EventHash),
        within: Option<OwnedUserId>,
        batch: &mut Batch,
    ) -> Result<(), Halt> {
        let Some(mut projection) = Projection::of(snapshot, room, event).await? else {
            return Ok(());
        };
        projection.begin(self, snapshot, within).await?;
        let mut more = true;
        while more {
            let writes = batch.commit.writes.len();
            let step = projection.step(self, snapshot, &mut batch.commit).await?;
            more = step.more;
            batch.noted.extend(step.concerned);
            if batch.commit.writes.len() > writes && self.counts.is_late(at) {
                batch.late.insert(room.clone());
            }
            if more && batch.commit.writes.len() >= WRITES_MAX {
                batch.within = projection.done_up_to().cloned();
                self.send(batch).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, batch: &mut Batch) -> Result<(), Halt> {
        let upto = batch.upto;
        let mut batch = std::mem::replace(batch, Batch::new(upto));
        let within = batch.within.take();
        let next = CursorRow {
            stamp: upto,
            resume: within.map_or_else(Vec::new, |user| user.as_bytes().to_vec()),
        };
        move_cursor(&mut batch.commit, NAME, self.cursor.as_ref(), &next)?;
        let position = self.engine.commit(batch.commit).await?;
        self.cursor = Some(next);
        let visible = Stamp {
            position,
            ordinal: u16::MAX,
        };
        for room in batch.late {
            self.counts.note_late(&room, visible);
            self.notifier.tell_room(&room, visible);
        }
        self.notified.add(&batch.noted);
        self.noted.add(batch.noted);
        Ok(())
    }
}
