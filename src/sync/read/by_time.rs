//! `GET /rooms/{roomId}/timestamp_to_event`: the event closest to a moment.
//!
//! It exists for jumping to a date. Of events that this server misses it knows where they may be.

use belfry_data::{TimePoint, TimelinePoint};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    access::{Entered, enter},
    messages::Direction,
};
use crate::{
    error::ViewError,
    event::RoomEvent,
    views::{Shared, Views},
    window::{behind, gaps},
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

/// What is closest to a moment, as far as this server knows.
#[derive(Debug, Clone, Default)]
pub struct Closest {
    /// The event that the user sees, and when it was sent.
    pub event: Option<(OwnedEventId, MilliSecondsSinceUnixEpoch)>,
    /// The depth of a gap in which there may be a closer one.
    pub gap: Option<i64>,
}

impl Views {
    /// The event closest to a moment that the user sees, and when it was sent.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Fault`].
    pub async fn event_at(&self, request: &MomentRequest) -> Result<Closest, ViewError> {
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
    ) -> Result<Closest, ViewError> {
        let found = self.closest_event(&mut entered, request).await?;
        let view = &entered.view;
        // What may be missing lies before the event that ends a gap.
        let above = match (request.direction, &found) {
            (Direction::Forward, Some(event)) => vec![event.hash()],
            (Direction::Forward, None) => Vec::new(),
            (Direction::Backward, found) => {
                let after = found.as_ref().map_or(TimelinePoint::FIRST, behind);
                let (until, forward) = (TimelinePoint::LAST, belfry_data::Direction::Forward);
                let page = view.reader.timeline(after, until, forward, 1).await?;
                page.entries.into_iter().map(|(_, event)| event).collect()
            }
        };
        let above = view.events(&above).await?;
        let at_gap = !gaps(view, &self.server_name, &above).await?.is_empty();
        let depth = above.first().map(|event| event.pdu.depth());
        Ok(Closest {
            event: found.map(|event| (event.pdu.event_id().clone(), event.pdu.origin_server_ts())),
            gap: depth.filter(|_| at_gap),
        })
    }

    async fn closest_event(
        &self,
        entered: &mut Entered<'_>,
        request: &MomentRequest,
    ) -> Result<Option<RoomEvent>, ViewError> {
        let direction = match request.direction {
            Direction::Forward => belfry_data::Direction::Forward,
            Direction::Backward => belfry_data::Direction::Backward,
        };
        let mut passed: Option<TimePoint> = None;
        for _ in 0..MOMENTS_SCAN_MAX / READ_MAX {
            let Entered { view, eyes, .. } = entered;
            let page = view
                .reader
                .by_time(request.at_ms, passed, direction, READ_MAX)
                .await?;
            let hashes: Vec<_> = page.entries.iter().map(|(_, event)| *event).collect();
            let events = view.events(&hashes).await?;
            let sights = eyes.look(view, &self.facts, &events).await?;
            let mut seen = events.into_iter().zip(sights);
            if let Some((event, _)) = seen.find(|(_, sight)| sight.visible) {
                return Ok(Some(event));
            }
            passed = page.entries.last().map(|(place, _)| *place);
            if !page.more {
                break;
            }
        }
        Ok(None)
    }
}
