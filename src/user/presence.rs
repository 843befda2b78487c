//! Whether users are there, as they and their clients say (spec, "Presence").
//!
//! A server that keeps no presence takes what clients say and forgets it: they say it with every
//! sync. Knows nothing of who is told.

use belfry_data::{
    ReadError,
    presence::{self as rows, PresenceRow},
};
use belfry_policy::{Action, Denial};
use ruma_common::UserId;

use crate::{Requester, Users, fault::Fault, store::Tries};

pub use belfry_data::presence::PresenceState;

/// Longest status message.
pub const STATUS_BYTES_MAX: usize = 1_024;

/// How often the time of the last activity is written while somebody is there.
const ACTIVE_EVERY_MS: u64 = 60 * 1_000;

/// For how long a client that only polls leaves alone what was said on purpose.
const SAID_FOR_MS: u64 = 10 * 1_000;

/// Why somebody's presence was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// Somebody else's.
    #[error("you can set your own presence only")]
    NotYours,
    /// Beyond [`STATUS_BYTES_MAX`].
    #[error("the status message is longer than {STATUS_BYTES_MAX} bytes")]
    StatusTooLong,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for PresenceError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Whether the server keeps presence.
    pub fn keeps_presence(&self) -> bool {
        self.0.options.presence
    }

    /// Sets the requester's presence. Not durable.
    pub async fn set_presence(
        &self,
        requester: &Requester,
        user_id: &UserId,
        state: PresenceState,
        status: Option<&str>,
    ) -> Result<(), PresenceError> {
        self.allow(requester, Action::ChangeProfile)?;
        if requester.user_id != user_id {
            return Err(PresenceError::NotYours);
        }
        if status.is_some_and(|status| status.len() > STATUS_BYTES_MAX) {
            return Err(PresenceError::StatusTooLong);
        }
        let row = PresenceRow {
            state,
            status: status.filter(|status| !status.is_empty()).map(Into::into),
            active_ts: self.0.env.clock.wall_ms(),
        };
        Ok(self.write_presence(user_id, &row).await?)
    }

    /// Notes what a client that polls says of its user by the way; if that is news, all that they
    /// say.
    pub async fn note_presence(
        &self,
        requester: &Requester,
        state: PresenceState,
    ) -> Result<Option<PresenceRow>, Fault> {
        if !self.keeps_presence() || state == PresenceState::Offline {
            return Ok(None);
        }
        let user_id = &*requester.user_id;
        let snapshot = self.0.store.snapshot().await?;
        let known = rows::presence(&*snapshot, &[user_id]).await?;
        let known = known.into_iter().next().flatten().map(|(_, row)| row);
        let now = self.0.env.clock.wall_ms();
        if known.as_ref().is_some_and(|row| {
            let age = now.abs_diff(row.active_ts);
            age < if row.state == state {
                ACTIVE_EVERY_MS
            } else {
                SAID_FOR_MS
            }
        }) {
            return Ok(None);
        }
        let row = PresenceRow {
            state,
            status: known.and_then(|row| row.status),
            active_ts: now,
        };
        self.write_presence(user_id, &row).await?;
        Ok(Some(row))
    }

    pub(crate) async fn write_presence(
        &self,
        user: &UserId,
        row: &PresenceRow,
    ) -> Result<(), Fault> {
        if !self.keeps_presence() {
            return Ok(());
        }
        let commit = rows::put_presence(user, row);
        let written = self.0.store.commit(commit, &mut Tries::default()).await;
        written.map(drop)
    }
}
