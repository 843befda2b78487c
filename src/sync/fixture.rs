//! A server with rooms on the memory engine, and devices that follow it as clients do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_data::{
    Engine,
    account::{AccountDataRef, AccountDataRow, FilterRow, StandingRow, UserChange, UserRow},
};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_room::{
    Append, Appended, Change, CreateRoom, Identity, InitialState, MemberAct, Membership, Preset,
    Profile, RoomError, Rooms,
};
use ruma_common::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, ServerName, UserId, server_name,
    user_id,
};
use serde_json::{Value, json, value::RawValue};

use crate::{EventList, Filter, SyncRequest, Views};

pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) struct Server {
    pub(crate) engine: Arc<Memory>,
    pub(crate) rooms: Rooms,
    pub(crate) views: Views,
    pub(crate) env: Env,
}

pub(crate) fn local() -> &'static ServerName {
    server_name!("x.example")
}

pub(crate) fn alice() -> &'static UserId {
    user_id!("@alice:x.example")
}

pub(crate) fn bob() -> &'static UserId {
    user_id!("@bob:x.example")
}

pub(crate) fn carol() -> &'static UserId {
    user_id!("@carol:x.example")
}

pub(crate) fn content(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

pub(crate) fn append(sender: &UserId, change: Change) -> Append {
    Append {
        sender: sender.to_owned(),
        change,
        txn: None,
        timestamp_ms: None,
    }
}

pub(crate) fn request(preset: Preset) -> CreateRoom {
    CreateRoom {
        creator: alice().to_owned(),
        profile: Profile::default(),
        version: RoomVersionId::V11,
        preset,
        name: None,
        topic: None,
        alias: None,
        invite: Vec::new(),
        is_direct: false,
        published: false,
        creation_content: serde_json::Map::new(),
        initial_state: Vec::new(),
        power_level_content_override: serde_json::Map::new(),
        replaces: None,
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(Memory::default()))
    }

    pub(crate) fn on(engine: Arc<Memory>) -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(START_MS));
        let identity = Identity {
            server_name: local().to_owned(),
            key: SigningKey::from_seed(&[7; 32], "a1").unwrap(),
        };
        let dyn_engine = || Arc::clone(&engine) as Arc<dyn Engine>;
        let rooms = Rooms::new(dyn_engine(), env.clone(), identity);
        let views = Views::new(dyn_engine(), env.clone(), local().to_owned(), [7; 16]);
        Self {
            engine,
            rooms,
            views,
            env,
        }
    }

    /// The same database under a new process.
    pub(crate) async fn restart(self) -> Self {
        let engine = Arc::new(self.engine.reopen());
        self.stop().await;
        Self::on(engine)
    }

    pub(crate) async fn stop(self) {
        drop((self.rooms, self.views));
        assert!(self.env.stop(Duration::from_secs(10)).await.is_clean());
    }

    /// A room of Alice's that anybody may join.
    pub(crate) async fn room(&self) -> OwnedRoomId {
        self.rooms
            .create(request(Preset::PublicChat))
            .await
            .unwrap()
    }

    /// The same with this history visibility.
    pub(crate) async fn room_with_history(&self, visibility: &str) -> OwnedRoomId {
        let mut wanted = request(Preset::PublicChat);
        wanted.initial_state.push(InitialState {
            kind: "m.room.history_visibility".into(),
            state_key: String::new(),
            content: content(&json!({"history_visibility": visibility})),
        });
        self.rooms.create(wanted).await.unwrap()
    }

    pub(crate) async fn try_act(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        act: MemberAct,
    ) -> Result<Appended, RoomError> {
        let change = Change::Member(Membership::new(target, act));
        self.rooms.append(room, append(sender, change)).await
    }

    pub(crate) async fn act(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        act: MemberAct,
    ) -> OwnedEventId {
        let done = self.try_act(room, sender, target, act).await;
        done.unwrap().event_id
    }

    pub(crate) async fn join(&self, room: &RoomId, user: &UserId) -> OwnedEventId {
        self.act(room, user, user, MemberAct::Join).await
    }

    pub(crate) async fn leave(&self, room: &RoomId, user: &UserId) -> OwnedEventId {
        self.act(room, user, user, MemberAct::Leave).await
    }

    pub(crate) async fn say(&self, room: &RoomId, sender: &UserId, body: &str) -> OwnedEventId {
        let content = json!({"msgtype": "m.text", "body": body});
        self.send(room, sender, "m.room.message", &content).await
    }

    pub(crate) async fn send(
        &self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        value: &Value,
    ) -> OwnedEventId {
        let change = Change::Message {
            kind: kind.into(),
            content: content(value),
        };
        let done = self.rooms.append(room, append(sender, change)).await;
        done.unwrap().event_id
    }

    pub(crate) async fn set(
        &self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        state_key: &str,
        value: &Value,
    ) -> OwnedEventId {
        let change = Change::State {
            kind: kind.into(),
            state_key: state_key.to_owned(),
            content: content(value),
        };
        let done = self.rooms.append(room, append(sender, change)).await;
        done.unwrap().event_id
    }

    pub(crate) async fn name(&self, room: &RoomId, name: &str) -> OwnedEventId {
        self.set(room, alice(), "m.room.name", "", &json!({"name": name}))
            .await
    }

    pub(crate) async fn redact(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &OwnedEventId,
    ) -> OwnedEventId {
        let change = Change::Redaction {
            redacts: target.clone(),
            content: content(&json!({"reason": "spam"})),
        };
        let done = self.rooms.append(room, append(sender, change)).await;
        done.unwrap().event_id
    }

    pub(crate) async fn set_account_data(
        &self,
        user: &UserId,
        room: &str,
        event_type: &str,
        content: &Value,
    ) {
        let mut change = self.user(user).await;
        let at = AccountDataRef {
            room: room.into(),
            event_type: event_type.into(),
        };
        let row = AccountDataRow {
            content: content.to_string().into(),
        };
        let snapshot = self.engine.snapshot().await.unwrap();
        change.put_account_data(&*snapshot, at, &row).await.unwrap();
        self.engine.commit(change.finish()).await.unwrap();
    }

    pub(crate) async fn store_filter(&self, user: &UserId, id: &str, definition: &Value) {
        let mut change = self.user(user).await;
        let row = FilterRow {
            definition: definition.to_string().into(),
        };
        change.put_filter(id, &row);
        self.engine.commit(change.finish()).await.unwrap();
    }

    async fn user(&self, user: &UserId) -> UserChange {
        let snapshot = self.engine.snapshot().await.unwrap();
        let known = UserChange::of(&*snapshot, user).await.unwrap();
        known.unwrap_or_else(|| {
            let row = UserRow {
                revision: 0,
                created_ts: START_MS,
                role: "member".into(),
                standing: StandingRow::Active,
                password: None,
                deactivated: None,
                filters: 0,
            };
            UserChange::new(user, row)
        })
    }
}

