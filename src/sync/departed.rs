//! The section of `/sync` about a room that the user left or was banned from.
//!
//! It exists so that the last thing a client hears of a room is the departure, and nothing of what
//! came after it. It knows nothing of which rooms are looked at.

use std::collections::BTreeSet;

use belfry_data::{Direction, Root, STAMP_FIRST, Snapshot, Stamp};
use ruma_common::RoomId;

use crate::{
    account_changes::AccountChanges,
    delta,
    error::Fault,
    event::RoomEvent,
    foreign::Stay,
    joined::Candidate,
    json::EventList,
    response::{LeftRoom, StateSection, Timeline},
    room_view::RoomView,
    sight::{Eyes, Sight, last_stay},
    state_section::{Base, StateUpdate},
    turn::Turn,
    window::{Window, behind},
};

impl Turn<'_> {
    /// What is to be told of a room that the user is not in any more; `None` if nothing is.
    pub(crate) async fn departed(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
        changes: &AccountChanges,
    ) -> Result<Option<LeftRoom>, Fault> {
        if let Some(stay) =
            Stay::read(snapshot, self.user(), &candidate.room, candidate.row).await?
        {
            return Ok(self.departed_foreign(&stay));
        }
        let Some(mut view) = RoomView::open(snapshot, &candidate.room, self.until).await? else {
            return Ok(None);
        };
        let Some(departure) = view.events(&[candidate.row.event]).await?.pop() else {
            return Ok(None);
        };
        if self.since.is_some_and(|since| departure.stamp() <= since) {
            return Ok(None);
        }
        let room = &*candidate.room;
        let account_data = self.account_data(snapshot, room, changes, false).await?;
        let stay = last_stay(&mut view, self.user(), departure.hash()).await?;
        let eyes = Eyes::of_outsider(self.user(), stay.as_ref());
        let end = stay.and_then(|stay| stay.departure);
        let (state, timeline) = match end.filter(|end| self.is_news(end)) {
            Some(end) => {
                self.last_days(&mut view, &eyes, room, &end, departure)
                    .await?
            }
            None => self.refusal(&mut view, &eyes, departure).await?,
        };
        Ok(Some(LeftRoom {
            state,
            timeline,
            account_data,
        }))
    }

    fn is_news(&self, event: &RoomEvent) -> bool {
        self.since.is_none_or(|since| event.stamp() > since)
    }

    /// The room up to the end of the user's stay. The latest departure is another event if, for
    /// instance, the user was banned after they had left.
    async fn last_days(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        room: &RoomId,
        end: &RoomEvent,
        departure: RoomEvent,
    ) -> Result<(StateSection, Timeline), Fault> {
        view.state = view.state_after(end).await?;
        view.until = place_in_log(view, end).await?;
        let known = match self.since {
            Some(since) if self.was_in(view, since).await? => Some(since),
            _ => None,
        };
        let after = known.unwrap_or(STAMP_FIRST);
        let always = Some(end.hash());
        let mut window = self.window(view, eyes, after, always, room).await?;
        let base = match known.filter(|_| !self.request.full_state) {
            Some(since) => Base::OneOf(self.bases_of_departed(view, since, &window).await?),
            None => Base::Nothing,
        };
        if departure.hash() != end.hash() {
            window
                .events
                .extend(self.told(view, eyes, departure).await?);
        }
        let update = StateUpdate::read(self, view, eyes, room, &window, base).await?;
        let state = update.events(view, &[]).await?;
        let timeline = self.timeline(view, eyes, &window).await?;
        Ok((self.section(state), timeline))
    }

    /// The head's tips may be events that the user never saw; the log up to the departure tells.
    async fn bases_of_departed(
        &self,
        view: &mut RoomView<'_>,
        since: Stamp,
        window: &Window,
    ) -> Result<BTreeSet<Root>, Fault> {
        match window.cut.oldest.filter(|_| !window.limited) {
            Some((_, oldest)) if window.cut.outside.len() <= 1 => Ok(BTreeSet::from([oldest])),
            _ => delta::bases(view, since, window, &self.shared.server_name).await,
        }
    }

    /// Nothing but the departure: the user was not in the room before it.
    async fn refusal(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        departure: RoomEvent,
    ) -> Result<(StateSection, Timeline), Fault> {
        let window = Window {
            events: self.told(view, eyes, departure).await?,
            ..Window::default()
        };
        let timeline = self.timeline(view, eyes, &window).await?;
        Ok((self.section(EventList::default()), timeline))
    }

    /// The event as it is told whatever visibility says.
    async fn told(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        event: RoomEvent,
    ) -> Result<Vec<(RoomEvent, Sight)>, Fault> {
        let events = vec![event];
        let sights = eyes.look(view, self.facts(), &events).await?;
        Ok(events.into_iter().zip(sights).collect())
    }
}

/// Where an event stands in the log: behind it is what followed.
pub(crate) async fn place_in_log(view: &RoomView<'_>, event: &RoomEvent) -> Result<Stamp, Fault> {
    let page = view
        .reader
        .log(event.stamp(), view.until, Direction::Forward, 1)
        .await?;
    let place = page.entries.first().map(|(place, _)| *place);
    Ok(place.unwrap_or_else(|| behind(event).stamp))
}
