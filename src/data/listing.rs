//! The directories as they are read: published rooms in the order in which they are shown, and users
//! by the words that find them.
//!
//! Exists so that a page of a directory is a run of rows, each of which holds all that is shown.
//! Whoever brings them up to date writes them whole, with the marks that called for it
//! ([`crate::unmark`]). Knows nothing of how rooms and words are read.

use belfry_kv::{
    Commit, Direction, Keyspace, Kind, Range, ReadError, Shape, Snapshot, Table, Temperature,
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    directory::PUBLISHED,
    rows::Membership,
    tables::USER_ROOM,
};

/// Longest word that finds a user, in bytes.
pub const WORD_BYTES_MAX: usize = 64;
/// Most words of one user.
pub const WORDS_MAX: usize = 16;

/// What the directories know of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListedRoomRow {
    /// Joined members of a room that is shown, as its place among the others says.
    pub shown_with: Option<u32>,
    /// Whether anybody may join it or read it, so that its members are everybody's to find.
    pub open: bool,
}
postcard_row!(ListedRoomRow);

/// A room as the directory shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingRow {
    /// The JSON object that goes over the wire.
    pub json: Box<str>,
    /// The `type` of its create event.
    pub room_type: Option<Box<str>>,
    /// What a search looks at, folded.
    pub text: Box<str>,
}
postcard_row!(ListingRow);

/// A user as the directory shows them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListedUserRow {
    /// The display name.
    pub name: Option<Box<str>>,
    /// The avatar.
    pub avatar_url: Option<Box<str>>,
    /// The words that find the user, folded, at most [`WORDS_MAX`].
    pub words: Vec<Box<str>>,
}
postcard_row!(ListedUserRow);

const fn space(tag: u8, name: &'static str, shape: Shape) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature: Temperature::Hot,
        kind: Kind::Derived,
        row_version: 1,
    }
}

/// A word and a user that it finds; the empty word finds each user once.
pub(crate) static USER_WORD: Table<(String, UserKey), ListedUserRow> =
    Table::new(space(77, "user_word", Shape::Scan));

/// Rooms that are shown or open.
pub(crate) static LISTED_ROOM: Table<(RoomKey,), ListedRoomRow> =
    Table::new(space(78, "listed_room", Shape::Point));

/// The complement of the number of joined members, then the room: largest rooms first.
pub(crate) static LISTING: Table<(u32, RoomKey), ListingRow> =
    Table::new(space(79, "listing", Shape::Scan));

/// A room's place in the directory: larger rooms first, then by room ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPlace {
    /// Joined members.
    pub joined: u32,
    /// The room.
    pub room_id: OwnedRoomId,
}

impl ListingPlace {
    fn key(&self) -> (u32, RoomKey) {
        (u32::MAX - self.joined, RoomKey::from(&*self.room_id))
    }
}

/// A run of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// Places and rooms, in the direction asked.
    pub rooms: Vec<(ListingPlace, ListingRow)>,
    /// Whether there may be more.
    pub more: bool,
}

/// What the directories know of these rooms, in the order asked; one round trip.
pub async fn listed_rooms(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
) -> Result<Vec<Option<ListedRoomRow>>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| (RoomKey::from(*room),)).collect();
    LISTED_ROOM.get_many(snapshot, &keys).await
}

/// Which of these rooms the server is to show in its directory, in the order asked; one round trip.
pub async fn published(snapshot: &dyn Snapshot, rooms: &[&RoomId]) -> Result<Vec<bool>, ReadError> {
    let keys: Vec<_> = rooms.iter().map(|room| (RoomKey::from(*room),)).collect();
    let rows = PUBLISHED.get_many(snapshot, &keys).await?;
    Ok(rows.iter().map(Option::is_some).collect())
}

/// The rooms that each of these users is in, in the order asked; one round trip. At most
/// `limit_each` rooms are looked at, whatever the membership, and at most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] users.
pub async fn joined_rooms_of(
    snapshot: &dyn Snapshot,
    users: &[&UserId],
    limit_each: usize,
) -> Result<Vec<Vec<OwnedRoomId>>, ReadError> {
    let range = |user: &&UserId| USER_ROOM.prefix(&(UserKey::from(*user),));
    let ranges = users.iter().map(range).collect();
    let pages = USER_ROOM.scan_many(snapshot, ranges, limit_each).await?;
    let rooms = pages.into_iter().map(|page| {
        let rows = page.rows.into_iter();
        let joined = rows.filter(|(_, (_, row))| row.membership == Membership::Join);
        joined.map(|((_, room), _)| room.0).collect()
    });
    Ok(rooms.collect())
}

