//! The end of what passes: whose time to type is up, and when the log of it may be trimmed.
//!
//! It exists so that somebody who closed their client while typing does not type for ever. Run by the
//! notifier's task, which reads that log anyway. It knows nothing of who waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_data::{
    Commit, Engine, Snapshot, Stamp,
    stir::trim,
    typing::{TypingRow, put_typing, typing, typing_rooms, typing_seen},
};
use belfry_env::{Env, Moment};
use ruma_common::{OwnedRoomId, RoomId};

use crate::{error::Fault, notifier::Notifier};

/// How often the log of what passes is trimmed; entries live at least as long, twice as long at most.
pub const TRIM_EVERY: Duration = Duration::from_mins(10);
/// Rooms in which the end of typing is watched for; in others it is seen when somebody looks.
pub const TYPING_ROOMS_MAX: usize = 10_000;

/// Rooms read at once at the start.
const PAGE: usize = 1_000;

/// See the module.
pub(crate) struct Passing {
    engine: Arc<dyn Engine>,
    env: Env,
    /// When somebody's time is up, by room.
    due: BTreeMap<OwnedRoomId, Moment>,
    trim_at: Moment,
    /// What was read when the log was trimmed last.
    old: Option<Stamp>,
}

impl Passing {
    pub(crate) fn new(engine: Arc<dyn Engine>, env: &Env) -> Self {
        Self {
            engine,
            due: BTreeMap::new(),
            trim_at: env.clock.now() + TRIM_EVERY,
            old: None,
            env: env.clone(),
        }
    }

    /// When there is something to do.
    pub(crate) fn due(&self) -> Moment {
        let typing = self.due.values().min().copied();
        typing.map_or(self.trim_at, |typing| typing.min(self.trim_at))
    }

    /// Watches rooms in which somebody typed when the server ended.
    pub(crate) async fn begin(&mut self) {
        if let Err(fault) = self.watch_all().await {
            tracing::warn!(%fault, "who types could not be read; it ends when somebody looks");
        }
    }

    async fn watch_all(&mut self) -> Result<(), Fault> {
        let snapshot = self.engine.snapshot().await?;
        let mut after: Option<OwnedRoomId> = None;
        loop {
            let page = typing_rooms(&*snapshot, after.as_deref(), PAGE).await?;
            after = page.last().map(|(room, _)| room.clone());
            let last = page.len() < PAGE;
            for (room, row) in page {
                self.note(room, &row);
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Watches rooms in which somebody began or ceased to type.
    pub(crate) async fn watch(&mut self, rooms: BTreeSet<OwnedRoomId>) {
        if rooms.is_empty() {
            return;
        }
        if let Err(fault) = self.look(rooms).await {
            tracing::warn!(%fault, "who types could not be read; it ends when somebody looks");
        }
    }

    async fn look(&mut self, rooms: BTreeSet<OwnedRoomId>) -> Result<(), Fault> {
        let snapshot = self.engine.snapshot().await?;
        let asked: Vec<&RoomId> = rooms.iter().map(|room| &**room).collect();
        let rows = typing(&*snapshot, &asked).await?;
        for (room, row) in rooms.iter().zip(rows) {
            self.note(room.clone(), &row.unwrap_or_default().1);
        }
        Ok(())
    }

    fn note(&mut self, room: OwnedRoomId, row: &TypingRow) {
        let Some(first) = row.users.iter().map(|(_, until)| *until).min() else {
            self.due.remove(&room);
            return;
        };
        let clock = &self.env.clock;
        let left = Duration::from_millis(first.saturating_sub(clock.age_ms()));
        if self.due.len() < TYPING_ROOMS_MAX || self.due.contains_key(&room) {
            self.due.insert(room, clock.now() + left);
        }
    }

    /// Does what is due.
    pub(crate) async fn work(&mut self, notifier: &Notifier) {
        let now = self.env.clock.now();
        let over = self.due.iter().filter(|(_, due)| **due <= now);
        let over: BTreeSet<_> = over.map(|(room, _)| room.clone()).collect();
        for room in over {
            self.due.remove(&room);
            match self.end_typing(&room).await {
                Ok(row) => self.note(room, &row),
                Err(fault) => tracing::warn!(%fault, "a name was left among those who type"),
            }
        }
        if now >= self.trim_at {
            self.trim_at = now + TRIM_EVERY;
            let old = std::mem::replace(&mut self.old, notifier.head());
            if let Some(old) = old {
                let mut commit = Commit::lazy();
                trim(&mut commit, old);
                if let Err(error) = self.engine.commit(commit).await {
                    tracing::warn!(%error, "the log of what passes was not trimmed");
                }
            }
        }
    }

    /// Takes off whose time is up; who is left.
    async fn end_typing(&self, room: &RoomId) -> Result<TypingRow, Fault> {
        let snapshot: Arc<dyn Snapshot> = self.engine.snapshot().await?;
        let seen = typing_seen(&*snapshot, room).await?;
        let before = seen.row.clone().unwrap_or_default().1;
        let now = self.env.clock.age_ms();
        let mut row = before.clone();
        row.users.retain(|(_, until)| *until > now);
        if row != before {
            let commit = put_typing(room, &seen, &row);
            // Somebody typed at the same moment: the log tells, and the room is watched again.
            _ = self.engine.commit(commit).await;
        }
        Ok(row)
    }
}
