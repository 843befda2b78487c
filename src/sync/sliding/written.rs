//! A sliding answer as JSON, in either shape.

use super::{
    ByRoom,
    profiles::Profiles,
    request::Shape,
    response::{ExtensionAnswers, Hero, Label, SlidingResponse, SlidingRoom},
    thread_subscriptions::ThreadSubscriptions,
};
use crate::{
    json::{EventList, Object},
    sections::write_strings,
};

impl Shape {
    fn expanded(self) -> &'static str {
        match self {
            Self::Draft => "unstable_expanded_timeline",
            Self::Accepted => "expanded_timeline",
        }
    }

    fn stripped(self) -> &'static str {
        match self {
            Self::Draft => "invite_state",
            Self::Accepted => "stripped_state",
        }
    }
}

impl SlidingResponse {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut answer = Object::new(&mut out);
        answer.string("pos", &self.pos);
        if let Some(txn_id) = self.txn_id.as_ref().filter(|_| self.shape == Shape::Draft) {
            answer.string("txn_id", txn_id);
        }
        let mut lists = Object::new(answer.member("lists"));
        for (name, count) in &self.lists {
            let mut list = Object::new(lists.member(name));
            list.plain("count", count);
            list.end();
        }
        lists.end();
        write_by_room(&self.rooms, answer.member("rooms"), |room, out| {
            room.write(self.shape, out);
        });
        self.extensions.write(answer.member("extensions"));
        answer.end();
        out
    }
}

fn write_label(object: &mut Object<'_>, shape: Shape, name: &str, label: &Label) {
    match label {
        Label::Is(text) => object.string(name, text),
        Label::Removed if shape == Shape::Accepted => object.plain(name, "null"),
        Label::Removed | Label::Unchanged => {}
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
    fn write(&self, shape: Shape, out: &mut String) {
        let mut room = Object::new(out);
        if self.initial {
            room.plain("initial", true);
        }
        if self.expanded {
            room.plain(shape.expanded(), true);
        }
        if let Some(is_dm) = self.is_dm {
            room.plain("is_dm", is_dm);
        }
        write_label(&mut room, shape, "name", &self.name);
        write_label(&mut room, shape, "avatar", &self.avatar);
        if let Some(heroes) = &self.heroes {
            let mut list = EventList::default();
            for hero in heroes {
                list.push(|out| hero.write(out));
            }
            room.list("heroes", &list);
        }
        if let Some(stripped) = &self.invite_state {
            room.list(shape.stripped(), stripped);
        }
        if !self.required_state.is_empty() {
            room.list("required_state", &self.required_state);
        }
        self.write_timeline(&mut room);
        if let Some((joined, invited)) = self.members {
            room.plain("joined_count", joined);
            room.plain("invited_count", invited);
        }
        if shape == Shape::Accepted {
            self.write_standing(&mut room);
        } else if let Some(unread) = self.unread {
            unread.write_members(&mut room);
        }
        if let Some(stamp) = self.bump_stamp {
            room.plain("bump_stamp", stamp);
        }
        room.end();
    }

    /// What the user is there, and in which lists the room is.
    fn write_standing(&self, room: &mut Object<'_>) {
        if let Some(membership) = self.membership {
            room.string("membership", membership.name());
        }
        if !self.lists.is_empty() {
            let lists = self.lists.iter().map(String::as_str);
            write_strings(lists, room.member("lists"));
        }
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
        if let Some(threads) = self.threads.as_ref().filter(|threads| !threads.is_empty()) {
            threads.write(extensions.member(ThreadSubscriptions::NAME));
        }
        if let Some(profiles) = self.profiles.as_ref().filter(|found| !found.is_empty()) {
            profiles.write(extensions.member(Profiles::NAME));
        }
        extensions.end();
    }
}
