//! What the tests of this crate are made of: users in a memory engine with cheap hashes.

use std::{sync::Arc, time::Duration};

use belfry_env::{Env, SimulatedWall};
use belfry_kv::Memory;
use belfry_policy::Rules;
use ruma_common::owned_server_name;

use crate::{
    NewAccount, NewDevice, PasswordOptions, Registration, Requester, Session, UserOptions, Users,
};

pub(crate) const CHEAP: PasswordOptions = PasswordOptions {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
    running_max: 2,
    waiting_max: 100,
    chars_min: 8,
};

pub(crate) const LIFE: Duration = Duration::from_mins(5);

pub(crate) struct World {
    pub(crate) users: Users,
    pub(crate) env: Env,
    pub(crate) wall: SimulatedWall,
    pub(crate) engine: Arc<Memory>,
}

pub(crate) fn world(registration: Registration) -> World {
    world_on(Memory::default(), registration)
}

/// A server that is started on this database.
pub(crate) fn world_on(engine: Memory, registration: Registration) -> World {
    world_with(engine, registration, None)
}

/// The same, in which idle devices are signed out after so long.
pub(crate) fn world_with(
    engine: Memory,
    registration: Registration,
    idle_device_life: Option<Duration>,
) -> World {
    let engine = Arc::new(engine);
    let wall = SimulatedWall::at(1_700_000_000_000);
    let env = Env::simulated(1, &wall);
    let options = UserOptions {
        presence: true,
        server_name: owned_server_name!("hs1"),
        registration,
        access_token_life: Some(LIFE),
        idle_device_life,
        password: CHEAP,
        shared_secret: None,
    };
    let rules = Arc::new(Rules::default());
    let users = Users::new(engine.clone(), env.clone(), rules, options).unwrap();
    World {
        users,
        env,
        wall,
        engine,
    }
}

impl World {
    pub(crate) async fn alice(&self) -> Session {
        let (_, session) = self.users.register(wanted("alice")).await.unwrap();
        session.unwrap()
    }

    pub(crate) async fn sign_in(&self, device: &NewDevice) -> Session {
        self.users
            .sign_in("alice", "wordpass", device)
            .await
            .unwrap()
    }

    pub(crate) async fn requester(&self, session: &Session) -> Requester {
        self.users
            .identify(session.tokens.access.reveal())
            .await
            .unwrap()
    }
}

pub(crate) fn wanted(username: &str) -> NewAccount {
    NewAccount {
        username: Some(username.to_owned()),
        password: Some("wordpass".to_owned()),
        token: None,
        device: Some(NewDevice::default()),
    }
}

pub(crate) fn refreshing() -> NewDevice {
    NewDevice {
        refresh: true,
        ..NewDevice::default()
    }
}
