//! What rooms ask of other servers: the ports that the crate with the network implements.
//!
//! It exists so that a room's worker, and what prepares events for it, needs no network: tests
//! give it peers that are values. It knows nothing of HTTP, of discovery, of authentication, and of
//! how keys are fetched or kept.
//!
//! Whoever implements the ports bounds the time and the size of each call (the spec sets no time;
//! an answer beyond [`PEER_ANSWER_BYTES_MAX`] is [`PeerError::Malformed`]), signs the requests, and
//! backs off from servers that fail. It hands events over as they came: rooms check format, hash,
//! signatures, room and authorisation of every one, whoever sent it.

use belfry_data::BoxFuture;
use belfry_event::KeyRing;
use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName, RoomId, RoomVersionId,
    ServerName, UserId,
};
use serde_json::value::RawValue;

/// Longest body of an answer that a port passes on, in bytes: that of a join of a very large room.
pub const PEER_ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Events that [`Peers::missing_events`] is asked for at a time, and gives on request.
pub const MISSING_EVENTS_MAX: usize = 20;
/// Events that [`Peers::backfill`] is asked for at a time, and gives on request.
pub const BACKFILL_MAX: usize = 100;

/// What a call of [`Peers`] gives.
pub type PeerAnswer<'a, T> = BoxFuture<'a, Result<T, PeerError>>;

/// Why another server's answer is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It was not reached in time, is backed off from, or policy forbids to speak to it.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with an error (a status other than 200).
    #[error("{errcode}: {error}")]
    Refused {
        /// Its `errcode`; `M_UNKNOWN` if it gave none.
        errcode: String,
        /// Its `error`, for people; at most some hundred characters of it.
        error: String,
    },
    /// It answered with what the endpoint does not give, or with more than is taken.
    #[error("{0}")]
    Malformed(String),
}

/// The keys of one server that an event needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWanted {
    /// Whose.
    pub server: OwnedServerName,
    /// The key IDs (`ed25519:…`) on the event; any one that is known is enough.
    pub key_ids: Vec<String>,
    /// When they must have been valid; `None` if that does not matter (old room versions).
    pub valid_at: Option<MilliSecondsSinceUnixEpoch>,
}

/// The signing keys of servers.
pub trait Keys: Send + Sync {
    /// The keys that are known here: asks nobody. Keys that were not asked for do no harm.
    fn held<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing>;

    /// The same, fetching those that are not known or too old, from the servers or a notary, within
    /// a bounded time. A key that is not to be had is not in the ring.
    fn fetch<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing>;

    /// The same; where a server does not answer for itself, `witness` is asked whether it still uses
    /// the keys that are known of it. The witness is not believed: it hands on what those keys signed.
    fn fetch_by<'a>(
        &'a self,
        wanted: &'a [KeyWanted],
        witness: &'a ServerName,
    ) -> BoxFuture<'a, KeyRing> {
        _ = witness;
        self.fetch(wanted)
    }
}

/// `POST /get_missing_events/{roomId}`: asked of others, and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEvents {
    /// `earliest_events`: what the asker has; at most 20 are sent.
    pub earliest: Vec<OwnedEventId>,
    /// `latest_events`: whose ancestors it lacks.
    pub latest: Vec<OwnedEventId>,
    /// `limit`, at most [`MISSING_EVENTS_MAX`].
    pub limit: usize,
    /// `min_depth`.
    pub min_depth: i64,
}

/// `GET /state_ids/{roomId}`: the state before an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateIds {
    /// `pdu_ids`: the state.
    pub pdu_ids: Vec<OwnedEventId>,
    /// `auth_chain_ids`: the full auth chain of it.
    pub auth_chain_ids: Vec<OwnedEventId>,
}

/// `GET /state/{roomId}`: the same with the events.
#[derive(Debug, Clone, Default)]
pub struct StateEvents {
    /// `pdus`: the state.
    pub pdus: Vec<Box<RawValue>>,
    /// `auth_chain`: the full auth chain of it.
    pub auth_chain: Vec<Box<RawValue>>,
}

