//! Presence, as those see it who share a room with somebody.
//!
//! It exists so that who is told of whose presence is decided in one place. It knows nothing of how
//! presence is set, nor of whether the server keeps any: where none is kept, none is told.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Membership, RoomReader, Snapshot, Stamp,
    presence::{PresenceRow, PresenceState, presence},
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    audience::Audiences,
    error::{Fault, ViewError},
    json::{EventList, Object},
    plan,
    sections::Asker,
    views::{Shared, Views},
};

/// Users whose presence one answer tells.
pub const PRESENCE_TOLD_MAX: usize = 500;
/// Rooms through which users are looked for, and are told.
pub const PRESENCE_ROOMS_MAX: usize = 200;
/// Users of one room that are looked at for an answer that tells everybody's.
const USERS_PAGE: usize = 200;
/// Who was active within this time is so currently.
const ACTIVE_MS: u64 = 5 * 60 * 1_000;

/// Somebody's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether they are there.
    pub state: PresenceState,
    /// What they say about it.
    pub status: Option<String>,
    /// Milliseconds since they were last active; `None` if they never were.
    pub active_ago_ms: Option<u64>,
}

impl Presence {
    fn of(row: PresenceRow, now_ms: u64) -> Self {
        let ago = now_ms.saturating_sub(row.active_ts);
        Self {
            state: row.state,
            status: row.status.map(Into::into),
            active_ago_ms: Some(ago),
        }
    }

    /// Whether they were active lately.
    pub fn is_active(&self) -> bool {
        let lately = self.active_ago_ms.is_some_and(|ago| ago <= ACTIVE_MS);
        self.state == PresenceState::Online && lately
    }

    fn write(&self, user: &UserId, out: &mut String) {
        let mut event = Object::new(out);
        event.string("type", "m.presence");
        event.string("sender", user.as_str());
        let mut content = Object::new(event.member("content"));
        content.string("presence", self.state.name());
        if let Some(status) = &self.status {
            content.string("status_msg", status);
        }
        if let Some(ago) = self.active_ago_ms {
            content.plain("last_active_ago", ago);
        }
        content.plain("currently_active", self.is_active());
        content.end();
        event.end();
    }
}

impl Views {
    /// Somebody's presence, for one who shares a room with them. Of users who never said any it is
    /// offline.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`] for one who does not.
    pub async fn presence(&self, reader: &UserId, user: &UserId) -> Result<Presence, ViewError> {
        let snapshot = self.0.snapshot().await?;
        if reader != user && !share_a_room(&*snapshot, reader, user).await? {
            return Err(ViewError::Forbidden);
        }
        let row = presence(&*snapshot, &[user]).await?.pop().flatten();
        let now_ms = self.0.now_ms();
        Ok(row.map_or(
            Presence {
                state: PresenceState::Offline,
                status: None,
                active_ago_ms: None,
            },
            |(_, row)| Presence::of(row, now_ms),
        ))
    }
}

impl Shared {
    /// The presence that changed, or at first that of everybody who is there.
    pub(crate) async fn presence(
        &self,
        snapshot: &dyn Snapshot,
        asker: Asker<'_>,
    ) -> Result<EventList, Fault> {
        if !asker.presence.wants_type("m.presence") {
            return Ok(EventList::default());
        }
        let changed = asker.since;
        let changed = changed.map(|since| self.notifier.presence(asker.user, since));
        let users = match changed.flatten() {
            Some(users) => users,
            None if self.notifier.knows_presence() => neighbours(snapshot, asker.user).await?,
            None => BTreeSet::new(),
        };
        let wanted = |user: &OwnedUserId| asker.presence.wants_sender(user.as_str());
        let users = users.into_iter().filter(wanted).take(PRESENCE_TOLD_MAX);
        let users: Vec<_> = users.collect();
        if users.is_empty() {
            return Ok(EventList::default());
        }
        let names: Vec<&UserId> = users.iter().map(|user| &**user).collect();
        let rows = presence(snapshot, &names).await?;
        let (mut list, now_ms) = (EventList::default(), self.now_ms());
        for (user, row) in users.iter().zip(rows) {
            let Some((stamp, row)) = row else { continue };
            let shown = Presence::of(row, now_ms);
            let news = match asker.since {
                Some(since) => stamp > since,
                None => shown.state != PresenceState::Offline,
            };
            if news {
                list.push(|out| shown.write(user, out));
            }
        }
        Ok(list)
    }
}

/// Local users who share a room with this one, and the user themselves.
async fn neighbours(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<BTreeSet<OwnedUserId>, Fault> {
    let mut found = BTreeSet::from([user.to_owned()]);
    for room in joined_rooms(snapshot, user).await? {
        let reader = RoomReader::new(snapshot, &room);
        let members = reader.local_members(None, USERS_PAGE).await?;
        let joined = members.into_iter();
        let joined = joined.filter(|(_, membership)| *membership == Membership::Join);
        found.extend(joined.map(|(user, _)| user));
        if found.len() >= PRESENCE_TOLD_MAX {
            break;
        }
    }
    Ok(found)
}

async fn joined_rooms(snapshot: &dyn Snapshot, user: &UserId) -> Result<Vec<OwnedRoomId>, Fault> {
    let rooms = plan::all(snapshot, user).await?.into_iter();
    let joined = rooms.filter(|room| room.row.membership == Membership::Join);
    let joined = joined.map(|room| room.room_id);
    Ok(joined.take(PRESENCE_ROOMS_MAX).collect())
}

async fn share_a_room(
    snapshot: &dyn Snapshot,
    one: &UserId,
    other: &UserId,
) -> Result<bool, Fault> {
    let rooms = joined_rooms(snapshot, one).await?;
    let rooms: Vec<&RoomId> = rooms.iter().map(|room| &**room).collect();
    let rows = belfry_data::user_in_rooms(snapshot, other, &rooms).await?;
    let joined = |row: &belfry_data::UserRoomRow| row.membership == Membership::Join;
    Ok(rows.iter().flatten().any(joined))
}

/// Who is to be told of whose changed presence.
pub(crate) async fn audience(
    snapshot: &dyn Snapshot,
    audiences: &Audiences,
    changed: BTreeMap<OwnedUserId, Stamp>,
) -> Result<Vec<(OwnedUserId, OwnedUserId, Stamp)>, Fault> {
    let mut told = Vec::new();
    for (user, at) in changed {
        let rooms = joined_rooms(snapshot, &user).await?;
        let rooms: Vec<&RoomId> = rooms.iter().map(|room| &**room).collect();
        let (listeners, _) = audiences.listeners(snapshot, &rooms).await?;
        let mut listening = BTreeSet::from([user.clone()]);
        for room in listeners.iter().flatten() {
            listening.extend(room.joined().cloned());
        }
        told.extend(listening.into_iter().map(|one| (one, user.clone(), at)));
    }
    Ok(told)
}
