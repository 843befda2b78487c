//! Several servers that reach each other without a network, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry_data::{Engine, RoomHead, RoomReader, StoredEvent, check};
use belfry_env::{Env, SimulatedWall};
use belfry_event::{Draft, EventHash, Pdu};
use belfry_kv::{Direction, Memory};
use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId,
    RoomId, RoomVersionId, ServerName, UserId,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fixture::{append, message, request};
use crate::keys_fixture::key_of;
use crate::*;

/// Who is reached by whom, and what is done to answers.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    rooms: BTreeMap<OwnedServerName, Rooms>,
    /// Calls that are not answered.
    down: BTreeSet<&'static str>,
    refused: BTreeSet<&'static str>,
    calls: Vec<&'static str>,
    tamper: Option<Tamper>,
}

/// Changes each event of an answer.
type Tamper = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl Net {
    pub(crate) fn down(&self, call: &'static str) {
        self.0.lock().unwrap().down.insert(call);
    }

    /// Answers to the call are errors: whoever is asked does not have it.
    pub(crate) fn refuse(&self, call: &'static str) {
        self.0.lock().unwrap().refused.insert(call);
    }

    pub(crate) fn up(&self) {
        let mut lines = self.0.lock().unwrap();
        lines.down.clear();
        lines.refused.clear();
    }

    pub(crate) fn tamper(&self, tamper: impl Fn(&str) -> String + Send + Sync + 'static) {
        self.0.lock().unwrap().tamper = Some(Arc::new(tamper));
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn call(&self, server: &ServerName, call: &'static str) -> Result<Rooms, PeerError> {
        let mut lines = self.0.lock().unwrap();
        lines.calls.push(call);
        let gone = || PeerError::Unreachable(format!("{server} is away"));
        if lines.down.contains(call) || lines.down.contains("all") {
            return Err(gone());
        }
        if lines.refused.contains(call) {
            return Err(error(RoomError::UnknownEvent));
        }
        lines.rooms.get(server).cloned().ok_or_else(gone)
    }

    fn spoil(&self, event: Box<RawValue>) -> Box<RawValue> {
        let tamper = self.0.lock().unwrap().tamper.clone();
        match tamper {
            Some(tamper) => RawValue::from_string(tamper(event.get())).unwrap(),
            None => event,
        }
    }

    fn spoil_all(&self, events: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        events.into_iter().map(|event| self.spoil(event)).collect()
    }
}

/// One server's end of the lines.
pub(crate) struct Line {
    me: OwnedServerName,
    net: Net,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what errors are mapped by"
)]
fn error(error: RoomError) -> PeerError {
    let errcode = match &error {
        RoomError::Forbidden(_) => "M_FORBIDDEN",
        RoomError::UnknownRoom | RoomError::UnknownEvent => "M_NOT_FOUND",
        RoomError::UnableToAuthorise => "M_UNABLE_TO_AUTHORISE_JOIN",
        _ => "M_UNKNOWN",
    };
    PeerError::Refused {
        errcode: errcode.to_owned(),
        error: error.to_string(),
    }
}

