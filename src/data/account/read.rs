//! Reads of accounts.

use belfry_kv::{Direction, ReadError, Rows, Seen, Snapshot, Stamp};
use ruma_common::{OwnedUserId, UserId};

use super::{
    rows::{
        AccountDataRef, AccountDataRow, DeviceRow, DeviceSeenRow, FilterRow, ProfileRow,
        RegistrationTokenRow, TokenHash, TokenRow, UserRow,
    },
    tables::{
        ACCOUNT_DATA, ACCOUNT_DATA_COUNT, ACCOUNT_DATA_LOG, DEVICE, DEVICE_SEEN, FILTER, PROFILE,
        REGISTRATION_TOKEN, TOKEN, USER,
    },
};
use crate::column::UserKey;

/// Most rows that one of these reads gives.
pub const ACCOUNT_PAGE_MAX: usize = 1_000;

/// The user's row; [`super::UserChange`] changes it.
pub async fn user(snapshot: &dyn Snapshot, user: &UserId) -> Result<Option<UserRow>, ReadError> {
    USER.get(snapshot, &(UserKey::from(user),)).await
}

/// At most `limit` accounts behind `after`, by user ID. At most [`ACCOUNT_PAGE_MAX`].
pub async fn users(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(OwnedUserId, UserRow)>, ReadError> {
    let range = match after {
        Some(after) => USER.range_after(&(), &(UserKey::from(after),)),
        None => USER.whole(),
    };
    let limit = limit.min(ACCOUNT_PAGE_MAX);
    let page = USER
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    Ok(page
        .rows
        .into_iter()
        .map(|((user,), row)| (user.0, row))
        .collect())
}

/// The user's device of this ID.
pub async fn device(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<Option<DeviceRow>, ReadError> {
    DEVICE
        .get(snapshot, &(UserKey::from(user), device.to_owned()))
        .await
}

/// The user's devices by ID, at most [`ACCOUNT_PAGE_MAX`] (more are never made), each with when it
/// was last heard of.
pub async fn devices(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Vec<(String, DeviceRow, Option<DeviceSeenRow>)>, ReadError> {
    let user = UserKey::from(user);
    let range = DEVICE.prefix(&(user.clone(),));
    let devices = DEVICE
        .scan(snapshot, range, Direction::Forward, ACCOUNT_PAGE_MAX)
        .await?;
    let keys: Vec<_> = devices.rows.iter().map(|(key, _)| key.clone()).collect();
    let seen = DEVICE_SEEN.get_many(snapshot, &keys).await?;
    let rows = devices.rows.into_iter().zip(seen);
    Ok(rows.map(|(((_, id), row), seen)| (id, row, seen)).collect())
}

/// When the user's device was last heard of.
pub async fn device_seen(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<Option<DeviceSeenRow>, ReadError> {
    DEVICE_SEEN
        .get(snapshot, &(UserKey::from(user), device.to_owned()))
        .await
}

/// Whose token has this hash.
pub async fn token(
    snapshot: &dyn Snapshot,
    hash: &TokenHash,
) -> Result<Option<TokenRow>, ReadError> {
    TOKEN.get(snapshot, &(*hash,)).await
}

/// The user's profile.
pub async fn profile(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Option<ProfileRow>, ReadError> {
    PROFILE.get(snapshot, &(UserKey::from(user),)).await
}

/// The profiles of these users, in the order asked.
pub async fn profiles(
    snapshot: &dyn Snapshot,
    users: &[&UserId],
) -> Result<Vec<Option<ProfileRow>>, ReadError> {
    let keys: Vec<_> = users.iter().map(|user| (UserKey::from(*user),)).collect();
    PROFILE.get_many(snapshot, &keys).await
}

/// One piece of account data; `room` is empty for global account data.
pub async fn account_data(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &str,
    event_type: &str,
) -> Result<Option<AccountDataRow>, ReadError> {
    let key = (UserKey::from(user), room.to_owned(), event_type.to_owned());
    let row = ACCOUNT_DATA.get(snapshot, &key).await?;
    Ok(row.map(|(_, row)| row))
}

/// How many pieces of account data the user has.
pub async fn account_data_count(snapshot: &dyn Snapshot, user: &UserId) -> Result<i64, ReadError> {
    ACCOUNT_DATA_COUNT
        .get(snapshot, &(UserKey::from(user),))
        .await
}

/// Account data by type, all of it in one room (or global, if `room` is empty), at most
/// [`ACCOUNT_PAGE_MAX`].
pub async fn account_data_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &str,
) -> Result<Vec<(String, AccountDataRow)>, ReadError> {
    let range = ACCOUNT_DATA.prefix(&(UserKey::from(user), room.to_owned()));
    let page = ACCOUNT_DATA
        .scan(snapshot, range, Direction::Forward, ACCOUNT_PAGE_MAX)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|((_, _, event_type), (_, row))| (event_type, row))
        .collect())
}

/// What account data changed behind `after`, oldest change first, each piece once, at most
/// [`ACCOUNT_PAGE_MAX`]: the page's `rest` tells whether there is more.
pub async fn account_data_changes(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Stamp,
) -> Result<Rows<Stamp, AccountDataRef>, ReadError> {
    let user = UserKey::from(user);
    let range = ACCOUNT_DATA_LOG.range_after(&(user.clone(),), &(user, after));
    let page = ACCOUNT_DATA_LOG
        .scan(snapshot, range, Direction::Forward, ACCOUNT_PAGE_MAX)
        .await?;
    let rows = page.rows.into_iter();
    Ok(Rows {
        rows: rows.map(|((_, stamp), row)| (stamp, row)).collect(),
        rest: page.rest,
    })
}

/// A stored filter.
pub async fn filter(
    snapshot: &dyn Snapshot,
    user: &UserId,
    id: &str,
) -> Result<Option<FilterRow>, ReadError> {
    FILTER
        .get(snapshot, &(UserKey::from(user), id.to_owned()))
        .await
}

/// A registration token; give it to [`super::UserChange::use_registration_token`] when it is used.
pub async fn registration_token(
    snapshot: &dyn Snapshot,
    token: &str,
) -> Result<Seen<RegistrationTokenRow>, ReadError> {
    REGISTRATION_TOKEN
        .get_seen(snapshot, &(token.to_owned(),))
        .await
}

/// At most `limit` registration tokens behind `after`. At most [`ACCOUNT_PAGE_MAX`].
pub async fn registration_tokens(
    snapshot: &dyn Snapshot,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, RegistrationTokenRow)>, ReadError> {
    let range = match after {
        Some(after) => REGISTRATION_TOKEN.range_after(&(), &(after.to_owned(),)),
        None => REGISTRATION_TOKEN.whole(),
    };
    let limit = limit.min(ACCOUNT_PAGE_MAX);
    let page = REGISTRATION_TOKEN
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    Ok(page
        .rows
        .into_iter()
        .map(|((token,), row)| (token, row))
        .collect())
}
