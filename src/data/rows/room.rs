//! Rows about whole rooms.

use belfry_event::EventHash;
use serde::{Deserialize, Serialize};

use super::user::Membership;
use crate::{
    codec::postcard_row,
    state::{Path, Root},
};

/// Most forward extremities of a head. The worker merges them long before, if a user of this server
/// may send; if none may, it leaves out what changes nothing of the state.
pub const EXTREMITIES_MAX: usize = 32;

/// Where a room stands. Every commit that depends on the room checks that this row is as it was
/// read, and writes another: that is what puts a room's events in one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// The room version, as in the create event.
    pub room_version: Box<str>,
    /// How often the head was written: no two heads of a room are equal, so that a check never
    /// takes a later head for an earlier one.
    pub sequence: u64,
    /// Accepted events that no accepted event refers to, all of them unless there are more than
    /// [`EXTREMITIES_MAX`]; sorted.
    pub extremities: Vec<EventHash>,
    /// The greatest depth of the extremities.
    pub depth: i64,
    /// The state after the extremities, resolved.
    pub state: Root,
    /// Where else the current state is to be found.
    pub current: CurrentState,
}
postcard_row!(RoomHead);

impl RoomHead {
    /// This head, to be changed into the one that follows it.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self {
            sequence: self.sequence.saturating_add(1),
            ..self.clone()
        }
    }

    /// The epoch of the rows that the current state lies in, if it does.
    pub fn rows(&self) -> Option<u64> {
        match self.current {
            CurrentState::Rows { epoch, .. } => Some(epoch),
            CurrentState::Tree { .. } => None,
        }
    }
}

/// Whether the current state lies in rows, which serve the hot path, or in the tree only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CurrentState {
    /// In the rows of this epoch.
    Rows {
        /// Which rows: those of no other epoch count.
        epoch: u64,
        /// The room's members.
        members: MemberCounts,
    },
    /// Too much changed at once; rows are being built. Read the tree.
    Tree {
        /// The state that the rows by user still show.
        behind: Root,
    },
}

/// How many members a room has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemberCounts {
    /// Joined, of any server.
    pub joined: u32,
    /// Invited, of any server.
    pub invited: u32,
}

impl MemberCounts {
    /// The counts after a member's membership changed; `None` is no member event.
    #[must_use]
    pub fn after(mut self, before: Option<Membership>, after: Option<Membership>) -> Self {
        if let Some(count) = self.of(before) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of(after) {
            *count = count.saturating_add(1);
        }
        self
    }

    fn of(&mut self, membership: Option<Membership>) -> Option<&mut u32> {
        match membership? {
            Membership::Join => Some(&mut self.joined),
            Membership::Invite => Some(&mut self.invited),
            Membership::Knock | Membership::Leave | Membership::Ban => None,
        }
    }
}

/// An entry of the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentRow {
    /// The state event.
    pub event: EventHash,
    /// Of an `m.room.member` event, so that member lists need no events.
    pub membership: Option<Membership>,
}
postcard_row!(CurrentRow);

impl CurrentRow {
    /// The membership that the entry gives its user, and the event that says so.
    pub(crate) fn member(&self) -> Option<(Membership, EventHash)> {
        Some((self.membership?, self.event))
    }
}

/// The building of a new epoch of current state rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch that the rows have.
    pub epoch: u64,
    /// The state that the rows will show.
    pub root: Root,
    /// The state that the rows by user showed before.
    pub behind: Root,
    /// What is being done.
    pub stage: EpochStage,
    /// How far that came.
    pub next: [u8; 32],
    /// The members counted so far.
    pub members: MemberCounts,
}
postcard_row!(EpochRow);

impl EpochRow {
    pub(crate) fn next(&self) -> Path {
        Path::new(self.next)
    }
}

/// What the building of an epoch is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochStage {
    /// Writing the rows of the state.
    Entries,
    /// Bringing the rows by user up to the head's state.
    Users,
    /// Everything is written; the head may name the epoch.
    Ready,
}

/// An entry of the one log of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlobalRow {
    /// A new event that clients may see.
    Event {
        /// The room's ID.
        room: Box<str>,
        /// Which event.
        event: EventHash,
    },
    /// Account data of a user of this server changed; only their own clients are told.
    AccountData {
        /// The user's ID.
        user: Box<str>,
    },
    /// A device of a user of this server got a message; only their own clients are told.
    ToDevice {
        /// The user's ID.
        user: Box<str>,
    },
    /// A user's device list changed, of this server or another; those who share rooms are told.
    DeviceList {
        /// The user's ID.
        user: Box<str>,
    },
    /// Something that must not be lost waits for another server.
    Outbox {
        /// The server's name.
        server: Box<str>,
    },
    /// An event of another server's user came by a handshake: this server tells the others. Its
    /// [`GlobalRow::Event`] is in the same commit.
    Relay {
        /// The room's ID.
        room: Box<str>,
        /// Which event.
        event: EventHash,
    },
    /// A user of this server was invited into a room that the server is not in, knocked on it, or
    /// is rid of that; only their own clients are told.
    Stay {
        /// The room's ID.
        room: Box<str>,
        /// The user's ID.
        user: Box<str>,
    },
    /// The profile of a user of this server changed; those who share rooms are told.
    Profile {
        /// The user's ID.
        user: Box<str>,
    },
}
postcard_row!(GlobalRow);