impl Peers for Line {
    fn missing_events<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        ask: &'a MissingEvents,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.net.call(server, "missing_events")?;
            let events = rooms.serve_missing_events(&self.me, room_id, ask).await;
            Ok(self.net.spoil_all(events.map_err(error)?))
        })
    }

    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateIds> {
        Box::pin(async move {
            let rooms = self.net.call(server, "state_ids")?;
            let ids = rooms.serve_state_ids(&self.me, room_id, event_id).await;
            ids.map_err(error)
        })
    }

    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, StateEvents> {
        Box::pin(async move {
            let rooms = self.net.call(server, "state")?;
            let state = rooms.serve_state(&self.me, room_id, event_id).await;
            let StateEvents { pdus, auth_chain } = state.map_err(error)?;
            Ok(StateEvents {
                pdus: self.net.spoil_all(pdus),
                auth_chain: self.net.spoil_all(auth_chain),
            })
        })
    }

    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Box<RawValue>> {
        Box::pin(async move {
            let rooms = self.net.call(server, "event")?;
            let event = rooms.serve_event(&self.me, event_id).await;
            Ok(self.net.spoil(event.map_err(error)?))
        })
    }

    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.net.call(server, "event_auth")?;
            let chain = rooms.serve_event_auth(&self.me, room_id, event_id).await;
            Ok(self.net.spoil_all(chain.map_err(error)?))
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
            let rooms = self.net.call(server, "backfill")?;
            let events = rooms.serve_backfill(&self.me, room_id, from, limit).await;
            Ok(self.net.spoil_all(events.map_err(error)?))
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
            let rooms = self.net.call(server, "make")?;
            let made = rooms.make(&self.me, handshake, room_id, user_id, versions);
            made.await.map_err(error)
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
            let rooms = self.net.call(server, "send_join")?;
            let answer = rooms.accept_join(&self.me, room_id, event_id, event).await;
            let mut answer = answer.map_err(error)?;
            answer.event = answer.event.map(|event| self.net.spoil(event));
            answer.state = self.net.spoil_all(answer.state);
            answer.auth_chain = self.net.spoil_all(answer.auth_chain);
            Ok(answer)
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
            let rooms = self.net.call(server, "send_leave")?;
            let done = rooms.accept_leave(&self.me, room_id, event_id, event).await;
            done.map_err(error)
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
            let rooms = self.net.call(server, "send_knock")?;
            let state = rooms.accept_knock(&self.me, room_id, event_id, event).await;
            state.map_err(error)
        })
    }

    fn recommend<'a>(&'a self, server: &'a ServerName, _: &'a RawValue) -> PeerAnswer<'a, String> {
        Box::pin(async move {
            self.net.call(server, "recommend")?;
            let error = "this server recommends nothing".to_owned();
            let errcode = "M_UNRECOGNIZED".to_owned();
            Err(PeerError::Refused { errcode, error })
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
            let rooms = self.net.call(server, "invite")?;
            let signed = rooms
                .accept_invite(&self.me, room_id, event_id, invitation)
                .await;
            Ok(self.net.spoil(signed.map_err(error)?))
        })
    }
}

/// A server among others.
pub(crate) struct Host {
    pub(crate) name: OwnedServerName,
    pub(crate) user: OwnedUserId,
    pub(crate) engine: Arc<Memory>,
    pub(crate) rooms: Rooms,
    pub(crate) env: Env,
    net: Net,
}

impl Host {
    pub(crate) fn new(net: &Net, name: &str) -> Self {
        Self::on(net, name, Arc::new(Memory::default()))
    }

    pub(crate) fn on(net: &Net, name: &str, engine: Arc<Memory>) -> Self {
        let me = OwnedServerName::try_from(name).unwrap();
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let line = Arc::new(Line {
            me: me.clone(),
            net: net.clone(),
        });
        let identity = Identity {
            server_name: me.clone(),
            key: key_of(&me),
        };
        let (stored, peers, keys) = (Arc::clone(&engine) as Arc<dyn Engine>, line.clone(), line);
        let rooms = Rooms::federated(stored, env.clone(), identity, peers, keys);
        net.0
            .lock()
            .unwrap()
            .rooms
            .insert(me.clone(), rooms.clone());
        Self {
            user: format!("@user:{me}").try_into().unwrap(),
            name: me,
            engine,
            rooms,
            env,
            net: net.clone(),
        }
    }

    /// A room of this server's user that everybody may join.
    pub(crate) async fn room(&self, version: RoomVersionId) -> OwnedRoomId {
        let create = CreateRoom {
            creator: self.user.clone(),
            version,
            ..request(Preset::PublicChat)
        };
        self.rooms.create(create).await.unwrap()
    }

    pub(crate) async fn join(&self, room: &RoomId, via: &Host) -> Result<Appended, RoomError> {
        self.rooms.join_remote(&self.remote(room, via)).await
    }

    pub(crate) fn remote(&self, room: &RoomId, via: &Host) -> Remote {
        Remote {
            room_id: room.to_owned(),
            change: Membership::new(&*self.user, MemberAct::Join),
            via: vec![via.name.clone()],
        }
    }

    pub(crate) async fn say(&self, room: &RoomId, body: &str) -> EventHash {
        let sent = self.rooms.append(room, append(&self.user, message(body)));
        sent.await.unwrap().hash
    }

    pub(crate) async fn set(&self, room: &RoomId, kind: &str, content: &Value) -> EventHash {
        let change = crate::fixture::state(kind, content);
        let sent = self.rooms.append(room, append(&self.user, change)).await;
        sent.unwrap().hash
    }

    pub(crate) async fn event(&self, room: &RoomId, hash: EventHash) -> Option<StoredEvent> {
        let snapshot = self.engine.snapshot().await.unwrap();
        RoomReader::new(&*snapshot, room).event(hash).await.unwrap()
    }

    pub(crate) async fn head(&self, room: &RoomId) -> Option<RoomHead> {
        let snapshot = self.engine.snapshot().await.unwrap();
        RoomReader::new(&*snapshot, room).head().await.unwrap()
    }

