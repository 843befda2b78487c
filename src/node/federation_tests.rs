//! Three servers in one process over a network in memory: rooms that they share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use belfry_api::{
    edge::Peer,
    rate::{Limit, RateOptions},
};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_remote::{Limits, Network, NetworkError, RemoteOptions, SenderOptions};
use belfry_user::{NewAccount, NewDevice};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use ruma_common::{OwnedServerName, ServerName};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    Node,
    fixture::{START_MS, options},
};

const NAMES: [&str; 3] = ["hs1", "hs2", "hs3"];

/// The network: who can be reached.
#[derive(Default)]
struct Net {
    routers: Mutex<BTreeMap<OwnedServerName, Router>>,
}

/// The network as one server sees it.
struct Line(Arc<Net>);

impl Network for Line {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        Box::pin(async move {
            let gone = || NetworkError::Unreachable(format!("{server} is away"));
            let router = self.0.routers.lock().unwrap().get(server).cloned();
            let router = router.ok_or_else(gone)?;
            let mut request = request.map(Body::from);
            request.extensions_mut().insert(Peer::Local);
            let response = router.oneshot(request).await.map_err(|_| gone())?;
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, limits.bytes_max).await;
            Ok(Response::from_parts(parts, body.map_err(|_| gone())?))
        })
    }
}

struct Member {
    env: Env,
    node: Node,
    name: String,
    token: String,
}

impl Member {
    async fn start(net: &Arc<Net>, number: usize, wall: &SimulatedWall) -> Self {
        let name = NAMES[number].to_owned();
        let seed = u8::try_from(number).unwrap() + 1;
        let env = Env::simulated(u64::from(seed), wall);
        let mut options = options(&name);
        options.signing_key = SigningKey::from_seed(&[seed; 32], "a").unwrap();
        let mut rates = RateOptions::field_defaults();
        for limit in Limit::ALL {
            rates.set(*limit, None);
        }
        options.edge.rates = rates;
        options.federation = Some(RemoteOptions {
            network: Arc::new(Line(Arc::clone(net))),
            old_keys: Vec::new(),
            notaries: Vec::new(),
            refused_keys: Vec::new(),
            senders: SenderOptions {
                retry_max: Duration::from_mins(10),
            },
        });
        let engine = Arc::new(Memory::default());
        let node = Node::start(engine, env.clone(), options).await.unwrap();
        let server = OwnedServerName::try_from(&*name).unwrap();
        net.routers.lock().unwrap().insert(server, node.router());
        let account = NewAccount {
            username: Some("user".to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let (_, session) = node.users().register(account).await.unwrap();
        let token = session.unwrap().tokens.access.reveal().to_owned();
        Self {
            env,
            node,
            name,
            token,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_matrix/client/v3{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .extension(Peer::Local)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.node.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&bytes).unwrap())
    }

    /// A request that succeeds.
    async fn get(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{} {path}: {answer}", self.name);
        answer
    }

    async fn create(&self, version: &str) -> String {
        let body = json!({"preset": "public_chat", "room_version": version});
        let room = self.get("POST", "/createRoom", body).await;
        room["room_id"].as_str().unwrap().to_owned()
    }

    async fn join(&self, room: &str, via: &Member) {
        let path = format!("/join/{room}?via={}", via.name);
        self.get("POST", &path, json!({})).await;
    }

    async fn say(&self, room: &str, text: &str) {
        let path = format!("/rooms/{room}/send/m.room.message/{text}");
        let content = json!({"msgtype": "m.text", "body": text});
        self.get("PUT", &path, content).await;
    }

    /// The texts of the room, oldest first.
    async fn texts(&self, room: &str) -> Vec<String> {
        let path = format!("/rooms/{room}/messages?dir=b&limit=100");
        let page = self.get("GET", &path, json!({})).await;
        let chunk = page["chunk"].as_array().unwrap().iter().rev();
        chunk
            .filter_map(|event| event["content"]["body"].as_str().map(str::to_owned))
            .collect()
    }

    /// The room's state by type and key: the events' IDs.
    async fn state(&self, room: &str) -> BTreeMap<(String, String), String> {
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
}

struct World {
    net: Arc<Net>,
    members: Vec<Member>,
}

impl World {
    async fn new() -> Self {
        let net = Arc::new(Net::default());
        let wall = SimulatedWall::at(START_MS);
        let mut members = Vec::new();
        for number in 0..NAMES.len() {
            members.push(Member::start(&net, number, &wall).await);
        }
        Self { net, members }
    }

    /// Time for everything under way to arrive.
    async fn settle(&self) {
        let clock = &self.members[0].env.clock;
        clock.sleep(Duration::from_mins(1)).await;
    }

    async fn assert_converged(&self, room: &str) {
        let first = self.members[0].state(room).await;
        for member in &self.members[1..] {
            assert_eq!(member.state(room).await, first, "{}", member.name);
        }
    }

    async fn stop(self) {
        self.net.routers.lock().unwrap().clear();
        for member in self.members {
            let stopped = member.node.stop(Duration::from_secs(30)).await;
            assert!(stopped.is_clean(), "{stopped:?}");
        }
    }
}

/// A room of this version with all three in it.
async fn shared_room(world: &World, version: &str) -> String {
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create(version).await;
    two.join(&room, one).await;
    three.join(&room, two).await;
    world.settle().await;
    room
}

#[tokio::test(start_paused = true)]
async fn three_servers_share_rooms_of_every_current_version() {
    let world = World::new().await;
    for version in ["6", "10", "11", "12"] {
        let room = shared_room(&world, version).await;
        for member in &world.members {
            member
                .say(&room, &format!("{}-{version}", member.name))
                .await;
            world.settle().await;
        }
        let said: Vec<_> = NAMES.map(|name| format!("{name}-{version}")).to_vec();
        for member in &world.members[..2] {
            assert_eq!(member.texts(&room).await, said, "{} {version}", member.name);
        }
        world.assert_converged(&room).await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_at_the_same_time_arrives_everywhere() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    for round in 0..5 {
        for member in &world.members {
            member.say(&room, &format!("{}-{round}", member.name)).await;
        }
    }
    world.settle().await;
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let first = sorted(world.members[0].texts(&room).await);
    assert_eq!(first.len(), 15, "{first:?}");
    for member in &world.members[1..] {
        assert_eq!(sorted(member.texts(&room).await), first, "{}", member.name);
    }
    world.stop().await;
}
