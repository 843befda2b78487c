//! Device lists between servers: how far the lists of this server's users have counted, which
//! servers are to be told of which device, and the lists of users of other servers.
//!
//! Exists so that a change is told to a server that was away for weeks, once, as it then is, and so
//! that another server's list is asked for once and trusted as long as a room is shared without a
//! break. Knows nothing of EDUs and of what keys mean.

use belfry_kv::{Commit, ReadError, STAMP_BYTES, Seen, Shape, Snapshot, Stamp, Table, Temperature};
use ruma_common::{OwnedRoomId, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};

use super::{device::FORWARD, rows::DeviceListRow, tables::DEVICE_LIST_LOG};
use crate::{
    codec::postcard_row,
    column::{ServerKey, UserKey},
    members::user_rooms,
    reader::RoomReader,
    remote::user_room,
    rows::Membership,
    tables::ground,
};

/// Devices of one user of another server that are kept.
pub const TRACKED_DEVICES_MAX: usize = 200;
/// Changes that one call of [`devices_due`] gives.
pub const DEVICES_DUE_MAX: usize = 100;
/// Rooms of one user in which somebody of this server is looked for.
pub const SHARED_ROOMS_MAX: usize = 1_000;
/// Changes of one commit that are read.
const COMMIT_CHANGES_MAX: usize = 1_000;
/// Local members of one room among whom one who is joined is looked for.
const LOCAL_MEMBERS_MAX: usize = 200;

/// Users of this server: how far their device lists have counted.
pub(crate) static DEVICE_STREAM: Table<(UserKey,), DeviceStreamRow> = Table::new(ground(
    128,
    "device_stream",
    Shape::Point,
    Temperature::Cold,
));

/// Server, user of this server, device (empty: the cross-signing keys): to be told.
pub(crate) static DEVICE_DUE: Table<(ServerKey, UserKey, String), DeviceDueRow> =
    Table::new(ground(129, "device_due", Shape::Scan, Temperature::Cold));

/// Users of other servers whose device lists are tracked.
pub(crate) static TRACKED_LIST: Table<(UserKey,), TrackedListRow> =
    Table::new(ground(130, "tracked_list", Shape::Point, Temperature::Cold));

/// User of another server, device.
pub(crate) static TRACKED_DEVICE: Table<(UserKey, String), TrackedDeviceRow> = Table::new(ground(
    131,
    "tracked_device",
    Shape::Scan,
    Temperature::Cold,
));

/// How far a device list has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStreamRow {
    /// The `stream_id` of the last change that was handed to the senders.
    pub stream_id: u64,
}
postcard_row!(DeviceStreamRow);

/// A change of a device that a server is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDueRow {
    /// Its `stream_id`.
    pub stream_id: u64,
    /// The one before those that it stands for; 0 if there is none to go by.
    pub prev_id: u64,
}
postcard_row!(DeviceDueRow);

/// A change that a server is to be told, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDue {
    /// Whose.
    pub user: OwnedUserId,
    /// Of which device; `None`: of the cross-signing keys.
    pub device: Option<String>,
    /// The row.
    pub row: DeviceDueRow,
}

/// The device list of a user of another server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackedListRow {
    /// The last `stream_id` that was taken.
    pub stream_id: u64,
    /// By what it is trusted; `None`: it has to be asked for anew.
    pub anchor: Option<AnchorRow>,
    /// Devices kept.
    pub devices: u32,
    /// The master key as JSON.
    pub master: Option<Box<str>>,
    /// The self-signing key as JSON.
    pub self_signing: Option<Box<str>>,
}
postcard_row!(TrackedListRow);

/// Two memberships of one room, as they were when a list was asked for: as long as both are the
/// same, the room has been shared without a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorRow {
    /// The room's ID.
    room: Box<str>,
    /// When the membership of the user of the other server was written.
    theirs: [u8; STAMP_BYTES],
    /// A user of this server.
    local: Box<str>,
    /// When theirs was.
    ours: [u8; STAMP_BYTES],
}

