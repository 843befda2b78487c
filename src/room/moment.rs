//! The event closest to a moment, for other servers, and whom to ask for one.
//!
//! It exists so that jumping to a date works in rooms whose history lies elsewhere. It knows nothing
//! of HTTP.

use belfry_data::{Acceptance, Direction, RoomReader, TimePoint};
use ruma_common::{OwnedServerName, RoomId, ServerName};

use crate::elsewhere::{FoundMoment, LOOKUP_SERVERS_MAX};
use crate::error::RoomError;
use crate::rooms::Rooms;
use crate::sight::Sight;

/// Events looked at in search of one that the server may see.
pub const SERVED_MOMENTS_MAX: usize = 200;
/// Events read at once.
const READ_MAX: usize = 50;
/// Servers of a room among which those are chosen that are asked.
const SERVERS_LOOKED_AT: usize = 100;

impl Rooms {
    /// `GET /timestamp_to_event/{roomId}`: the event closest to a moment that the server may see,
    /// then or later (`forward`), or then or earlier.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] unless the server is in the room; [`RoomError::UnknownEvent`].
    pub async fn serve_moment(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        at_ms: u64,
        forward: bool,
    ) -> Result<FoundMoment, RoomError> {
        let rules = self.0.inside(origin, room_id).await?;
        let sight = Sight::of(&self.0, room_id, origin).await?;
        let direction = if forward {
            Direction::Forward
        } else {
            Direction::Backward
        };
        let mut passed: Option<TimePoint> = None;
        for _ in 0..SERVED_MOMENTS_MAX / READ_MAX {
            let snapshot = self.0.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, room_id);
            let page = reader.by_time(at_ms, passed, direction, READ_MAX).await?;
            let hashes: Vec<_> = page.entries.iter().map(|(_, event)| *event).collect();
            for found in reader.events(&hashes).await?.into_iter().flatten() {
                let placed = !found.row.is_outlier();
                if !placed || found.row.acceptance == Acceptance::Rejected {
                    continue;
                }
                let pdu = found.pdu(rules);
                let pdu = pdu.map_err(|error| RoomError::Fault(error.to_string()))?;
                if sight.sees(&self.0, room_id, &pdu, &found).await? {
                    return Ok(FoundMoment {
                        event_id: pdu.event_id().clone(),
                        origin_server_ts: pdu.origin_server_ts().get().into(),
                    });
                }
            }
            passed = page.entries.last().map(|(place, _)| *place);
            if !page.more {
                break;
            }
        }
        Err(RoomError::UnknownEvent)
    }

    /// Other servers in the room, those with most users first, [`LOOKUP_SERVERS_MAX`] at most.
    pub async fn other_servers(&self, room_id: &RoomId) -> Result<Vec<OwnedServerName>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        // While rows are being rebuilt nobody is asked: a moment later they are there.
        let Some(epoch) = head.rows() else {
            return Ok(Vec::new());
        };
        let (mut servers, _) = reader
            .joined_servers(epoch, None, SERVERS_LOOKED_AT)
            .await?;
        servers.retain(|(server, _)| *server != self.0.identity.server_name);
        servers.sort_by_key(|(server, users)| (std::cmp::Reverse(*users), server.clone()));
        let servers = servers.into_iter().map(|(server, _)| server);
        Ok(servers.take(LOOKUP_SERVERS_MAX).collect())
    }
}
