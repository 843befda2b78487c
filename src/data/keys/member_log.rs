//! Who began or ceased to be in a room, in order: what others' device lists depend on.
//!
//! Exists so that a sync finds the few who came or went without looking at a room's states.

use belfry_kv::{Commit, ReadError, Snapshot, Stamp};
use ruma_common::{OwnedUserId, RoomId, UserId};

use super::{rows::MemberLogRow, tables::MEMBER_LOG};
use crate::{
    column::RoomKey,
    rows::{CurrentRow, Membership},
};

/// Changes of one room that [`member_changes`] tells one by one.
pub const MEMBER_CHANGES_MAX: usize = 1_000;

/// Who began or ceased to be in a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberChanges {
    /// Each once for every change.
    pub users: Vec<OwnedUserId>,
    /// Whether there are too many to tell: it may be anybody.
    pub many: bool,
}

impl MemberChanges {
    /// Whether nobody did.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && !self.many
    }
}

/// Who began or ceased to be in each of these rooms, behind `after` and not behind `until`, in the
/// order asked; one round trip. At most [`belfry_kv::SCAN_MANY_RANGES_MAX`] rooms.
pub async fn member_changes(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
    after: Stamp,
    until: Stamp,
) -> Result<Vec<MemberChanges>, ReadError> {
    let ranges = rooms.iter().map(|room| {
        let key = |stamp| MEMBER_LOG.key(&(RoomKey::from(*room), stamp));
        let from = key(after).successor();
        let to = key(until).successor().max(from.clone());
        belfry_kv::Range { from, to }
    });
    let pages = MEMBER_LOG.scan_many(snapshot, ranges.collect(), MEMBER_CHANGES_MAX);
    let pages = pages.await?.into_iter();
    Ok(pages
        .map(|page| {
            let users = page.rows.iter().map(|(_, row)| row.user.as_deref());
            let many = page.rest.is_some() || users.clone().any(|user| user.is_none());
            let users = users.flatten();
            MemberChanges {
                users: users
                    .filter_map(|user| OwnedUserId::try_from(user).ok())
                    .collect(),
                many,
            }
        })
        .collect())
}

/// Notes that a user began or ceased to be in a room, if they did.
pub(crate) fn note_member(
    commit: &mut Commit,
    room: &RoomKey,
    user: &UserId,
    before: Option<Membership>,
    after: Option<&CurrentRow>,
) {
    let after = after.and_then(|row| row.membership);
    let joined = |membership| membership == Some(Membership::Join);
    if joined(before) != joined(after) {
        let user = Some(user.as_str().into());
        MEMBER_LOG.append(commit, &(room.clone(),), &MemberLogRow { user });
    }
}

/// Notes that the room's members may be others altogether.
pub(crate) fn note_members(commit: &mut Commit, room: &RoomKey) {
    MEMBER_LOG.append(commit, &(room.clone(),), &MemberLogRow { user: None });
}
