//! Which other servers are asked for what is missing of a room.
//!
//! It exists so that one server which is away, or does not have an event, does not keep a room
//! waiting. It knows nothing of what is asked for.

use std::collections::BTreeMap;

use belfry_data::{Membership, RoomReader};
use ruma_common::{OwnedServerName, RoomId, ServerName};

use crate::error::RoomError;
use crate::rooms::Shared;

/// Servers that are asked, one after the other.
pub(crate) const SOURCES_MAX: usize = 4;
/// Members that are looked through for servers.
const MEMBERS_MAX: usize = 500;

impl Shared {
    /// The servers to ask: first the likely ones, then those with most users in the room, which
    /// have most of its history.
    pub(crate) async fn sources(
        &self,
        room_id: &RoomId,
        likely: &[&ServerName],
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let page = reader.current(&head).members(None, MEMBERS_MAX).await?;
        let mut users: BTreeMap<OwnedServerName, usize> = BTreeMap::new();
        for member in page.members {
            if member.membership == Membership::Join {
                let server = member.user_id.server_name().to_owned();
                *users.entry(server).or_default() += 1;
            }
        }
        let mut most: Vec<_> = users.into_iter().collect();
        most.sort_by_key(|(server, users)| (std::cmp::Reverse(*users), server.clone()));
        let local = &self.identity.server_name;
        let mut sources: Vec<OwnedServerName> = Vec::new();
        let likely = likely.iter().map(|server| (*server).to_owned());
        for server in likely.chain(most.into_iter().map(|(server, _)| server)) {
            if server != *local && !sources.contains(&server) {
                sources.push(server);
            }
        }
        sources.truncate(SOURCES_MAX);
        Ok(sources)
    }
}
