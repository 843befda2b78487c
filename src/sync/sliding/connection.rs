//! What one connection was told, and the positions that it goes on from.
//!
//! It exists so that a lost answer is told again: what the last answer told counts only once the
//! client comes back with its position. Stored without being waited for: a connection that a crash
//! forgot gets [`ViewError::UnknownPos`] and begins anew.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Commit, Snapshot, Stamp,
    connection::{
        CONNECTIONS_MAX, ConnectionId, ConnectionRow, HeadRow, ToldRow, connection,
        connections_of_device, delete_connection, forget_told, put_connection, put_told,
        told_rooms,
    },
};
use ruma_common::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};

use super::{
    list::Wanted,
    request::{PROFILES_MASK, SlidingRequest},
    response::SlidingResponse,
};
use crate::{
    error::{Fault, ViewError},
    views::Shared,
};

/// Rooms whose rows are read at once.
const PAGE: usize = 1_000;
/// Rooms that one commit holds.
const COMMIT_ROOMS_MAX: usize = 2_000;

/// See the module.
pub(crate) struct Connection {
    id: ConnectionId,
    user: OwnedUserId,
    /// A name for what is remembered of members.
    device: OwnedDeviceId,
    /// The number of the answer that the client has; of the first, one that nobody has.
    acknowledged: u64,
    pos: Option<String>,
    since: Option<Stamp>,
    asked: u64,
    asked_before: Option<u64>,
    told: BTreeMap<OwnedRoomId, ToldRow>,
    /// What this answer tells.
    now: BTreeMap<OwnedRoomId, ToldRow>,
    gone: BTreeSet<OwnedRoomId>,
    commit: Commit,
}

impl Connection {
    /// The connection that the request goes on with, or a new one.
    pub(crate) async fn open(
        shared: &Shared,
        snapshot: &dyn Snapshot,
        request: &SlidingRequest,
    ) -> Result<Self, ViewError> {
        let (user, device) = (&request.user_id, request.device_id.as_str());
        let name = request.connection_name();
        let id = ConnectionId::new(user, device, &name);
        let head = connection(snapshot, &id).await?;
        let mut open = Self {
            device: format!("{device}/{name}").into(),
            acknowledged: 0,
            pos: request.pos.clone(),
            since: None,
            asked: request.digest(),
            asked_before: None,
            told: BTreeMap::new(),
            now: BTreeMap::new(),
            gone: BTreeSet::new(),
            commit: Commit::lazy(),
            user: user.clone(),
            id,
        };
        match &request.pos {
            Some(pos) => open.resume(shared, pos, head)?,
            None => open.begin(shared, snapshot, head).await?,
        }
        Ok(open)
    }

    fn resume(
        &mut self,
        shared: &Shared,
        pos: &str,
        head: Option<HeadRow>,
    ) -> Result<(), ViewError> {
        let number = shared
            .tokens
            .answer(pos)
            .map_err(|_| ViewError::UnknownPos)?;
        let head = head.ok_or(ViewError::UnknownPos)?;
        self.acknowledged = number;
        if head.answer == number {
            self.since = Some(head.at());
            self.asked_before = Some(head.asked);
        } else if head.answer == number.wrapping_add(1) && head.before() != Stamp::default() {
            // The last answer was lost.
            self.since = Some(head.before());
        } else {
            return Err(ViewError::UnknownPos);
        }
        Ok(())
    }

    /// Positions of an earlier connection of this name are never taken for ones of this.
    async fn begin(
        &mut self,
        shared: &Shared,
        snapshot: &dyn Snapshot,
        head: Option<HeadRow>,
    ) -> Result<(), ViewError> {
        self.acknowledged = match head {
            Some(head) => head.answer.saturating_add(2),
            None => shared.env.random.below(1 << 32),
        };
        delete_connection(&mut self.commit, &self.id);
        let key = (self.user.clone(), self.device.clone());
        shared.sent.forget(&key);
        let mut others = connections_of_device(snapshot, &self.id).await?;
        others.retain(|(id, _)| *id != self.id);
        others.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
        for (id, _) in others.iter().skip(CONNECTIONS_MAX - 1) {
            delete_connection(&mut self.commit, id);
        }
        Ok(())
    }

    /// The place that the client has seen everything up to, of what it was told.
    pub(crate) fn since(&self) -> Option<Stamp> {
        self.since
    }

