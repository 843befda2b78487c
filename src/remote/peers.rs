//! Questions to other servers, as rooms ask them.
//!
//! Exists so that rooms know no paths: each call here is one endpoint of the server-server API, a
//! signed request with limits, and an answer read as far as its shape. Events in it are handed on
//! as they came. Knows nothing of what they mean.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_event::POLICY_KEY_ID;
use belfry_policy::Purpose;
use belfry_room::{
    BACKFILL_MAX, Handshake, Invitation, JoinAnswer, MISSING_EVENTS_MAX, MissingEvents,
    PEER_ANSWER_BYTES_MAX, PeerAnswer, PeerError, Peers, StateEvents, StateIds, Template,
};
use http::Method;
use ruma_common::{
    EventId, OwnedEventId, OwnedServerName, RoomId, RoomVersionId, ServerName, UserId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    client::{Client, Path},
    fetch::Limits,
};

/// What an answer of one or a few events may cost.
const SMALL: Limits = Limits {
    bytes_max: 4 * 1024 * 1024,
    time_max: Duration::from_secs(30),
    redirects_max: 0,
};
/// What a room's state may cost.
const STATE: Limits = Limits {
    bytes_max: 128 * 1024 * 1024,
    time_max: Duration::from_mins(3),
    redirects_max: 0,
};
/// What a join may cost.
const JOIN: Limits = Limits {
    bytes_max: PEER_ANSWER_BYTES_MAX,
    time_max: Duration::from_mins(10),
    redirects_max: 0,
};
/// Events of a state or an auth chain that are passed on.
const STATE_EVENTS_MAX: usize = 1_000_000;
/// Server names of a join's answer that are passed on.
const SERVERS_MAX: usize = 10_000;

const V1: &str = "/_matrix/federation/v1";
const V2: &str = "/_matrix/federation/v2";

/// The other servers, by signed requests.
pub struct SignedPeers(Arc<Client>);

impl SignedPeers {
    /// By this client.
    pub fn new(client: Arc<Client>) -> Self {
        Self(client)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        path: Path,
        limits: Limits,
    ) -> Result<T, PeerError> {
        self.0.ask(server, Method::GET, path, None, limits).await
    }

    async fn put<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        path: Path,
        content: &RawValue,
        limits: Limits,
    ) -> Result<T, PeerError> {
        let content = Some(content);
        self.0.ask(server, Method::PUT, path, content, limits).await
    }
}

/// What a template is asked for.
fn purpose(handshake: Handshake) -> Purpose {
    match handshake {
        Handshake::Join => Purpose::Join,
        Handshake::Knock => Purpose::Knock,
        Handshake::Leave => Purpose::Exchange,
    }
}