    pub(crate) async fn json(&self, room: &RoomId, hash: EventHash) -> Box<RawValue> {
        let stored = self.event(room, hash).await.unwrap();
        RawValue::from_string(stored.row.json.into_string()).unwrap()
    }

    /// Sends events of this server's to another, in a transaction of its own.
    pub(crate) async fn send(&self, to: &Host, room: &RoomId, events: &[EventHash]) -> Receipt {
        let mut pdus = Vec::new();
        for hash in events {
            pdus.push(self.json(room, *hash).await);
        }
        to.take(&self.name, pdus).await
    }

    pub(crate) async fn take(&self, origin: &ServerName, pdus: Vec<Box<RawValue>>) -> Receipt {
        let id = self.env.random.token(12);
        let (origin, rooms) = (origin.to_owned(), &self.rooms);
        let receipt = rooms.receive(Transaction { origin, id, pdus }).await;
        let receipt = receipt.unwrap();
        self.settle().await;
        receipt
    }

    /// Waits until no staged event is worked on, or all of them rest.
    pub(crate) async fn settle(&self) {
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
    }

    /// An event that this server's user signs, whatever the room thinks of it: on top of the head
    /// of `on`, changed by `edit`.
    pub(crate) async fn forge(
        &self,
        on: &Host,
        room: &RoomId,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> Pdu {
        let head = on.head(room).await.unwrap();
        let mut cited = Vec::new();
        let snapshot = on.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, room);
        let user = self.user.as_str();
        let rules = crate::planner::rules_of(&head).unwrap();
        let mut keys = vec![("m.room.power_levels", ""), ("m.room.member", user)];
        if !rules.room_id_is_hash() {
            keys.push(("m.room.create", ""));
        }
        if kind == "m.room.member" {
            keys.push(("m.room.join_rules", ""));
        }
        for (kind, key) in keys {
            let found = crate::residence::current(&reader, &head, kind, key).await;
            cited.extend(found.unwrap().map(|event| event.hash));
        }
        let draft = Draft {
            rules,
            room_id: Some(room),
            sender: &self.user,
            event_type: kind,
            state_key,
            content: &content.to_string(),
            redacts: None,
            prev_events: &head.extremities,
            auth_events: &cited,
            depth: head.depth + 1,
            origin_server_ts: MilliSecondsSinceUnixEpoch(1_700_000_000_000_u64.try_into().unwrap()),
        };
        draft.sign(&self.name, &key_of(&self.name)).unwrap()
    }

    /// The bodies of the room's messages, by arrival.
    pub(crate) async fn bodies(&self, room: &RoomId) -> Vec<String> {
        let snapshot = self.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, room);
        let (from, to) = (belfry_data::STAMP_FIRST, belfry_data::STAMP_LAST);
        let page = reader
            .log(from, to, Direction::Forward, 10_000)
            .await
            .unwrap();
        let mut bodies = Vec::new();
        for (_, hash) in page.entries {
            let event = reader.event(hash).await.unwrap().unwrap();
            let json: Value = serde_json::from_str(&event.row.json).unwrap();
            if let Some(body) = json["content"]["body"].as_str() {
                bodies.push(body.to_owned());
            }
        }
        bodies
    }

    pub(crate) async fn assert_clean(&self) {
        let report = check(&*self.engine, 10).await.unwrap();
        assert!(report.is_clean(), "{}: {:#?}", self.name, report.findings);
    }

    pub(crate) async fn stop(self) {
        self.net.0.lock().unwrap().rooms.clear();
        drop(self.rooms);
        assert!(self.env.stop(Duration::from_secs(10)).await.is_clean());
    }
}

/// Two servers in one room of the first.
pub(crate) async fn pair(version: RoomVersionId) -> (Net, Host, Host, OwnedRoomId) {
    let net = Net::default();
    let (one, other) = (
        Host::new(&net, "one.example"),
        Host::new(&net, "other.example"),
    );
    let room = one.room(version).await;
    one.say(&room, "before").await;
    other.join(&room, &one).await.unwrap();
    (net, one, other, room)
}

pub(crate) fn raw(pdu: &Pdu) -> Box<RawValue> {
    RawValue::from_string(pdu.json().to_owned()).unwrap()
}

pub(crate) fn result(receipt: &Receipt, event_id: &EventId) -> Value {
    let body: Value = serde_json::from_str(receipt.body.get()).unwrap();
    body["pdus"][event_id.as_str()].clone()
}