    /// What stands for the connection where devices are told apart.
    pub(crate) fn device(&self) -> OwnedDeviceId {
        self.device.clone()
    }

    /// Whether the client asks for something else than before.
    pub(crate) fn asks_anew(&self) -> bool {
        self.asked_before != Some(self.asked)
    }

    /// Whether the client asks for other fields of profiles than before, as far as is known.
    pub(crate) fn wants_other_profiles(&self) -> bool {
        let before = self.asked_before.map(|asked| asked & PROFILES_MASK);
        before != Some(self.asked & PROFILES_MASK)
    }

    /// Reads what was told of these rooms.
    pub(crate) async fn load(
        &mut self,
        snapshot: &dyn Snapshot,
        rooms: impl Iterator<Item = &OwnedRoomId>,
    ) -> Result<(), Fault> {
        if self.since.is_none() {
            return Ok(());
        }
        let rooms: Vec<&RoomId> = rooms.map(|room| &**room).collect();
        for chunk in rooms.chunks(PAGE) {
            let rows = told_rooms(snapshot, &self.id, chunk).await?;
            for (room, row) in chunk.iter().zip(rows) {
                let told = row.and_then(|row| self.as_acknowledged(&row));
                self.told
                    .extend(told.map(|told| ((*room).to_owned(), told)));
            }
        }
        Ok(())
    }

    fn as_acknowledged(&self, row: &ConnectionRow) -> Option<ToldRow> {
        match row {
            ConnectionRow::Room { now, answer, .. } if *answer <= self.acknowledged => Some(*now),
            ConnectionRow::Room { before, .. } => *before,
            ConnectionRow::Head(_) => None,
        }
    }

    /// What the client has of a room; [`Self::load`] comes before.
    pub(crate) fn told(&self, room: &RoomId) -> Option<ToldRow> {
        self.told.get(room).copied()
    }

    /// Whether this answer looked at the room.
    pub(crate) fn is_looked_at(&self, room: &RoomId) -> bool {
        self.now.contains_key(room)
    }

    /// The room is told in this answer. What was asked for with more is not asked for again.
    pub(crate) fn note(&mut self, room: &RoomId, until: Stamp, wanted: &Wanted) {
        let limit = wanted.details.timeline_limit;
        let row = ToldRow::new(until, limit, wanted.details.digest(wanted.is_dm));
        self.now.insert(room.to_owned(), row);
    }

    /// The room is told for the last time.
    pub(crate) fn forget(&mut self, room: &RoomId) {
        if self.told.contains_key(room) {
            self.gone.insert(room.to_owned());
        }
    }

    /// Stores what is told; the position of the answer. One that tells nothing has the same as the
    /// one before.
    pub(crate) async fn close(
        &mut self,
        shared: &Shared,
        response: &SlidingResponse,
        until: Stamp,
    ) -> Result<String, ViewError> {
        if let Some(pos) = self.pos.clone().filter(|_| {
            response.is_empty() && self.now.is_empty() && self.gone.is_empty() && !self.asks_anew()
        }) {
            return Ok(pos);
        }
        let answer = self.acknowledged.wrapping_add(1);
        let before = self.since.unwrap_or_default();
        let used = shared.env.clock.age_ms();
        let head = HeadRow::new(answer, until, before, self.asked, used);
        let mut commit = std::mem::replace(&mut self.commit, Commit::lazy());
        for (count, (room, now)) in self.now.iter().enumerate() {
            if count > 0 && count.is_multiple_of(COMMIT_ROOMS_MAX) {
                let full = std::mem::replace(&mut commit, Commit::lazy());
                shared.store(full).await?;
            }
            let before = self.told.get(room).copied();
            put_told(&mut commit, &self.id, room, before, (answer, *now));
        }
        for room in &self.gone {
            forget_told(&mut commit, &self.id, room);
        }
        // The row that makes the rest count comes last.
        put_connection(&mut commit, &self.id, head);
        shared.store(commit).await?;
        Ok(shared.tokens.sliding(answer, until))
    }
}

impl Shared {
    async fn store(&self, commit: Commit) -> Result<(), ViewError> {
        let stored = self.engine.commit(commit).await;
        stored.map(drop).map_err(|error| Fault::Store(error).into())
    }
}
