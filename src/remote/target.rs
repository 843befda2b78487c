//! Whom an event concerns: the servers in its room.
//!
//! Exists so that the router and a sender that catches up decide alike. Knows nothing of queues.

use std::collections::BTreeSet;

use belfry_data::{
    GlobalRow, Membership, ReadError, RoomHead, RoomReader, Snapshot, StateError, StoredEvent,
};
use belfry_event::EventHash;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName};
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
    #[serde(default)]
    prev_events: Vec<OwnedEventId>,
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

    /// Who is told of it by this server, if its room has these servers: of its own events, and of
    /// those that came by a handshake with it, all of them, and the server of a member who was put
    /// out; of others' events nobody.
    pub(crate) fn targets(
        &self,
        own: &ServerName,
        servers: &BTreeSet<OwnedServerName>,
        relayed: bool,
    ) -> BTreeSet<OwnedServerName> {
        let sender = self.sender.server_name();
        if sender != own && !relayed {
            return BTreeSet::new();
        }
        let mut targets = servers.clone();
        targets.extend(self.put_out());
        targets.remove(own);
        targets.remove(sender);
        targets
    }

    /// The server of another's user who comes into the room, or is in it already.
    pub(crate) fn entrant(&self, own: &ServerName) -> Option<OwnedServerName> {
        let membership = self.content.membership.as_ref()?.as_str()?;
        let server = self.sender.server_name();
        let comes = self.kind == MEMBER && membership == "join" && server != own;
        comes.then(|| server.to_owned())
    }

    /// Whether a user of this server sent it.
    pub(crate) fn is_of(&self, own: &ServerName) -> bool {
        self.sender.server_name() == own
    }

    /// The events before it, if it may be the one by which this server came into the room: then they
    /// are missing here, and whoever let it in tells the others.
    pub(crate) fn before_entry(&self, own: &ServerName) -> Vec<EventHash> {
        let membership = self.content.membership.as_ref();
        let joins = membership.and_then(|it| it.as_str()) == Some("join");
        if self.kind != MEMBER || !joins || self.sender.server_name() != own {
            return Vec::new();
        }
        let ids = self.prev_events.iter();
        ids.filter_map(|id| EventHash::from_any_event_id(id).ok())
            .collect()
    }

    /// The server of a member who left or was put out, which may no longer be in the room.
    fn put_out(&self) -> Option<OwnedServerName> {
        let membership = self.content.membership.as_ref()?.as_str()?;
        if self.kind != MEMBER || !matches!(membership, "leave" | "ban") {
            return None;
        }
        let member = OwnedUserId::try_from(self.state_key.as_deref()?).ok()?;
        Some(member.server_name().to_owned())
    }
}

/// The room and the event of an entry of the log, if it is one, and whether it is there because this
/// server is to tell the others of another's event.
pub(crate) fn event_of(row: &GlobalRow) -> Option<(OwnedRoomId, EventHash, bool)> {
    let (room, event, relayed) = match row {
        GlobalRow::Event { room, event } => (room, event, false),
        GlobalRow::Relay { room, event } => (room, event, true),
        _ => return None,
    };
    let room = <&RoomId>::try_from(&**room).ok()?.to_owned();
    Some((room, *event, relayed))
}

/// The servers that are in a room now.
pub(crate) async fn servers_in(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<BTreeSet<OwnedServerName>, StateError> {
    let reader = RoomReader::new(snapshot, room);
    let Some(head) = reader.head().await? else {
        return Ok(BTreeSet::new());
    };
    match head.rows() {
        Some(epoch) => Ok(counted(&reader, epoch).await?),
        None => among_members(&reader, &head).await,
    }
}

async fn counted(
    reader: &RoomReader<'_>,
    epoch: u64,
) -> Result<BTreeSet<OwnedServerName>, ReadError> {
    let mut servers = BTreeSet::new();
    let mut after: Option<OwnedServerName> = None;
    while servers.len() < ROOM_SERVERS_MAX {
        let page = reader.joined_servers(epoch, after.as_deref(), PAGE);
        let (found, next) = page.await?;
        servers.extend(found.into_iter().map(|(server, _)| server));
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
) -> Result<BTreeSet<OwnedServerName>, StateError> {
    let mut servers: BTreeSet<OwnedServerName> = BTreeSet::new();
    let mut from = None;
    loop {
        let page = reader.current(head).members(from, PAGE).await?;
        for member in page.members {
            if member.membership == Membership::Join && servers.len() < ROOM_SERVERS_MAX {
                let server = member.user_id.server_name().to_owned();
                servers.insert(server);
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(servers);
        }
    }
}
