//! Delayed events (MSC4140): kept until they are due, called back, or sent at once.
//!
//! It exists here because an event that is due is sent by a room for an account as it is then, and
//! because both must survive a restart. An event is marked as being sent before the room is asked,
//! and asked by a transaction of its own, so that it is sent once whatever fails in between. It knows
//! nothing of HTTP, and of who may schedule what.

use std::time::Duration;

use belfry_data::{
    Commit, CommitError, DELAYED_PAGE_MAX, DELAYED_SCOPE, DelayedRow, DelayedStage, DelayedTxn,
    ReadError, Seen, delayed_of, delayed_seen, move_delayed, schedule_delayed,
};
use belfry_policy::Rules;
use belfry_room::RoomError;
use ruma_common::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::value::RawValue;

use crate::runner::{Flows, Inner};

/// Delayed events of one user that wait at the same time.
pub const DELAYED_MAX: u32 = 100;
/// The longest delay: what stops for longer is not counted (see `env::Age`).
pub const DELAY_MAX: Duration = Duration::from_hours(30 * 24);
/// Bytes of an event's content; what is too large as an event is refused when it is sent.
pub const DELAYED_CONTENT_BYTES_MAX: usize = 64 * 1024;
/// How long finalised delayed events are told of.
const FINALISED_KEPT: Duration = Duration::from_hours(7 * 24);
/// How long a client's transaction ID is remembered.
const TXN_KEPT: Duration = Duration::from_hours(24);
/// Letters of a `delay_id`: 142 bits.
const DELAY_ID_LENGTH: usize = 24;
/// How often a change is tried again that another one crossed.
const TRIES_MAX: u32 = 10;

/// A wish to delay an event.
#[derive(Debug, Clone)]
pub struct Delay {
    /// Who sends it.
    pub user: OwnedUserId,
    /// From which device.
    pub device: OwnedDeviceId,
    /// Where to.
    pub room: OwnedRoomId,
    /// The event's type.
    pub kind: String,
    /// Its state key, if it is to be state.
    pub state_key: Option<String>,
    /// Its content, a JSON object.
    pub content: Box<RawValue>,
    /// How long, in milliseconds.
    pub delay_ms: u64,
    /// The client's transaction: what the ID is unique within, and the ID. `None` for requests that
    /// have none.
    pub txn: Option<(String, String)>,
}

/// A delayed event with its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delayed {
    /// The `delay_id`.
    pub id: String,
    /// What is known of it.
    pub row: DelayedRow,
}

/// Why a delayed event was not scheduled or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelayError {
    /// No delay at all.
    #[error("the delay is a positive number of milliseconds; send the event without one instead")]
    NoDelay,
    /// Beyond [`DELAY_MAX`].
    #[error("an event is delayed by at most {} ms", DELAY_MAX.as_millis())]
    TooLong,
    /// Beyond [`DELAYED_CONTENT_BYTES_MAX`].
    #[error("the content is larger than events are")]
    TooLarge,
    /// The user has [`DELAYED_MAX`] already; the next of them is due in so many milliseconds.
    #[error("the maximum number of delayed events has been reached; cancel one or wait")]
    TooMany(u64),
    /// The user has no such delayed event.
    #[error("there is no such delayed event")]
    NotFound,
    /// It was sent or called back before.
    #[error("the delayed event is finalised already, in another way")]
    Finalised,
    /// It was to be sent, and the room did not take it.
    #[error("{0}")]
    Room(#[from] RoomError),
}

impl From<ReadError> for DelayError {
    fn from(error: ReadError) -> Self {
        Self::Room(error.into())
    }
}

impl From<CommitError> for DelayError {
    fn from(error: CommitError) -> Self {
        Self::Room(error.into())
    }
}

