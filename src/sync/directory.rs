//! Bringing the directories up to date: rooms that are shown, rooms that are open, users by words.
//!
//! It exists so that a page of a directory is a run of rows, while what the rows say depends on
//! several events of a room, or on a profile. Whatever changes one of these leaves a mark in the
//! same commit; here the marks are worked off, by a duty of the server and, so that nobody misses
//! what they have just done, by whoever reads a directory. Marks and rows go in one commit, which
//! applies only if nothing changed meanwhile. It knows nothing of who searches.

use belfry_data::{
    Commit, CommitError, ListedRoomRow, ListedUserRow, ListingRow, Snapshot, Stale, StaleMark,
    WORD_BYTES_MAX, WORDS_MAX, account, list_room, list_user, listed_rooms, listed_users,
    published, stale, unmark,
};
use ruma_common::{RoomId, ServerName, UserId};

use crate::{
    error::{Fault, ViewError},
    fold::{folded, words},
    json::Object,
    read::room_summary::{self, RoomSummary},
    room_view::RoomView,
    views::{Shared, Views},
};

/// Marks worked off by one call; the rest waits for the next.
pub const DIRECTORY_MARKS_MAX: usize = 500;
/// Marks worked off by one commit.
const MARKS_AT_ONCE: usize = 50;
/// Longest text that a search looks at, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Longest name, topic and so on that is shown, in bytes: a row has a limit.
const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// What one round came to.
enum Round {
    /// So many marks were worked off.
    Done(usize),
    /// Something changed meanwhile.
    Overtaken,
}

impl Views {
    /// The server whose directories these are.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// Brings the directories up to date, [`DIRECTORY_MARKS_MAX`] rooms and users at most; whether
    /// that was all.
    ///
    /// # Errors
    /// [`ViewError::Fault`].
    pub async fn refresh_directories(&self) -> Result<bool, ViewError> {
        Ok(self.0.refresh_directories().await?)
    }
}

impl Shared {
    pub(crate) async fn refresh_directories(&self) -> Result<bool, Fault> {
        for _ in 0..DIRECTORY_MARKS_MAX / MARKS_AT_ONCE {
            match self.refresh_some().await? {
                Round::Done(count) if count < MARKS_AT_ONCE => return Ok(true),
                Round::Done(_) | Round::Overtaken => {}
            }
        }
        Ok(false)
    }

    async fn refresh_some(&self) -> Result<Round, Fault> {
        let snapshot = &*self.snapshot().await?;
        let marks = stale(snapshot, MARKS_AT_ONCE).await?;
        if marks.is_empty() {
            return Ok(Round::Done(0));
        }
        // Lazy: a crash that takes the rows brings back the marks.
        let mut commit = Commit::lazy();
        add_rooms(snapshot, &mut commit, &marks).await?;
        add_users(snapshot, &mut commit, &marks).await?;
        for mark in &marks {
            unmark(&mut commit, mark);
        }
        match self.engine.commit(commit).await {
            Ok(_) => Ok(Round::Done(marks.len())),
            Err(CommitError::Conflict) => Ok(Round::Overtaken),
            Err(error) => {
                // What is shown may be old for a while; that is no reason not to show it.
                tracing::debug!(%error, "the directories were not brought up to date");
                Ok(Round::Done(0))
            }
        }
    }
}

async fn add_rooms(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    marks: &[StaleMark],
) -> Result<(), Fault> {
    let rooms = marks.iter().filter_map(|mark| match &mark.what {
        Stale::Room(room) => Some(&**room),
        Stale::User(_) => None,
    });
    let rooms: Vec<&RoomId> = rooms.collect();
    let before = listed_rooms(snapshot, &rooms).await?;
    let published = published(snapshot, &rooms).await?;
    for ((room, before), published) in rooms.into_iter().zip(before).zip(published) {
        let summary = match summary(snapshot, room).await {
            // A damaged room is shown to nobody; the others are not to wait for it.
            Err(fault) if fault.is_of_room() => None,
            read => read?,
        };
        let after = summary.as_ref().map_or_else(ListedRoomRow::default, |it| {
            let shown = published && it.join_rule != "invite" && it.join_rule != "private";
            ListedRoomRow {
                shown_with: it.num_joined_members.filter(|it| shown && *it > 0),
                open: it.is_open(),
            }
        });
        let listing = summary.map(|summary| listing_row(room, summary));
        list_room(commit, room, before, after, listing.as_ref());
    }
    Ok(())
}

async fn summary(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Option<RoomSummary>, Fault> {
    match RoomView::now(snapshot, room).await? {
        Some(mut view) => Ok(Some(room_summary::read(&mut view).await?)),
        None => Ok(None),
    }
}

fn listing_row(room: &RoomId, mut summary: RoomSummary) -> ListingRow {
    // What the directory's entries do not have.
    summary.allowed_room_ids.clear();
    summary.encryption = None;
    let texts = [&mut summary.name, &mut summary.topic];
    for text in texts.into_iter().flatten() {
        shorten(text, SHOWN_BYTES_MAX);
    }
    let mut json = String::new();
    let mut object = Object::new(&mut json);
    summary.write(room, &mut object);
    object.end();
    let searched = [&summary.name, &summary.canonical_alias, &summary.topic];
    let searched: Vec<_> = searched.into_iter().flatten().map(String::as_str).collect();
    let mut text = folded(&searched.join("\n"));
    shorten(&mut text, TEXT_BYTES_MAX);
    ListingRow {
        json: json.into(),
        room_type: summary.room_type.map(Into::into),
        text: text.into(),
    }
}

async fn add_users(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    marks: &[StaleMark],
) -> Result<(), Fault> {
    let users = marks.iter().filter_map(|mark| match &mark.what {
        Stale::User(user) => Some(&**user),
        Stale::Room(_) => None,
    });
    let users: Vec<&UserId> = users.collect();
    let before = listed_users(snapshot, &users).await?;
    for (user, before) in users.into_iter().zip(before) {
        let row = account::user(snapshot, user).await?;
        let after = match row.filter(|row| row.deactivated.is_none()) {
            Some(_) => {
                let profile = account::profile(snapshot, user).await?;
                Some(user_row(user, &profile.unwrap_or_default()))
            }
            None => None,
        };
        list_user(commit, user, before.as_ref(), after.as_ref());
    }
    Ok(())
}

fn user_row(user: &UserId, profile: &account::ProfileRow) -> ListedUserRow {
    let text = |wanted: &str| {
        let mut fields = profile.fields.iter();
        let (_, json) = fields.find(|(name, _)| **name == *wanted)?;
        let mut text: String = serde_json::from_str(json).ok()?;
        shorten(&mut text, SHOWN_BYTES_MAX);
        (!text.is_empty()).then_some(text)
    };
    let name = text("displayname");
    let localpart = folded(user.localpart());
    let mut found = vec![localpart.clone()];
    found.extend(words(&localpart).map(str::to_owned));
    let shown = folded(name.as_deref().unwrap_or_default());
    found.extend(words(&shown).map(str::to_owned));
    let mut kept: Vec<Box<str>> = Vec::new();
    for mut word in found {
        shorten(&mut word, WORD_BYTES_MAX);
        if !word.is_empty() && kept.len() < WORDS_MAX && !kept.iter().any(|it| **it == *word) {
            kept.push(word.into());
        }
    }
    ListedUserRow {
        name: name.map(Into::into),
        avatar_url: text("avatar_url").map(Into::into),
        words: kept,
    }
}

/// Cuts a text at a character.
pub(crate) fn shorten(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}
