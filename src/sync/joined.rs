//! The section of `/sync` about a room that the user is in.
//!
//! It exists so that every way of being in a room (all along, newly, again) is told apart in one
//! place. It knows nothing of which rooms are looked at.

use belfry_data::{Membership, STAMP_FIRST, Snapshot, Stamp, UserRoomRow};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId};

use crate::{
    account_changes::{self, AccountChanges},
    delta,
    ephemeral::Ephemeral,
    error::Fault,
    facts::Fact,
    json::EventList,
    response::{JoinedRoom, Timeline},
    room_view::RoomView,
    sight::{Eyes, member_tuple},
    state_section::{Base, StateUpdate},
    summary::Summary,
    turn::Turn,
    window::Window,
};

/// A room that may have to be told.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) room: OwnedRoomId,
    pub(crate) row: UserRoomRow,
}

/// What happened in a room that the user is in.
pub(crate) struct Told {
    /// Since when the client knows the room.
    pub(crate) known: Option<Stamp>,
    /// Whether the state is told as a whole.
    pub(crate) whole: bool,
    pub(crate) summary: Option<Summary>,
    pub(crate) state: EventList,
    pub(crate) timeline: Timeline,
    /// Whether somebody may have typed or read.
    pub(crate) passed: bool,
}

impl Told {
    fn is_empty(&self) -> bool {
        let unchanged = self.state.is_empty() && self.summary.is_none() && !self.whole;
        unchanged && self.timeline.events.is_empty() && !self.timeline.limited
    }
}

impl Turn<'_> {
    /// What is new in a room that the user is in; `None` if nothing is.
    pub(crate) async fn joined(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
        changes: &AccountChanges,
    ) -> Result<Option<JoinedRoom>, Fault> {
        let told = match self.shared_news(snapshot, candidate).await? {
            Some(told) => Some(told),
            None => self.told_alone(snapshot, candidate).await?,
        };
        let Some(told) = told else {
            return Ok(None);
        };
        let (room, known) = (&*candidate.room, told.known);
        let account_data = self
            .account_data(snapshot, room, changes, known.is_none())
            .await?;
        let passing = if told.passed {
            self.ephemeral(snapshot, room, known).await?
        } else {
            Ephemeral::default()
        };
        let ephemeral = self.wanted(room, &passing);
        let after = known.unwrap_or(STAMP_FIRST);
        let counts = passing.own_receipt || self.shared.counts.came_late(room, after);
        let quiet = account_data.is_empty() && ephemeral.is_empty() && !counts;
        if quiet && told.is_empty() {
            return Ok(None);
        }
        let timeline_filter = &self.request.filter.room.timeline;
        Ok(Some(JoinedRoom {
            summary: told.summary,
            state: self.section(told.state),
            timeline: told.timeline,
            account_data,
            ephemeral,
            unread: self.unread(room).await?,
            unread_by_thread: timeline_filter.unread_thread_notifications,
        }))
    }

    /// What happened in a room that the user is in, for this reader alone; `None` if this server is
    /// not in it.
    async fn told_alone(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
    ) -> Result<Option<Told>, Fault> {
        let room = &*candidate.room;
        let Some(mut view) = RoomView::open(snapshot, room, self.until).await? else {
            return Ok(None);
        };
        let eyes = Eyes::of_member(self.user());
        let known = self.known_since(&mut view, candidate).await?;
        let after = known.unwrap_or(STAMP_FIRST);
        let window = self.window(&mut view, &eyes, after, None, room).await?;
        let base = self.base(&mut view, known, &window).await?;
        let update = StateUpdate::read(self, &mut view, &eyes, room, &window, base).await?;
        let whole = update.is_whole();
        let summary = if update.touches(Summary::depends_on) {
            Some(Summary::read(&mut view, self.user()).await?)
        } else {
            None
        };
        let state = update.events(&mut view, heroes(summary.as_ref())).await?;
        Ok(Some(Told {
            known,
            whole,
            summary,
            state,
            timeline: self.timeline(&mut view, &eyes, &window).await?,
            passed: true,
        }))
    }

    /// Since when the client knows the room: if the user was in it then.
    pub(crate) async fn known_since(
        &self,
        view: &mut RoomView<'_>,
        candidate: &Candidate,
    ) -> Result<Option<Stamp>, Fault> {
        let Some(since) = self.since else {
            return Ok(None);
        };
        let latest = self.fact(view, candidate.row.event).await?;
        let unchanged = matches!(latest, Fact::Member(_, at) if at <= since.position);
        if unchanged {
            let joined = candidate.row.membership == Membership::Join;
            return Ok(joined.then_some(since));
        }
        Ok(self.was_in(view, since).await?.then_some(since))
    }

    /// Whether the user was joined at this place.
    pub(crate) async fn was_in(&self, view: &mut RoomView<'_>, at: Stamp) -> Result<bool, Fault> {
        let then = view.state_at(at).await?;
        let own = member_tuple(self.user())?;
        let own = view.pick(then, [own]).await?.into_values().next();
        match own {
            Some(event) => {
                let membership = self.fact(view, event).await?.membership();
                Ok(membership == Membership::Join)
            }
            None => Ok(false),
        }
    }

    async fn fact(
        &self,
        view: &RoomView<'_>,
        event: belfry_event::EventHash,
    ) -> Result<Fact, Fault> {
        let facts = self.facts().of(&view.reader, &[event].into()).await?;
        Ok(facts.get(&event).copied().unwrap_or(Fact::Other))
    }

    /// What the client has of the state.
    pub(crate) async fn base(
        &self,
        view: &mut RoomView<'_>,
        known: Option<Stamp>,
        window: &Window,
    ) -> Result<Base, Fault> {
        match known.filter(|_| !self.request.full_state) {
            Some(since) => {
                let local = &self.shared.server_name;
                let bases = delta::bases(view, since, window, local).await?;
                Ok(Base::OneOf(bases))
            }
            None => Ok(Base::Nothing),
        }
    }

    /// The user's account data in the room: all of it if the room is new to the client.
    pub(crate) async fn account_data(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        changes: &AccountChanges,
        all: bool,
    ) -> Result<EventList, Fault> {
        let Some(filter) = self.account_data_filter(room) else {
            return Ok(EventList::default());
        };
        let wanted = |event_type: &str| filter.wants_type(event_type);
        if all && self.since.is_some() {
            return account_changes::all_in_room(snapshot, self.user(), room, wanted).await;
        }
        changes.in_room(snapshot, self.user(), room, wanted).await
    }
}

fn heroes(summary: Option<&Summary>) -> &[OwnedUserId] {
    let heroes = summary.and_then(|summary| summary.heroes.as_deref());
    heroes.unwrap_or_default()
}