impl Flows {
    /// Keeps an event until it is due; its `delay_id`. The same transaction gives the same again.
    ///
    /// # Errors
    /// See [`DelayError`].
    pub async fn delay(&self, wanted: Delay) -> Result<String, DelayError> {
        let inner = &*self.0;
        if wanted.delay_ms == 0 {
            return Err(DelayError::NoDelay);
        }
        if u128::from(wanted.delay_ms) > DELAY_MAX.as_millis() {
            return Err(DelayError::TooLong);
        }
        if wanted.content.get().len() > DELAYED_CONTENT_BYTES_MAX {
            return Err(DelayError::TooLarge);
        }
        let id = inner.env.random.token(DELAY_ID_LENGTH);
        let txn = wanted.txn(&id);
        let row = wanted.row(inner.env.clock.wall_ms(), inner.env.clock.age_ms());
        for _ in 0..TRIES_MAX {
            let snapshot = inner.engine.snapshot().await?;
            if let Some(before) = txn.get(&*snapshot).await? {
                return Ok(before.delay_id.into());
            }
            let waiting = delayed_of(&*snapshot, &row.user, DELAYED_PAGE_MAX).await?;
            if waiting.len() >= DELAYED_MAX.try_into().unwrap_or(usize::MAX) {
                let due = waiting.first().map_or(0, |(due, _)| *due);
                let left = due.saturating_sub(inner.env.clock.age_ms());
                return Err(DelayError::TooMany(left));
            }
            let mut commit = Commit::synced();
            let until = inner.env.clock.age_ms().saturating_add(ms(TXN_KEPT));
            schedule_delayed(&mut commit, &id, &row, (&txn, until), DELAYED_MAX);
            match inner.engine.commit(commit).await {
                Ok(_) => {
                    inner.bell.notify_one();
                    return Ok(id);
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RoomError::Busy.into())
    }

    /// One of the user's delayed events.
    ///
    /// # Errors
    /// [`DelayError::NotFound`].
    pub async fn delayed(&self, user: &UserId, id: &str) -> Result<Delayed, DelayError> {
        let row = self.0.own(user, id).await?.1;
        let id = id.to_owned();
        Ok(Delayed { id, row })
    }

    /// The user's delayed events that wait, those due first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn delayed_events(&self, user: &UserId) -> Result<Vec<Delayed>, DelayError> {
        let snapshot = self.0.engine.snapshot().await?;
        let mut all = Vec::new();
        for (_, id) in delayed_of(&*snapshot, user, DELAYED_PAGE_MAX).await? {
            let row = delayed_seen(&*snapshot, &id).await?.row;
            all.extend(row.map(|row| Delayed { id, row }));
        }
        Ok(all)
    }

    /// Calls a delayed event back.
    ///
    /// # Errors
    /// [`DelayError::NotFound`]; [`DelayError::Finalised`] if it was sent, or is being sent.
    pub async fn cancel_delayed(&self, user: &UserId, id: &str) -> Result<(), DelayError> {
        let inner = &*self.0;
        let change = |row: &DelayedRow| match row.stage {
            DelayedStage::Scheduled => {
                let ts = inner.env.clock.wall_ms();
                Ok(Some(DelayedStage::Cancelled { ts }))
            }
            DelayedStage::Cancelled { .. } | DelayedStage::Failed { .. } => Ok(None),
            DelayedStage::Sending | DelayedStage::Sent { .. } => Err(DelayError::Finalised),
        };
        inner.change(user, id, change).await
    }

    /// Begins a delayed event's delay anew.
    ///
    /// # Errors
    /// [`DelayError::NotFound`]; [`DelayError::Finalised`] if it waits no longer.
    pub async fn restart_delayed(&self, user: &UserId, id: &str) -> Result<(), DelayError> {
        let change = |row: &DelayedRow| match row.stage {
            DelayedStage::Scheduled => Ok(Some(DelayedStage::Scheduled)),
            _ => Err(DelayError::Finalised),
        };
        self.0.change(user, id, change).await
    }

    /// Sends a delayed event now. If the room does not take it, it goes on to wait.
    ///
    /// # Errors
    /// [`DelayError::NotFound`]; [`DelayError::Finalised`] if it was called back;
    /// [`DelayError::Room`].
    pub async fn send_delayed(
        &self,
        rules: &Rules,
        user: &UserId,
        id: &str,
    ) -> Result<(), DelayError> {
        let (seen, row) = self.0.own(user, id).await?;
        match row.stage {
            DelayedStage::Sent { .. } => Ok(()),
            DelayedStage::Cancelled { .. } | DelayedStage::Failed { .. } => {
                Err(DelayError::Finalised)
            }
            DelayedStage::Scheduled | DelayedStage::Sending => {
                self.0.deliver(rules, id, seen, false).await.map(drop)
            }
        }
    }
}

impl Delay {
    fn txn(&self, id: &str) -> DelayedTxn {
        let (scope, txn_id) = match &self.txn {
            Some((scope, txn_id)) => (scope.as_str(), txn_id.as_str()),
            // Its own ID is nobody else's.
            None => (DELAYED_SCOPE, id),
        };
        DelayedTxn::new(&self.user, self.device.as_str(), &[scope], txn_id)
    }

