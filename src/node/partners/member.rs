//! One of the servers, with a user of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::body::Body;
use belfry_api::{
    edge::Peer,
    rate::{Limit, RateOptions},
};
use belfry_data::{Engine, RoomReader};
use belfry_env::{Env, SimulatedWall};
use belfry_event::{EventHash, SigningKey};
use belfry_kv::{Direction, Memory, Range};
use belfry_remote::{RemoteOptions, SenderOptions};
use belfry_user::{NewAccount, NewDevice};
use http::{Request, StatusCode, header};
use ruma_common::{EventId, OwnedServerName, OwnedUserId, RoomId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::net::{Line, Net};
use crate::{Node, fixture::options};

/// Longest pause before a server that fails is tried again.
pub(super) const RETRY_MAX: Duration = Duration::from_mins(10);
const STOP_TIME_MAX: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Member {
    pub(super) name: String,
    number: u8,
    net: Arc<Net>,
    pub(super) wall: SimulatedWall,
    pub(super) env: Env,
    engine: Arc<Memory>,
    line: Arc<Line>,
    node: Node,
    token: String,
    lives: u64,
    /// Where its user's client is.
    pub(super) since: Option<String>,
}

struct Life {
    env: Env,
    line: Arc<Line>,
    node: Node,
}

impl Member {
    /// The server of this name and number, with a user `@user`.
    pub(super) async fn start(
        net: &Arc<Net>,
        (name, number): (&str, u8),
        wall: SimulatedWall,
    ) -> Self {
        let engine = Arc::new(Memory::default());
        let life = begin(net, (name, number, 0), &wall, &engine).await;
        let account = NewAccount {
            username: Some("user".to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let (_, session) = life.node.users().register(account).await.unwrap();
        let token = session.unwrap().tokens.access.reveal().to_owned();
        Self {
            name: name.to_owned(),
            number,
            net: Arc::clone(net),
            wall,
            env: life.env,
            engine,
            line: life.line,
            node: life.node,
            token,
            lives: 1,
            since: None,
        }
    }

    /// Makes the user an administrator.
    pub(super) async fn promote(&self) {
        let user = OwnedUserId::try_from(self.user()).unwrap();
        let users = self.node.users();
        users.set_role(&user, belfry_policy::ADMIN).await.unwrap();
    }

    pub(super) fn engine(&self) -> &Memory {
        &self.engine
    }

    pub(super) fn user(&self) -> String {
        format!("@user:{}", self.name)
    }

    pub(super) fn server(&self) -> OwnedServerName {
        OwnedServerName::try_from(&*self.name).unwrap()
    }

    /// The power fails, `survive` of a thousand commits that are at risk are kept, and the server
    /// starts again.
    pub(super) async fn crash(&mut self, survive: u64) {
        let at_risk = self.engine.at_risk() as u64;
        let survivors = usize::try_from(at_risk * survive / 1_000).unwrap();
        let engine = self.engine.crash(survivors);
        self.restart(Arc::new(engine)).await;
    }

    /// Stops in good order and starts again.
    pub(super) async fn stop_and_start(&mut self) {
        self.line.net.remove(&self.server());
        let stopped = self.env.stop(STOP_TIME_MAX).await;
        assert!(stopped.is_clean(), "{stopped:?}");
        let engine = self.engine.reopen();
        self.restart(Arc::new(engine)).await;
    }

    async fn restart(&mut self, engine: Arc<Memory>) {
        self.line.die();
        self.net.remove(&self.server());
        self.env.stop(STOP_TIME_MAX).await;
        let who = (&*self.name, self.number, self.lives);
        let life = begin(&self.net, who, &self.wall, &engine).await;
        (self.env, self.line, self.node) = (life.env, life.line, life.node);
        self.engine = engine;
        self.lives += 1;
    }

    pub(super) async fn stop(self) {
        let stopped = self.node.stop(STOP_TIME_MAX).await;
        assert!(stopped.is_clean(), "{stopped:?}");
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask_with(&self.token, method, path, body).await
    }

    /// The same with the token of another device.
    pub(super) async fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", start_of(path)))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .extension(Peer::Local)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.node.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&bytes).unwrap())
    }

    /// A request that succeeds.
    pub(super) async fn get(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{} {path}: {answer}", self.name);
        answer
    }

    pub(super) async fn create(&self, version: &str) -> String {
        let body = json!({"preset": "public_chat", "room_version": version});
        let room = self.get("POST", "/createRoom", body).await;
        room["room_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn join(&self, room: &str, via: &Self) {
        let path = format!("/join/{room}?via={}", via.name);
        self.get("POST", &path, json!({})).await;
    }

    /// Says something; the event's ID.
    pub(super) async fn say(&self, room: &str, text: &str) -> String {
        let path = format!("/rooms/{room}/send/m.room.message/{text}");
        let content = json!({"msgtype": "m.text", "body": text});
        let sent = self.get("PUT", &path, content).await;
        sent["event_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn set_topic(&self, room: &str, topic: &str) {
        let path = format!("/rooms/{room}/state/m.room.topic");
        self.get("PUT", &path, json!({"topic": topic})).await;
    }

    pub(super) async fn topic(&self, room: &str) -> Option<String> {
        let path = format!("/rooms/{room}/state/m.room.topic");
        let (_, content) = self.ask("GET", &path, json!({})).await;
        content["topic"].as_str().map(str::to_owned)
    }

    /// All events of the room back to its beginning, newest first, page by page.
    pub(super) async fn history(&self, room: &str) -> Vec<Value> {
        let (mut events, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("/rooms/{room}/messages?dir=b&limit=50{from}");
            let page = self.get("GET", &path, json!({})).await;
            events.extend(page["chunk"].as_array().unwrap().iter().cloned());
            let Some(end) = page["end"].as_str() else {
                return events;
            };
            from = format!("&from={end}");
        }
    }

    /// The texts of the room, oldest first.
    pub(super) async fn texts(&self, room: &str) -> Vec<String> {
        let events = self.history(room).await;
        let said = |event: &Value| event["content"]["body"].as_str().map(str::to_owned);
        events.iter().rev().filter_map(said).collect()
    }

    /// The room's state by type and key: the events' IDs.
    pub(super) async fn state(&self, room: &str) -> BTreeMap<(String, String), String> {
        let path = format!("/rooms/{room}/state");
        let state = self.get("GET", &path, json!({})).await;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = state.as_array().unwrap().iter();
        events
            .map(|event| {
                let key = (text(event, "type"), text(event, "state_key"));
                (key, text(event, "event_id"))
            })
            .collect()
    }

    /// What is new to the user's client.
    pub(super) async fn sync(&mut self) -> Value {
        self.sync_within(0).await
    }

    /// The same, which waits for news.
    pub(super) async fn sync_within(&mut self, timeout_ms: u64) -> Value {
        let since = self.since.as_ref();
        let since = since.map(|since| format!("&since={since}"));
        let path = format!("/sync?timeout={timeout_ms}{}", since.unwrap_or_default());
        let answer = self.get("GET", &path, json!({})).await;
        self.since = Some(answer["next_batch"].as_str().unwrap().to_owned());
        answer
    }

    /// What is stored of an event, in words.
    pub(super) async fn standing(&self, room: &str, event_id: &str) -> String {
        let (room, event_id) = (
            RoomId::parse(room).unwrap(),
            EventId::parse(event_id).unwrap(),
        );
        let hash = EventHash::from_any_event_id(&event_id).unwrap();
        let snapshot = self.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, &room);
        let staged = reader.are_staged(&[hash]).await.unwrap()[0];
        match reader.event(hash).await.unwrap() {
            Some(event) if event.row.is_outlier() => "an outlier".to_owned(),
            Some(event) => format!("{:?}, {:?}", event.row.acceptance, event.stamp),
            None if staged => "staged".to_owned(),
            None => "not stored".to_owned(),
        }
    }

    /// How many rows the table has.
    pub(super) async fn rows(&self, table: &str) -> usize {
        let mut spaces = belfry_data::keyspaces().iter();
        let space = spaces.find(|space| space.name == table).unwrap();
        let snapshot = self.engine.snapshot().await.unwrap();
        let range = Range::table(space);
        let page = snapshot.scan(range, Direction::Forward, 10_000).await;
        page.unwrap().rows.len()
    }
}

/// Paths of version 3 come without it.
fn start_of(path: &str) -> &'static str {
    if path.starts_with("/_") {
        ""
    } else if path.starts_with("/v1/") {
        "/_matrix/client"
    } else {
        "/_matrix/client/v3"
    }
}

async fn begin(
    net: &Arc<Net>,
    (name, number, life): (&str, u8, u64),
    wall: &SimulatedWall,
    engine: &Arc<Memory>,
) -> Life {
    let env = Env::simulated(u64::from(number) + 1_000 * life, wall);
    let server = OwnedServerName::try_from(name).unwrap();
    let cable = Line::new(net, &server);
    let mut options = options(name);
    options.signing_key = SigningKey::from_seed(&[number + 1; 32], "a").unwrap();
    let mut rates = RateOptions::field_defaults();
    for limit in Limit::ALL {
        rates.set(*limit, None);
    }
    options.edge.rates = rates;
    options.federation = Some(RemoteOptions {
        network: cable.clone(),
        old_keys: Vec::new(),
        notaries: Vec::new(),
        refused_keys: Vec::new(),
        senders: SenderOptions {
            retry_max: RETRY_MAX,
        },
    });
    let own = Arc::clone(engine) as Arc<dyn Engine>;
    let node = Node::start(own, env.clone(), options).await.unwrap();
    net.put(&server, node.router());
    Life {
        env,
        line: cable,
        node,
    }
}
