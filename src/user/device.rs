//! A user's devices: listing, naming, deleting them, and when each was last heard of.

use belfry_data::{
    ReadError,
    account::{self as rows, DeviceRow, DeviceSeenRow, UserChange},
    keys::note_heard,
};
use belfry_policy::{Action, Denial};
use ruma_common::{DeviceId, OwnedDeviceId};

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Longest name of a device.
pub const DEVICE_NAME_BYTES_MAX: usize = 256;

/// How old the note of when a device was last heard of may become before it is written again.
const SEEN_EVERY_MS: u64 = 5 * 60 * 1_000;

/// The same for a device that is heard of from another address: some change it with each request.
const SEEN_ELSEWHERE_EVERY_MS: u64 = 30 * 1_000;

/// A device, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its ID.
    pub device_id: OwnedDeviceId,
    /// What its user calls it.
    pub display_name: Option<String>,
    /// The address that it was last heard of from.
    pub last_seen_ip: Option<String>,
    /// When, to the last few minutes, in milliseconds since the Unix epoch.
    pub last_seen_ts: Option<u64>,
}

/// Why nothing was done to a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The user has no such device.
    #[error("you have no such device")]
    NotFound,
    /// Beyond [`DEVICE_NAME_BYTES_MAX`].
    #[error("choose a name of at most {DEVICE_NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for DeviceError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The requester's devices, by ID.
    pub async fn devices(&self, requester: &Requester) -> Result<Vec<Device>, DeviceError> {
        self.allow(requester, Action::Read)?;
        let snapshot = self.0.store.snapshot().await?;
        let devices = rows::devices(&*snapshot, &requester.user_id).await?;
        Ok(devices.into_iter().map(of_rows).collect())
    }

    /// One of the requester's devices.
    pub async fn device(
        &self,
        requester: &Requester,
        device_id: &DeviceId,
    ) -> Result<Device, DeviceError> {
        let devices = self.devices(requester).await?;
        let found = devices
            .into_iter()
            .find(|device| device.device_id == device_id);
        found.ok_or(DeviceError::NotFound)
    }

    /// Names one of the requester's devices; `None` leaves the name as it is.
    pub async fn name_device(
        &self,
        requester: &Requester,
        device_id: &DeviceId,
        name: Option<&str>,
    ) -> Result<(), DeviceError> {
        self.allow(requester, Action::ManageKeys)?;
        if name.is_some_and(|name| name.len() > DEVICE_NAME_BYTES_MAX) {
            return Err(DeviceError::NameTooLong);
        }
        let (user_id, id) = (&requester.user_id, device_id.as_str());
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(DeviceError::NotFound)?;
            let device = rows::device(&*snapshot, user_id, id).await?;
            let mut device = device.ok_or(DeviceError::NotFound)?;
            let Some(name) = name else { return Ok(()) };
            device.display_name = Some(name.into());
            change.put_device(id, &device);
            change.note_device(id);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// Deletes devices of the requester's, with their tokens. Those that do not exist are deleted
    /// already; other users' are never touched.
    pub async fn delete_devices(
        &self,
        requester: &Requester,
        device_ids: &[OwnedDeviceId],
    ) -> Result<(), DeviceError> {
        self.allow(requester, Action::LogOut)?;
        let chosen = |id: &str| device_ids.iter().any(|chosen| chosen.as_str() == id);
        Ok(self.drop_devices(&requester.user_id, chosen).await?)
    }

    /// Notes that the requester's device was heard of. Written every few minutes at most, and
    /// never waited for to be durable.
    pub async fn note_seen(&self, requester: &Requester, ip: &str) -> Result<(), Fault> {
        let (user_id, id) = (&requester.user_id, requester.device_id.as_str());
        let now = self.0.env.clock.wall_ms();
        let snapshot = self.0.store.snapshot().await?;
        let seen = rows::device_seen(&*snapshot, user_id, id).await?;
        let fresh = |seen: &DeviceSeenRow| {
            let here = *seen.ip == *ip;
            let every_ms = if here {
                SEEN_EVERY_MS
            } else {
                SEEN_ELSEWHERE_EVERY_MS
            };
            now.abs_diff(seen.ts) < every_ms
        };
        if seen.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let row = DeviceSeenRow {
            ip: ip.into(),
            ts: now,
        };
        let mut commit = rows::note_seen(user_id, id, &row);
        note_heard(&mut commit, user_id, id, self.0.env.clock.age_ms());
        self.0
            .store
            .commit(commit, &mut Tries::default())
            .await
            .map(drop)
    }
}

pub(crate) fn of_rows((id, device, seen): (String, DeviceRow, Option<DeviceSeenRow>)) -> Device {
    let (ip, ts) = seen.map(|seen| (String::from(seen.ip), seen.ts)).unzip();
    Device {
        device_id: id.into(),
        display_name: device.display_name.map(Into::into),
        last_seen_ip: ip,
        last_seen_ts: ts,
    }
}
