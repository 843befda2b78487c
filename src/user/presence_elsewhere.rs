//! Presence of users of other servers, as their servers tell it (Server-Server API, "Presence").
//!
//! Exists so that what comes from elsewhere is held against who speaks and whom it concerns. Knows
//! nothing of EDUs as JSON.

use belfry_data::{
    keys::shared_with,
    presence::{PresenceRow, PresenceState, presence},
};
use ruma_common::{OwnedUserId, ServerName};

use crate::{STATUS_BYTES_MAX, Users, fault::Fault};

/// How often the time of the last activity of somebody elsewhere is written while nothing else
/// changes.
const ACTIVE_EVERY_MS: u64 = 60 * 1_000;

/// What a server tells of the presence of one of its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Whether they are there.
    pub state: PresenceState,
    /// What they say about it; cut at [`STATUS_BYTES_MAX`].
    pub status: Option<String>,
    /// Milliseconds since they were last active.
    pub active_ago_ms: u64,
}

impl Users {
    /// Takes what a server tells; whether that is news. Users of other servers, and those who share
    /// no room with anybody here, are left out; so is what changes nothing. Not durable.
    pub async fn receive_presence(
        &self,
        origin: &ServerName,
        update: PresenceUpdate,
    ) -> Result<bool, Fault> {
        let user = &*update.user_id;
        if !self.keeps_presence() || user.server_name() != origin {
            return Ok(false);
        }
        let snapshot = self.0.store.snapshot().await?;
        let now = self.0.env.clock.wall_ms();
        let mut status = update.status.filter(|status| !status.is_empty());
        if let Some(status) = &mut status {
            status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
        }
        let row = PresenceRow {
            state: update.state,
            status: status.map(Into::into),
            active_ts: now.saturating_sub(update.active_ago_ms),
        };
        let known = presence(&*snapshot, &[user]).await?;
        let known = known.into_iter().next().flatten().map(|(_, row)| row);
        let same = known.is_some_and(|known| {
            (known.state, &known.status) == (row.state, &row.status)
                && known.active_ts.abs_diff(row.active_ts) < ACTIVE_EVERY_MS
        });
        if same || shared_with(&*snapshot, user).await?.is_none() {
            return Ok(false);
        }
        drop(snapshot);
        self.write_presence(user, &row).await?;
        Ok(true)
    }
}
