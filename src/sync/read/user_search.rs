//! `POST /user_directory/search`: users of this server by the beginnings of words of their names,
//! as far as the searcher may know of them.
//!
//! Whoever shares a room with the searcher, or is in a room that anybody may join or read, may be
//! found. It knows nothing of users of other servers.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    ListedUserRow, Membership, Snapshot, WORD_BYTES_MAX, joined_rooms_of, listed_rooms,
    user_in_rooms, users_by_word,
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    directory::shorten,
    error::{Fault, ViewError},
    fold::{folded, words},
    json::{EventList, Object},
    views::Views,
};

/// Most users of an answer.
pub const USERS_FOUND_MAX: usize = 50;
/// Rows of the index looked at; the answer says if there were more.
const SCAN_MAX: usize = 2_000;
/// Rows read at once: so many users' rooms are looked at together.
const READ_MAX: usize = 50;
/// Rooms of one user among which a common one is looked for.
const ROOMS_MAX: usize = 180;
/// Words of a term that count.
const TERM_WORDS_MAX: usize = 8;

/// A search for users.
#[derive(Debug, Clone)]
pub struct UserSearch {
    /// Who searches; they are not found.
    pub user_id: OwnedUserId,
    /// Beginnings of words, all of which a user must have.
    pub term: String,
    /// How many users, at most [`USERS_FOUND_MAX`].
    pub limit: u64,
}

/// Users that were found.
#[derive(Debug, Clone)]
pub struct UsersFound {
    /// They, each a JSON object.
    pub results: EventList,
    /// Whether there may be more.
    pub limited: bool,
}

impl UsersFound {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("results", &self.results);
        object.plain("limited", self.limited);
        object.end();
        out
    }
}

/// Users by how well they fit.
type Ranked = BTreeMap<(bool, bool, OwnedUserId), ListedUserRow>;

impl Views {
    /// Users whose names have words that begin like the term's.
    ///
    /// # Errors
    /// [`ViewError::Fault`].
    pub async fn find_users(&self, search: &UserSearch) -> Result<UsersFound, ViewError> {
        let shared = &*self.0;
        shared.refresh_directories().await?;
        let term = folded(&search.term);
        let wanted: Vec<String> = words(&term)
            .take(TERM_WORDS_MAX)
            .map(|word| {
                let mut word = word.to_owned();
                shorten(&mut word, WORD_BYTES_MAX);
                word
            })
            .collect();
        let server = folded(shared.server_name.as_str());
        let (wanted, server) = (&wanted, &server);
        let found = shared
            .read(|snapshot| async move { Ok(find(&*snapshot, search, wanted, server).await?) });
        found.await
    }
}

async fn find(
    snapshot: &dyn Snapshot,
    search: &UserSearch,
    wanted: &[String],
    server: &str,
) -> Result<UsersFound, Fault> {
    let limit = usize::try_from(search.limit).unwrap_or(USERS_FOUND_MAX);
    let limit = limit.clamp(1, USERS_FOUND_MAX);
    let mut found = Ranked::new();
    let mut limited = false;
    // The longest word is likely to find fewest; one that may mean the server finds nobody.
    let of_server = |word: &String| words(server).any(|it| it.starts_with(word.as_str()));
    let rarest = |word: &&String| (!of_server(word), word.len());
    if let Some(rarest) = wanted.iter().max_by_key(rarest) {
        let mut met = BTreeSet::from([search.user_id.clone()]);
        let mut passed: Option<(String, OwnedUserId)> = None;
        for _ in 0..SCAN_MAX / READ_MAX {
            let behind = passed.as_ref().map(|(word, user)| (&**word, &**user));
            let (rows, more) = users_by_word(snapshot, rarest, behind, READ_MAX).await?;
            passed = rows
                .last()
                .map(|(word, user, _)| (word.clone(), user.clone()));
            let fitting = rows
                .into_iter()
                .filter(|(_, user, row)| met.insert(user.clone()) && fits(row, wanted, server));
            let fitting: Vec<_> = fitting.map(|(_, user, row)| (user, row)).collect();
            for (user, row) in visible(snapshot, &search.user_id, fitting).await? {
                found.insert(rank(user, &row, wanted), row);
            }
            limited = more;
            if !more || found.len() > limit {
                break;
            }
        }
        limited |= found.len() > limit;
    }
    let mut results = EventList::default();
    for ((.., user), row) in found.iter().take(limit) {
        results.push(|out| write(user, row, out));
    }
    Ok(UsersFound { results, limited })
}

/// Whether each word is the beginning of one of the user's, or of the server's name.
fn fits(row: &ListedUserRow, wanted: &[String], server: &str) -> bool {
    let begins = |it: &str, word: &String| it.starts_with(word.as_str());
    wanted.iter().all(|word| {
        row.words.iter().any(|it| begins(it, word)) || words(server).any(|it| begins(it, word))
    })
}

/// First those with all the words themselves, then those with a name.
fn rank(user: OwnedUserId, row: &ListedUserRow, wanted: &[String]) -> (bool, bool, OwnedUserId) {
    let whole = |word: &String| row.words.iter().any(|it| **it == **word);
    (!wanted.iter().all(whole), row.name.is_none(), user)
}

/// Those of whom the searcher may know.
async fn visible(
    snapshot: &dyn Snapshot,
    searcher: &UserId,
    users: Vec<(OwnedUserId, ListedUserRow)>,
) -> Result<Vec<(OwnedUserId, ListedUserRow)>, Fault> {
    if users.is_empty() {
        return Ok(users);
    }
    let ids: Vec<&UserId> = users.iter().map(|(user, _)| &**user).collect();
    let rooms = joined_rooms_of(snapshot, &ids, ROOMS_MAX).await?;
    let all: BTreeSet<&RoomId> = rooms.iter().flatten().map(|room| &**room).collect();
    let all: Vec<&RoomId> = all.into_iter().collect();
    let own = user_in_rooms(snapshot, searcher, &all).await?;
    let listed = listed_rooms(snapshot, &all).await?;
    let common = all
        .iter()
        .zip(own)
        .zip(listed)
        .filter(|((_, own), listed)| {
            let joined = own
                .as_ref()
                .is_some_and(|row| row.membership == Membership::Join);
            joined || listed.is_some_and(|row| row.open)
        });
    let common: BTreeSet<&RoomId> = common.map(|((room, _), _)| *room).collect();
    let is_common = |room: &OwnedRoomId| common.contains(&**room);
    let shared: Vec<bool> = rooms
        .iter()
        .map(|rooms| rooms.iter().any(is_common))
        .collect();
    let users = users.into_iter().zip(shared);
    Ok(users
        .filter_map(|(user, shared)| shared.then_some(user))
        .collect())
}

fn write(user: &UserId, row: &ListedUserRow, out: &mut String) {
    let mut object = Object::new(out);
    object.string("user_id", user.as_str());
    if let Some(name) = &row.name {
        object.string("display_name", name);
    }
    if let Some(avatar) = &row.avatar_url {
        object.string("avatar_url", avatar);
    }
    object.end();
}