/// A device of a user of another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedDeviceRow {
    /// `DeviceKeys` as JSON.
    pub json: Box<str>,
    /// What its user calls it.
    pub name: Option<Box<str>>,
}
postcard_row!(TrackedDeviceRow);

/// How far these users' lists have counted, in the order asked; 0 before the first change.
pub async fn device_streams(
    snapshot: &dyn Snapshot,
    users: &[&UserId],
) -> Result<Vec<u64>, ReadError> {
    let keys: Vec<_> = users.iter().map(|user| (UserKey::from(*user),)).collect();
    let rows = DEVICE_STREAM.get_many(snapshot, &keys).await?.into_iter();
    Ok(rows.map(|row| row.map_or(0, |row| row.stream_id)).collect())
}

/// Sets how far a user's list has counted.
pub fn keep_device_stream(commit: &mut Commit, user: &UserId, stream_id: u64) {
    let row = DeviceStreamRow { stream_id };
    DEVICE_STREAM.put(commit, &(UserKey::from(user),), &row);
}

/// What the commit in which `at` stands changed in device lists.
pub async fn device_changes_with(
    snapshot: &dyn Snapshot,
    at: Stamp,
) -> Result<Vec<DeviceListRow>, ReadError> {
    let (from, to) = whole_commit(at);
    let mut range = DEVICE_LIST_LOG.whole();
    range.from = DEVICE_LIST_LOG.key(&(from,));
    range.to = DEVICE_LIST_LOG.key(&(to,)).successor();
    let page = DEVICE_LIST_LOG.scan(snapshot, range, FORWARD, COMMIT_CHANGES_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|(_, row)| row).collect())
}

fn whole_commit(at: Stamp) -> (Stamp, Stamp) {
    let with = |ordinal| Stamp { ordinal, ..at };
    (with(0), with(u16::MAX))
}

/// Rows of these changes that are there already, in the order asked.
pub async fn devices_due_among(
    snapshot: &dyn Snapshot,
    asked: &[(&ServerName, &UserId, &str)],
) -> Result<Vec<Option<DeviceDueRow>>, ReadError> {
    let keys: Vec<_> = asked
        .iter()
        .map(|(server, user, device)| {
            let user = UserKey::from(*user);
            (ServerKey::from(*server), user, (*device).to_owned())
        })
        .collect();
    DEVICE_DUE.get_many(snapshot, &keys).await
}

/// Has a server be told of a device (empty: of the cross-signing keys).
pub fn put_device_due(
    commit: &mut Commit,
    (server, user, device): (&ServerName, &UserId, &str),
    row: DeviceDueRow,
) {
    let key = (
        ServerKey::from(server),
        UserKey::from(user),
        device.to_owned(),
    );
    DEVICE_DUE.put(commit, &key, &row);
}

/// What a server is to be told, by user and device; at most `limit` and [`DEVICES_DUE_MAX`].
pub async fn devices_due(
    snapshot: &dyn Snapshot,
    server: &ServerName,
    limit: usize,
) -> Result<Vec<DeviceDue>, ReadError> {
    let range = DEVICE_DUE.prefix(&(ServerKey::from(server),));
    let limit = limit.min(DEVICES_DUE_MAX);
    let page = DEVICE_DUE.scan(snapshot, range, FORWARD, limit).await?;
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|((_, user, device), row)| DeviceDue {
            user: user.0,
            device: (!device.is_empty()).then_some(device),
            row,
        })
        .collect())
}

/// Takes a change off that the server was told, if nothing was added to it since.
pub fn drop_device_due(commit: &mut Commit, server: &ServerName, due: &DeviceDue) {
    let device = due.device.clone().unwrap_or_default();
    let user = UserKey::from(&*due.user);
    let key = (ServerKey::from(server), user, device);
    DEVICE_DUE.check_equals(commit, &key, Some(&due.row));
    DEVICE_DUE.delete(commit, &key);
}

