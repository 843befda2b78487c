//! Whom an event concerns: the servers in its room.
//!
//! Exists so that the router and a sender that catches up decide alike. Knows nothing of queues.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    GlobalRow, Membership, ReadError, RoomHead, RoomReader, Snapshot, StateError, StoredEvent,
};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName};
use serde::Deserialize;

/// Servers of one room that are told; beyond, they find out from others.
pub const ROOM_SERVERS_MAX: usize = 10_000;
/// Rows of one page of a room's servers.
const PAGE: usize = 1_000;
const MEMBER: &str = "m.room.member";

/// What decides whom an event concerns.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
    state_key: Option<String>,
    #[serde(default)]
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
struct Content {
    #[serde(default)]
    membership: Option<serde_json::Value>,
}

impl Told {
    pub(crate) fn of(event: &StoredEvent) -> Option<Self> {
        serde_json::from_str(&event.row.json).ok()
    }

    /// Who is told of it by this server, if its room has these servers. Of its own events, all,
    /// and the server of a member who was put out. Of others' events nobody, except for the
    /// membership of somebody whose server has just come or is not there: such an event came
    /// here by a handshake, and others may not know that server yet.
    pub(crate) fn targets(
        &self,
        own: &ServerName,
        servers: &BTreeMap<OwnedServerName, i64>,
    ) -> BTreeSet<OwnedServerName> {
        let sender = self.sender.server_name();
        let is_own = sender == own;
        let few = servers.get(sender).copied().unwrap_or(0) <= 1;
        let relayed = few && self.kind == MEMBER;
        if !(is_own || relayed) {
            return BTreeSet::new();
        }
        let mut targets: BTreeSet<_> = servers.keys().cloned().collect();
        targets.extend(self.put_out().filter(|_| is_own));
        targets.remove(own);
        targets.remove(sender);
        targets
    }

    /// The server of a member who was put out, which may no longer be in the room.
    fn put_out(&self) -> Option<OwnedServerName> {
        let membership = self.content.membership.as_ref()?.as_str()?;
        if self.kind != MEMBER || !matches!(membership, "leave" | "ban") {
            return None;
        }
        let member = OwnedUserId::try_from(self.state_key.as_deref()?).ok()?;
        Some(member.server_name().to_owned())
    }
}

/// The room and the event of an entry of the log, if it is one.
pub(crate) fn event_of(row: &GlobalRow) -> Option<(OwnedRoomId, EventHash)> {
    let GlobalRow::Event { room, event } = row else {
        return None;
    };
    Some((<&RoomId>::try_from(&**room).ok()?.to_owned(), *event))
}

/// The servers that are in a room now, each with how many of its users are joined.
pub(crate) async fn servers_in(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<BTreeMap<OwnedServerName, i64>, StateError> {
    let reader = RoomReader::new(snapshot, room);
    let Some(head) = reader.head().await? else {
        return Ok(BTreeMap::new());
    };
    match head.rows() {
        Some(epoch) => Ok(counted(&reader, epoch).await?),
        None => among_members(&reader, &head).await,
    }
}

async fn counted(
    reader: &RoomReader<'_>,
    epoch: u64,
) -> Result<BTreeMap<OwnedServerName, i64>, ReadError> {
    let mut servers = BTreeMap::new();
    let mut after: Option<OwnedServerName> = None;
    while servers.len() < ROOM_SERVERS_MAX {
        let page = reader.joined_servers(epoch, after.as_deref(), PAGE);
        let (found, next) = page.await?;
        servers.extend(found);
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(servers)
}

async fn among_members(
    reader: &RoomReader<'_>,
    head: &RoomHead,
) -> Result<BTreeMap<OwnedServerName, i64>, StateError> {
    let mut servers: BTreeMap<OwnedServerName, i64> = BTreeMap::new();
    let mut from = None;
    loop {
        let page = reader.current(head).members(from, PAGE).await?;
        for member in page.members {
            if member.membership == Membership::Join && servers.len() < ROOM_SERVERS_MAX {
                let server = member.user_id.server_name().to_owned();
                *servers.entry(server).or_default() += 1;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(servers);
        }
    }
}
