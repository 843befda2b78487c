//! The server-server API: what other servers ask of this one.
//!
//! Handlers translate, as those of clients do: each takes an authenticated [`ask::Ask`], asks a
//! domain crate, and answers in JSON. Events go through as text: rooms check every one. Knows
//! nothing of how other servers are reached; their keys come by a port.

mod ask;
mod directory;
mod edu;
mod key;
mod media;
mod membership;
mod query;
mod reading;
mod transaction;
mod user;
mod x_matrix;

#[cfg(test)]
mod federation_tests;
#[cfg(test)]
mod media_tests;

use std::{sync::Arc, time::Duration};

use belfry_policy::Purpose;
use belfry_room::{Directory, Keys};
use belfry_user::PresenceState;
use futures_util::future::BoxFuture;
use http::Method;
use ruma_common::{EventId, OwnedServerName, RoomId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::ask::{Ask, Turns};
use crate::{
    edge::{Ctx, JsonText, Routes, Rule},
    error::ApiError,
    state::Api,
};

/// A path of the server-server API.
macro_rules! v1 {
    ($path:literal) => {
        concat!("/_matrix/federation/v1/", $path)
    };
}
/// A path of its second version.
macro_rules! v2 {
    ($path:literal) => {
        concat!("/_matrix/federation/v2/", $path)
    };
}

/// How long a request may take; a join of a large room takes longest.
pub const FEDERATION_TIME_MAX: Duration = Duration::from_mins(5);

/// What the crate with the network does for those who ask: a port.
pub trait Gateway: Send + Sync {
    /// A server has proved that it is there: what waits for it can be sent.
    fn heard_of(&self, server: &ServerName);

    /// How it stands with other servers; not more than an answer may hold.
    fn destinations(&self) -> Vec<(OwnedServerName, Destination)>;

    /// Tells the other servers in the room what may be lost: an EDU, whole, as JSON. What has the
    /// same `key` and was not sent yet is replaced.
    fn tell_room(&self, room: &RoomId, key: String, edu: String);

    /// The same for the other servers that share a room with a user of this one.
    fn tell_neighbours(&self, user: &UserId, key: String, edu: String);

    /// Our key document, signed, as JSON; `None` if it cannot be made.
    fn own(&self) -> Option<String>;

    /// The documents of these servers, each with when it must still be valid (milliseconds since
    /// the Unix epoch), signed by us as well; those that are to be had.
    fn notarise(&self, wanted: Vec<(OwnedServerName, u64)>) -> BoxFuture<'_, Vec<String>>;
}

/// How it stands with another server, as administrators are shown it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Events that wait in memory.
    pub queued: usize,
    /// EDUs that may be lost and wait.
    pub passing: usize,
    /// Whether it is told, room by room, what it missed.
    pub catching_up: bool,
    /// Transactions in a row that it did not take.
    pub failures: u32,
    /// In how many milliseconds it is tried again, if it failed.
    pub retry_in_ms: Option<u64>,
    /// When it was heard of last since the start, in milliseconds since the Unix epoch.
    pub last_heard_ts: Option<u64>,
}

/// What handlers need to answer other servers. Cheap to clone.
#[derive(Clone)]
pub struct Federation(Arc<Shared>, Option<Arc<dyn Directory>>);

struct Shared {
    server: OwnedServerName,
    ports: Option<Ports>,
    turns: Turns,
}

struct Ports {
    keys: Arc<dyn Keys>,
    gateway: Arc<dyn Gateway>,
}

impl Federation {
    /// Other servers are answered.
    pub fn on(server: OwnedServerName, keys: Arc<dyn Keys>, gateway: Arc<dyn Gateway>) -> Self {
        Self::with(server, Some(Ports { keys, gateway }))
    }

    /// Nobody is: the endpoints are not there.
    pub fn off(server: OwnedServerName) -> Self {
        Self::with(server, None)
    }

    fn with(server: OwnedServerName, ports: Option<Ports>) -> Self {
        let shared = Shared {
            server,
            ports,
            turns: Turns::default(),
        };
        Self(Arc::new(shared), None)
    }

    /// The same with a way to look things up at other servers.
    #[must_use]
    pub fn looking_up(self, directory: Arc<dyn Directory>) -> Self {
        Self(self.0, Some(directory))
    }

    /// Where things are looked up that other servers have, if anything is.
    pub(crate) fn directory(&self) -> Option<&dyn Directory> {
        self.1.as_deref()
    }

    /// Whether other servers are answered.
    pub fn is_on(&self) -> bool {
        self.0.ports.is_some()
    }

