//! History that this server does not have, fetched from others while a client waits for a page.
//!
//! Exists so that a page which ends at a gap is asked for again once the gap is filled. Knows nothing
//! of which servers are asked; if none answers in time, the page is what this server has.

use std::time::Duration;

use axum::extract::FromRef;
use belfry_env::Moment;
use belfry_room::{BACKFILL_MAX, Rooms};
use ruma_common::RoomId;

use crate::{edge::Edge, state::Api};

/// How often one page is asked for again because a gap was filled.
const FILLINGS_MAX: usize = 3;
/// How long a client waits for other servers, in all.
const FILLING_TIME_MAX: Duration = Duration::from_secs(20);

/// Other servers, as far as they have history.
pub(crate) struct History {
    rooms: Rooms,
    edge: Edge,
    is_on: bool,
}

impl FromRef<Api> for History {
    fn from_ref(api: &Api) -> Self {
        Self {
            rooms: api.rooms.clone(),
            edge: api.edge.clone(),
            is_on: api.federation.is_on(),
        }
    }
}

impl History {
    /// The gaps of a room, for one request.
    pub(crate) fn gaps<'h>(&'h self, room_id: &'h RoomId) -> Gaps<'h> {
        Gaps {
            history: self,
            room_id,
            deadline: self.edge.clock().now() + FILLING_TIME_MAX,
            left: FILLINGS_MAX,
        }
    }
}

/// What one request may still have filled.
pub(crate) struct Gaps<'h> {
    history: &'h History,
    room_id: &'h RoomId,
    deadline: Moment,
    left: usize,
}

impl Gaps<'_> {
    /// Has the gap at this depth filled, if there is one; whether what was asked for may look
    /// otherwise now.
    pub(crate) async fn fill(&mut self, gap: Option<i64>) -> bool {
        let Some(depth) = gap.filter(|_| self.history.is_on && self.left > 0) else {
            return false;
        };
        self.left -= 1;
        let (clock, room_id) = (self.history.edge.clock(), self.room_id);
        let span = self.deadline.since(clock.now());
        let filled = self.history.rooms.backfill(room_id, depth, BACKFILL_MAX);
        match clock.within(span, filled).await {
            Ok(Ok(added)) => added > 0,
            Ok(Err(error)) => {
                tracing::debug!(%room_id, %error, "history was not to be had");
                false
            }
            Err(_) => false,
        }
    }
}
