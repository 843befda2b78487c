//! Servers that others are, and their rooms: written and signed before anything is measured, told
//! from memory.
//!
//! Exists so that what is measured is the server that asks. Knows nothing of what is measured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use belfry_data::BoxFuture;
use belfry_event::{Draft, EventHash, Inbound, Pdu, RoomRules, SigningKey};
use belfry_remote::{Limits, Network, NetworkError};
use bytes::Bytes;
use http::{Request, Response};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId,
    ServerName, UserId,
};
use serde_json::{Value, json};

/// The server that tells.
pub(crate) const SENDER: &str = "away.example";
/// Servers that members of a large room are of.
pub(crate) const KEY_SERVERS: usize = 500;
const FOUNDER: &str = "@founder:away.example";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A server's name.
pub(crate) fn server(name: &str) -> OwnedServerName {
    OwnedServerName::try_from(name).expect("a server's name")
}

/// The key of a server, which follows from its name.
pub(crate) fn key_of(server: &ServerName) -> SigningKey {
    let mut seed = [0; 32];
    for (at, byte) in server.as_str().bytes().enumerate() {
        seed[at % 32] ^= byte.rotate_left(u32::try_from(at / 32).unwrap_or_default());
    }
    SigningKey::from_seed(&seed, "bench").expect("a key")
}

fn server_of(number: usize) -> OwnedServerName {
    server(&format!("s{}.example", number % KEY_SERVERS))
}

fn rules() -> &'static RoomRules {
    RoomRules::new(&RoomVersionId::V12).expect("a room version")
}

/// A room, event by event.
pub(crate) struct Story {
    id: OwnedRoomId,
    state: Vec<Pdu>,
    last: (EventHash, i64),
    power_levels: EventHash,
    join_rules: EventHash,
    founder: EventHash,
}

/// What an event says.
struct Said<'a> {
    sender: &'a UserId,
    kind: &'a str,
    key: Option<&'a str>,
    content: Value,
    auth: &'a [EventHash],
}

impl Story {
    /// A public room with its founder in it.
    pub(crate) fn begin(now_ms: u64) -> Self {
        let user = OwnedUserId::try_from(FOUNDER).expect("a user");
        let say = |kind, key, content, auth| Said {
            sender: &user,
            kind,
            key: Some(key),
            content,
            auth,
        };
        let create = say("m.room.create", "", json!({"room_version": "12"}), &[]);
        let create = sign(&create, None, None, now_ms);
        let hash = create.hash();
        let mut story = Self {
            id: hash.to_room_id(),
            state: vec![create],
            last: (hash, 1),
            power_levels: hash,
            join_rules: hash,
            founder: hash,
        };
        let content = json!({"membership": "join"});
        story.founder = story.add(&say("m.room.member", FOUNDER, content, &[]), now_ms);
        let auth = [story.founder];
        let said = say("m.room.power_levels", "", json!({}), &auth);
        story.power_levels = story.add(&said, now_ms);
        let auth = [story.founder, story.power_levels];
        let said = say(
            "m.room.join_rules",
            "",
            json!({"join_rule": "public"}),
            &auth,
        );
        story.join_rules = story.add(&said, now_ms);
        let content = json!({"history_visibility": "shared"});
        let said = say("m.room.history_visibility", "", content, &auth);
        story.add(&said, now_ms);
        story
    }

    /// A user joins, who is of one of [`KEY_SERVERS`].
    pub(crate) fn let_in(&mut self, number: usize, now_ms: u64) {
        let user = format!("@u{number}:{}", server_of(number));
        let user = OwnedUserId::try_from(user).expect("a user");
        let said = Said {
            sender: &user,
            kind: "m.room.member",
            key: Some(user.as_str()),
            content: json!({"membership": "join", "displayname": format!("User {number}")}),
            auth: &[self.power_levels, self.join_rules],
        };
        self.add(&said, now_ms);
    }

    /// The founder says something, or sets the topic.
    pub(crate) fn say(&mut self, number: usize, is_state: bool, now_ms: u64) -> Value {
        let user = OwnedUserId::try_from(FOUNDER).expect("a user");
        let text = format!("This is what was said as number {number} of a long conversation.");
        let auth = [self.founder, self.power_levels];
        let said = Said {
            sender: &user,
            kind: if is_state {
                "m.room.topic"
            } else {
                "m.room.message"
            },
            key: is_state.then_some(""),
            content: if is_state {
                json!({"topic": text})
            } else {
                json!({"msgtype": "m.text", "body": text})
            },
            auth: &auth,
        };
        let pdu = sign(&said, Some(&self.id), Some(self.last), now_ms);
        self.last = (pdu.hash(), pdu.depth());
        serde_json::from_str(pdu.json()).expect("JSON")
    }

    /// Goes on behind an event that somebody else added.
    pub(crate) fn follow(&mut self, event: &Bytes) {
        let event = Inbound::parse(rules(), event).expect("an event");
        let event = event.unverified();
        self.last = (event.hash(), event.depth());
    }

    /// The latest event.
    pub(crate) const fn last(&self) -> EventHash {
        self.last.0
    }

    fn add(&mut self, said: &Said<'_>, now_ms: u64) -> EventHash {
        let pdu = sign(said, Some(&self.id), Some(self.last), now_ms);
        self.last = (pdu.hash(), pdu.depth());
        self.state.push(pdu);
        self.last.0
    }

