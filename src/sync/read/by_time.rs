//! `GET /rooms/{roomId}/timestamp_to_event`: the event closest to a moment.
//!
//! It exists for jumping to a date. It knows nothing of events that this server misses.

use belfry_data::TimePoint;
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    access::{Entered, enter},
    messages::Direction,
};
use crate::{
    error::ViewError,
    views::{Shared, Views},
};

/// Events looked at in search of one that the reader sees.
pub const MOMENTS_SCAN_MAX: usize = 1_000;
/// Events read at once.
const READ_MAX: usize = 50;

/// A request for the event closest to a moment.
#[derive(Debug, Clone)]
pub struct MomentRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Forward: the earliest event then or later. Backward: the latest then or earlier.
    pub direction: Direction,
}

impl Views {
    /// The event closest to a moment that the user sees, and when it was sent.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::NotFound`] if there is none, [`ViewError::Fault`].
    pub async fn event_at(
        &self,
        request: &MomentRequest,
    ) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), ViewError> {
        let shared = &*self.0;
        let found = shared.read(|snapshot| async move {
            let entered = enter(&*snapshot, &request.user_id, &request.room_id).await?;
            shared.closest(entered, request).await
        });
        found.await
    }
}

impl Shared {
    async fn closest(
        &self,
        mut entered: Entered<'_>,
        request: &MomentRequest,
    ) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), ViewError> {
        let direction = match request.direction {
            Direction::Forward => belfry_data::Direction::Forward,
            Direction::Backward => belfry_data::Direction::Backward,
        };
        let mut passed: Option<TimePoint> = None;
        for _ in 0..MOMENTS_SCAN_MAX / READ_MAX {
            let Entered { view, eyes, .. } = &mut entered;
            let page = view
                .reader
                .by_time(request.at_ms, passed, direction, READ_MAX)
                .await?;
            let hashes: Vec<_> = page.entries.iter().map(|(_, event)| *event).collect();
            let events = view.events(&hashes).await?;
            let sights = eyes.look(view, &self.facts, &events).await?;
            let mut seen = events.iter().zip(sights);
            if let Some((event, _)) = seen.find(|(_, sight)| sight.visible) {
                let pdu = &event.pdu;
                return Ok((pdu.event_id().clone(), pdu.origin_server_ts()));
            }
            passed = page.entries.last().map(|(place, _)| *place);
            if !page.more {
                break;
            }
        }
        Err(ViewError::NotFound)
    }
}
