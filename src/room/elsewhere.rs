//! What is looked up at other servers for somebody: aliases, profiles, directories, spaces, moments.
//!
//! It exists so that whoever serves clients needs no network: the crate with the network implements
//! the port. Whoever implements it bounds the time and the size of each answer; whoever asks has
//! asked policy first. It knows nothing of what is shown to whom.

use ruma_common::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, ServerName, UserId,
};
use serde_json::{Map, Value, value::RawValue};

use crate::peers::PeerAnswer;

/// Servers that are asked one after another for the same thing.
pub const LOOKUP_SERVERS_MAX: usize = 3;

/// `GET /query/directory`: a room, and servers that are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAlias {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers to join by.
    pub servers: Vec<OwnedServerName>,
}

/// `GET` or `POST /publicRooms`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicRoomsAsk {
    /// How many rooms at most.
    pub limit: Option<u64>,
    /// A token of the other server's.
    pub since: Option<String>,
    /// `filter`: an object. Without, `GET` is used.
    pub filter: Option<Value>,
}

/// `GET /hierarchy/{roomId}`: a room and those right below it. Every room is JSON as it came.
#[derive(Debug, Clone)]
pub struct FoundSpace {
    /// The room, with `children_state`.
    pub room: Box<RawValue>,
    /// Rooms below it of which the server tells.
    pub children: Vec<Box<RawValue>>,
    /// Rooms below it of which the server says that we may not know.
    pub inaccessible_children: Vec<OwnedRoomId>,
}

/// `GET /timestamp_to_event/{roomId}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMoment {
    /// The event.
    pub event_id: OwnedEventId,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
}

/// Other servers, as far as somebody looks something up there.
pub trait Directory: Send + Sync {
    /// The room of an alias, asked of the alias's server.
    fn alias<'a>(&'a self, alias: &'a RoomAliasId) -> PeerAnswer<'a, FoundAlias>;

    /// The whole profile of a user, asked of their server. It may be some minutes old.
    fn profile<'a>(&'a self, user: &'a UserId) -> PeerAnswer<'a, Map<String, Value>>;

    /// A page of a server's published rooms: its answer, a JSON object.
    fn public_rooms<'a>(
        &'a self,
        server: &'a ServerName,
        ask: &'a PublicRoomsAsk,
    ) -> PeerAnswer<'a, Box<RawValue>>;

    /// A space, of the first of these servers that tells of it, [`LOOKUP_SERVERS_MAX`] at most. It
    /// may be some minutes old.
    fn space<'a>(
        &'a self,
        servers: &'a [OwnedServerName],
        room_id: &'a RoomId,
    ) -> PeerAnswer<'a, FoundSpace>;

    /// The event closest to a moment (milliseconds since the Unix epoch), then or later
    /// (`forward`), or then or earlier; of the first of these servers that has one.
    fn moment<'a>(
        &'a self,
        servers: &'a [OwnedServerName],
        room_id: &'a RoomId,
        at_ms: u64,
        forward: bool,
    ) -> PeerAnswer<'a, FoundMoment>;
}