    /// This server's name.
    pub(crate) fn server(&self) -> &ServerName {
        &self.0.server
    }

    /// A user of this server types in a room, or no longer does.
    pub(crate) fn tell_typing(&self, room: &RoomId, user: &UserId, typing: bool) {
        let edu = json!({
            "edu_type": "m.typing",
            "content": {"room_id": room, "user_id": user, "typing": typing},
        });
        self.tell(room, format!("typing {room} {user}"), &edu);
    }

    /// A user of this server has read up to an event.
    pub(crate) fn tell_receipt(
        &self,
        room: &RoomId,
        user: &UserId,
        event: &EventId,
        (thread, ts): (Option<&str>, u64),
    ) {
        let mut data = json!({"ts": ts});
        if let Some(thread) = thread {
            data["thread_id"] = json!(thread);
        }
        let receipt = json!({user.as_str(): {"event_ids": [event], "data": data}});
        let edu = json!({
            "edu_type": "m.receipt",
            "content": {room.as_str(): {"m.read": receipt}},
        });
        let thread = thread.unwrap_or_default();
        self.tell(room, format!("receipt {room} {user} {thread}"), &edu);
    }

    /// What a user of this server says of their presence.
    pub(crate) fn tell_presence(&self, user: &UserId, state: PresenceState, status: Option<&str>) {
        let Some(ports) = &self.0.ports else { return };
        let mut update = json!({
            "user_id": user,
            "presence": state.name(),
            "last_active_ago": 0,
            "currently_active": state == PresenceState::Online,
        });
        if let Some(status) = status {
            update["status_msg"] = json!(status);
        }
        let edu = json!({"edu_type": "m.presence", "content": {"push": [update]}});
        let key = format!("presence {user}");
        ports.gateway.tell_neighbours(user, key, edu.to_string());
    }

    fn tell(&self, room: &RoomId, key: String, edu: &Value) {
        if let Some(ports) = &self.0.ports {
            ports.gateway.tell_room(room, key, edu.to_string());
        }
    }

    pub(crate) fn keys(&self) -> Result<&dyn Keys, ApiError> {
        self.ports().map(|ports| &*ports.keys)
    }

    pub(crate) fn gateway(&self) -> Result<&dyn Gateway, ApiError> {
        self.ports().map(|ports| &*ports.gateway)
    }

    /// How it stands with other servers; `None` if rooms are not shared with any. For whoever runs
    /// the server: nobody's rights are asked for.
    pub fn destinations(&self) -> Option<Vec<(OwnedServerName, Destination)>> {
        let ports = self.0.ports.as_ref();
        ports.map(|ports| ports.gateway.destinations())
    }

    /// Has a server that did not answer tried again now; `false` if rooms are not shared with any.
    pub fn retry(&self, server: &ServerName) -> bool {
        let ports = self.0.ports.as_ref();
        ports
            .inspect(|ports| ports.gateway.heard_of(server))
            .is_some()
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn ports(&self) -> Result<&Ports, ApiError> {
        let ports = self.0.ports.as_ref();
        ports.ok_or_else(|| ApiError::fault("federation is off"))
    }
}

/// Adds every endpoint that other servers use.
pub(crate) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let routes = keys_and_version(routes);
    let routes = media::routes(routes);
    let routes = events(routes);
    let routes = handshakes(routes);
    let routes = sent_memberships(routes);
    queries(routes)
}

fn keys_and_version(routes: Routes<Api>) -> Routes<Api> {
    let time_max = FEDERATION_TIME_MAX;
    let (get, post) = (Method::GET, Method::POST);
    let version = "/_matrix/federation/v1/version";
    let one = "/_matrix/key/v2/query/{serverName}";
    routes
        .serve_by(&get, version, time_max, query::version)
        .serve_by(&get, v1!("openid/userinfo"), time_max, user::userinfo)
        .serve_by(&get, "/_matrix/key/v2/server", time_max, key::own)
        .serve_by(&get, one, time_max, key::query_one)
        .serve_by(&post, "/_matrix/key/v2/query", time_max, key::query_many)
}

fn events(routes: Routes<Api>) -> Routes<Api> {
    let read = (Rule::NONE, Purpose::Exchange);
    let send = (Rule::TRANSACTION, Purpose::Exchange);
    let missing = (Rule::FORM, Purpose::Exchange);
    let chain = v1!("event_auth/{roomId}/{eventId}");
    let gap = v1!("get_missing_events/{roomId}");
    Signed(routes)
        .put(v1!("send/{txnId}"), send, transaction::send)
        .get(v1!("event/{eventId}"), read, reading::event)
        .get(v1!("state/{roomId}"), read, reading::state)
        .get(v1!("state_ids/{roomId}"), read, reading::state_ids)
        .get(chain, read, reading::event_auth)
        .get(v1!("backfill/{roomId}"), read, reading::backfill)
        .post(gap, missing, reading::missing_events)
        .0
}

