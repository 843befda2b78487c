//! What sliding sync answers, and its JSON in the draft's shape.

use std::collections::BTreeMap;

use ruma_common::OwnedUserId;

use super::ByRoom;
use crate::{
    json::{EventList, Object},
    sections::Sections,
    unread::Count,
};

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct SlidingResponse {
    /// The `pos` of the next request.
    pub pos: String,
    /// As asked.
    pub txn_id: Option<String>,
    /// How many rooms each list has.
    pub lists: BTreeMap<String, usize>,
    /// What is new in rooms.
    pub rooms: ByRoom<SlidingRoom>,
    /// What is new besides.
    pub extensions: ExtensionAnswers,
    /// Whether it is the first of its connection: told at once, whatever it holds.
    pub(crate) fresh: bool,
}

/// A room.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a member of the answer"
)]
pub struct SlidingRoom {
    /// Whether it is told from the beginning.
    pub initial: bool,
    /// Whether the timeline begins before what was told: more of it is asked for.
    pub expanded: bool,
    /// From `m.room.name`.
    pub name: Option<String>,
    /// From `m.room.avatar`.
    pub avatar: Option<String>,
    /// Whom a room without a name is named after.
    pub heroes: Option<Vec<Hero>>,
    /// Whether `m.direct` names it.
    pub is_dm: bool,
    /// Stripped state.
    pub invite_state: Option<EventList>,
    /// State events.
    pub required_state: EventList,
    /// Oldest first.
    pub timeline: EventList,
    /// Whether events before the first are left out.
    pub limited: bool,
    /// For `/messages`, backward.
    pub prev_batch: Option<String>,
    /// How many of the newest events have just happened.
    pub live: usize,
    /// How many have joined, and are invited.
    pub members: Option<(u32, u32)>,
    /// What is unread.
    pub unread: Option<Count>,
    /// Greater is newer: when this server got the last event that is news, in milliseconds since the
    /// Unix epoch.
    pub bump_stamp: Option<u64>,
}

/// Somebody whom a room is named after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hero {
    /// Who.
    pub user_id: OwnedUserId,
    /// As in the room.
    pub displayname: Option<String>,
    /// As in the room.
    pub avatar_url: Option<String>,
}

/// What is new besides rooms.
#[derive(Debug, Clone, Default)]
pub struct ExtensionAnswers {
    /// Global account data.
    pub account_data: EventList,
    /// That of rooms.
    pub account_data_rooms: ByRoom<EventList>,
    /// `m.receipt` events, as JSON.
    pub receipts: ByRoom<String>,
    /// `m.typing` events, as JSON.
    pub typing: ByRoom<String>,
    /// The next `since`, and messages to the device.
    pub to_device: Option<(String, EventList)>,
    /// Device lists and keys.
    pub e2ee: Option<Sections>,
}

impl SlidingResponse {
    /// Whether there is no reason to answer.
    pub fn is_empty(&self) -> bool {
        !self.fresh && self.rooms.is_empty() && self.extensions.is_empty()
    }

    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut answer = Object::new(&mut out);
        answer.string("pos", &self.pos);
        if let Some(txn_id) = &self.txn_id {
            answer.string("txn_id", txn_id);
        }
        let mut lists = Object::new(answer.member("lists"));
        for (name, count) in &self.lists {
            let mut list = Object::new(lists.member(name));
            list.plain("count", count);
            list.end();
        }
        lists.end();
        write_by_room(&self.rooms, answer.member("rooms"), SlidingRoom::write);
        self.extensions.write(answer.member("extensions"));
        answer.end();
        out
    }
}

fn write_by_room<T>(rooms: &ByRoom<T>, out: &mut String, write: impl Fn(&T, &mut String)) {
    let mut object = Object::new(out);
    for (room, value) in rooms {
        write(value, object.member(room.as_str()));
    }
    object.end();
}

fn write_optional(object: &mut Object<'_>, name: &str, text: Option<&String>) {
    if let Some(text) = text {
        object.string(name, text);
    }
}

impl SlidingRoom {
    pub(crate) fn is_described(&self) -> bool {
        self.members.is_some() || self.name.is_some() || self.avatar.is_some()
    }

    fn write(&self, out: &mut String) {
        let mut room = Object::new(out);
        if self.initial {
            room.plain("initial", true);
        }
        if self.expanded {
            room.plain("unstable_expanded_timeline", true);
        }
        if self.is_dm {
            room.plain("is_dm", true);
        }
        write_optional(&mut room, "name", self.name.as_ref());
        write_optional(&mut room, "avatar", self.avatar.as_ref());
        if let Some(heroes) = &self.heroes {
            let mut list = EventList::default();
            for hero in heroes {
                list.push(|out| hero.write(out));
            }
            room.list("heroes", &list);
        }
        if let Some(stripped) = &self.invite_state {
            room.list("invite_state", stripped);
        }
        if !self.required_state.is_empty() {
            room.list("required_state", &self.required_state);
        }
        self.write_timeline(&mut room);
        if let Some((joined, invited)) = self.members {
            room.plain("joined_count", joined);
            room.plain("invited_count", invited);
        }
        if let Some(unread) = self.unread {
            unread.write_members(&mut room);
        }
        if let Some(stamp) = self.bump_stamp {
            room.plain("bump_stamp", stamp);
        }
        room.end();
    }

    fn write_timeline(&self, room: &mut Object<'_>) {
        if self.invite_state.is_some() {
            return;
        }
        if !self.timeline.is_empty() {
            room.list("timeline", &self.timeline);
            room.plain("num_live", self.live);
        }
        if self.limited {
            room.plain("limited", true);
        }
        write_optional(room, "prev_batch", self.prev_batch.as_ref());
    }
}

impl Hero {
    fn write(&self, out: &mut String) {
        let mut hero = Object::new(out);
        hero.string("user_id", self.user_id.as_str());
        write_optional(&mut hero, "displayname", self.displayname.as_ref());
        write_optional(&mut hero, "avatar_url", self.avatar_url.as_ref());
        hero.end();
    }
}

impl ExtensionAnswers {
    fn is_empty(&self) -> bool {
        let messages = self.to_device.as_ref();
        self.account_data.is_empty()
            && self.account_data_rooms.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && messages.is_none_or(|(_, messages)| messages.is_empty())
            && self
                .e2ee
                .as_ref()
                .is_none_or(|e2ee| e2ee.device_lists.is_empty())
    }

    fn write(&self, out: &mut String) {
        let mut extensions = Object::new(out);
        if !self.account_data.is_empty() || !self.account_data_rooms.is_empty() {
            let mut data = Object::new(extensions.member("account_data"));
            data.list("global", &self.account_data);
            write_by_room(
                &self.account_data_rooms,
                data.member("rooms"),
                EventList::write,
            );
            data.end();
        }
        for (name, rooms) in [("receipts", &self.receipts), ("typing", &self.typing)] {
            if !rooms.is_empty() {
                let mut object = Object::new(extensions.member(name));
                write_by_room(rooms, object.member("rooms"), |event, out| {
                    out.push_str(event);
                });
                object.end();
            }
        }
        if let Some((next, messages)) = &self.to_device {
            let mut object = Object::new(extensions.member("to_device"));
            object.string("next_batch", next);
            object.list("events", messages);
            object.end();
        }
        if let Some(e2ee) = &self.e2ee {
            let mut object = Object::new(extensions.member("e2ee"));
            if !e2ee.device_lists.is_empty() {
                e2ee.device_lists.write(object.member("device_lists"));
            }
            e2ee.write_keys(&mut object);
            object.end();
        }
        extensions.end();
    }
}
