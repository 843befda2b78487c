//! The account data that an answer carries: all of it at first, then what changed.
//!
//! It exists so that a user's devices agree on tags, direct chats and the like. It knows nothing of
//! what any type means.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{STAMP_FIRST, Snapshot, Stamp, account};
use ruma_common::{OwnedRoomId, RoomId, UserId};

use crate::{
    error::Fault,
    json::{EventList, Object},
};

/// Changed types read one by one; beyond that all of them are, at once.
const SINGLE_READS_MAX: usize = 4;

/// Which account data changed behind a place.
#[derive(Debug, Default)]
pub(crate) struct AccountChanges {
    /// Whether the client may know what was removed since, and must be told.
    incremental: bool,
    global: BTreeSet<String>,
    rooms: BTreeMap<OwnedRoomId, BTreeSet<String>>,
}

impl AccountChanges {
    /// Nothing changed.
    pub(crate) fn none() -> Self {
        Self {
            incremental: true,
            ..Self::default()
        }
    }

    /// What changed behind `since`; everything there is without it.
    pub(crate) async fn read(
        snapshot: &dyn Snapshot,
        user: &UserId,
        since: Option<Stamp>,
    ) -> Result<Self, Fault> {
        let mut changes = Self {
            incremental: since.is_some(),
            ..Self::default()
        };
        let mut after = since.unwrap_or(STAMP_FIRST);
        loop {
            let page = account::account_data_changes(snapshot, user, after).await?;
            for (stamp, changed) in page.rows {
                after = stamp;
                changes.note(&changed.room, changed.event_type.into());
            }
            if page.rest.is_none() {
                return Ok(changes);
            }
        }
    }

    fn note(&mut self, room: &str, event_type: String) {
        if room.is_empty() {
            self.global.insert(event_type);
        } else if let Ok(room) = OwnedRoomId::try_from(room) {
            self.rooms.entry(room).or_default().insert(event_type);
        }
    }

    /// The rooms in which something changed.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys().map(|room| &**room)
    }

    /// The rooms in which this type changed.
    pub(crate) fn rooms_with(&self, event_type: &str) -> impl Iterator<Item = &RoomId> {
        let rooms = self.rooms.iter();
        let rooms = rooms.filter(move |(_, types)| types.contains(event_type));
        rooms.map(|(room, _)| &**room)
    }

    /// What changed globally, as far as it is wanted.
    pub(crate) async fn global(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<EventList, Fault> {
        let rows = read(snapshot, user, "", &self.global, wanted).await?;
        Ok(list(&rows, self.incremental))
    }

    /// What changed in a room, as far as it is wanted.
    pub(crate) async fn in_room(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        room: &RoomId,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<EventList, Fault> {
        match self.rooms.get(room) {
            Some(types) => {
                let rows = read(snapshot, user, room.as_str(), types, wanted).await?;
                Ok(list(&rows, self.incremental))
            }
            None => Ok(EventList::default()),
        }
    }
}

/// All account data of a room, as far as it is wanted: for a room that is new to the client.
pub(crate) async fn all_in_room(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
    wanted: impl Fn(&str) -> bool,
) -> Result<EventList, Fault> {
    let mut rows = account::account_data_of(snapshot, user, room.as_str()).await?;
    rows.retain(|(event_type, _)| wanted(event_type));
    Ok(list(&rows, false))
}

type Rows = Vec<(String, account::AccountDataRow)>;

async fn read(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &str,
    types: &BTreeSet<String>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Rows, Fault> {
    if types.len() > SINGLE_READS_MAX {
        let mut rows = account::account_data_of(snapshot, user, room).await?;
        rows.retain(|(event_type, _)| types.contains(event_type) && wanted(event_type));
        return Ok(rows);
    }
    let mut rows = Vec::new();
    for event_type in types.iter().filter(|event_type| wanted(event_type)) {
        let row = account::account_data(snapshot, user, room, event_type).await?;
        rows.extend(row.map(|row| (event_type.clone(), row)));
    }
    Ok(rows)
}

/// An empty content says that something was removed, which is no news to a new client (MSC3391).
fn list(rows: &Rows, removed_too: bool) -> EventList {
    let mut list = EventList::default();
    let told = |row: &account::AccountDataRow| removed_too || *row.content != *"{}";
    for (event_type, row) in rows.iter().filter(|(_, row)| told(row)) {
        list.push(|out| {
            let mut object = Object::new(out);
            object.string("type", event_type);
            object.member("content").push_str(&row.content);
            object.end();
        });
    }
    list
}
