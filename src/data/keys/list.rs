//! The log of changed device lists: one for the server, of users wherever they are.

use belfry_kv::{Commit, ReadError, Snapshot, Stamp};
use ruma_common::UserId;

use super::{device::FORWARD, rows::DeviceListRow, tables::DEVICE_LIST_LOG};
use crate::{rows::GlobalRow, tables::GLOBAL_LOG};

/// Most entries that one [`device_list_changes`] gives.
pub const DEVICE_LIST_PAGE_MAX: usize = 1_000;

/// A run of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceListPage {
    /// What changed, oldest first.
    pub changes: Vec<(Stamp, DeviceListRow)>,
    /// Whether there is more.
    pub more: bool,
    /// Whether entries behind `after` are gone: it may be anybody who changed.
    pub many: bool,
}

/// Whose device lists changed behind `after` and not behind `until`, at most `limit` entries, of
/// at most [`DEVICE_LIST_PAGE_MAX`].
pub async fn device_list_changes(
    snapshot: &dyn Snapshot,
    after: Stamp,
    until: Stamp,
    limit: usize,
) -> Result<DeviceListPage, ReadError> {
    let mut range = DEVICE_LIST_LOG.range_after(&(), &(after,));
    range.to = DEVICE_LIST_LOG.key(&(until,)).successor();
    if range.is_empty() {
        return Ok(DeviceListPage {
            changes: Vec::new(),
            more: false,
            many: false,
        });
    }
    let limit = limit.min(DEVICE_LIST_PAGE_MAX);
    let page = DEVICE_LIST_LOG
        .scan(snapshot, range, FORWARD, limit)
        .await?;
    let many = page.rows.iter().any(|(_, row)| row.user.is_empty());
    Ok(DeviceListPage {
        changes: page
            .rows
            .into_iter()
            .map(|((at,), row)| (at, row))
            .collect(),
        more: page.rest.is_some(),
        many,
    })
}

/// Notes that the device list of a user of another server changed, or may have.
pub fn note_remote_device_list(commit: &mut Commit, user: &UserId) {
    let row = DeviceListRow {
        user: user.as_str().into(),
        device: None,
        stream_id: 0,
        only: None,
    };
    DEVICE_LIST_LOG.append(commit, &(), &row);
    GLOBAL_LOG.append(commit, &(), &GlobalRow::DeviceList { user: row.user });
}

/// Notes that one user sees another's list in another way.
pub(crate) fn note_for(commit: &mut Commit, user: &UserId, viewer: &UserId) {
    let row = DeviceListRow {
        user: user.as_str().into(),
        device: None,
        stream_id: 0,
        only: Some(viewer.as_str().into()),
    };
    DEVICE_LIST_LOG.append(commit, &(), &row);
    let user = viewer.as_str().into();
    GLOBAL_LOG.append(commit, &(), &GlobalRow::ToDevice { user });
}

/// Notes changes of a local user's list: of these devices, or of what is not a device's.
pub(crate) fn note_devices<'a>(
    commit: &mut Commit,
    user: &UserId,
    devices: impl Iterator<Item = Option<&'a str>>,
    stream_id: u64,
) {
    let mut last = None;
    for device in devices {
        let row = DeviceListRow {
            user: user.as_str().into(),
            device: device.map(Into::into),
            stream_id,
            only: None,
        };
        DEVICE_LIST_LOG.append(commit, &(), &row);
        last = Some(row.user);
    }
    if let Some(user) = last {
        GLOBAL_LOG.append(commit, &(), &GlobalRow::DeviceList { user });
    }
}
