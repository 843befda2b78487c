//! `GET /rooms/{roomId}/state` and below: the room's state, for former members as it was when they
//! left.
//!
//! It knows nothing of how the state came about.

use belfry_data::StateTuple;
use ruma_common::{RoomId, UserId};

use super::access::{Entered, enter};
use crate::{
    error::ViewError,
    event::RoomEvent,
    json::EventList,
    presentation::{self, Style},
    views::{Shared, Views},
};

/// How much of one state event is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFormat {
    /// Its content.
    Content,
    /// All of it.
    Event,
}

impl Views {
    /// The room's whole state.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Fault`].
    pub async fn state(&self, user: &UserId, room: &RoomId) -> Result<EventList, ViewError> {
        let shared = &*self.0;
        let state = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, user, room).await?;
            let now = entered.view.state;
            let hashes = entered.view.state_events(now, |_| true).await?;
            shared.show(&mut entered, &hashes).await
        });
        state.await
    }

    /// One state event, or its content, as JSON.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::NotFound`] if the state has no such event,
    /// [`ViewError::Fault`].
    pub async fn state_event(
        &self,
        user: &UserId,
        room: &RoomId,
        event_type: &str,
        state_key: &str,
        format: StateFormat,
    ) -> Result<String, ViewError> {
        let shared = &*self.0;
        let tuple = StateTuple::new(event_type, state_key);
        let tuple = &tuple.map_err(|_| ViewError::NotFound)?;
        let event = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, user, room).await?;
            let now = entered.view.state;
            let found = entered.view.pick(now, [tuple.clone()]).await?;
            let hashes: Vec<_> = found.into_values().collect();
            let event = match format {
                StateFormat::Event => Some(shared.show(&mut entered, &hashes).await?.into_text()),
                StateFormat::Content => content(entered.view.events(&hashes).await?),
            };
            let event = event.filter(|text| !text.is_empty());
            event.ok_or(ViewError::NotFound)
        });
        event.await
    }
}

fn content(events: Vec<RoomEvent>) -> Option<String> {
    let event = events.into_iter().next()?;
    Some(event.pdu.content_json().to_owned())
}

impl Shared {
    /// State events with all their fields.
    pub(super) async fn show(
        &self,
        entered: &mut Entered<'_>,
        hashes: &[belfry_event::EventHash],
    ) -> Result<EventList, ViewError> {
        let Entered { view, eyes, .. } = entered;
        let style = Style::full(self.now_ms());
        Ok(presentation::state(view, &self.facts, eyes, style, hashes, |_| true).await?)
    }
}
