//! `hs1` with its user Alice, and a hostile server in her rooms.
//!
//! What the hostile server sends comes in by the router, signed with its own keys; what `hs1` asks
//! it is answered by a script. Knows no case.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use belfry_api::{
    edge,
    rate::{Limit, RateOptions},
};
use belfry_data::{Acceptance, Engine, RoomReader, Root};
use belfry_env::{Env, SimulatedWall};
use belfry_event::{EventHash, RoomRules};
use belfry_kv::Memory;
use belfry_remote::{RemoteOptions, SenderOptions};
use http::{Request, header};
use ruma_common::{RoomId, RoomVersionId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::peer::{Net, Peer};
use crate::{
    Node,
    fixture::{START_MS, Server, options},
};

/// The hostile server's user.
pub(super) const MALLORY: &str = "@mallory:evil.example";
/// Another one of the same server.
pub(super) const TRUDY: &str = "@trudy:evil.example";
pub(super) const ALICE: &str = "@alice:hs1";
pub(super) const BOB: &str = "@bob:hs1";

/// A room that both are in.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) version: u32,
}

impl Place {
    fn room(&self) -> &RoomId {
        (&*self.id).try_into().unwrap()
    }

    pub(super) fn rules(&self) -> &'static RoomRules {
        let version = RoomVersionId::try_from(self.version.to_string()).unwrap();
        RoomRules::new(&version).unwrap()
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not there.
    Dropped,
    /// It is kept until what it lacks is there.
    Waits,
    Rejected,
    SoftFailed,
    Accepted,
}

/// What a room is like, and how much is kept of it.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) extremities: Vec<EventHash>,
    pub(super) depth: i64,
    pub(super) state: Root,
    /// What Alice is shown: the events' IDs.
    pub(super) shown: Vec<String>,
    pub(super) members: Value,
    pub(super) events: usize,
    pub(super) staged: usize,
}

