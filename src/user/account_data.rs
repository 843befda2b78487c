//! Account data: what clients keep for their user, globally or for a room (spec, "Client
//! Configuration").

use belfry_data::{
    ReadError, Snapshot,
    account::{self as rows, AccountDataRef, AccountDataRow, UserChange},
};
use belfry_policy::{Action, Denial};
use ruma_common::{RoomId, UserId};

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Largest content, as JSON.
pub const ACCOUNT_DATA_BYTES_MAX: usize = 90 * 1024;

/// Pieces of account data of one user, beyond which clients set no new ones.
const ACCOUNT_DATA_MAX: i64 = 10_000;

/// Types that other endpoints write, since the server acts on them.
const MANAGED: [&str; 2] = ["m.fully_read", "m.push_rules"];

/// The content of what was removed. The row stays, for the removal must be told to other devices.
const REMOVED: &str = "{}";

/// Types that belong to a device, whose ID follows.
const OF_A_DEVICE: [&str; 2] = [
    "m.local_notification_settings.",
    "org.matrix.msc3890.local_notification_settings.",
];

/// Longest event type.
const EVENT_TYPE_BYTES_MAX: usize = 255;

/// Why account data was not read or not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountDataError {
    /// Never written.
    #[error("there is no such account data")]
    NotFound,
    /// Somebody else's.
    #[error("you can use your own account data only")]
    NotYours,
    /// Another endpoint writes this type.
    #[error("use this type's own endpoint")]
    Managed,
    /// The type is beyond 255 bytes.
    #[error("the type is longer than {EVENT_TYPE_BYTES_MAX} bytes")]
    TypeTooLong,
    /// Beyond [`ACCOUNT_DATA_MAX`].
    #[error("you keep {ACCOUNT_DATA_MAX} pieces of account data already; use one of them again")]
    TooMany,
    /// Beyond [`ACCOUNT_DATA_BYTES_MAX`].
    #[error("the content is larger than {ACCOUNT_DATA_BYTES_MAX} bytes")]
    TooLarge,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for AccountDataError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The content of one piece of the requester's own, a JSON object; what is empty is not there.
    pub async fn account_data(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: Option<&RoomId>,
        event_type: &str,
    ) -> Result<String, AccountDataError> {
        self.allow(requester, Action::Read)?;
        if requester.user_id != user_id {
            return Err(AccountDataError::NotYours);
        }
        let room = room.map_or("", RoomId::as_str);
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::account_data(&*snapshot, user_id, room, event_type).await?;
        row.filter(|row| *row.content != *REMOVED)
            .map(|row| row.content.into())
            .ok_or(AccountDataError::NotFound)
    }

    /// Removes one piece of the requester's own, if there is one (MSC3391).
    pub async fn remove_account_data(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: Option<&RoomId>,
        event_type: &str,
    ) -> Result<(), AccountDataError> {
        check(event_type, REMOVED)?;
        match self
            .account_data(requester, user_id, room, event_type)
            .await
        {
            Ok(_) => {
                self.set_account_data(requester, user_id, room, event_type, REMOVED)
                    .await
            }
            Err(AccountDataError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets one piece of the requester's own. `content` is a JSON object; an empty one removes what
    /// was there (MSC3391).
    pub async fn set_account_data(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: Option<&RoomId>,
        event_type: &str,
        content: &str,
    ) -> Result<(), AccountDataError> {
        self.allow(requester, Action::ChangeSettings)?;
        if requester.user_id != user_id {
            return Err(AccountDataError::NotYours);
        }
        check(event_type, content)?;
        let content = if is_empty(content) { REMOVED } else { content };
        let row = AccountDataRow {
            content: content.into(),
        };
        let at = AccountDataRef {
            room: room.map_or("", RoomId::as_str).into(),
            event_type: event_type.into(),
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(AccountDataError::NotFound)?;
            let known = rows::account_data(&*snapshot, user_id, &at.room, event_type).await?;
            let count = rows::account_data_count(&*snapshot, user_id).await?;
            if known.is_none() && count >= ACCOUNT_DATA_MAX {
                return Err(AccountDataError::TooMany);
            }
            change
                .put_account_data(&*snapshot, at.clone(), &row)
                .await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}

/// Removes what a device that is deleted kept for itself (MSC3890).
pub(crate) async fn forget_devices(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    devices: &[String],
) -> Result<(), Fault> {
    if devices.is_empty() {
        return Ok(());
    }
    let user_id = change.id().to_owned();
    for (event_type, row) in rows::account_data_of(snapshot, &user_id, "").await? {
        let mut prefixes = OF_A_DEVICE.iter();
        let device = prefixes.find_map(|prefix| event_type.strip_prefix(prefix));
        let gone = device.is_some_and(|device| devices.iter().any(|gone| gone == device));
        if gone && *row.content != *REMOVED {
            let at = AccountDataRef {
                room: "".into(),
                event_type: event_type.into(),
            };
            let row = AccountDataRow {
                content: REMOVED.into(),
            };
            change.put_account_data(snapshot, at, &row).await?;
        }
    }
    Ok(())
}

fn is_empty(content: &str) -> bool {
    let inside = content
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

fn check(event_type: &str, content: &str) -> Result<(), AccountDataError> {
    if MANAGED.contains(&event_type) {
        Err(AccountDataError::Managed)
    } else if event_type.len() > EVENT_TYPE_BYTES_MAX {
        Err(AccountDataError::TypeTooLong)
    } else if content.len() > ACCOUNT_DATA_BYTES_MAX {
        Err(AccountDataError::TooLarge)
    } else {
        Ok(())
    }
}