fn handshakes(routes: Routes<Api>) -> Routes<Api> {
    let join = (Rule::NONE, Purpose::Join);
    let leave = (Rule::NONE, Purpose::Exchange);
    let knock = (Rule::NONE, Purpose::Knock);
    Signed(routes)
        .get(
            v1!("make_join/{roomId}/{userId}"),
            join,
            membership::make_join,
        )
        .get(
            v1!("make_leave/{roomId}/{userId}"),
            leave,
            membership::make_leave,
        )
        .get(
            v1!("make_knock/{roomId}/{userId}"),
            knock,
            membership::make_knock,
        )
        .0
}

fn sent_memberships(routes: Routes<Api>) -> Routes<Api> {
    let join = (Rule::EVENT, Purpose::Join);
    let leave = (Rule::EVENT, Purpose::Exchange);
    let knock = (Rule::EVENT, Purpose::Knock);
    let invite = (Rule::FORM, Purpose::Invite);
    let knock_path = v1!("send_knock/{roomId}/{eventId}");
    Signed(routes)
        .put(
            v1!("send_join/{roomId}/{eventId}"),
            join,
            membership::send_join_v1,
        )
        .put(
            v2!("send_join/{roomId}/{eventId}"),
            join,
            membership::send_join,
        )
        .put(
            v1!("send_leave/{roomId}/{eventId}"),
            leave,
            membership::send_leave_v1,
        )
        .put(
            v2!("send_leave/{roomId}/{eventId}"),
            leave,
            membership::send_leave,
        )
        .put(knock_path, knock, membership::send_knock)
        .put(
            v1!("invite/{roomId}/{eventId}"),
            invite,
            membership::invite_v1,
        )
        .put(v2!("invite/{roomId}/{eventId}"), invite, membership::invite)
        .put(
            v1!("exchange_third_party_invite/{roomId}"),
            invite,
            membership::exchange_third_party,
        )
        .0
}

fn queries(routes: Routes<Api>) -> Routes<Api> {
    let profile = (Rule::NONE, Purpose::Profile);
    let directory = (Rule::NONE, Purpose::Directory);
    let keys = (Rule::FORM, Purpose::Keys);
    let devices = (Rule::NONE, Purpose::Keys);
    let search = (Rule::FORM, Purpose::Directory);
    let moment = (Rule::NONE, Purpose::Exchange);
    let space = v1!("hierarchy/{roomId}");
    let at = v1!("timestamp_to_event/{roomId}");
    let rooms = v1!("publicRooms");
    let other = v1!("query/{queryType}");
    Signed(routes)
        .get(rooms, directory, directory::public_rooms)
        .post(rooms, search, directory::filtered_public_rooms)
        .get(space, directory, directory::hierarchy)
        .get(at, moment, directory::moment)
        .get(v1!("user/devices/{userId}"), devices, user::devices)
        .get(other, directory, directory::unknown_query)
        .post(v1!("user/keys/query"), keys, user::query_keys)
        .post(v1!("user/keys/claim"), keys, user::claim_keys)
        .get(v1!("query/profile"), profile, query::profile)
        .get(v1!("query/directory"), directory, query::directory)
        .0
}

/// A route table to which endpoints are added that only signed requests reach.
struct Signed(Routes<Api>);

impl Signed {
    fn get<F, Fut>(self, path: &'static str, rule: (Rule, Purpose), handler: F) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        self.serve(&Method::GET, path, rule, handler)
    }

    fn put<F, Fut>(self, path: &'static str, rule: (Rule, Purpose), handler: F) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        self.serve(&Method::PUT, path, rule, handler)
    }

    fn post<F, Fut>(self, path: &'static str, rule: (Rule, Purpose), handler: F) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        self.serve(&Method::POST, path, rule, handler)
    }

    fn serve<F, Fut>(
        self,
        method: &Method,
        path: &'static str,
        rule: (Rule, Purpose),
        handler: F,
    ) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        let answer = move |api: Api, _: Ctx, request| {
            let handler = handler.clone();
            async move {
                let ask = ask::accept(&api, rule, request).await?;
                let _running = api.federation.turns().take(&ask.origin).await?;
                handler(api.clone(), ask).await
            }
        };
        Self(self.0.serve_by(method, path, FEDERATION_TIME_MAX, answer))
    }
}