/// A room that the user of another server shares with somebody of this one, if there is any among
/// the first [`SHARED_ROOMS_MAX`].
pub async fn shared_with(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Option<AnchorRow>, ReadError> {
    let rooms = user_rooms(snapshot, user, None, SHARED_ROOMS_MAX).await?;
    let joined = rooms.into_iter();
    let joined = joined.filter(|room| room.row.membership == Membership::Join);
    for room in joined {
        let reader = RoomReader::new(snapshot, &room.room_id);
        let members = reader.local_members(None, LOCAL_MEMBERS_MAX).await?;
        let mut members = members.into_iter();
        let Some((local, _)) = members.find(|(_, it)| *it == Membership::Join) else {
            continue;
        };
        let Some((ours, _)) = user_room(snapshot, &local, &room.room_id).await? else {
            continue;
        };
        return Ok(Some(AnchorRow {
            room: room.room_id.as_str().into(),
            theirs: room.stamp.to_bytes(),
            local: local.as_str().into(),
            ours: ours.to_bytes(),
        }));
    }
    Ok(None)
}

/// Whether the memberships are still as they were.
pub async fn holds(
    snapshot: &dyn Snapshot,
    user: &UserId,
    anchor: &AnchorRow,
) -> Result<bool, ReadError> {
    let room = OwnedRoomId::try_from(&*anchor.room);
    let local = OwnedUserId::try_from(&*anchor.local);
    let (Ok(room), Ok(local)) = (room, local) else {
        return Ok(false);
    };
    let theirs = user_room(snapshot, user, &room).await?;
    let ours = user_room(snapshot, &local, &room).await?;
    let same = |found: Option<(Stamp, crate::rows::UserRoomRow)>, stamp: [u8; STAMP_BYTES]| {
        found.is_some_and(|(at, row)| row.membership == Membership::Join && at.to_bytes() == stamp)
    };
    Ok(same(theirs, anchor.theirs) && same(ours, anchor.ours))
}

/// A tracked list, for a commit that checks it.
pub async fn tracked_list(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Seen<TrackedListRow>, ReadError> {
    let key = (UserKey::from(user),);
    TRACKED_LIST.get_seen(snapshot, &key).await
}

/// The devices of a tracked list, by ID.
pub async fn tracked_devices(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Vec<(String, TrackedDeviceRow)>, ReadError> {
    let range = TRACKED_DEVICE.prefix(&(UserKey::from(user),));
    let page = TRACKED_DEVICE.scan(snapshot, range, FORWARD, TRACKED_DEVICES_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows.map(|((_, device), row)| (device, row)).collect())
}

/// Whether the device is in a tracked list.
pub async fn is_tracked(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<bool, ReadError> {
    let key = (UserKey::from(user), device.to_owned());
    Ok(TRACKED_DEVICE.get(snapshot, &key).await?.is_some())
}

/// Sets a tracked list, if it is still as it was seen.
pub fn put_tracked_list(
    commit: &mut Commit,
    user: &UserId,
    seen: &Seen<TrackedListRow>,
    row: &TrackedListRow,
) {
    let key = (UserKey::from(user),);
    TRACKED_LIST.check_unchanged(commit, &key, seen);
    TRACKED_LIST.put(commit, &key, row);
}

/// Sets a device of a tracked list, or takes it off. The list's own row has to be set with it.
pub fn put_tracked_device(
    commit: &mut Commit,
    user: &UserId,
    device: &str,
    row: Option<&TrackedDeviceRow>,
) {
    let key = (UserKey::from(user), device.to_owned());
    match row {
        Some(row) => TRACKED_DEVICE.put(commit, &key, row),
        None => TRACKED_DEVICE.delete(commit, &key),
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(crate) fn anchored() -> TrackedListRow {
        TrackedListRow {
            stream_id: 3,
            anchor: Some(AnchorRow {
                room: "!r:a.org".into(),
                theirs: [1; STAMP_BYTES],
                local: "@alice:a.org".into(),
                ours: [2; STAMP_BYTES],
            }),
            devices: 1,
            master: Some("{}".into()),
            self_signing: None,
        }
    }

    pub(crate) fn device() -> TrackedDeviceRow {
        TrackedDeviceRow {
            json: "{}".into(),
            name: Some("phone".into()),
        }
    }

    pub(crate) fn due() -> DeviceDueRow {
        DeviceDueRow {
            stream_id: 5,
            prev_id: 4,
        }
    }
}
