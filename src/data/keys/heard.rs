//! How old the installation was when each device was last heard of.
//!
//! Exists so that idle devices can be found without asking the wall clock, which may jump: what a
//! device's user is shown is another row. Knows nothing of how long is too long.

use belfry_kv::{Commit, ReadError, Seen, Shape, Snapshot, Table, Temperature};
use ruma_common::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::device::FORWARD;
use crate::{
    account::{UserChange, tables::DEVICE},
    codec::postcard_row,
    column::UserKey,
    tables::ground,
};

/// User, device.
pub(crate) static DEVICE_HEARD: Table<(UserKey, String), HeardRow> =
    Table::new(ground(105, "device_heard", Shape::Scan, Temperature::Cold));

/// Most devices that one [`devices_heard`] gives.
pub const DEVICES_HEARD_MAX: usize = 1_000;

/// When a device was last heard of. Never acknowledged, so it may be a little old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardRow {
    /// The age of the installation in milliseconds.
    pub age_ms: u64,
}
postcard_row!(HeardRow);

/// A device and, if that was noted, when it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceHeard {
    /// Whose.
    pub user: OwnedUserId,
    /// Its ID.
    pub device: String,
    /// `None`: it was not heard of since such notes are made.
    pub heard: Option<HeardRow>,
}

/// The devices of all users by user and ID, those behind `after`: at most `limit`, of at most
/// [`DEVICES_HEARD_MAX`]. Two round trips.
pub async fn devices_heard(
    snapshot: &dyn Snapshot,
    after: Option<(&UserId, &str)>,
    limit: usize,
) -> Result<Vec<DeviceHeard>, ReadError> {
    let range = match after {
        Some((user, device)) => {
            let after = (UserKey::from(user), device.to_owned());
            DEVICE.range_after(&(), &after)
        }
        None => DEVICE.whole(),
    };
    let limit = limit.min(DEVICES_HEARD_MAX);
    let page = DEVICE.scan(snapshot, range, FORWARD, limit).await?;
    let keys: Vec<_> = page.rows.into_iter().map(|(key, _)| key).collect();
    let rows = DEVICE_HEARD.get_many(snapshot, &keys).await?;
    let devices = keys.into_iter().zip(rows);
    Ok(devices
        .map(|((user, device), heard)| DeviceHeard {
            user: user.0,
            device,
            heard,
        })
        .collect())
}

/// When the device was last heard of.
pub async fn heard(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<Seen<HeardRow>, ReadError> {
    let key = (UserKey::from(user), device.to_owned());
    DEVICE_HEARD.get_seen(snapshot, &key).await
}

/// Notes that a device is heard of at this age. Checks nothing: a device that is deleted at the
/// same moment may leave the note behind, until it signs in anew.
pub fn note_heard(commit: &mut Commit, user: &UserId, device: &str, age_ms: u64) {
    let key = (UserKey::from(user), device.to_owned());
    DEVICE_HEARD.put(commit, &key, &HeardRow { age_ms });
}

impl UserChange {
    /// The same as part of a change: whoever signs in is heard of.
    pub fn note_heard(&mut self, device: &str, age_ms: u64) {
        let user = self.id().to_owned();
        note_heard(&mut self.commit, &user, device, age_ms);
    }

    /// Makes the change apply only if the device was not heard of since.
    pub fn check_heard(&mut self, device: &str, seen: &Seen<HeardRow>) {
        let key = (UserKey::from(self.id()), device.to_owned());
        DEVICE_HEARD.check_unchanged(&mut self.commit, &key, seen);
    }
}
