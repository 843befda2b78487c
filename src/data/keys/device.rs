//! Identity keys of devices, and what goes with a device.

use belfry_kv::{Commit, Direction, ReadError, Rows, Snapshot};
use ruma_common::{OwnedUserId, UserId};

use super::{
    heard::DEVICE_HEARD,
    rows::DeviceKeysRow,
    tables::{
        BACKUP_SESSION, BACKUP_VERSION, CROSS_SIGNING, DEHYDRATED, DEVICE_KEYS, FALLBACK_KEY,
        ONE_TIME_KEY, ONE_TIME_KEY_COUNT, ONE_TIME_KEY_ID, SIGNATURE, TO_DEVICE, TO_DEVICE_COUNT,
    },
};
use crate::{
    account::{DeviceRow, UserChange, tables::DEVICE},
    column::UserKey,
};

/// Devices of one user that are read; more are never made.
pub const KEYED_DEVICES_MAX: usize = 1_000;

/// A user's devices that have keys, by ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicesPage {
    /// Device, its keys, what its user calls it.
    pub devices: Vec<(String, DeviceKeysRow, Option<Box<str>>)>,
}

/// The keys of a device.
pub async fn device_keys(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<Option<DeviceKeysRow>, ReadError> {
    let key = (UserKey::from(user), device.to_owned());
    DEVICE_KEYS.get(snapshot, &key).await
}

/// The keys of these devices, in the order asked; one round trip.
pub async fn device_keys_of(
    snapshot: &dyn Snapshot,
    devices: &[(&UserId, &str)],
) -> Result<Vec<Option<DeviceKeysRow>>, ReadError> {
    let keys: Vec<_> = devices
        .iter()
        .map(|(user, device)| (UserKey::from(*user), (*device).to_owned()))
        .collect();
    DEVICE_KEYS.get_many(snapshot, &keys).await
}

/// The devices with keys of these users, in the order asked: at most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] users, two round trips.
pub async fn keyed_devices(
    snapshot: &dyn Snapshot,
    users: &[OwnedUserId],
) -> Result<Vec<DevicesPage>, ReadError> {
    let users: Vec<_> = users.iter().map(|user| (UserKey::from(&**user),)).collect();
    let ranges = users.iter().map(|user| DEVICE_KEYS.prefix(user)).collect();
    let keys = DEVICE_KEYS.scan_many(snapshot, ranges, KEYED_DEVICES_MAX);
    let keys = keys.await?;
    let ids: Vec<_> = keys
        .iter()
        .flat_map(|page| page.rows.iter().map(|(key, _)| key.clone()))
        .collect();
    let mut names = DEVICE.get_many(snapshot, &ids).await?.into_iter();
    Ok(keys
        .into_iter()
        .map(|page| named(page, &mut names))
        .collect())
}

fn named(
    page: Rows<(UserKey, String), DeviceKeysRow>,
    names: &mut impl Iterator<Item = Option<DeviceRow>>,
) -> DevicesPage {
    let devices = page.rows.into_iter().map(|((_, device), row)| {
        let name = names.next().flatten().and_then(|row| row.display_name);
        (device, row, name)
    });
    DevicesPage {
        devices: devices.collect(),
    }
}

impl UserChange {
    /// Sets a device's identity keys.
    pub fn put_device_keys(&mut self, device: &str, row: &DeviceKeysRow) {
        let key = (UserKey::from(self.id()), device.to_owned());
        DEVICE_KEYS.put(&mut self.commit, &key, row);
        self.note_device(device);
    }
}

/// Deletes a device's one-time and fallback keys and the user's signatures on it: they are of an
/// identity that it has no longer.
pub fn drop_device_keys(change: &mut UserChange, device: &str) {
    let user = UserKey::from(change.id());
    delete_keys(&mut change.commit, &user, device);
}

fn delete_keys(commit: &mut Commit, user: &UserKey, device: &str) {
    let prefix = (user.clone(), device.to_owned());
    DEVICE_KEYS.delete(commit, &prefix);
    ONE_TIME_KEY.delete_prefix(commit, &prefix);
    ONE_TIME_KEY_ID.delete_prefix(commit, &prefix);
    ONE_TIME_KEY_COUNT.delete_prefix(commit, &prefix);
    FALLBACK_KEY.delete_prefix(commit, &prefix);
    let signed = (user.clone(), user.clone(), device.to_owned());
    SIGNATURE.delete_prefix(commit, &signed);
}

/// Deletes all that a device has but its own row: keys, messages, signatures by its user.
pub(crate) fn delete_device(commit: &mut Commit, user: &UserId, device: &str) {
    let user = UserKey::from(user);
    delete_keys(commit, &user, device);
    let prefix = (user, device.to_owned());
    TO_DEVICE.delete_prefix(commit, &prefix);
    TO_DEVICE_COUNT.delete(commit, &prefix);
    DEVICE_HEARD.delete(commit, &prefix);
}

/// Deletes what belongs to a user and not to one of their devices.
pub(crate) fn delete_user(commit: &mut Commit, user: &UserId) {
    let user = (UserKey::from(user),);
    CROSS_SIGNING.delete(commit, &user);
    DEVICE_HEARD.delete_prefix(commit, &user);
    SIGNATURE.delete_prefix(commit, &user);
    BACKUP_VERSION.delete_prefix(commit, &user);
    BACKUP_SESSION.delete_prefix(commit, &user);
    DEHYDRATED.delete(commit, &user);
}

/// The direction that pages of this module are read in.
pub(super) const FORWARD: Direction = Direction::Forward;
