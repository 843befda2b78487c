//! Where users want to be notified (Client-Server API, "Push Notifications").
//!
//! Exists so that pushers are found by their user and by their key: two users on one telephone must
//! not both be notified there. Knows nothing of gateways.

use belfry_kv::{Commit, Direction, ReadError, STAMP_BYTES, Seen, Shape, Snapshot, Stamp, Table};
use ruma_common::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, stir::space};

/// Pushers of one user.
pub const PUSHERS_MAX: usize = 100;

/// A pusher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherRow {
    /// The pusher as `GET /pushers` gives it, a JSON object.
    pub json: Box<str>,
    /// The device that set it.
    pub device: Box<str>,
    /// When, in milliseconds since the Unix epoch.
    pub set_ts: u64,
}
postcard_row!(PusherRow);

/// How far the pushes of a pusher came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PushPlaceRow {
    /// Up to here; `None` if the first is yet to come.
    reached: Option<[u8; STAMP_BYTES]>,
    /// The badge that the gateway was told last.
    pub badge: u64,
}

postcard_row!(PushPlaceRow);

impl PushPlaceRow {
    /// All up to `reached` was pushed, and `badge` was told last.
    pub fn new(reached: Stamp, badge: u64) -> Self {
        Self {
            reached: Some(reached.to_bytes()),
            badge,
        }
    }
}

/// The same with the stamp of the pusher's beginning: nothing from before it is pushed.
pub type PushPlace = (Stamp, PushPlaceRow);

/// Behind which notes are to be pushed.
pub fn reached((begin, row): &PushPlace) -> Stamp {
    row.reached.map_or(*begin, Stamp::from_bytes)
}

/// The first column of keys: user, app ID, pushkey behind it.
const BY_USER: u8 = 0;
/// The same: app ID, pushkey, user behind it.
const BY_KEY: u8 = 1;

/// Every pusher twice: by its user, and by its key.
pub(crate) static PUSHER: Table<(u8, String, String, String), PusherRow> =
    Table::new(space(88, "pusher", Shape::Scan));

/// User, app ID, pushkey: how far the pushes came.
pub(crate) static PUSH_PLACE: Table<(String, String, String), PushPlace> =
    Table::new(space(134, "push_place", Shape::Point));

/// What a pusher is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PusherKey {
    /// `app_id`
    pub app_id: String,
    /// `pushkey`
    pub pushkey: String,
}

/// A user's pushers, at most [`PUSHERS_MAX`].
pub async fn pushers(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Vec<(PusherKey, PusherRow)>, ReadError> {
    let range = PUSHER.prefix(&(BY_USER, user.to_string()));
    let page = PUSHER
        .scan(snapshot, range, Direction::Forward, PUSHERS_MAX)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|((_, _, app_id, pushkey), row)| (PusherKey { app_id, pushkey }, row))
        .collect())
}

/// Who has pushers, behind `after`: at most `limit` pushers are looked at.
pub async fn users_with_pushers(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<OwnedUserId>, ReadError> {
    let range = match after {
        Some(user) => PUSHER.range_after(&(BY_USER,), &(BY_USER, user.to_string())),
        None => PUSHER.prefix(&(BY_USER,)),
    };
    let page = PUSHER
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let users = page.rows.into_iter();
    let mut users: Vec<_> = users
        .filter_map(|((_, user, _, _), _)| OwnedUserId::try_from(user).ok())
        .collect();
    users.dedup();
    Ok(users)
}

/// Whose pushers have this key, at most [`PUSHERS_MAX`].
pub async fn users_of_pushkey(
    snapshot: &dyn Snapshot,
    key: &PusherKey,
) -> Result<Vec<OwnedUserId>, ReadError> {
    let range = PUSHER.prefix(&(BY_KEY, key.app_id.clone(), key.pushkey.clone()));
    let page = PUSHER
        .scan(snapshot, range, Direction::Forward, PUSHERS_MAX)
        .await?;
    let users = page.rows.into_iter();
    Ok(users
        .filter_map(|((_, _, _, user), _)| OwnedUserId::try_from(user).ok())
        .collect())
}

/// Adds a pusher or replaces it. A new one begins with what comes behind the commit.
pub fn put_pusher(
    commit: &mut Commit,
    user: &UserId,
    key: &PusherKey,
    row: &PusherRow,
    is_new: bool,
) {
    if is_new {
        PUSH_PLACE.stamp(commit, &place_key(user, key), &PushPlaceRow::default());
    }
    for key in keys(user, key) {
        PUSHER.put(commit, &key, row);
    }
}

/// Removes a pusher, whether it is there or not.
pub fn delete_pusher(commit: &mut Commit, user: &UserId, key: &PusherKey) {
    PUSH_PLACE.delete(commit, &place_key(user, key));
    for key in keys(user, key) {
        PUSHER.delete(commit, &key);
    }
}

/// How far the pushes of a pusher came.
pub async fn push_place(
    snapshot: &dyn Snapshot,
    user: &UserId,
    key: &PusherKey,
) -> Result<Seen<PushPlace>, ReadError> {
    PUSH_PLACE.get_seen(snapshot, &place_key(user, key)).await
}

/// A commit that moves it, if the pusher is still there and nobody else moved it. Lazy: after a
/// crash some pushes come again.
pub fn move_pushes(
    user: &UserId,
    key: &PusherKey,
    seen: &Seen<PushPlace>,
    row: PushPlaceRow,
) -> Commit {
    let mut commit = Commit::lazy();
    let key = place_key(user, key);
    PUSH_PLACE.check_unchanged(&mut commit, &key, seen);
    if let Some((begin, _)) = &seen.row {
        PUSH_PLACE.put(&mut commit, &key, &(*begin, row));
    }
    commit
}

fn place_key(user: &UserId, key: &PusherKey) -> (String, String, String) {
    (user.to_string(), key.app_id.clone(), key.pushkey.clone())
}

fn keys(user: &UserId, key: &PusherKey) -> [(u8, String, String, String); 2] {
    let (user, app, pushkey) = (user.to_string(), key.app_id.clone(), key.pushkey.clone());
    [
        (BY_USER, user.clone(), app.clone(), pushkey.clone()),
        (BY_KEY, app, pushkey, user),
    ]
}
