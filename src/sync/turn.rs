//! One look at everything that a device is to be told: what a `/sync` is made of, once.
//!
//! It exists so that the parts of an answer share what was asked and when. It knows nothing of
//! waiting.

use std::sync::Arc;

use belfry_data::{Snapshot, Stamp};
use ruma_common::{RoomId, UserId};

use crate::{
    ephemeral::{Ephemeral, Listening},
    error::Fault,
    facts::Facts,
    filter::RoomEventFilter,
    ignored::Ignored,
    json::EventList,
    presentation::Style,
    response::{StateSection, Timeline},
    room_view::RoomView,
    sent::DeviceKey,
    sight::{Eyes, Sight},
    sync::SyncRequest,
    unread::Unread,
    views::Shared,
    window::{self, Query, Window},
};

/// Events of one room's timeline, if the filter does not say.
const TIMELINE_DEFAULT: usize = 10;
/// Most events of one room's timeline.
pub const TIMELINE_MAX: usize = 100;

/// One look.
pub(crate) struct Turn<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a SyncRequest,
    /// What the device has seen; nothing without it.
    pub(crate) since: Option<Stamp>,
    /// What it will have seen after this.
    pub(crate) until: Stamp,
    pub(crate) ignored: Ignored,
    /// Whether it follows something that many may wait for.
    pub(crate) woken: bool,
    pub(crate) now_ms: u64,
    /// Taken once what happened up to `until` was counted.
    pub(crate) counted: Arc<dyn Snapshot>,
}

impl<'a> Turn<'a> {
    pub(crate) async fn new(
        shared: &'a Shared,
        request: &'a SyncRequest,
        since: Option<Stamp>,
        snapshot: &Arc<dyn Snapshot>,
        until: Stamp,
    ) -> Result<Self, Fault> {
        Ok(Self {
            shared,
            request,
            since,
            until,
            ignored: shared.ignored(&**snapshot, &request.user_id, until).await?,
            woken: false,
            counted: shared.counted(snapshot, until).await?,
            now_ms: shared.env.clock.wall_ms(),
        })
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.request.user_id
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    pub(crate) fn style(&self) -> Style<'_> {
        Style::of_filter(&self.request.filter, self.now_ms)
    }

    /// Whether members are shown only where their events are.
    pub(crate) fn is_lazy(&self) -> bool {
        self.request.filter.room.state.lazy_load_members
    }

    pub(crate) fn device(&self) -> Option<DeviceKey> {
        let device = self.request.device_id.clone()?;
        Some((self.request.user_id.clone(), device))
    }

    /// Whether the device was sent this member's event, and is to remember it.
    pub(crate) fn has(&self, device: &DeviceKey, event: belfry_event::EventHash) -> bool {
        let redundant = self.request.filter.room.state.include_redundant_members;
        let since = self.since.filter(|_| !redundant);
        since.is_some_and(|since| self.shared.sent.has(device, since.position, event))
    }

    /// What the room's timeline shows between two places.
    pub(crate) async fn window(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        after: Stamp,
        always: Option<belfry_event::EventHash>,
        room: &RoomId,
    ) -> Result<Window, Fault> {
        let filter = &self.request.filter.room.timeline;
        if !filter.wants_room(room) {
            return Ok(Window::skipped());
        }
        let query = Query {
            after,
            until: view.until,
            limit: filter.limit(TIMELINE_DEFAULT, TIMELINE_MAX),
            filter,
            ignored: &self.ignored,
            always,
            local: &self.shared.server_name,
        };
        window::window(view, self.facts(), eyes, &query).await
    }

    pub(crate) async fn timeline(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        window: &Window,
    ) -> Result<Timeline, Fault> {
        // A client that has all that came before counts what relates to it by itself.
        let (facts, style) = (self.facts(), self.style().bundling(window.limited));
        let eyes = eyes.clone().ignoring(self.ignored.clone());
        let eyes = &eyes.on(self.request.device_id.as_deref());
        Ok(Timeline {
            events: crate::presentation::timeline(view, facts, eyes, style, &window.events).await?,
            limited: window.limited,
            prev_batch: window
                .start()
                .map(|start| self.shared.tokens.timeline(start)),
        })
    }

    pub(crate) fn section(&self, events: EventList) -> StateSection {
        if self.request.use_state_after {
            StateSection::After(events)
        } else {
            StateSection::Before(events)
        }
    }

    /// What is unread in the room.
    pub(crate) async fn unread(&self, room: &RoomId) -> Result<Unread, Fault> {
        match Unread::read(&*self.counted, self.user(), room, self.until).await {
            Err(fault) if fault.is_expired() => {
                let fresh = self.shared.snapshot().await?;
                Unread::read(&*fresh, self.user(), room, self.until).await
            }
            settled => settled,
        }
    }

    /// What passes in the room, for a client that has seen what came up to `since`.
    pub(crate) async fn ephemeral(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        since: Option<Stamp>,
    ) -> Result<Ephemeral, Fault> {
        let listening = Listening {
            room,
            reader: self.user(),
            ignored: &self.ignored,
            since,
        };
        self.shared.ephemeral(snapshot, listening).await
    }

    /// Of these, what the filter wants.
    pub(crate) fn wanted(&self, room: &RoomId, ephemeral: &Ephemeral) -> EventList {
        let filter = &self.request.filter.room.ephemeral;
        if filter.wants_room(room) {
            ephemeral.events(|event_type| filter.wants_type(event_type))
        } else {
            EventList::default()
        }
    }

    /// The filter of account data in this room.
    pub(crate) fn account_data_filter(&self, room: &RoomId) -> Option<&RoomEventFilter> {
        let filter = &self.request.filter.room.account_data;
        filter.wants_room(room).then_some(filter)
    }
}

/// The timeline's events, for what is asked of each.
pub(crate) fn shown(window: &Window) -> impl Iterator<Item = &crate::event::RoomEvent> {
    window.events.iter().map(|(event, _): &(_, Sight)| event)
}
