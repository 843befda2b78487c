//! Who types (Client-Server API, "Typing Notifications").
//!
//! It exists so that typing is a row like any other, which readers find by its stamp. It is no part
//! of a room's history, and its worker has nothing to do with it. It knows nothing of who is told,
//! nor of taking a name off the list in time: readers do.

use std::time::Duration;

use belfry_data::{
    CommitError,
    typing::{self, TYPING_USERS_MAX, TypingRow},
};
use belfry_policy::{Account, Action, Rules};
use ruma_common::{RoomId, UserId};

use crate::error::RoomError;
use crate::receipt::{permit, require_joined};
use crate::rooms::Rooms;

/// Longest time that somebody counts as typing without saying so again.
pub const TYPING_TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// How often it is tried anew when another one came first.
const TRIES_MAX: usize = 16;

impl Rooms {
    /// Says that the account types in the room for so long, at most [`TYPING_TIMEOUT_MAX`], or
    /// (`None`) that it ceased to. Not durable.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] for who is not in the room, [`RoomError::Denied`].
    pub async fn type_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomError> {
        permit(rules, account, Action::Send, room_id)?;
        let snapshot = self.0.engine.snapshot().await?;
        require_joined(&*snapshot, room_id, account.id).await?;
        drop(snapshot);
        self.set_typing(room_id, account.id, timeout).await
    }

    /// The same for a user of any server who is known to be in the room.
    pub async fn set_typing(
        &self,
        room_id: &RoomId,
        user: &UserId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomError> {
        let now = self.0.env.clock.age_ms();
        let until = timeout.map(|timeout| {
            let span = timeout.min(TYPING_TIMEOUT_MAX).as_millis();
            now.saturating_add(u64::try_from(span).unwrap_or(u64::MAX))
        });
        for _ in 0..TRIES_MAX {
            let snapshot = self.0.engine.snapshot().await?;
            let seen = typing::typing_seen(&*snapshot, room_id).await?;
            let before = seen.row.clone().unwrap_or_default().1;
            let row = after(&before, user, until, now);
            if row == before {
                return Ok(());
            }
            let commit = if names(&row).eq(names(&before)) {
                typing::prolong_typing(room_id, &seen, &row)
            } else {
                typing::put_typing(room_id, &seen, &row)
            };
            match self.0.engine.commit(commit).await {
                Err(CommitError::Conflict) => {}
                outcome => return outcome.map(drop).map_err(RoomError::from),
            }
        }
        Err(RoomError::Busy)
    }
}

fn names(row: &TypingRow) -> impl Iterator<Item = &str> {
    row.users.iter().map(|(user, _)| &**user)
}

/// Who types once this user began or ceased to; whose time is up goes.
fn after(before: &TypingRow, user: &UserId, until: Option<u64>, now: u64) -> TypingRow {
    let others = before.users.iter();
    let others = others.filter(|(other, due)| **other != *user.as_str() && *due > now);
    let mut users: Vec<_> = others.cloned().collect();
    if let Some(until) = until.filter(|_| users.len() < TYPING_USERS_MAX) {
        users.push((user.as_str().into(), until));
    }
    users.sort_unstable();
    TypingRow { users }
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    fn row(users: &[(&str, u64)]) -> TypingRow {
        let users = users.iter().map(|(user, due)| ((*user).into(), *due));
        TypingRow {
            users: users.collect(),
        }
    }

    #[test]
    fn list_holds_who_types_and_no_more_than_it_may() {
        let (a, b) = (user_id!("@a:x"), user_id!("@b:x"));
        let one = after(&row(&[]), b, Some(30), 10);
        let two = after(&one, a, Some(40), 10);
        assert_eq!(two, row(&[("@a:x", 40), ("@b:x", 30)]));
        assert_eq!(after(&two, a, None, 10), one);
        assert_eq!(after(&two, a, None, 30), row(&[]), "b's time is up");
        let names: Vec<String> = (0..TYPING_USERS_MAX).map(|n| format!("@{n}:x")).collect();
        let full: Vec<_> = names.iter().map(|name| (&**name, 50)).collect();
        assert_eq!(
            after(&row(&full), a, Some(60), 1).users.len(),
            TYPING_USERS_MAX
        );
    }
}
