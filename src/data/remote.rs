//! What other servers told and no room's state holds: redactions that came before what they
//! redact, invitations into rooms that this server is not in, rooms whose events got stuck.
//!
//! Exists so that none of it is lost with the process. Knows nothing of checks: callers store only
//! what passed them.

use belfry_event::EventHash;
use belfry_kv::{
    Commit, Direction, ReadError, SCAN_MANY_RANGES_MAX, Shape, Snapshot, Stamp, Table, Temperature,
};
use ruma_common::{OwnedRoomId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    reader::RoomReader,
    rows::{GlobalRow, Membership, UserRoomRow},
    tables::{GLOBAL_LOG, HashKey, USER_ROOM, ground},
};

/// Redactions told of one event that is not there; further ones are not remembered.
pub const REDACTIONS_MAX: usize = 20;

/// Room, an event that is not stored, an accepted redaction of it.
pub(crate) static REDACTION_DUE: Table<(RoomKey, HashKey, HashKey), ()> =
    Table::new(ground(111, "redaction_due", Shape::Scan, Temperature::Cold));

/// User of this server, room that the server is not in.
pub(crate) static INVITE: Table<(UserKey, RoomKey), InviteRow> =
    Table::new(ground(112, "invite", Shape::Scan, Temperature::Cold));

/// Rooms whose staged events cannot be worked off.
pub(crate) static STUCK_ROOM: Table<(RoomKey,), StuckRow> =
    Table::new(ground(113, "stuck_room", Shape::Scan, Temperature::Cold));

/// A membership of a room that this server is not in: an invitation, a knock, or the end of one.
/// It counts only as long as the user's row of the room ([`user_room`]) names the same event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRow {
    /// The room's version.
    pub room_version: Box<str>,
    /// The member event, canonical JSON in the federation format.
    pub event: Box<str>,
    /// Stripped state of the room: each a JSON object with `type`, `state_key`, `content` and
    /// `sender`.
    pub state: Vec<Box<str>>,
}
postcard_row!(InviteRow);

/// Why a room is stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckRow {
    /// In words, for whoever administers the server.
    pub reason: Box<str>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ts: u64,
}
postcard_row!(StuckRow);

/// Remembers a redaction until its target comes.
pub fn await_target(commit: &mut Commit, room: &RoomId, target: EventHash, redaction: EventHash) {
    let key = (
        RoomKey::from(room),
        *target.as_bytes(),
        *redaction.as_bytes(),
    );
    REDACTION_DUE.put(commit, &key, &());
}

/// Forgets it: the target has come.
pub fn forget_target(commit: &mut Commit, room: &RoomId, target: EventHash) {
    REDACTION_DUE.delete_prefix(commit, &(RoomKey::from(room), *target.as_bytes()));
}

/// Stores a user's invitation into, or knock on, a room that this server is not in, or how it ended,
/// with the row by which the user's rooms are listed; whoever waits for news of it is woken. `event`
/// is the member event's hash.
pub fn put_invite(
    commit: &mut Commit,
    user: &UserId,
    room: &RoomId,
    membership: Membership,
    event: EventHash,
    row: &InviteRow,
) {
    let key = (UserKey::from(user), RoomKey::from(room));
    INVITE.put(commit, &key, row);
    USER_ROOM.stamp(commit, &key, &UserRoomRow { membership, event });
    let told = GlobalRow::Stay {
        room: room.as_str().into(),
        user: user.as_str().into(),
    };
    GLOBAL_LOG.append(commit, &(), &told);
}

/// Forgets it: the user has joined, and the room tells of them.
pub fn end_invite(commit: &mut Commit, user: &UserId, room: &RoomId) {
    let key = (UserKey::from(user), RoomKey::from(room));
    INVITE.delete(commit, &key);
}

/// Has this server tell the others in the room of an event that came by a handshake. In the commit
/// that stores the event.
pub fn relay(commit: &mut Commit, room: &RoomId, event: EventHash) {
    let room = room.as_str().into();
    GLOBAL_LOG.append(commit, &(), &GlobalRow::Relay { room, event });
}

/// The user's invitation into, or knock on, a room that this server is not in.
pub async fn invite(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
) -> Result<Option<InviteRow>, ReadError> {
    let key = (UserKey::from(user), RoomKey::from(room));
    INVITE.get(snapshot, &key).await
}

/// When the user's membership of the room last changed, and to what.
pub async fn user_room(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
) -> Result<Option<(Stamp, UserRoomRow)>, ReadError> {
    let key = (UserKey::from(user), RoomKey::from(room));
    USER_ROOM.get(snapshot, &key).await
}

/// Flags the room.
pub fn flag_stuck(commit: &mut Commit, room: &RoomId, row: &StuckRow) {
    STUCK_ROOM.put(commit, &(RoomKey::from(room),), row);
}

/// Takes the flag off.
pub fn clear_stuck(commit: &mut Commit, room: &RoomId) {
    STUCK_ROOM.delete(commit, &(RoomKey::from(room),));
}

/// Rooms that are flagged, by ID: at most `limit`, behind `after`.
pub async fn stuck_rooms(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(OwnedRoomId, StuckRow)>, ReadError> {
    let range = match after {
        Some(room) => STUCK_ROOM.range_after(&(), &(RoomKey::from(room),)),
        None => STUCK_ROOM.whole(),
    };
    let page = STUCK_ROOM
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rooms = page.rows.into_iter();
    Ok(rooms.map(|((room,), row)| (room.0, row)).collect())
}

impl RoomReader<'_> {
    /// Redactions that wait for each of these events, at most [`REDACTIONS_MAX`] each; in the
    /// order asked, at most [`SCAN_MANY_RANGES_MAX`].
    pub async fn redactions_due(
        &self,
        targets: &[EventHash],
    ) -> Result<Vec<Vec<EventHash>>, ReadError> {
        if targets.len() > SCAN_MANY_RANGES_MAX {
            return Err(ReadError::TooLarge);
        }
        let prefix = |hash: &EventHash| REDACTION_DUE.prefix(&self.event_key(*hash));
        let ranges = targets.iter().map(prefix).collect();
        let pages = REDACTION_DUE
            .scan_many(self.snapshot, ranges, REDACTIONS_MAX)
            .await?;
        let due = pages.into_iter().map(|page| {
            let rows = page.rows.into_iter();
            rows.map(|((_, _, by), ())| EventHash::from(by)).collect()
        });
        Ok(due.collect())
    }

    /// Whether the room is flagged, and why.
    pub async fn stuck(&self) -> Result<Option<StuckRow>, ReadError> {
        STUCK_ROOM.get(self.snapshot, &(self.room.clone(),)).await
    }

    /// The user's membership, by the rows of users.
    pub async fn membership(&self, user: &UserId) -> Result<Option<UserRoomRow>, ReadError> {
        let found = user_room(self.snapshot, user, &self.room.0).await?;
        Ok(found.map(|(_, row)| row))
    }
}

/// A user's invitations into, and knocks on, rooms that this server is not in: at most `limit`,
/// behind `after`.
pub async fn invites(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(OwnedRoomId, InviteRow)>, ReadError> {
    let prefix = (UserKey::from(user),);
    let range = match after {
        Some(room) => INVITE.range_after(&prefix, &(UserKey::from(user), RoomKey::from(room))),
        None => INVITE.prefix(&prefix),
    };
    let page = INVITE
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let rooms = page.rows.into_iter();
    Ok(rooms.map(|((_, room), row)| (room.0, row)).collect())
}
