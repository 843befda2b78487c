//! Shortens the two logs that device lists follow from, as `shortening` says.

use belfry_kv::{Commit, Range, ReadError, Snapshot, Stamp};
use ruma_common::RoomId;

use super::{
    rows::{DeviceListRow, MemberLogRow},
    tables::{DEVICE_LIST_LOG, MEMBER_LOG},
};
use crate::{
    column::RoomKey,
    shortening::{cut, shorten},
};

/// Entries of the log of device lists that are kept, the newest. More are never read at once, so
/// that nobody is told less because of what goes.
pub const DEVICE_LIST_ENTRIES_KEPT: usize = 10_000;
/// Entries of one room's log of members that are kept, the newest: as many as are ever told one by
/// one.
pub const MEMBER_ENTRIES_KEPT: usize = super::MEMBER_CHANGES_MAX;
/// Entries of one room's log of members that one commit takes away, at most.
pub const TRIM_MEMBERS_MAX: usize = 500;
/// Rooms that one [`trim_member_logs`] looks at, at most.
pub const TRIM_ROOMS_MAX: usize = 4;

/// Where the log of device lists may be cut: the newest entry that goes; `None` if all are kept.
/// `kept` is [`DEVICE_LIST_ENTRIES_KEPT`], but for tests.
pub async fn device_list_cut(
    snapshot: &dyn Snapshot,
    kept: usize,
) -> Result<Option<Stamp>, ReadError> {
    cut(&DEVICE_LIST_LOG, snapshot, kept).await
}

/// Adds to the commit that the oldest entries up to `cut` go, at most [`TRIM_ENTRIES_MAX`]; how
/// many went. Call it again until none do.
///
/// [`TRIM_ENTRIES_MAX`]: crate::TRIM_ENTRIES_MAX
pub async fn trim_device_list_log(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    cut: Stamp,
) -> Result<usize, ReadError> {
    let mark = DeviceListRow {
        user: "".into(),
        device: None,
        stream_id: 0,
        only: None,
    };
    shorten(&DEVICE_LIST_LOG, snapshot, commit, (cut, mark)).await
}

/// Adds to the commit that in these rooms, of at most [`TRIM_ROOMS_MAX`], all but the newest `kept`
/// entries up to `until` go, as far as [`TRIM_MEMBERS_MAX`] for each room allows; how many went.
/// `kept` is [`MEMBER_ENTRIES_KEPT`], but for tests.
pub async fn trim_member_logs(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    rooms: &[&RoomId],
    until: Stamp,
    kept: usize,
) -> Result<usize, ReadError> {
    let ranges = rooms.iter().take(TRIM_ROOMS_MAX).map(|room| {
        let Range { from, .. } = MEMBER_LOG.prefix(&(RoomKey::from(*room),));
        let to = MEMBER_LOG.key(&(RoomKey::from(*room), until)).successor();
        Range { from, to }
    });
    let limit = kept.saturating_add(TRIM_MEMBERS_MAX);
    let pages = MEMBER_LOG.scan_many(snapshot, ranges.collect(), limit);
    let mut trimmed = 0;
    for page in pages.await? {
        let cut = page.rows.len().saturating_sub(kept);
        let Some(((last, before), gone)) = page.rows.get(..cut).and_then(<[_]>::split_last) else {
            continue;
        };
        let mark = MemberLogRow { user: None };
        if gone.is_empty() && *before == mark {
            continue;
        }
        for (at, _) in gone {
            MEMBER_LOG.delete(commit, at);
        }
        MEMBER_LOG.check_equals(commit, last, Some(before));
        MEMBER_LOG.put(commit, last, &mark);
        let taken = page.rows.iter().take(cut);
        trimmed += taken.filter(|(_, row)| *row != mark).count();
    }
    Ok(trimmed)
}
