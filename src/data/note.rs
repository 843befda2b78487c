//! What notified whom, and what a list of rooms is sorted and filtered by: written by projectors.
//!
//! Exists so that unread counts, `/notifications` and pushers read what was decided by the push
//! rules in force when an event came. Knows nothing of push rules, nor of what was read.

use belfry_event::EventHash;
use belfry_kv::{
    Commit, Direction, Keyspace, Kind, Range, ReadError, Shape, Snapshot, Stamp, Table, Write,
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    stir::space,
};

/// An event that a user was to be notified of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// Which event.
    pub event: EventHash,
    /// Whether it is to stand out.
    pub highlight: bool,
    /// The thread that it belongs to: `main`, or the ID of its root.
    pub thread: Box<str>,
    /// The actions of the rule that matched, a JSON array.
    pub actions: Box<str>,
    /// When this server got the event, in milliseconds since the Unix epoch.
    pub ts: u64,
}
postcard_row!(NoteRow);

/// Where a note lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRef {
    /// The room's ID.
    pub room: Box<str>,
    /// Whether it is to stand out.
    pub highlight: bool,
}
postcard_row!(NoteRef);

/// What is known of a room without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BriefRow {
    /// When this server got the last event that people would call news, in milliseconds since the
    /// Unix epoch.
    pub bump_ms: u64,
    /// The `type` of the create event.
    pub room_type: Option<Box<str>>,
    /// Whether the room is encrypted.
    pub encrypted: bool,
}
postcard_row!(BriefRow);

/// User, room, and when the event came.
pub(crate) static NOTE: Table<(UserKey, RoomKey, Stamp), NoteRow> =
    Table::new(space(83, "note", Shape::Scan));

/// User, and when the event came: the same over all rooms. Where a note is gone, the entry may stay.
pub(crate) static NOTE_ORDER: Table<(UserKey, Stamp), NoteRef> =
    Table::new(space(84, "note_order", Shape::Scan));

/// Every room that the projector has seen.
pub(crate) static ROOM_BRIEF: Table<(RoomKey,), BriefRow> = Table::new(Keyspace {
    kind: Kind::Derived,
    ..space(86, "room_brief", Shape::Point)
});

/// Notes that a user is to be notified of this event, which came at `at`.
pub fn put_note(commit: &mut Commit, user: &UserId, room: &RoomId, at: Stamp, row: &NoteRow) {
    let (user, room) = (UserKey::from(user), RoomKey::from(room));
    let order = NoteRef {
        room: room.0.as_str().into(),
        highlight: row.highlight,
    };
    NOTE_ORDER.put(commit, &(user.clone(), at), &order);
    NOTE.put(commit, &(user, room, at), row);
}

/// Takes a note back: the event was redacted.
pub fn delete_note(commit: &mut Commit, user: &UserId, room: &RoomId, at: Stamp) {
    let (user, room) = (UserKey::from(user), RoomKey::from(room));
    NOTE_ORDER.delete(commit, &(user.clone(), at));
    NOTE.delete(commit, &(user, room, at));
}

/// Takes back all of a user's notes in a room: they are not in it any more.
pub fn delete_notes(commit: &mut Commit, user: &UserId, room: &RoomId) {
    NOTE.delete_prefix(commit, &(UserKey::from(user), RoomKey::from(room)));
}

/// A user's notes in a room, those of events that came behind `after` and not behind `until`, newest
/// first, at most `limit`.
pub async fn notes(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
    (after, until): (Stamp, Stamp),
    limit: usize,
) -> Result<Vec<(Stamp, NoteRow)>, ReadError> {
    let prefix = (UserKey::from(user), RoomKey::from(room));
    let key = |at: Stamp| {
        NOTE.key(&(prefix.0.clone(), prefix.1.clone(), at))
            .successor()
    };
    let range = Range {
        from: key(after),
        to: key(until),
    };
    let page = NOTE
        .scan(snapshot, range, Direction::Backward, limit)
        .await?;
    let rows = page.rows.into_iter();
    Ok(rows.map(|((_, _, at), row)| (at, row)).collect())
}

/// A user's notes over all rooms: those of events that came before `before`, newest first, at most
/// `limit`.
pub async fn notes_before(
    snapshot: &dyn Snapshot,
    user: &UserId,
    before: Stamp,
    limit: usize,
) -> Result<Vec<(Stamp, NoteRef)>, ReadError> {
    let user = UserKey::from(user);
    let range = NOTE_ORDER.range_until(&(user.clone(),), &(user, before));
    order(snapshot, range, Direction::Backward, limit).await
}

/// The same behind `after`, oldest first.
pub async fn notes_behind(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Stamp,
    limit: usize,
) -> Result<Vec<(Stamp, NoteRef)>, ReadError> {
    let user = UserKey::from(user);
    let range = NOTE_ORDER.range_after(&(user.clone(),), &(user, after));
    order(snapshot, range, Direction::Forward, limit).await
}

async fn order(
    snapshot: &dyn Snapshot,
    range: Range,
    direction: Direction,
    limit: usize,
) -> Result<Vec<(Stamp, NoteRef)>, ReadError> {
    let page = NOTE_ORDER.scan(snapshot, range, direction, limit).await?;
    let rows = page.rows.into_iter();
    Ok(rows.map(|((_, at), row)| (at, row)).collect())
}

/// Who has notes, behind `after`, at most `limit`.
pub async fn users_with_notes(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<OwnedUserId>, ReadError> {
    let mut users: Vec<OwnedUserId> = Vec::new();
    let mut range = match after {
        Some(user) => NOTE_ORDER.range_after(&(), &(UserKey::from(user),)),
        None => NOTE_ORDER.whole(),
    };
    while users.len() < limit {
        let first = NOTE_ORDER
            .first(snapshot, range, Direction::Forward)
            .await?;
        let Some(((user, _), _)) = first else { break };
        range = NOTE_ORDER.range_after(&(), &(user.clone(),));
        users.push(user.0);
    }
    Ok(users)
}

/// Notes of a user at these places, in the order asked.
pub async fn notes_at(
    snapshot: &dyn Snapshot,
    user: &UserId,
    places: &[(OwnedRoomId, Stamp)],
) -> Result<Vec<Option<NoteRow>>, ReadError> {
    let key = |(room, at): &(OwnedRoomId, Stamp)| (UserKey::from(user), RoomKey(room.clone()), *at);
    let keys: Vec<_> = places.iter().map(key).collect();
    NOTE.get_many(snapshot, &keys).await
}

/// Forgets these notes of a user, in the order over all rooms and in their rooms.
pub fn forget_notes(commit: &mut Commit, user: &UserId, notes: &[(Stamp, NoteRef)]) {
    for (at, note) in notes {
        if let Ok(room) = RoomId::parse(&*note.room) {
            delete_note(commit, user, &room, *at);
        } else {
            let key = NOTE_ORDER.key(&(UserKey::from(user), *at));
            commit.writes.push(Write::Delete(key));
        }
    }
}

/// What is known of these rooms, in the order asked.
pub async fn briefs(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
) -> Result<Vec<Option<BriefRow>>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| (RoomKey::from(*room),)).collect();
    ROOM_BRIEF.get_many(snapshot, &keys).await
}

/// Sets what is known of a room.
pub fn put_brief(commit: &mut Commit, room: &RoomId, row: &BriefRow) {
    ROOM_BRIEF.put(commit, &(RoomKey::from(room),), row);
}
