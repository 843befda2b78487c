//! Who is there (Client-Server API, "Presence").
//!
//! Exists so that a sync reads presence from its snapshot like everything else. Lazy throughout.
//! Knows nothing of who may see whose.

use belfry_kv::{Commit, Direction, ReadError, Seen, Shape, Snapshot, Stamp, Table};
use ruma_common::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::UserKey,
    stir::{StirRow, space, stir},
};

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceState {
    /// `online`
    Online,
    /// `unavailable`
    Unavailable,
    /// `offline`
    Offline,
}

impl PresenceState {
    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Unavailable => "unavailable",
            Self::Offline => "offline",
        }
    }

    /// By its name in events.
    pub fn from_name(name: &str) -> Option<Self> {
        let states = [Self::Online, Self::Unavailable, Self::Offline];
        states.into_iter().find(|state| state.name() == name)
    }
}

/// What a user, of whatever server, says of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRow {
    /// Whether they are there.
    pub state: PresenceState,
    /// What they say about it.
    pub status: Option<Box<str>>,
    /// When they were last active, in milliseconds since the Unix epoch.
    pub active_ts: u64,
}
postcard_row!(PresenceRow);

/// Every user who ever said.
pub(crate) static PRESENCE: Table<(UserKey,), (Stamp, PresenceRow)> =
    Table::new(space(87, "presence", Shape::Point));

/// The presence of these users, in the order asked, with the stamp of the last change.
pub async fn presence(
    snapshot: &dyn Snapshot,
    users: &[&UserId],
) -> Result<Vec<Option<(Stamp, PresenceRow)>>, ReadError> {
    let keys: Vec<_> = users.iter().map(|user| (UserKey::from(*user),)).collect();
    PRESENCE.get_many(snapshot, &keys).await
}

/// A commit that sets a user's presence. The last to say so wins.
pub fn put_presence(user: &UserId, row: &PresenceRow) -> Commit {
    let mut commit = Commit::lazy();
    PRESENCE.stamp(&mut commit, &(UserKey::from(user),), row);
    let user = user.as_str().into();
    stir(&mut commit, &StirRow::Presence { user });
    commit
}

/// A user's presence, for [`end_presence`].
pub async fn presence_seen(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Seen<(Stamp, PresenceRow)>, ReadError> {
    PRESENCE.get_seen(snapshot, &(UserKey::from(user),)).await
}

/// A commit that sets a user's presence, if they have said nothing since it was seen.
pub fn end_presence(user: &UserId, seen: &Seen<(Stamp, PresenceRow)>, row: &PresenceRow) -> Commit {
    let mut commit = put_presence(user, row);
    PRESENCE.check_unchanged(&mut commit, &(UserKey::from(user),), seen);
    commit
}

/// Everybody's presence behind `after`, at most `limit`.
pub async fn presences(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(OwnedUserId, PresenceRow)>, ReadError> {
    let range = match after {
        Some(user) => PRESENCE.range_after(&(), &(UserKey::from(user),)),
        None => PRESENCE.whole(),
    };
    let page = PRESENCE
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows.map(|((user,), (_, row))| (user.0, row)).collect())
}
