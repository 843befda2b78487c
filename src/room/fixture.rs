//! A server's rooms on the memory engine, for tests.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Engine, RoomReader, StoredEvent};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::{Direction, Memory};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId, UserId, server_name, user_id};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::*;

const SEED: [u8; 32] = [7; 32];

pub(crate) struct Server {
    pub(crate) engine: Arc<Memory>,
    pub(crate) rooms: Rooms,
    pub(crate) env: Env,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(Memory::default()))
    }

    pub(crate) fn on(engine: Arc<Memory>) -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let identity = Identity {
            server_name: server_name!("x.example").to_owned(),
            key: SigningKey::from_seed(&SEED, "a1").unwrap(),
        };
        let rooms = Rooms::new(
            Arc::clone(&engine) as Arc<dyn Engine>,
            env.clone(),
            identity,
        );
        Self { engine, rooms, env }
    }

    pub(crate) async fn room(&self, preset: Preset) -> OwnedRoomId {
        self.rooms.create(request(preset)).await.unwrap()
    }

    pub(crate) async fn act(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        act: MemberAct,
    ) -> Result<Appended, RoomError> {
        let change = Change::Member(Membership::new(target, act));
        self.rooms.append(room, append(sender, change)).await
    }

    pub(crate) async fn say(
        &self,
        room: &RoomId,
        sender: &UserId,
        body: &str,
    ) -> Result<Appended, RoomError> {
        self.rooms.append(room, append(sender, message(body))).await
    }

    /// The room's visible events by arrival.
    pub(crate) async fn log(&self, room: &RoomId) -> Vec<StoredEvent> {
        let snapshot = self.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, room);
        let page = reader
            .log(
                belfry_data::STAMP_FIRST,
                belfry_data::STAMP_LAST,
                Direction::Forward,
                10_000,
            )
            .await
            .unwrap();
        let hashes: Vec<_> = page.entries.iter().map(|(_, hash)| *hash).collect();
        reader
            .events(&hashes)
            .await
            .unwrap()
            .into_iter()
            .map(Option::unwrap)
            .collect()
    }

    pub(crate) async fn stop(self) {
        drop(self.rooms);
        assert!(self.env.stop(Duration::from_secs(10)).await.is_clean());
    }
}

pub(crate) fn alice() -> &'static UserId {
    user_id!("@alice:x.example")
}

pub(crate) fn bob() -> &'static UserId {
    user_id!("@bob:x.example")
}

pub(crate) fn request(preset: Preset) -> CreateRoom {
    CreateRoom {
        creator: alice().to_owned(),
        profile: Profile {
            displayname: Some("Alice".to_owned()),
            avatar_url: None,
        },
        version: RoomVersionId::V12,
        preset,
        name: None,
        topic: None,
        alias: None,
        published: false,
        invite: Vec::new(),
        is_direct: false,
        creation_content: serde_json::Map::new(),
        initial_state: Vec::new(),
        power_level_content_override: serde_json::Map::new(),
        replaces: None,
    }
}

pub(crate) fn append(sender: &UserId, change: Change) -> Append {
    Append {
        sender: sender.to_owned(),
        change,
        txn: None,
        timestamp_ms: None,
    }
}

pub(crate) fn content(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

pub(crate) fn message(body: &str) -> Change {
    let content = content(&json!({"msgtype": "m.text", "body": body}));
    Change::Message {
        kind: "m.room.message".into(),
        content,
    }
}

pub(crate) fn state(kind: &str, value: &Value) -> Change {
    Change::State {
        kind: kind.into(),
        state_key: String::new(),
        content: content(value),
    }
}

pub(crate) fn json_of(event: &StoredEvent) -> Value {
    serde_json::from_str(&event.row.json).unwrap()
}

pub(crate) fn types(log: &[StoredEvent]) -> Vec<String> {
    log.iter()
        .map(|event| json_of(event)["type"].as_str().unwrap().to_owned())
        .collect()
}

/// All of them at once; answers in order.
pub(crate) async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(all).await
}
