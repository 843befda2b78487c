//! A server's rooms, accounts and flows on the memory engine, for tests.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Engine, flows};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_policy::Rules;
use belfry_room::{
    Append, Change, CreateRoom, Identity, MemberAct, Membership, Preset, Profile, Rooms, Setting,
};
use belfry_user::{
    NewAccount, NewDevice, PasswordOptions, Registration, Requester, UserOptions, Users,
};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId, UserId, owned_server_name};
use serde_json::{Map, Value};

use crate::Flows;

pub(crate) struct Server {
    pub(crate) engine: Arc<Memory>,
    pub(crate) env: Env,
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
    pub(crate) flows: Flows,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::on(Arc::default())
    }

    /// A server that is started on this database; flows do not go on by themselves.
    pub(crate) fn on(engine: Arc<Memory>) -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let identity = Identity {
            server_name: owned_server_name!("hs1"),
            key: SigningKey::from_seed(&[7; 32], "test").unwrap(),
        };
        let options = UserOptions {
            server_name: owned_server_name!("hs1"),
            registration: Registration::Open,
            access_token_life: None,
            idle_device_life: None,
            password: PasswordOptions {
                memory_kib: 64,
                passes: 1,
                lanes: 1,
                running_max: 1,
                waiting_max: 100,
                chars_min: 8,
            },
            presence: false,
            shared_secret: None,
        };
        let shared = || Arc::clone(&engine) as Arc<dyn Engine>;
        let rooms = Rooms::new(shared(), env.clone(), identity);
        let rules = Arc::new(Rules::default());
        let users = Users::new(shared(), env.clone(), rules, options).unwrap();
        let flows = Flows::new(shared(), env.clone(), rooms.clone(), users.clone());
        Self {
            engine,
            env,
            rooms,
            users,
            flows,
        }
    }

    pub(crate) async fn person(&self, name: &str) -> Requester {
        let account = NewAccount {
            username: Some(name.to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let (_, session) = self.users.register(account).await.unwrap();
        let token = session.unwrap().tokens.access;
        self.users.identify(token.reveal()).await.unwrap()
    }

    pub(crate) async fn room(&self, creator: &UserId) -> OwnedRoomId {
        self.rooms.create(request(creator)).await.unwrap()
    }

    pub(crate) async fn act(&self, room: &RoomId, who: &UserId, target: &UserId, act: MemberAct) {
        self.change(room, who, Change::Member(Membership::new(target, act)))
            .await;
    }

    pub(crate) async fn set(&self, room: &RoomId, who: &UserId, place: (&str, &str), to: Value) {
        let change = Change::State {
            kind: place.0.into(),
            state_key: place.1.to_owned(),
            content: serde_json::value::to_raw_value(&to).unwrap(),
        };
        self.change(room, who, change).await;
    }

    async fn change(&self, room: &RoomId, who: &UserId, change: Change) {
        let append = Append {
            sender: who.to_owned(),
            change,
            txn: None,
            timestamp_ms: None,
        };
        self.rooms.append(room, append).await.unwrap();
    }

    /// The content of a state event; empty if there is none.
    pub(crate) async fn content(&self, room: &RoomId, kind: &str, key: &str) -> Map<String, Value> {
        let found = self.rooms.settings(room, &[(kind, key)]).await.unwrap();
        let found: Option<Setting> = found.into_iter().next().flatten();
        found.map(|event| event.content).unwrap_or_default()
    }

    pub(crate) async fn membership(&self, room: &RoomId, user: &UserId) -> Value {
        let mut content = self.content(room, "m.room.member", user.as_str()).await;
        content.remove("membership").unwrap_or_default()
    }

    /// Flows that are not done.
    pub(crate) async fn pending(&self) -> usize {
        let snapshot = self.engine.snapshot().await.unwrap();
        flows(&*snapshot, None, 100).await.unwrap().len()
    }

    /// Works all flows off.
    pub(crate) async fn settle(&self) {
        self.flows.resume();
        while self.pending().await > 0 {
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the server's tasks; its database stays.
    pub(crate) async fn stop(self) -> Arc<Memory> {
        let Self { engine, env, .. } = self;
        assert!(env.stop(Duration::from_secs(10)).await.is_clean());
        engine
    }
}

pub(crate) fn request(creator: &UserId) -> CreateRoom {
    CreateRoom {
        creator: creator.to_owned(),
        profile: Profile::default(),
        version: RoomVersionId::V11,
        preset: Preset::PublicChat,
        name: None,
        topic: None,
        alias: None,
        published: false,
        invite: Vec::new(),
        is_direct: false,
        creation_content: Map::new(),
        initial_state: Vec::new(),
        power_level_content_override: Map::new(),
        replaces: None,
    }
}
