//! What a run of the server's logs is about: which rooms, which users.
//!
//! It exists so that the notifier tells each listener once, by the last entry that concerns them. It
//! knows nothing of who listens.

use std::collections::BTreeMap;

use belfry_data::{
    GlobalRow, Snapshot, Stamp,
    stir::{StirRow, stirred},
};
use ruma_common::{OwnedRoomId, OwnedUserId};

use crate::error::Fault;

/// Entries of the log of what passes read at once.
const STIR_PAGE: usize = 1_000;

/// What a run of the logs is about, each with the last entry.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Everybody in these is told.
    pub(crate) rooms: BTreeMap<OwnedRoomId, Stamp>,
    /// These are told.
    pub(crate) users: BTreeMap<OwnedUserId, Stamp>,
    /// Whose device lists or profiles changed.
    pub(crate) lists: BTreeMap<OwnedUserId, Stamp>,
    /// Of these rooms only this user is told.
    pub(crate) own: BTreeMap<(OwnedUserId, OwnedRoomId), Stamp>,
    /// Whose presence changed.
    pub(crate) presence: BTreeMap<OwnedUserId, Stamp>,
    /// The same users.
    pub(crate) said: Vec<OwnedUserId>,
    /// Who is told of whose.
    pub(crate) present: Vec<(OwnedUserId, OwnedUserId, Stamp)>,
    /// Where somebody began or ceased to type.
    pub(crate) typing: Vec<OwnedRoomId>,
}

impl Changed {
    pub(crate) fn of(entries: Vec<(Stamp, GlobalRow)>) -> Self {
        let mut changed = Self::default();
        for (stamp, row) in entries {
            match row {
                GlobalRow::Event { room, .. } => {
                    let room = OwnedRoomId::try_from(&*room).ok();
                    changed.rooms.extend(room.map(|room| (room, stamp)));
                }
                GlobalRow::AccountData { user } | GlobalRow::ToDevice { user } => {
                    let user = OwnedUserId::try_from(&*user).ok();
                    changed.users.extend(user.map(|user| (user, stamp)));
                }
                GlobalRow::DeviceList { user } | GlobalRow::Profile { user } => {
                    let user = OwnedUserId::try_from(&*user).ok();
                    changed.lists.extend(user.map(|user| (user, stamp)));
                }
                GlobalRow::Stay { room, user } => {
                    let room = OwnedRoomId::try_from(&*room);
                    if let (Ok(room), Ok(user)) = (room, OwnedUserId::try_from(&*user)) {
                        changed.own.insert((user, room), stamp);
                    }
                }
                GlobalRow::Outbox { .. } | GlobalRow::Relay { .. } => {}
            }
        }
        changed
    }

    /// Adds what passed behind `after` and not behind `until`.
    pub(crate) async fn add_stirred(
        &mut self,
        snapshot: &dyn Snapshot,
        mut after: Stamp,
        until: Stamp,
    ) -> Result<(), Fault> {
        loop {
            let page = stirred(snapshot, after, STIR_PAGE).await?;
            for (stamp, row) in page.entries {
                if stamp > until {
                    return Ok(());
                }
                after = stamp;
                self.note(stamp, row);
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    fn note(&mut self, stamp: Stamp, row: StirRow) {
        match row {
            StirRow::Typing { room } => {
                if let Ok(room) = OwnedRoomId::try_from(&*room) {
                    self.typing.push(room.clone());
                    self.note_room(room, stamp);
                }
            }
            StirRow::Receipt {
                room,
                user,
                private,
            } => {
                let room = OwnedRoomId::try_from(&*room);
                let user = OwnedUserId::try_from(&*user);
                match (room, user) {
                    (Ok(room), Ok(user)) if private => _ = self.own.insert((user, room), stamp),
                    (Ok(room), _) => self.note_room(room, stamp),
                    _ => {}
                }
            }
            StirRow::Presence { user } => {
                let user = OwnedUserId::try_from(&*user).ok();
                self.presence.extend(user.map(|user| (user, stamp)));
            }
        }
    }

    fn note_room(&mut self, room: OwnedRoomId, stamp: Stamp) {
        let last = self.rooms.entry(room).or_insert(stamp);
        *last = stamp.max(*last);
    }
}
