//! Dehydrated devices (MSC3814): one device of a user without a session, whose keys and messages
//! wait until another device takes it up.

use belfry_data::{
    ReadError, Stamp,
    account::{self as accounts, UserChange},
    keys::{self as rows, DehydratedRow, InboxMessage},
};
use belfry_policy::Action;
use ruma_common::UserId;

use crate::{
    Requester, Users,
    fault::Fault,
    keys::{KeyError, KeyUpload, put_keys},
    session::DEVICE_ID_BYTES_MAX,
    store::Tries,
};

/// Largest `device_data`, as JSON.
pub const DEHYDRATED_BYTES_MAX: usize = 64 * 1024;
/// Messages of a dehydrated device that are given at once.
pub const DEHYDRATED_PAGE_MAX: usize = 100;

/// Messages of a dehydrated device, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DehydratedEvents {
    /// Of at most [`DEHYDRATED_PAGE_MAX`].
    pub messages: Vec<InboxMessage>,
    /// Where to go on; the same place again if there are no more.
    pub next: Stamp,
}

impl Users {
    /// Makes the requester's dehydrated device, in place of the one before.
    pub async fn dehydrate(
        &self,
        requester: &Requester,
        device: &str,
        data: &str,
        upload: &KeyUpload,
    ) -> Result<(), KeyError> {
        self.allow(requester, Action::ManageKeys)?;
        if !(1..=DEVICE_ID_BYTES_MAX).contains(&device.len()) {
            let text = "the device ID is empty or too long".to_owned();
            return Err(KeyError::Shape(text));
        }
        if data.len() > DEHYDRATED_BYTES_MAX {
            return Err(KeyError::TooLarge("device_data", DEHYDRATED_BYTES_MAX));
        }
        if upload.device_keys.is_none() {
            return Err(KeyError::Shape("device_keys are missing".to_owned()));
        }
        let user = &*requester.user_id;
        let after = DehydratedRow {
            device: device.into(),
            data: data.into(),
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user).await?;
            let mut change = change.ok_or(KeyError::NoDevice)?;
            if accounts::device(&*snapshot, user, device).await?.is_some() {
                let text = "a device that is signed in has this ID; choose another";
                return Err(KeyError::Mismatch(text.to_owned()));
            }
            let before = rows::dehydrated_device(&*snapshot, user).await?;
            rows::put_dehydrated_device(&mut change, before.as_ref(), Some(&after));
            let random = &self.0.env.random;
            put_keys(&*snapshot, &mut change, device, (upload, true), random).await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// The requester's dehydrated device: its ID and data.
    pub async fn dehydrated_device(
        &self,
        requester: &Requester,
    ) -> Result<(String, String), KeyError> {
        self.allow(requester, Action::Read)?;
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::dehydrated_device(&*snapshot, &requester.user_id).await?;
        let row = row.ok_or(KeyError::NoDevice)?;
        Ok((row.device.into(), row.data.into()))
    }

    /// Deletes the requester's dehydrated device with its messages; its ID.
    pub async fn delete_dehydrated_device(
        &self,
        requester: &Requester,
    ) -> Result<String, KeyError> {
        self.allow(requester, Action::ManageKeys)?;
        let user = &*requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user).await?;
            let mut change = change.ok_or(KeyError::NoDevice)?;
            let before = rows::dehydrated_device(&*snapshot, user).await?;
            let before = before.ok_or(KeyError::NoDevice)?;
            rows::put_dehydrated_device(&mut change, Some(&before), None);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(before.device.into());
            }
        }
    }

    /// The messages that wait for the requester's dehydrated device, behind `after`. They stay
    /// until the device is deleted.
    pub async fn dehydrated_events(
        &self,
        requester: &Requester,
        device: &str,
        after: Option<Stamp>,
    ) -> Result<DehydratedEvents, KeyError> {
        let (id, _) = self.dehydrated_device(requester).await?;
        if id != device {
            let text = "this is not your dehydrated device; ask for it anew";
            return Err(KeyError::Mismatch(text.to_owned()));
        }
        let snapshot = self.0.store.snapshot().await?;
        let after = after.unwrap_or(belfry_data::STAMP_FIRST);
        let inbox = (&*requester.user_id, device);
        let until = belfry_data::STAMP_LAST;
        let page = rows::messages_for(&*snapshot, inbox, after, until, DEHYDRATED_PAGE_MAX);
        let page = page.await?;
        Ok(DehydratedEvents {
            messages: page.messages(self.0.env.clock.age_ms()),
            next: page.last().unwrap_or(after),
        })
    }

    /// Deletes a user's dehydrated device as part of a change.
    pub(crate) async fn drop_dehydrated(
        snapshot: &dyn belfry_data::Snapshot,
        change: &mut UserChange,
        user: &UserId,
    ) -> Result<(), Fault> {
        let before = rows::dehydrated_device(snapshot, user).await;
        let before = before.map_err(|error: ReadError| Fault::from(error))?;
        if before.is_some() {
            rows::put_dehydrated_device(change, before.as_ref(), None);
        }
        Ok(())
    }
}