/// A client that applies what it is told.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) request: SyncRequest,
    pub(crate) joined: BTreeMap<OwnedRoomId, Known>,
    pub(crate) left: BTreeSet<OwnedRoomId>,
    pub(crate) invited: BTreeSet<OwnedRoomId>,
}

/// What a client knows of a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) state: BTreeMap<(String, String), String>,
    /// Event IDs, since the last gap.
    pub(crate) timeline: Vec<String>,
    pub(crate) summary: BTreeMap<String, Value>,
}

impl Device {
    pub(crate) fn of(user: &UserId) -> Self {
        Self::named(user, "DEVICE")
    }

    pub(crate) fn named(user: &UserId, device: &str) -> Self {
        let mut request = SyncRequest::new(user.to_owned());
        request.device_id = Some(device.into());
        Self {
            request,
            joined: BTreeMap::new(),
            left: BTreeSet::new(),
            invited: BTreeSet::new(),
        }
    }

    pub(crate) fn with_filter(user: &UserId, filter: &Value) -> Self {
        let mut device = Self::of(user);
        device.request.filter = Filter::parse(&filter.to_string()).unwrap();
        device
    }

    /// Asks, applies the answer, and gives it.
    pub(crate) async fn sync(&mut self, server: &Server) -> Value {
        let answer = server.views.sync(&self.request).await.unwrap();
        let answer: Value = serde_json::from_str(&answer.to_json()).unwrap();
        self.apply(&answer);
        answer
    }

    /// Asks, and waits for up to half a minute.
    pub(crate) async fn poll(&mut self, server: &Server) -> Value {
        self.request.timeout = Duration::from_secs(30);
        let answer = self.sync(server).await;
        self.request.timeout = Duration::ZERO;
        answer
    }

    fn apply(&mut self, answer: &Value) {
        self.request.since = Some(answer["next_batch"].as_str().unwrap().to_owned());
        let rooms = &answer["rooms"];
        for (room, told) in members(&rooms["join"]) {
            let room = OwnedRoomId::try_from(room.as_str()).unwrap();
            self.left.remove(&room);
            self.invited.remove(&room);
            self.joined.entry(room).or_default().apply(told);
        }
        for (room, _) in members(&rooms["leave"]) {
            let room = OwnedRoomId::try_from(room.as_str()).unwrap();
            self.joined.remove(&room);
            self.invited.remove(&room);
            self.left.insert(room);
        }
        for (room, _) in members(&rooms["invite"]) {
            let room = OwnedRoomId::try_from(room.as_str()).unwrap();
            self.joined.remove(&room);
            self.left.remove(&room);
            self.invited.insert(room);
        }
    }
}

impl Known {
    fn apply(&mut self, told: &Value) {
        for (field, value) in members(&told["summary"]) {
            self.summary.insert(field.clone(), value.clone());
        }
        if told["timeline"]["limited"] == true {
            self.timeline.clear();
        }
        for event in list(&told["timeline"]["events"]) {
            self.timeline.push(text(&event["event_id"]));
        }
        let after = told.get("state_after");
        let state = after.unwrap_or(&told["state"]);
        let timeline = list(&told["timeline"]["events"]);
        let timeline = timeline.iter().filter(|_| after.is_none());
        for event in list(&state["events"]).iter().chain(timeline) {
            if let Some(state_key) = event["state_key"].as_str() {
                let tuple = (text(&event["type"]), state_key.to_owned());
                self.state.insert(tuple, text(&event["event_id"]));
            }
        }
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

pub(crate) fn list(array: &Value) -> &[Value] {
    array.as_array().map_or(&[], |array| array)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A field of every element.
pub(crate) fn each(array: &Value, field: &str) -> Vec<String> {
    list(array).iter().map(|one| text(&one[field])).collect()
}

pub(crate) fn parsed(events: &EventList) -> Value {
    serde_json::from_str(&events.to_json()).unwrap()
}

/// The joined room of an answer.
pub(crate) fn joined<'a>(answer: &'a Value, room: &RoomId) -> &'a Value {
    &answer["rooms"]["join"][room.as_str()]
}

pub(crate) fn user(number: usize) -> OwnedUserId {
    UserId::parse(format!("@user{number}:x.example")).unwrap()
}
