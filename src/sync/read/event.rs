//! `GET /rooms/{roomId}/event/{eventId}`: one event.

use belfry_event::EventHash;
use ruma_common::{DeviceId, EventId, RoomId, UserId};

use super::access::{Entered, enter};
use crate::{
    error::ViewError,
    event::RoomEvent,
    facts::Facts,
    ignored::Ignored,
    presentation::{self, Style},
    sight::Sight,
    views::Views,
};

impl Views {
    /// The event as JSON, if it is in this room and the user may see it.
    ///
    /// # Errors
    /// [`ViewError::NotFound`], also for rooms that the user may not read; [`ViewError::Fault`].
    pub async fn event(
        &self,
        user: &UserId,
        room: &RoomId,
        event: &EventId,
    ) -> Result<String, ViewError> {
        self.event_on(None, user, room, event).await
    }

    /// The same for a device, which is told its own transaction IDs.
    ///
    /// # Errors
    /// As [`Self::event`].
    pub async fn event_on(
        &self,
        device: Option<&DeviceId>,
        user: &UserId,
        room: &RoomId,
        event: &EventId,
    ) -> Result<String, ViewError> {
        let shared = &*self.0;
        shared
            .read(|snapshot| async move {
                let snapshot = &*snapshot;
                let entered = enter(snapshot, user, room).await;
                let mut entered = entered.map_err(not_found)?;
                let ignored = Ignored::of(snapshot, user).await?;
                entered.eyes = entered.eyes.ignoring(ignored).on(device);
                let found = find(&mut entered, &shared.facts, event).await?;
                let Entered { view, eyes, .. } = &mut entered;
                let style = Style::full(shared.now_ms());
                let list =
                    presentation::timeline(view, &shared.facts, eyes, style, &[found]).await?;
                Ok(list.into_text())
            })
            .await
    }
}

/// Nobody learns from this request which rooms exist.
pub(super) fn not_found(error: ViewError) -> ViewError {
    match error {
        ViewError::Forbidden => ViewError::NotFound,
        other => other,
    }
}

/// The event of this ID, if the reader sees it.
pub(super) async fn find(
    entered: &mut Entered<'_>,
    facts: &Facts,
    event: &EventId,
) -> Result<(RoomEvent, Sight), ViewError> {
    let alphabet = entered.view.rules.alphabet();
    let hash = EventHash::from_event_id(event, alphabet).map_err(|_| ViewError::NotFound)?;
    let events = entered.view.events(&[hash]).await?;
    let sights = entered.eyes.look(&mut entered.view, facts, &events).await?;
    let mut found = events.into_iter().zip(sights);
    let found = found.next().filter(|(_, sight)| sight.visible);
    found.ok_or(ViewError::NotFound)
}
