//! The state events that a room's section of `/sync` carries.
//!
//! It exists so that a client which applies them, and then the timeline, holds the room's state:
//! what the timeline sets is told as it was before the timeline, everything else as it is at its
//! end. With `use_state_after` everything is told as it is at the end (MSC4222). It knows nothing of
//! how the timeline was cut.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{Root, StateTuple};
use belfry_event::EventHash;
use ruma_common::{OwnedUserId, RoomId};
use ruma_events::TimelineEventType;

use crate::{
    delta,
    error::Fault,
    json::EventList,
    presentation,
    room_view::RoomView,
    sent::DeviceKey,
    sight::{Eyes, member_tuple},
    turn::{Turn, shown},
    window::Window,
};

/// What the client has of the room's state.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// Nothing, or it wants everything again.
    Nothing,
    /// One of these.
    OneOf(BTreeSet<Root>),
}

/// A room's state, as far as the client lacks it.
pub(crate) struct StateUpdate<'a> {
    pub(crate) turn: &'a Turn<'a>,
    pub(crate) eyes: &'a Eyes,
    pub(crate) room: &'a RoomId,
    pub(crate) window: &'a Window,
    base: Base,
    /// By what the state has at the end of the timeline.
    entries: BTreeMap<StateTuple, Option<EventHash>>,
}

impl<'a> StateUpdate<'a> {
    pub(crate) async fn read(
        turn: &'a Turn<'a>,
        view: &mut RoomView<'_>,
        eyes: &'a Eyes,
        room: &'a RoomId,
        window: &'a Window,
        base: Base,
    ) -> Result<Self, Fault> {
        let mut update = Self {
            turn,
            eyes,
            room,
            window,
            base,
            entries: BTreeMap::new(),
        };
        if let Base::OneOf(bases) = &update.base {
            match delta::changes(view, bases).await? {
                Some(changes) => update.entries = changes,
                None => update.base = Base::Nothing,
            }
        }
        if update.is_whole() {
            let all = view.entries(view.state, !turn.is_lazy()).await?;
            update.entries = all.into_iter().map(|(t, event)| (t, Some(event))).collect();
        }
        Ok(update)
    }

    /// Whether the client is told the whole state.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.base, Base::Nothing)
    }

    /// Whether something like this changed.
    pub(crate) fn touches(&self, matches: impl Fn(&StateTuple) -> bool) -> bool {
        self.is_whole() || self.entries.keys().any(matches)
    }

    /// The events, in the order of types and state keys.
    pub(crate) async fn events(
        mut self,
        view: &mut RoomView<'_>,
        heroes: &[OwnedUserId],
    ) -> Result<EventList, Fault> {
        let filter = &self.turn.request.filter.room.state;
        if !filter.wants_room(self.room) {
            return Ok(EventList::default());
        }
        if self.turn.is_lazy() {
            self.add_members(view, heroes).await?;
        }
        if !self.turn.request.use_state_after {
            self.rewind(view).await?;
        }
        let entries = self.entries.iter();
        let entries = entries.filter_map(|(tuple, event)| Some((tuple, (*event)?)));
        let wanted: Vec<_> = entries
            .filter(|(tuple, _)| filter.wants_type(tuple.event_type()))
            .collect();
        self.note_sent(&wanted);
        let wanted: Vec<_> = wanted.into_iter().map(|(_, event)| event).collect();
        let (facts, style) = (self.turn.facts(), self.turn.style());
        presentation::state(view, facts, self.eyes, style, &wanted, |event| {
            filter.wants(&event.pdu)
        })
        .await
    }

    /// Adds the members that the client needs to show the timeline, unless it has them.
    async fn add_members(
        &mut self,
        view: &mut RoomView<'_>,
        heroes: &[OwnedUserId],
    ) -> Result<(), Fault> {
        let mut members = BTreeSet::new();
        for event in shown(self.window) {
            members.insert(member_tuple(event.pdu.sender())?);
        }
        for hero in heroes {
            members.insert(member_tuple(hero)?);
        }
        if self.is_whole() {
            members.insert(member_tuple(self.turn.user())?);
        }
        members.retain(|tuple| !self.entries.contains_key(tuple));
        let found = view.pick(view.state, members).await?;
        let found = found.into_iter();
        let lacking = found.filter(|(_, event)| !self.has_seen(*event));
        let lacking: Vec<_> = lacking.map(|(tuple, event)| (tuple, Some(event))).collect();
        self.entries.extend(lacking);
        Ok(())
    }

    /// Tells what the timeline sets as it was before the timeline, if the client may not know.
    async fn rewind(&mut self, view: &mut RoomView<'_>) -> Result<(), Fault> {
        let set: BTreeSet<_> = shown(self.window)
            .filter_map(crate::event::RoomEvent::tuple)
            .collect();
        let Some(start) = self.window.state().filter(|_| !set.is_empty()) else {
            return Ok(());
        };
        let senders = self.members_of_senders();
        let at_start = view.pick(start, set.iter().cloned()).await?;
        let bases = match &self.base {
            Base::Nothing => BTreeSet::from([Root::EMPTY]),
            Base::OneOf(bases) => bases.clone(),
        };
        let mut known = Vec::new();
        for base in bases {
            known.push(view.pick(base, set.iter().cloned()).await?);
        }
        for tuple in set {
            let event = at_start.get(&tuple).copied();
            let unknown = known.iter().any(|base| base.get(&tuple).copied() != event);
            let lazy = self.turn.is_lazy() && tuple.event_type() == "m.room.member";
            let spoke = lazy && senders.contains(&tuple);
            let unsent = spoke && event.is_some_and(|event| !self.has_seen(event));
            self.entries.remove(&tuple);
            if unsent || (unknown && !(lazy && self.is_whole())) {
                self.entries.insert(tuple, event);
            }
        }
        Ok(())
    }

    fn members_of_senders(&self) -> BTreeSet<StateTuple> {
        shown(self.window)
            .filter_map(|event| member_tuple(event.pdu.sender()).ok())
            .collect()
    }

    /// Whether the client was sent this member's event, and is to remember it.
    fn has_seen(&self, event: EventHash) -> bool {
        let device = self.turn.device().filter(|_| !self.is_whole());
        device.is_some_and(|device| self.turn.has(&device, event))
    }

    fn note_sent(&self, wanted: &[(&StateTuple, EventHash)]) {
        let Some(device) = self.turn.device().filter(|_| self.turn.is_lazy()) else {
            return;
        };
        let members = wanted
            .iter()
            .filter(|(tuple, _)| tuple.event_type() == "m.room.member")
            .map(|(_, event)| *event);
        let shown = shown(self.window)
            .filter(|event| *event.pdu.event_type() == TimelineEventType::RoomMember)
            .map(crate::event::RoomEvent::hash);
        let members: Vec<_> = members.chain(shown).collect();
        self.note(&device, &members);
    }

    fn note(&self, device: &DeviceKey, members: &[EventHash]) {
        let at = self.turn.until.position;
        self.turn.shared.sent.note(device, members, at);
    }
}