    /// What `make_join` gives.
    fn template(&self, user: &UserId, now_ms: u64) -> Value {
        let id = |hash: EventHash| hash.to_event_id(rules().alphabet());
        json!({"room_version": "12", "event": {
            "auth_events": [id(self.power_levels), id(self.join_rules)],
            "content": {"membership": "join"}, "depth": self.last.1 + 1,
            "origin_server_ts": now_ms, "prev_events": [id(self.last.0)], "room_id": self.id,
            "sender": user, "state_key": user, "type": "m.room.member",
        }})
    }

    /// What `send_join` gives.
    fn answer(&self) -> String {
        let texts: Vec<_> = self.state.iter().map(Pdu::json).collect();
        // Create, founder, power levels, join rules.
        let chain = texts.iter().take(4).copied();
        let (state, chain) = (texts.join(","), chain.collect::<Vec<_>>().join(","));
        format!(
            r#"{{"auth_chain":[{chain}],"members_omitted":false,"origin":"{SENDER}","state":[{state}]}}"#
        )
    }
}

fn sign(
    said: &Said<'_>,
    room: Option<&OwnedRoomId>,
    last: Option<(EventHash, i64)>,
    now_ms: u64,
) -> Pdu {
    let prev: Vec<_> = last.iter().map(|(hash, _)| *hash).collect();
    let own = said.sender.server_name();
    let timestamp = js_int::UInt::try_from(now_ms).expect("a time");
    let draft = Draft {
        rules: rules(),
        room_id: room.map(|id| &**id),
        sender: said.sender,
        event_type: said.kind,
        state_key: said.key,
        content: &said.content.to_string(),
        redacts: None,
        prev_events: &prev,
        auth_events: said.auth,
        depth: last.map_or(1, |(_, depth)| depth + 1),
        origin_server_ts: MilliSecondsSinceUnixEpoch(timestamp),
    };
    draft.sign(own, &key_of(own)).expect("an event")
}

/// What is answered where.
#[derive(Default)]
struct Answers {
    keys: BTreeMap<OwnedServerName, Bytes>,
    /// By what the path holds.
    rooms: Vec<(String, Bytes)>,
    /// The last join that was sent.
    joined: Bytes,
    asked: usize,
    spent: Duration,
}

/// See the module.
pub(crate) struct Away {
    answers: Mutex<Answers>,
    now_ms: u64,
}

impl Away {
    pub(crate) fn new(now_ms: u64) -> Arc<Self> {
        let servers = (0..KEY_SERVERS).map(server_of);
        let servers = servers.chain([server(SENDER)]);
        let answers = Answers {
            keys: servers
                .map(|server| (server.clone(), key_document(&server, now_ms)))
                .collect(),
            ..Answers::default()
        };
        Arc::new(Self {
            answers: Mutex::new(answers),
            now_ms,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().expect("no panic")
    }

    /// Has the room ready for this user to join.
    pub(crate) fn tell(&self, story: &Story, user: &UserId) -> OwnedRoomId {
        let name = story.id.as_str().trim_start_matches('!');
        let template = story.template(user, self.now_ms).to_string();
        let rooms = &mut self.lock().rooms;
        rooms.push((format!("/make_join/%21{name}"), template.into()));
        rooms.push((format!("/send_join/%21{name}"), story.answer().into()));
        story.id.clone()
    }

    /// The last join that was sent.
    pub(crate) fn joined(&self) -> Bytes {
        self.lock().joined.clone()
    }

    pub(crate) fn forget_costs(&self) {
        let mut answers = self.lock();
        (answers.asked, answers.spent) = (0, Duration::ZERO);
    }

    /// How many requests were answered, and how long that took.
    pub(crate) fn costs(&self) -> (usize, Duration) {
        let answers = self.lock();
        (answers.asked, answers.spent)
    }

    fn reply(&self, server: &ServerName, request: &Request<Bytes>) -> Option<Bytes> {
        let path = request.uri().path().replace('!', "%21");
        let mut answers = self.lock();
        if path.starts_with("/_matrix/key/v2/server") {
            return answers.keys.get(server).cloned();
        }
        if path.contains("/send_join/") {
            answers.joined = request.body().clone();
        }
        let mut rooms = answers.rooms.iter();
        let found = rooms.find(|(part, _)| path.contains(part.as_str()));
        found.map(|(_, body)| body.clone())
    }
}

fn key_document(server: &ServerName, now_ms: u64) -> Bytes {
    let key = key_of(server);
    let document = json!({
        "server_name": server, "old_verify_keys": {}, "valid_until_ts": now_ms + DAY_MS,
        "verify_keys": {key.key_id(): {"key": key.public_key().to_base64()}},
    });
    let document = document.to_string();
    let signed = key.sign_json(server.as_str(), document.as_bytes());
    signed.expect("a document").into()
}

impl Network for Away {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        _: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        let started = Instant::now();
        let found = self.reply(server, &request);
        let mut answers = self.lock();
        answers.asked += 1;
        answers.spent += started.elapsed();
        let gone = || NetworkError::Unreachable(format!("{server} is away"));
        let answer = found.map(Response::new).ok_or_else(gone);
        Box::pin(std::future::ready(answer))
    }
}
