//! What `/sync` answers, and its JSON (Client-Server API, "Syncing").
//!
//! It exists so that an answer is a value that tests look into, and becomes text in one pass. It
//! knows nothing of where its parts come from.

use std::collections::BTreeMap;

use ruma_common::OwnedRoomId;

use crate::{
    json::{EventList, Object},
    sections::Sections,
    summary::Summary,
    unread::Unread,
};

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct SyncResponse {
    /// The `since` of the next request.
    pub next_batch: String,
    /// The user's global account data.
    pub account_data: EventList,
    /// Presence, and what concerns the device.
    pub sections: Sections,
    /// Rooms that the user is in.
    pub join: BTreeMap<OwnedRoomId, JoinedRoom>,
    /// Rooms that the user is invited to, by stripped state.
    pub invite: BTreeMap<OwnedRoomId, EventList>,
    /// Rooms that the user has knocked on, by stripped state.
    pub knock: BTreeMap<OwnedRoomId, EventList>,
    /// Rooms that the user left or was banned from.
    pub leave: BTreeMap<OwnedRoomId, LeftRoom>,
}

/// A room that the user is in.
#[derive(Debug, Clone, Default)]
pub struct JoinedRoom {
    /// If it may have changed.
    pub summary: Option<Summary>,
    /// State events.
    pub state: StateSection,
    /// What happened.
    pub timeline: Timeline,
    /// The user's account data in the room.
    pub account_data: EventList,
    /// Typing and receipts.
    pub ephemeral: EventList,
    /// What is unread.
    pub unread: Unread,
    /// Whether that is told by thread.
    pub unread_by_thread: bool,
}

/// A room that the user left or was banned from.
#[derive(Debug, Clone, Default)]
pub struct LeftRoom {
    /// State events, up to the departure at most.
    pub state: StateSection,
    /// What happened, up to the departure.
    pub timeline: Timeline,
    /// The user's account data in the room.
    pub account_data: EventList,
}

/// State events, and which moment they lead up to.
#[derive(Debug, Clone)]
pub enum StateSection {
    /// The start of the timeline: `state`.
    Before(EventList),
    /// The end of the timeline: `state_after` (MSC4222).
    After(EventList),
}

impl Default for StateSection {
    fn default() -> Self {
        Self::Before(EventList::default())
    }
}

/// A run of a room's events.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Oldest first.
    pub events: EventList,
    /// Whether there are events between `since` and the first that are left out.
    pub limited: bool,
    /// For `/messages`, backward: what stands before the first.
    pub prev_batch: Option<String>,
}

impl SyncResponse {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.account_data.is_empty()
            && self.sections.is_empty()
            && self.join.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.leave.is_empty()
    }

    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.string("next_batch", &self.next_batch);
        object.events("account_data", &self.account_data);
        self.sections.write(&mut object);
        if !(self.join.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.leave.is_empty())
        {
            self.write_rooms(object.member("rooms"));
        }
        object.end();
        out
    }

    fn write_rooms(&self, out: &mut String) {
        let mut object = Object::new(out);
        write_section(&mut object, "join", &self.join, JoinedRoom::write);
        write_section(&mut object, "invite", &self.invite, |state, out| {
            write_stripped("invite_state", state, out);
        });
        write_section(&mut object, "knock", &self.knock, |state, out| {
            write_stripped("knock_state", state, out);
        });
        write_section(&mut object, "leave", &self.leave, LeftRoom::write);
        object.end();
    }
}

fn write_section<T>(
    rooms: &mut Object<'_>,
    name: &str,
    section: &BTreeMap<OwnedRoomId, T>,
    write: impl Fn(&T, &mut String),
) {
    if section.is_empty() {
        return;
    }
    let mut object = Object::new(rooms.member(name));
    for (room, value) in section {
        write(value, object.member(room.as_str()));
    }
    object.end();
}

fn write_stripped(name: &str, state: &EventList, out: &mut String) {
    let mut object = Object::new(out);
    object.all_events(name, state);
    object.end();
}

impl JoinedRoom {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        if let Some(summary) = &self.summary {
            summary.write(object.member("summary"));
        }
        self.state.write(&mut object);
        self.timeline.write(object.member("timeline"));
        object.events("account_data", &self.account_data);
        object.events("ephemeral", &self.ephemeral);
        self.unread.write(self.unread_by_thread, &mut object);
        object.end();
    }
}

impl LeftRoom {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        self.state.write(&mut object);
        self.timeline.write(object.member("timeline"));
        object.events("account_data", &self.account_data);
        object.end();
    }
}

impl StateSection {
    /// The events.
    pub fn events(&self) -> &EventList {
        match self {
            Self::Before(events) | Self::After(events) => events,
        }
    }

    fn write(&self, room: &mut Object<'_>) {
        match self {
            Self::Before(events) => room.all_events("state", events),
            Self::After(events) => room.all_events("state_after", events),
        }
    }
}

impl Timeline {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.list("events", &self.events);
        object.plain("limited", self.limited);
        if let Some(token) = &self.prev_batch {
            object.string("prev_batch", token);
        }
        object.end();
    }
}
