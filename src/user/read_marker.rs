//! The marker of how far somebody has read with attention (spec, "Fully read markers").
//!
//! It is account data of the room, of a type that only this writes. Knows nothing of receipts, nor
//! of whether the room has such an event: that is asked before.

use belfry_data::account::{AccountDataRef, AccountDataRow, UserChange};
use belfry_policy::Action;
use ruma_common::{EventId, RoomId};
use serde_json::json;

use crate::{AccountDataError, Requester, Users, store::Tries};

impl Users {
    /// Moves the requester's marker in this room to this event.
    pub async fn set_fully_read(
        &self,
        requester: &Requester,
        room: &RoomId,
        event: &EventId,
    ) -> Result<(), AccountDataError> {
        self.allow(requester, Action::Read)?;
        let row = AccountDataRow {
            content: json!({ "event_id": event }).to_string().into(),
        };
        let at = AccountDataRef {
            room: room.as_str().into(),
            event_type: "m.fully_read".into(),
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, &requester.user_id).await?;
            let mut change = change.ok_or(AccountDataError::NotFound)?;
            change
                .put_account_data(&*snapshot, at.clone(), &row)
                .await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}
