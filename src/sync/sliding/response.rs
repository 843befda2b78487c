//! What sliding sync answers.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::Membership;
use ruma_common::OwnedUserId;

use super::{
    ByRoom, profiles::Profiles, request::Shape, thread_subscriptions::ThreadSubscriptions,
};
use crate::{json::EventList, sections::Sections, unread::Count};

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct SlidingResponse {
    /// How it is written.
    pub shape: Shape,
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
pub struct SlidingRoom {
    /// Whether it is told from the beginning.
    pub initial: bool,
    /// Whether the timeline begins before what was told: more of it is asked for.
    pub expanded: bool,
    /// From `m.room.name`.
    pub name: Label,
    /// From `m.room.avatar`.
    pub avatar: Label,
    /// Whom a room without a name is named after.
    pub heroes: Option<Vec<Hero>>,
    /// Whether `m.direct` names it, if that is to be told.
    pub is_dm: Option<bool>,
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
    /// What the user is there; not in the draft's shape.
    pub membership: Option<Membership>,
    /// In which lists' windows it is; not in the draft's shape.
    pub lists: Vec<String>,
    /// Whose member events are told, and who is told as a hero; not written.
    pub(crate) shown: BTreeSet<OwnedUserId>,
}

/// A text that may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Label {
    /// As it was, or as always not there.
    #[default]
    Unchanged,
    /// It was there, and is no more.
    Removed,
    /// This.
    Is(String),
}

impl Label {
    /// Whether it is to be told.
    pub fn is_told(&self) -> bool {
        *self != Self::Unchanged
    }

    pub(crate) fn set(&mut self, text: Option<String>) {
        if let Some(text) = text {
            *self = Self::Is(text);
        }
    }

    /// If it may have changed and there is none, it was removed.
    pub(crate) fn or_removed(&mut self, changed: bool) {
        if changed && !self.is_told() {
            *self = Self::Removed;
        }
    }
}

impl SlidingRoom {
    pub(crate) fn is_described(&self) -> bool {
        self.members.is_some() || self.name.is_told() || self.avatar.is_told()
    }
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
    /// Changed subscriptions of threads.
    pub threads: Option<ThreadSubscriptions>,
    /// Changed profiles, and those of users whom rooms show for the first time.
    pub profiles: Option<Profiles>,
}

impl ExtensionAnswers {
    fn is_empty(&self) -> bool {
        let messages = self.to_device.as_ref();
        let e2ee = self.e2ee.as_ref();
        self.account_data.is_empty()
            && self.account_data_rooms.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && messages.is_none_or(|(_, messages)| messages.is_empty())
            && e2ee.is_none_or(|e2ee| e2ee.device_lists.is_empty())
            && self
                .threads
                .as_ref()
                .is_none_or(ThreadSubscriptions::is_empty)
            && self.profiles.as_ref().is_none_or(Profiles::is_empty)
    }
}

impl SlidingResponse {
    /// Whether there is no reason to answer.
    pub fn is_empty(&self) -> bool {
        !self.fresh && self.rooms.is_empty() && self.extensions.is_empty()
    }
}
