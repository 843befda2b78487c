//! Forgets notes that say nothing any more: read long ago, taken back, or beyond what is counted.
//!
//! It exists so that what notified somebody costs no room for ever. Counts do not change by it: what
//! is unread is kept as far as anybody counts, and of what was read the newest is kept for
//! `/notifications`. It knows nothing of push rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::{
    Commit, STAMP_FIRST, STAMP_LAST, Stamp,
    note::{
        NoteRef, NoteRow, forget_notes, notes, notes_at, notes_before, notes_behind,
        users_with_notes,
    },
};
use ruma_common::{OwnedRoomId, OwnedUserId, UserId};

use crate::{
    error::Fault,
    unread::{COUNTED_MAX, ReadUpTo},
    views::{Shared, Views},
};

/// Notes of one user, the newest, that are kept whether they were read or not.
pub const NOTES_KEPT: usize = 200;
/// How often notes are trimmed of users who were notified.
pub const TRIM_NOTES_EVERY: Duration = Duration::from_hours(1);
/// Notes of one user that are looked at in one round; the others wait for the next.
pub const NOTES_LOOKED_AT_MAX: usize = 20_000;

/// Users, or notes of one, read at once.
const PAGE: usize = 500;

/// Who was notified since their notes were trimmed.
#[derive(Debug, Default)]
pub(crate) struct Notified(Mutex<BTreeSet<OwnedUserId>>);

impl Notified {
    pub(crate) fn add(&self, users: &BTreeSet<OwnedUserId>) {
        let mut notified = self.lock();
        for user in users {
            if !notified.contains(user) {
                notified.insert(user.clone());
            }
        }
    }

    fn take(&self) -> BTreeSet<OwnedUserId> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<OwnedUserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one room while a user's notes are looked through.
struct Room {
    read: ReadUpTo,
    /// Nobody counts notes before this.
    floor: Stamp,
}

impl Views {
    /// Trims notes now and then until the server stops.
    pub(crate) async fn keep_notes_trimmed(self) {
        let env = &self.0.env;
        let mut everybody = true;
        while env
            .shutdown
            .unless(env.clock.sleep(TRIM_NOTES_EVERY))
            .await
            .is_some()
        {
            match env.shutdown.unless(self.trim_notes(everybody)).await {
                Some(Ok(forgotten)) => {
                    everybody = false;
                    tracing::debug!(forgotten, "notes that say nothing any more are gone");
                }
                Some(Err(fault)) => {
                    tracing::info!(%fault, "notes were not trimmed; the next round tries again");
                }
                None => return,
            }
        }
    }

    /// Trims the notes of everybody who was notified since the last time; at first of everybody. How
    /// many were forgotten.
    ///
    /// # Errors
    /// If the database cannot be read or written; what was trimmed stays so.
    pub async fn trim_notes(&self, everybody: bool) -> Result<usize, Fault> {
        let shared = &*self.0;
        let mut forgotten = 0;
        for user in shared.notified.take() {
            forgotten += shared.trim_notes_of(&user).await?;
        }
        if !everybody {
            return Ok(forgotten);
        }
        let mut after: Option<OwnedUserId> = None;
        loop {
            let snapshot = shared.snapshot().await?;
            let page = users_with_notes(&*snapshot, after.as_deref(), PAGE).await?;
            drop(snapshot);
            let last = page.len() < PAGE;
            for user in page {
                forgotten += shared.trim_notes_of(&user).await?;
                after = Some(user);
            }
            if last {
                return Ok(forgotten);
            }
        }
    }
}

impl Shared {
    async fn trim_notes_of(&self, user: &UserId) -> Result<usize, Fault> {
        let snapshot = self.snapshot().await?;
        let newest = notes_before(&*snapshot, user, STAMP_LAST, NOTES_KEPT).await?;
        drop(snapshot);
        let Some((end, _)) = newest.last().filter(|_| newest.len() == NOTES_KEPT) else {
            return Ok(0);
        };
        let (mut after, mut looked_at, mut forgotten) = (Stamp::default(), 0, 0);
        while looked_at < NOTES_LOOKED_AT_MAX {
            // Each page on its own snapshot: many users in a row take long.
            tokio::task::yield_now().await;
            let snapshot = self.snapshot().await?;
            let mut page = notes_behind(&*snapshot, user, after, PAGE).await?;
            let whole = page.len() == PAGE;
            page.retain(|(at, _)| at < end);
            let Some((last, _)) = page.last() else { break };
            (after, looked_at) = (*last, looked_at + page.len());
            let dead = dead(&*snapshot, user, page).await?;
            if !dead.is_empty() {
                let mut commit = Commit::lazy();
                forget_notes(&mut commit, user, &dead);
                forgotten += dead.len();
                self.engine.commit(commit).await.map_err(Fault::Store)?;
            }
            if !whole {
                break;
            }
        }
        Ok(forgotten)
    }
}

/// Those of these that say nothing any more.
async fn dead(
    snapshot: &dyn belfry_data::Snapshot,
    user: &UserId,
    page: Vec<(Stamp, NoteRef)>,
) -> Result<Vec<(Stamp, NoteRef)>, Fault> {
    let mut rooms: BTreeMap<OwnedRoomId, Room> = BTreeMap::new();
    let mut places = Vec::new();
    for (at, note) in &page {
        let Ok(room) = OwnedRoomId::try_from(&*note.room) else {
            continue;
        };
        if !rooms.contains_key(&room) {
            let counted = notes(
                snapshot,
                user,
                &room,
                (STAMP_FIRST, STAMP_LAST),
                COUNTED_MAX,
            );
            let counted: Vec<(Stamp, NoteRow)> = counted.await?;
            let floor = counted.last().filter(|_| counted.len() == COUNTED_MAX);
            let known = Room {
                read: ReadUpTo::of(snapshot, &room, user).await?,
                floor: floor.map_or(STAMP_FIRST, |(at, _)| *at),
            };
            rooms.insert(room.clone(), known);
        }
        places.push((room, *at));
    }
    let found = notes_at(snapshot, user, &places).await?;
    let mut lives = BTreeSet::new();
    for ((room, at), note) in places.iter().zip(found) {
        let known = rooms.get(room);
        let is_alive = |note: &NoteRow| {
            known.is_some_and(|known| *at >= known.floor && !known.read.covers(*at, note))
        };
        if note.as_ref().is_some_and(is_alive) {
            lives.insert(*at);
        }
    }
    let mut page = page;
    page.retain(|(at, _)| !lives.contains(at));
    Ok(page)
}
