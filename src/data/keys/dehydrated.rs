//! Dehydrated devices (MSC3814): at most one of each user, without a session.

use belfry_kv::{ReadError, Snapshot};
use ruma_common::UserId;

use super::{device::delete_device, rows::DehydratedRow, tables::DEHYDRATED};
use crate::{account::UserChange, column::UserKey};

/// The user's dehydrated device.
pub async fn dehydrated_device(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Option<DehydratedRow>, ReadError> {
    DEHYDRATED.get(snapshot, &(UserKey::from(user),)).await
}

/// Replaces the user's dehydrated device, of which `before` is the row on the change's snapshot,
/// by another or by none. What the former had is deleted.
pub fn put_dehydrated_device(
    change: &mut UserChange,
    before: Option<&DehydratedRow>,
    after: Option<&DehydratedRow>,
) {
    let key = (UserKey::from(change.id()),);
    if let Some(before) = before {
        let user = change.id().to_owned();
        delete_device(&mut change.commit, &user, &before.device);
        change.note_device(&before.device);
    }
    match after {
        Some(row) => DEHYDRATED.put(&mut change.commit, &key, row),
        None => DEHYDRATED.delete(&mut change.commit, &key),
    }
}