    fn row(&self, now_ms: u64, age_ms: u64) -> DelayedRow {
        DelayedRow {
            user: self.user.clone(),
            device: self.device.as_str().into(),
            room: self.room.clone(),
            kind: self.kind.as_str().into(),
            state_key: self.state_key.as_deref().map(Into::into),
            content: self.content.get().into(),
            delay_ms: self.delay_ms,
            scheduled_ts: now_ms,
            due_age_ms: age_ms.saturating_add(self.delay_ms),
            stage: DelayedStage::Scheduled,
        }
    }
}

impl Inner {
    /// A delayed event of the user, for a commit that checks it.
    async fn own(
        &self,
        user: &UserId,
        id: &str,
    ) -> Result<(Seen<DelayedRow>, DelayedRow), DelayError> {
        let snapshot = self.engine.snapshot().await?;
        let seen = delayed_seen(&*snapshot, id).await?;
        let row = seen.row.clone().filter(|row| row.user == user);
        let row = row.ok_or(DelayError::NotFound)?;
        Ok((seen, row))
    }

    /// Changes a delayed event of the user; one that stays as it is begins its delay anew.
    async fn change(
        &self,
        user: &UserId,
        id: &str,
        change: impl Fn(&DelayedRow) -> Result<Option<DelayedStage>, DelayError>,
    ) -> Result<(), DelayError> {
        for _ in 0..TRIES_MAX {
            let (seen, row) = self.own(user, id).await?;
            let Some(stage) = change(&row)? else {
                return Ok(());
            };
            let mut next = DelayedRow { stage, ..row };
            if next.stage == DelayedStage::Scheduled {
                next.scheduled_ts = self.env.clock.wall_ms();
                next.due_age_ms = self.env.clock.age_ms().saturating_add(next.delay_ms);
            }
            if self.move_on(id, &seen, &next).await? {
                self.bell.notify_one();
                return Ok(());
            }
        }
        Err(RoomError::Busy.into())
    }

    /// Whether it was as it was seen, and is as it is to be.
    async fn move_on(
        &self,
        id: &str,
        seen: &Seen<DelayedRow>,
        next: &DelayedRow,
    ) -> Result<bool, DelayError> {
        let snapshot = self.engine.snapshot().await?;
        let mut commit = Commit::synced();
        let until = self.env.clock.age_ms().saturating_add(ms(FINALISED_KEPT));
        move_delayed(&*snapshot, &mut commit, (id, seen), next, until).await?;
        match self.engine.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a delayed event, which waits or was being sent when the server stopped. With `last`, a
    /// room that does not take it finalises it; else it goes on to wait. `None` if somebody else
    /// finalised it meanwhile.
    pub(crate) async fn deliver(
        &self,
        rules: &Rules,
        id: &str,
        mut seen: Seen<DelayedRow>,
        last: bool,
    ) -> Result<Option<OwnedEventId>, DelayError> {
        let Some(mut row) = seen.row.clone() else {
            return Ok(None);
        };
        if row.stage == DelayedStage::Scheduled {
            row.stage = DelayedStage::Sending;
            if !self.move_on(id, &seen, &row).await? {
                return Err(RoomError::Busy.into());
            }
            let snapshot = self.engine.snapshot().await?;
            seen = delayed_seen(&*snapshot, id).await?;
        }
        let sent = self.send(rules, id, &row).await;
        let ts = self.env.clock.wall_ms();
        row.stage = match &sent {
            Ok(event) => DelayedStage::Sent {
                event: event.clone(),
                ts,
            },
            // Nobody knows whether it was sent; the same transaction will tell.
            Err(RoomError::Busy | RoomError::Unavailable(_) | RoomError::Unsure) if last => {
                return Err(sent.err().unwrap_or(RoomError::Unsure).into());
            }
            Err(RoomError::Unsure) => return Err(RoomError::Unsure.into()),
            Err(error) if last => DelayedStage::Failed {
                error: told(error).into(),
                ts,
            },
            Err(_) => DelayedStage::Scheduled,
        };
        self.move_on(id, &seen, &row).await?;
        match sent {
            Ok(event) => Ok(Some(event)),
            Err(_) if last => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A standard error response.
fn told(error: &RoomError) -> String {
    let errcode = match error {
        RoomError::Forbidden(_) | RoomError::Denied(_) => "M_FORBIDDEN",
        RoomError::UnknownRoom | RoomError::UnknownEvent => "M_NOT_FOUND",
        RoomError::BadContent(_) => "M_BAD_JSON",
        RoomError::BadParameter(_) => "M_INVALID_PARAM",
        RoomError::EventTooLarge(_) => "M_TOO_LARGE",
        RoomError::DuplicateAnnotation => "M_DUPLICATE_ANNOTATION",
        RoomError::NotRecommended { errcode, .. } => errcode,
        _ => "M_UNKNOWN",
    };
    serde_json::json!({"errcode": errcode, "error": error.to_string()}).to_string()
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