pub(super) struct Scene {
    pub(super) env: Env,
    pub(super) net: Net,
    pub(super) evil: Arc<Peer>,
    pub(super) accomplice: Arc<Peer>,
    server: Server,
    alice: String,
    sent: AtomicU64,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let mut rates = RateOptions::field_defaults();
        for limit in Limit::ALL {
            rates.set(*limit, None);
        }
        Self::with(rates).await
    }

    pub(super) async fn with(rates: RateOptions) -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(START_MS));
        let evil = Arc::new(Peer::new("evil.example"));
        let accomplice = Arc::new(Peer::new("accomplice.example"));
        let net = Net::new(&env, &[&evil, &accomplice]);
        let mut options = options("hs1");
        options.edge.rates = rates;
        options.federation = Some(RemoteOptions {
            network: Arc::new(net.clone()),
            old_keys: Vec::new(),
            notaries: Vec::new(),
            refused_keys: Vec::new(),
            senders: SenderOptions {
                retry_max: Duration::from_mins(10),
            },
        });
        let engine = Arc::new(Memory::default());
        let own = Arc::clone(&engine) as Arc<dyn Engine>;
        let node = Node::start(own, env.clone(), options).await.unwrap();
        let server = Server {
            engine,
            env: env.clone(),
            node,
        };
        let alice = server.register("alice").await;
        server.register("bob").await;
        Self {
            env,
            net,
            evil,
            accomplice,
            server,
            alice,
            sent: AtomicU64::default(),
        }
    }

    /// Ends the server, which must have nothing left to do.
    pub(super) async fn stop(self) {
        self.server.stop().await;
    }

    /// Time for everything under way to come to an end.
    pub(super) async fn settle(&self) {
        self.wait(Duration::from_mins(1)).await;
    }

    pub(super) async fn wait(&self, time: Duration) {
        self.env.clock.sleep(time).await;
    }

    /// A request of Alice's client.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, answer) = self.server.ask(method, path, &self.alice, body).await;
        (status.as_u16(), answer)
    }

    /// A request of Alice's client that succeeds.
    pub(super) async fn act(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A new account's token.
    pub(super) async fn newcomer(&self, name: &str) -> String {
        self.server.register(name).await
    }

    /// A request of a newcomer's client that succeeds.
    pub(super) async fn act_with(
        &self,
        token: &str,
        endpoint: (&str, &str),
        body: &Value,
    ) -> Value {
        let (status, answer) = self.server.ask(endpoint.0, endpoint.1, token, body).await;
        assert_eq!(status, 200, "{endpoint:?}: {answer}");
        answer
    }

    /// The account is closed, and what it wrote is to be forgotten.
    pub(super) async fn erase(&self, user: &str) {
        let users = self.server.node.users();
        let user = user.try_into().unwrap();
        users.close_account(user, true).await.unwrap();
    }

    /// Alice sets state.
    pub(super) async fn set(&self, place: &Place, kind: &str, key: &str, content: &Value) {
        let path = format!("/rooms/{}/state/{kind}/{key}", place.id);
        self.act("PUT", &path, content).await;
    }

    /// Alice says something; the event's ID.
    pub(super) async fn say(&self, place: &Place, text: &str) -> String {
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        let path = format!("/rooms/{}/send/m.room.message/t{count}", place.id);
        let content = json!({"msgtype": "m.text", "body": text});
        let said = self.act("PUT", &path, &content).await;
        said["event_id"].as_str().unwrap().to_owned()
    }

    /// A public room of Alice's.
    pub(super) async fn room(&self, version: u32, extra: Value) -> Place {
        let mut body = json!({"preset": "public_chat", "room_version": version.to_string()});
        let Value::Object(extra) = extra else {
            panic!("an object is wanted");
        };
        for (name, value) in extra {
            body[name] = value;
        }
        let room = self.act("POST", "/createRoom", &body).await;
        Place {
            id: room["room_id"].as_str().unwrap().to_owned(),
            version,
        }
    }

    /// A public room of Alice's with Mallory in it.
    pub(super) async fn place(&self, version: u32) -> Place {
        let place = self.room(version, json!({})).await;
        self.join(&place, MALLORY).await;
        place
    }

    /// A user of the hostile server joins.
    pub(super) async fn join(&self, place: &Place, user: &str) {
        let (status, answer) = self.try_join(place, user).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// A user of the hostile server tries to.
    pub(super) async fn try_join(&self, place: &Place, user: &str) -> (u16, Value) {
        self.try_join_by(&self.evil, place, user).await
    }

    /// A user of a server tries to join.
    pub(super) async fn try_join_by(&self, peer: &Peer, place: &Place, user: &str) -> (u16, Value) {
        let Place { id, version } = place;
        let path = format!("/_matrix/federation/v1/make_join/{id}/{user}?ver={version}");
        let (status, made) = self.ask_as(peer, "GET", &path, None).await;
        if status != 200 {
            return (status, made);
        }
        let mut event = made["event"].clone();
        let event_id = peer.sign_event(&mut event, *version);
        let path = format!(
            "/_matrix/federation/v2/send_join/{id}/{}",
            encoded(&event_id)
        );
        self.ask_as(peer, "PUT", &path, Some(&event)).await
    }

    /// A signed request of another server.
    pub(super) async fn ask_as(
        &self,
        peer: &Peer,
        method: &str,
        uri: &str,
        content: Option<&Value>,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, peer.header(method, uri, content))
            .extension(edge::Peer::Local)
            .body(content.map_or(Body::empty(), |content| content.to_string().into()))
            .unwrap();
        let response = self.server.node.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap();
        (parts.status.as_u16(), json)
    }

    /// From now on the hostile server signs invites of its users, as an honest one does.
    pub(super) fn sign_invites(&self, version: u32) {
        let evil = Arc::clone(&self.evil);
        self.net.answer(move |heard| {
            let mut event = heard.body["event"].clone();
            heard.path.contains("/v2/invite/").then(|| {
                evil.sign_event(&mut event, version);
                (200, json!({"event": event}))
            })
        });
    }

    /// A transaction of the hostile server, whatever it holds.
    pub(super) async fn transact(&self, body: &Value) -> (u16, Value) {
        let count = self.sent.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_matrix/federation/v1/send/t{count}");
        self.ask_as(&self.evil, "PUT", &path, Some(body)).await
    }

    /// The hostile server sends events, and everything that comes of it has come.
    pub(super) async fn send(&self, pdus: &[Value]) -> Value {
        let (status, answer) = self.transact(&transaction(pdus, &[])).await;
        assert_eq!(status, 200, "{answer}");
        self.settle().await;
        answer
    }

    /// The hostile server sends what passes.
    pub(super) async fn pass(&self, edus: &[Value]) {
        let (status, answer) = self.transact(&transaction(&[], edus)).await;
        assert_eq!((status, answer), (200, json!({"pdus": {}})));
        self.settle().await;
    }

    /// An event of Mallory's at the end of the room that cites what it must: still to be signed.
    pub(super) async fn event(
        &self,
        place: &Place,
        kind: &str,
        state_key: Option<&str>,
        content: Value,
    ) -> Value {
        let seen = self.seen(place).await;
        let state = self.state(place).await;
        let mut keys = vec![("m.room.power_levels", ""), ("m.room.member", MALLORY)];
        if place.version < 12 {
            keys.push(("m.room.create", ""));
        }
        let mut token = String::new();
        if kind == "m.room.member" {
            let target = state_key.unwrap_or_default();
            keys.extend((target != MALLORY).then_some(("m.room.member", target)));
            let closed = matches!(content["membership"].as_str(), Some("join" | "invite"));
            keys.extend(closed.then_some(("m.room.join_rules", "")));
            let signed = &content["third_party_invite"]["signed"];
            token = signed["token"].as_str().unwrap_or_default().to_owned();
        }
        if !token.is_empty() {
            keys.push(("m.room.third_party_invite", &token));
        }
        let cited = keys.iter();
        let cited = cited.filter_map(|(kind, key)| state.get(&format!("{kind} {key}")));
        let rules = place.rules();
        let prevs = seen.extremities.iter();
        let prevs = prevs.map(|hash| hash.to_event_id(rules.alphabet()));
        let mut event = json!({
            "auth_events": cited.collect::<Vec<_>>(),
            "prev_events": prevs.collect::<Vec<_>>(),
            "depth": seen.depth.saturating_add(1),
            "origin_server_ts": self.env.clock.wall_ms(),
            "room_id": place.id,
            "sender": MALLORY,
            "type": kind,
        });
        event["content"] = content;
        if let Some(key) = state_key {
            event["state_key"] = key.into();
        }
        event
    }

    /// A message of Mallory's.
    pub(super) async fn message(&self, place: &Place) -> Value {
        let content = json!({"msgtype": "m.text", "body": "hello"});
        self.event(place, "m.room.message", None, content).await
    }

    /// Signs it as the hostile server; its ID.
    pub(super) fn sign(&self, place: &Place, event: &mut Value) -> String {
        self.evil.sign_event(event, place.version)
    }

    /// Signs an event, sends it, and sees to what becomes of it: nothing else may have changed.
    pub(super) async fn try_event(&self, place: &Place, what: &str, mut event: Value, fate: Fate) {
        let id = self.sign(place, &mut event);
        let before = self.seen(place).await;
        let answer = self.send(&[event]).await;
        let name = format!("{what} in version {}", place.version);
        assert_eq!(self.fate(place, &id).await, fate, "{name}: {answer}");
        let after = self.seen(place).await;
        match fate {
            Fate::Accepted => assert_ne!(before, after, "{name}"),
            Fate::Dropped => assert_eq!(before, after, "{name}"),
            Fate::Waits => assert_eq!(before.staged + 1, after.staged, "{name}"),
            Fate::Rejected | Fate::SoftFailed => {
                let events = after.events;
                assert_eq!(Seen { events, ..before }, after, "{name}");
            }
        }
    }

    /// The current state as Alice is told it: event IDs by type and key.
    pub(super) async fn state(&self, place: &Place) -> BTreeMap<String, String> {
        let path = format!("/rooms/{}/state", place.id);
        let state = self.act("GET", &path, &json!({})).await;
        let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        let each = state.as_array().unwrap().iter();
        each.map(|event| {
            let key = format!("{} {}", text(event, "type"), text(event, "state_key"));
            (key, text(event, "event_id"))
        })
        .collect()
    }

    pub(super) async fn seen(&self, place: &Place) -> Seen {
        let path = format!("/rooms/{}/messages?dir=b&limit=100", place.id);
        let page = self.act("GET", &path, &json!({})).await;
        let shown = page["chunk"].as_array().unwrap().iter();
        let shown = shown.map(|event| event["event_id"].as_str().unwrap().to_owned());
        let path = format!("/rooms/{}/joined_members", place.id);
        let members = self.act("GET", &path, &json!({})).await;
        let snapshot = self.server.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, place.room());
        let head = reader.head().await.unwrap().unwrap();
        Seen {
            extremities: head.extremities,
            depth: head.depth,
            state: head.state,
            shown: shown.collect(),
            members,
            events: self.rows("event").await,
            staged: self.rows("staged").await,
        }
    }

    pub(super) async fn rows(&self, table: &str) -> usize {
        self.server.rows(table).await
    }

    pub(super) async fn fate(&self, place: &Place, event_id: &str) -> Fate {
        let id = event_id.try_into().unwrap();
        let hash = EventHash::from_event_id(id, place.rules().alphabet()).unwrap();
        let snapshot = self.server.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, place.room());
        if reader.are_staged(&[hash]).await.unwrap() == [true] {
            return Fate::Waits;
        }
        match reader.event(hash).await.unwrap() {
            None => Fate::Dropped,
            Some(stored) => match stored.row.acceptance {
                Acceptance::Accepted => Fate::Accepted,
                Acceptance::SoftFailed => Fate::SoftFailed,
                Acceptance::Rejected => Fate::Rejected,
            },
        }
    }
}

/// An ID as a part of a path: those of room version 3 have the letters of paths.
pub(super) fn encoded(id: &str) -> String {
    id.replace('/', "%2F")
}

/// A transaction's body.
pub(super) fn transaction(pdus: &[Value], edus: &[Value]) -> Value {
    json!({
        "origin": "evil.example",
        "origin_server_ts": START_MS,
        "pdus": pdus,
        "edus": edus,
    })
}
