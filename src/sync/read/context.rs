//! `GET /rooms/{roomId}/context/{eventId}`: an event with what happened around it.
//!
//! It exists so that a client can jump to an event and go on from there in both directions. It knows
//! nothing of how the client came by the event.

use std::{collections::BTreeSet, slice};

use ruma_common::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    access::{Entered, enter},
    event::find,
    messages::{Direction, Stretch, Walk},
};
use crate::{
    error::ViewError,
    event::RoomEvent,
    filter::RoomEventFilter,
    ignored::Ignored,
    json::{EventList, Object},
    presentation::{self, Style},
    sight::{Sight, member_tuple},
    views::{Shared, Views},
    window::behind,
};

/// Events around the one asked for, if the client does not say.
const AROUND_DEFAULT: u64 = 10;
/// Most events around the one asked for.
const AROUND_MAX: usize = 100;

/// A request for an event's surroundings.
#[derive(Debug, Clone)]
pub struct ContextRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device: it is told its own transaction IDs.
    pub device_id: Option<OwnedDeviceId>,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Which event.
    pub event_id: OwnedEventId,
    /// How many events before and after it together, at most 100; 10 without.
    pub limit: Option<u64>,
    /// Which of them, and which state.
    pub filter: RoomEventFilter,
}

/// An event with its surroundings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The event as JSON.
    pub event: String,
    /// What happened before it, newest first.
    pub events_before: EventList,
    /// What happened after it, oldest first.
    pub events_after: EventList,
    /// The room's state at the last event.
    pub state: EventList,
    /// For `/messages`, backward.
    pub start: String,
    /// For `/messages`, forward.
    pub end: String,
    /// If what happened before it ends at a gap, its depth: events are missing on this server.
    pub gap: Option<i64>,
}

impl Context {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.string("start", &self.start);
        object.string("end", &self.end);
        object.list("events_before", &self.events_before);
        object.member("event").push_str(&self.event);
        object.list("events_after", &self.events_after);
        object.list("state", &self.state);
        object.end();
        out
    }
}

impl Views {
    /// An event and what happened around it, as far as the user may see it.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::NotFound`] for an event that is not there or not to be
    /// seen, [`ViewError::Fault`].
    pub async fn context(&self, request: &ContextRequest) -> Result<Context, ViewError> {
        let shared = &*self.0;
        let context = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, &request.user_id, &request.room_id).await?;
            let ignored = Ignored::of(snapshot, &request.user_id).await?;
            entered.eyes = entered.eyes.ignoring(ignored.clone());
            entered.eyes = entered.eyes.on(request.device_id.as_deref());
            shared.around(entered, ignored, request).await
        });
        context.await
    }
}

impl Shared {
    async fn around(
        &self,
        mut entered: Entered<'_>,
        ignored: Ignored,
        request: &ContextRequest,
    ) -> Result<Context, ViewError> {
        let target = find(&mut entered, &self.facts, &request.event_id).await?;
        let limit = usize::try_from(request.limit.unwrap_or(AROUND_DEFAULT));
        let limit = limit.unwrap_or(AROUND_MAX).min(AROUND_MAX);
        let (before, after) = (limit / 2, limit - limit / 2);
        let place = target.0.point();
        let Stretch {
            events: events_before,
            end: start,
            gap,
        } = Walk::new(self, &mut entered, &request.filter, &ignored)
            .around(Direction::Backward, place, before)
            .await?;
        let place = behind(&target.0);
        let Stretch {
            events: events_after,
            end,
            ..
        } = Walk::new(self, &mut entered, &request.filter, &ignored)
            .around(Direction::Forward, place, after)
            .await?;
        let shown = [
            &events_before[..],
            slice::from_ref(&target),
            &events_after[..],
        ]
        .concat();
        let state = self.state_around(&mut entered, &request.filter, &shown);
        let state = state.await?;
        let Entered { view, eyes, .. } = &mut entered;
        let style = Style::full(self.now_ms());
        let facts = &self.facts;
        let event = presentation::timeline(view, facts, eyes, style, &[target]).await?;
        Ok(Context {
            event: event.into_text(),
            events_before: presentation::timeline(view, facts, eyes, style, &events_before).await?,
            events_after: presentation::timeline(view, facts, eyes, style, &events_after).await?,
            state,
            start: self.tokens.timeline(start),
            end: self.tokens.timeline(end),
            gap,
        })
    }

    /// The state at the last of these events; of the members only their senders, if the filter
    /// loads members lazily.
    async fn state_around(
        &self,
        entered: &mut Entered<'_>,
        filter: &RoomEventFilter,
        shown: &[(RoomEvent, Sight)],
    ) -> Result<EventList, ViewError> {
        let Some((last, _)) = shown.last() else {
            return Ok(EventList::default());
        };
        let Entered { view, eyes, .. } = entered;
        let root = view.state_after(last).await?;
        let mut state = view.entries(root, !filter.lazy_load_members).await?;
        if filter.lazy_load_members {
            let mut senders = BTreeSet::new();
            for (event, _) in shown {
                senders.insert(member_tuple(event.pdu.sender())?);
            }
            state.extend(view.pick(root, senders).await?);
        }
        let hashes: Vec<_> = state.into_values().collect();
        let style = Style::full(self.now_ms());
        let keep = |event: &RoomEvent| filter.wants(&event.pdu);
        Ok(presentation::state(view, &self.facts, eyes, style, &hashes, keep).await?)
    }
}