/// The rooms that the directory shows, behind a place (before it, going backward).
pub async fn listing(
    snapshot: &dyn Snapshot,
    passed: Option<&ListingPlace>,
    direction: Direction,
    limit: usize,
) -> Result<ListingPage, ReadError> {
    let whole = LISTING.whole();
    let key = |place: &ListingPlace| LISTING.key(&place.key());
    let range = match (passed, direction) {
        (None, _) => whole,
        (Some(place), Direction::Forward) => Range {
            from: key(place).successor(),
            ..whole
        },
        (Some(place), Direction::Backward) => Range {
            to: key(place),
            ..whole
        },
    };
    let page = LISTING.scan(snapshot, range, direction, limit).await?;
    let rooms = page.rows.into_iter().map(|((rank, room), row)| {
        let joined = u32::MAX - rank;
        let room_id = room.0;
        (ListingPlace { joined, room_id }, row)
    });
    Ok(ListingPage {
        rooms: rooms.collect(),
        more: page.rest.is_some(),
    })
}

/// Writes what the directories say of a room; `listing` is what is shown of a room that is shown.
pub fn list_room(
    commit: &mut Commit,
    room: &RoomId,
    before: Option<ListedRoomRow>,
    after: ListedRoomRow,
    listing: Option<&ListingRow>,
) {
    let key = RoomKey::from(room);
    let place = |joined: u32| (u32::MAX - joined, key.clone());
    let shown_before = before.and_then(|row| row.shown_with);
    if let Some(joined) = shown_before.filter(|_| shown_before != after.shown_with) {
        LISTING.delete(commit, &place(joined));
    }
    if let Some((joined, row)) = after.shown_with.zip(listing) {
        LISTING.put(commit, &place(joined), row);
    }
    if after == ListedRoomRow::default() {
        LISTED_ROOM.delete(commit, &(key,));
    } else {
        LISTED_ROOM.put(commit, &(key,), &after);
    }
}

/// What the directory says of these users, in the order asked; one round trip.
pub async fn listed_users(
    snapshot: &dyn Snapshot,
    users: &[&UserId],
) -> Result<Vec<Option<ListedUserRow>>, ReadError> {
    let key = |user: &&UserId| (String::new(), UserKey::from(*user));
    let keys: Vec<_> = users.iter().map(key).collect();
    USER_WORD.get_many(snapshot, &keys).await
}

/// The users that a word finds which begins like this, each as often as such words do; at most
/// `limit`, and whether there may be more. Behind `passed`, a word and a user.
pub async fn users_by_word(
    snapshot: &dyn Snapshot,
    beginning: &str,
    passed: Option<(&str, &UserId)>,
    limit: usize,
) -> Result<(Vec<(String, OwnedUserId, ListedUserRow)>, bool), ReadError> {
    let mut range = Range {
        from: USER_WORD.key_prefix(&(beginning.to_owned(),)),
        // No word holds the last character, and none that begins otherwise is behind it.
        to: USER_WORD.key_prefix(&(format!("{beginning}{}", char::MAX),)),
    };
    if let Some((word, user)) = passed {
        range.from = USER_WORD
            .key(&(word.to_owned(), UserKey::from(user)))
            .successor();
    }
    let page = USER_WORD
        .scan(snapshot, range, Direction::Forward, limit)
        .await?;
    let found = page.rows.into_iter();
    let found = found.map(|((word, user), row)| (word, user.0, row));
    Ok((found.collect(), page.rest.is_some()))
}

/// Writes what the directory says of a user; `None` for one who is gone.
pub fn list_user(
    commit: &mut Commit,
    user: &UserId,
    before: Option<&ListedUserRow>,
    after: Option<&ListedUserRow>,
) {
    let key = |word: &str| (word.to_owned(), UserKey::from(user));
    for word in before.into_iter().flat_map(words) {
        USER_WORD.delete(commit, &key(word));
    }
    if let Some(row) = after {
        for word in words(row) {
            USER_WORD.put(commit, &key(word), row);
        }
    }
}

/// The words that a user has rows for.
fn words(row: &ListedUserRow) -> impl Iterator<Item = &str> {
    let found = row.words.iter().map(|word| &**word);
    std::iter::once("").chain(found)
}