/// At most so many, or the answer is not taken.
fn at_most<T>(max: usize, items: Vec<T>) -> Result<Vec<T>, PeerError> {
    if items.len() > max {
        let text = format!("{} items where at most {max} were asked for", items.len());
        return Err(PeerError::Malformed(text));
    }
    Ok(items)
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Pdus {
    pdus: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct AuthChain {
    auth_chain: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct State {
    pdus: Vec<Box<RawValue>>,
    auth_chain: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Ids {
    pdu_ids: Vec<OwnedEventId>,
    auth_chain_ids: Vec<OwnedEventId>,
}

#[derive(Deserialize)]
struct Made {
    #[serde(default = "version_one")]
    room_version: RoomVersionId,
    event: Box<RawValue>,
}

/// The version of rooms of before there were versions.
fn version_one() -> RoomVersionId {
    RoomVersionId::V1
}

#[derive(Deserialize)]
struct Joined {
    event: Option<Box<RawValue>>,
    state: Vec<Box<RawValue>>,
    auth_chain: Vec<Box<RawValue>>,
    #[serde(default)]
    members_omitted: bool,
    #[serde(default)]
    servers_in_room: Vec<String>,
}

#[derive(Deserialize)]
struct Knocked {
    knock_room_state: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the spec's names")]
struct Invite<'i> {
    room_version: &'i RoomVersionId,
    event: &'i RawValue,
    invite_room_state: &'i [Box<RawValue>],
}

#[derive(Deserialize)]
struct Invited {
    event: Box<RawValue>,
}

#[derive(Serialize)]
struct Missing<'m> {
    earliest_events: &'m [OwnedEventId],
    latest_events: &'m [OwnedEventId],
    limit: usize,
    min_depth: i64,
}

fn malformed(error: &serde_json::Error) -> PeerError {
    PeerError::Malformed(error.to_string())
}

impl Peers for SignedPeers {
    fn missing_events<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        ask: &'a MissingEvents,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let limit = ask.limit.min(MISSING_EVENTS_MAX);
            let content = to_raw_value(&Missing {
                earliest_events: &ask.earliest,
                latest_events: &ask.latest,
                limit,
                min_depth: ask.min_depth,
            });
            let content = content.map_err(|error| malformed(&error))?;
            let path = Path::new(Purpose::Exchange, V1)
                .segment("get_missing_events")
                .segment(room_id.as_str());
            let answered = self
                .0
                .ask(server, Method::POST, path, Some(&*content), SMALL);
            let answer: Events = answered.await?;
            at_most(limit, answer.events)
        })
    }

    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateIds> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V1)
                .segment("state_ids")
                .segment(room_id.as_str());
            let path = path.query("event_id", event_id.as_str());
            let answer: Ids = self.get(server, path, STATE).await?;
            Ok(StateIds {
                pdu_ids: at_most(STATE_EVENTS_MAX, answer.pdu_ids)?,
                auth_chain_ids: at_most(STATE_EVENTS_MAX, answer.auth_chain_ids)?,
            })
        })
    }

    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateEvents> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V1)
                .segment("state")
                .segment(room_id.as_str());
            let path = path.query("event_id", event_id.as_str());
            let answer: State = self.get(server, path, STATE).await?;
            Ok(StateEvents {
                pdus: at_most(STATE_EVENTS_MAX, answer.pdus)?,
                auth_chain: at_most(STATE_EVENTS_MAX, answer.auth_chain)?,
            })
        })
    }

    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Box<RawValue>> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V1)
                .segment("event")
                .segment(event_id.as_str());
            let answer: Pdus = self.get(server, path, SMALL).await?;
            let mut pdus = at_most(1, answer.pdus)?;
            let none = || PeerError::Malformed("an answer without an event".to_owned());
            pdus.pop().ok_or_else(none)
        })
    }

    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V1)
                .segment("event_auth")
                .segment(room_id.as_str());
            let path = path.segment(event_id.as_str());
            let answer: AuthChain = self.get(server, path, STATE).await?;
            at_most(STATE_EVENTS_MAX, answer.auth_chain)
        })
    }

    fn backfill<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        from: &'a [OwnedEventId],
        limit: usize,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let limit = limit.min(BACKFILL_MAX);
            let mut path = Path::new(Purpose::Exchange, V1)
                .segment("backfill")
                .segment(room_id.as_str());
            for event_id in from {
                path = path.query("v", event_id.as_str());
            }
            let path = path.query("limit", &limit.to_string());
            let answer: Pdus = self.get(server, path, SMALL).await?;
            at_most(limit, answer.pdus)
        })
    }

    fn make<'a>(
        &'a self,
        server: &'a ServerName,
        handshake: Handshake,
        room_id: &'a RoomId,
        user_id: &'a UserId,
        versions: &'a [RoomVersionId],
    ) -> PeerAnswer<'a, Template> {
        Box::pin(async move {
            let endpoint = format!("make_{}", handshake.membership());
            let mut path = Path::new(purpose(handshake), V1)
                .segment(&endpoint)
                .segment(room_id.as_str());
            path = path.segment(user_id.as_str());
            let asked = versions.iter().filter(|_| handshake != Handshake::Leave);
            for version in asked {
                path = path.query("ver", version.as_str());
            }
            let answer: Made = self.get(server, path, SMALL).await?;
            Ok(Template {
                room_version: answer.room_version,
                event: answer.event,
            })
        })
    }

    fn send_join<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, JoinAnswer> {
        Box::pin(async move {
            let path = Path::new(Purpose::Join, V2)
                .segment("send_join")
                .segment(room_id.as_str());
            let path = path
                .segment(event_id.as_str())
                .query("omit_members", "false");
            let answer: Joined = self.put(server, path, event, JOIN).await?;
            let servers = answer.servers_in_room.into_iter().take(SERVERS_MAX);
            Ok(JoinAnswer {
                event: answer.event,
                state: at_most(STATE_EVENTS_MAX, answer.state)?,
                auth_chain: at_most(STATE_EVENTS_MAX, answer.auth_chain)?,
                members_omitted: answer.members_omitted,
                servers_in_room: servers
                    .filter_map(|server| OwnedServerName::try_from(server).ok())
                    .collect(),
            })
        })
    }

    fn send_leave<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, ()> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V2)
                .segment("send_leave")
                .segment(room_id.as_str());
            let path = path.segment(event_id.as_str());
            let Nothing {} = self.put(server, path, event, SMALL).await?;
            Ok(())
        })
    }

    fn send_knock<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let path = Path::new(Purpose::Knock, V1)
                .segment("send_knock")
                .segment(room_id.as_str());
            let path = path.segment(event_id.as_str());
            let answer: Knocked = self.put(server, path, event, SMALL).await?;
            Ok(answer.knock_room_state)
        })
    }

    fn recommend<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a RawValue,
    ) -> PeerAnswer<'a, String> {
        Box::pin(async move {
            type Signatures = BTreeMap<String, BTreeMap<String, String>>;
            let path = Path::new(Purpose::Exchange, "/_matrix/policy/v1").segment("sign");
            let answered = self.0.ask(server, Method::POST, path, Some(event), SMALL);
            let mut answer: Signatures = answered.await?;
            let own = answer.remove(server.as_str()).unwrap_or_default();
            let signature = own.into_iter().find(|(key_id, _)| key_id == POLICY_KEY_ID);
            let none = || PeerError::Malformed("an answer without a signature".to_owned());
            signature.map(|(_, text)| text).ok_or_else(none)
        })
    }

    fn invite<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
        invitation: &'a Invitation,
    ) -> PeerAnswer<'a, Box<RawValue>> {
        Box::pin(async move {
            let content = to_raw_value(&Invite {
                room_version: &invitation.room_version,
                event: &invitation.event,
                invite_room_state: &invitation.invite_room_state,
            });
            let content = content.map_err(|error| malformed(&error))?;
            let path = Path::new(Purpose::Invite, V2)
                .segment("invite")
                .segment(room_id.as_str());
            let path = path.segment(event_id.as_str());
            let answer: Invited = self.put(server, path, &content, SMALL).await?;
            Ok(answer.event)
        })
    }
}