/// Which handshake: `make_join` and `send_join`, or those for leaving and knocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// `make_join`, `PUT /v2/send_join`.
    Join,
    /// `make_leave`, `PUT /v2/send_leave`: of somebody who is invited, knocks or is joined.
    Leave,
    /// `make_knock`, `PUT /v1/send_knock`.
    Knock,
}

impl Handshake {
    /// The `membership` of the event.
    pub const fn membership(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Knock => "knock",
        }
    }
}

/// What `make_join`, `make_leave` and `make_knock` give.
#[derive(Debug, Clone)]
pub struct Template {
    /// `room_version`.
    pub room_version: RoomVersionId,
    /// `event`: unsigned, to be completed by whoever asked.
    pub event: Box<RawValue>,
}

/// What `PUT /v2/send_join` gives.
#[derive(Debug, Clone, Default)]
pub struct JoinAnswer {
    /// `event`: the join, if the resident server signed it as well (restricted rooms).
    pub event: Option<Box<RawValue>>,
    /// `state`: the state before the join; without members if `members_omitted`.
    pub state: Vec<Box<RawValue>>,
    /// `auth_chain`: the auth chains of the state and the join.
    pub auth_chain: Vec<Box<RawValue>>,
    /// `members_omitted`. Rooms never ask for it, and give up a join that is answered so.
    pub members_omitted: bool,
    /// `servers_in_room`, only with `members_omitted`.
    pub servers_in_room: Vec<OwnedServerName>,
}

/// `PUT /v2/invite/{roomId}/{eventId}`.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// `room_version`.
    pub room_version: RoomVersionId,
    /// `event`: the invite, signed by the inviting server.
    pub event: Box<RawValue>,
    /// `invite_room_state`: events of the federation format (room version 12 and the spec from
    /// v1.16 on), or stripped ones (`type`, `state_key`, `content`, `sender`).
    pub invite_room_state: Vec<Box<RawValue>>,
}

/// Other servers, as far as rooms need them. Every call names the server that is asked.
pub trait Peers: Send + Sync {
    /// `POST /get_missing_events/{roomId}`; any order.
    fn missing_events<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        ask: &'a MissingEvents,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>>;

    /// `GET /state_ids/{roomId}?event_id=`.
    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateIds>;

    /// `GET /state/{roomId}?event_id=`.
    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateEvents>;

    /// `GET /event/{eventId}`: the one event of the answer.
    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Box<RawValue>>;

    /// `GET /event_auth/{roomId}/{eventId}`: the full auth chain.
    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>>;

    /// `GET /backfill/{roomId}?v=…&limit=`.
    fn backfill<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        from: &'a [OwnedEventId],
        limit: usize,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>>;

    /// `GET /make_join|make_leave|make_knock/{roomId}/{userId}`, with every `ver` of `versions`
    /// (a leave is asked without).
    fn make<'a>(
        &'a self,
        server: &'a ServerName,
        handshake: Handshake,
        room_id: &'a RoomId,
        user_id: &'a UserId,
        versions: &'a [RoomVersionId],
    ) -> PeerAnswer<'a, Template>;

    /// `PUT /v2/send_join/{roomId}/{eventId}?omit_members=false`.
    fn send_join<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, JoinAnswer>;

    /// `PUT /v2/send_leave/{roomId}/{eventId}`.
    fn send_leave<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, ()>;

    /// `PUT /v1/send_knock/{roomId}/{eventId}`: `knock_room_state`.
    fn send_knock<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>>;

    /// `POST /_matrix/policy/v1/sign`: the policy server's signature on the event.
    fn recommend<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, String>;

    /// `PUT /v2/invite/{roomId}/{eventId}`: the invite, signed by the invited server as well.
    fn invite<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        invitation: &'a Invitation,
    ) -> PeerAnswer<'a, Box<RawValue>>;
}
