//! One server, through all its lives on one database.
//!
//! It exists so that whoever talks to the server need not know which life it is in, and so that
//! further servers are further values of this type. It knows nothing of who talks to it, and of
//! what is checked.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Engine, Incarnation, OpenError, open};
use belfry_env::{Env, SimulatedWall};
use belfry_event::{KeyRing, SigningKey};
use belfry_room::{Identity, Rooms};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedServerName};

use crate::disk::Disk;
use crate::shared::Shared;

const KEY_VERSION: &str = "sim";
/// How long a life waits before it tries again to open its database.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A server between a start and an end.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) env: Env,
    pub(crate) rooms: Rooms,
    pub(crate) disk: Disk,
}

/// What the server is called and where its present life is found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) name: OwnedServerName,
    key_seed: [u8; 32],
    life: Shared<Option<Life>>,
}

impl Server {
    /// A server that was never started.
    pub(crate) fn new(name: &str, key_seed: [u8; 32]) -> Self {
        Self {
            name: name.try_into().expect("a server name"),
            key_seed,
            life: Shared::default(),
        }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.key_seed, KEY_VERSION).expect("a version of a key")
    }

    /// The keys of this server, as others know them.
    pub(crate) fn key_ring(&self) -> KeyRing {
        let mut ring = KeyRing::default();
        let (key, for_ever) = (self.key(), MilliSecondsSinceUnixEpoch(u32::MAX.into()));
        let for_ever = MilliSecondsSinceUnixEpoch(for_ever.get() * 1_000_u32.into());
        ring.insert(
            self.name.clone(),
            key.key_id(),
            key.public_key().clone(),
            for_ever,
        )
        .expect("no leaked key");
        ring
    }

    /// Starts a life on a disk. `seed` is for what the life draws.
    pub(crate) async fn start(&self, seed: u64, wall: &SimulatedWall, disk: Disk) -> Life {
        let env = Env::simulated(seed, wall);
        let engine: Arc<dyn Engine> = Arc::new(disk.clone());
        let incarnation = Incarnation(env.random.bytes());
        while let Err(error) = open(Arc::clone(&engine), &self.name, incarnation).await {
            assert!(
                matches!(error, OpenError::Read(_) | OpenError::Commit(_)),
                "the database does not open: {error}"
            );
            env.clock.sleep(OPEN_AGAIN_AFTER).await;
        }
        let identity = Identity {
            server_name: self.name.clone(),
            key: self.key(),
        };
        let rooms = Rooms::new(engine, env.clone(), identity);
        let life = Life { env, rooms, disk };
        *self.life.lock() = Some(life.clone());
        life
    }

    /// The server is not there any more.
    pub(crate) fn gone(&self) {
        *self.life.lock() = None;
    }

    /// The present life, if the server is there.
    pub(crate) fn life(&self) -> Option<Life> {
        self.life.lock().clone()
    }
}
