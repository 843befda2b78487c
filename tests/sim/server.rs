//! One server, through all its lives on one database.
//!
//! It exists so that whoever talks to the server need not know which life it is in, and so that
//! further servers are further values of this type. It knows nothing of who talks to it, and of
//! what is checked.

use std::sync::Arc;
use std::time::Duration;

use belfry_api::edge::{EdgeOptions, TrustedProxies};
use belfry_api::rate::{Limit, RateOptions};
use belfry_api::{About, WellKnown};
use belfry_blob::MemoryBlobs;
use belfry_data::{Engine, Incarnation, OpenError, open};
use belfry_env::{Env, SimulatedWall};
use belfry_event::{KeyRing, SigningKey};
use belfry_media::{CopyOptions, Help, MediaOptions};
use belfry_node::{Node, NodeOptions, StartError};
use belfry_policy::Rules;
use belfry_room::{Identity, Rooms};
use belfry_user::{Fault, NewAccount, NewDevice, PasswordOptions, Registration, UserOptions};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedUserId, RoomVersionId};

use crate::disk::Disk;
use crate::front::{Front, Tokens};
use crate::shared::Shared;

const KEY_VERSION: &str = "sim";
/// How long a life waits before it tries again to open its database.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long what makes the accounts may take to stop.
const ENROL_MAX: Duration = Duration::from_mins(1);

/// A server between a start and an end.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) env: Env,
    pub(crate) disk: Disk,
    pub(crate) front: Front,
    /// The tasks that run as long as it does.
    pub(crate) lasting: Vec<&'static str>,
}

/// What the server is called and where its present life is found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    name: OwnedServerName,
    key_seed: [u8; 32],
    /// Who is signed in, if clients come over HTTP.
    tokens: Option<Tokens>,
    life: Shared<Option<Life>>,
}

impl Server {
    /// A server that was never started; clients meet its rooms.
    pub(crate) fn new(name: &str, key_seed: [u8; 32]) -> Self {
        Self {
            name: name.try_into().expect("a server name"),
            key_seed,
            tokens: None,
            life: Shared::default(),
        }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.key_seed, KEY_VERSION).expect("a version of a key")
    }

    /// The keys of this server, as others know them.
    pub(crate) fn key_ring(&self) -> KeyRing {
        let (mut ring, key) = (KeyRing::default(), self.key());
        let century = u64::from(u32::MAX) * 1_000;
        let until = MilliSecondsSinceUnixEpoch(century.try_into().expect("a small number"));
        let (name, public) = (self.name.clone(), key.public_key().clone());
        ring.insert(name, key.key_id(), public, until)
            .expect("no leaked key");
        ring
    }

    /// Makes an account for each of these users, signed in on these devices, on an engine that
    /// does not fail. From now on clients come over HTTP.
    pub(crate) async fn enrol(
        &mut self,
        engine: Arc<dyn Engine>,
        env: Env,
        devices: Vec<(OwnedUserId, String)>,
    ) {
        let node = Node::start(engine, env, self.options()).await;
        let node = node.expect("an empty database opens");
        let mut tokens = Vec::new();
        for (user, device) in devices {
            let wanted = NewDevice {
                device_id: Some(device.as_str().into()),
                ..NewDevice::default()
            };
            let account = NewAccount {
                username: Some(user.localpart().to_owned()),
                password: None,
                token: None,
                device: None,
            };
            // The second device of a user finds the account there.
            drop(node.users().register(account).await);
            let session = node.users().open_session(&user, &wanted).await;
            let session = session.expect("a session");
            tokens.push((device, session.tokens.access.reveal().to_owned()));
        }
        self.tokens = Some(Arc::new(tokens.into_iter().collect()));
        assert!(node.stop(ENROL_MAX).await.is_clean(), "nothing else runs");
    }

    /// Starts a life on a disk. `seed` is for what the life draws.
    pub(crate) async fn start(&self, seed: u64, wall: &SimulatedWall, disk: Disk) -> Life {
        let env = Env::simulated(seed, wall);
        let engine: Arc<dyn Engine> = Arc::new(disk.clone());
        let front = loop {
            match self.open(&engine, &env).await {
                Ok(front) => break front,
                Err(
                    StartError::Open(OpenError::Read(_) | OpenError::Commit(_))
                    | StartError::Users(Fault::Unavailable(_)),
                ) => env.clock.sleep(OPEN_AGAIN_AFTER).await,
                Err(error) => panic!("the server does not start: {error}"),
            }
        };
        let life = Life {
            lasting: env.tasks.running(),
            env,
            disk,
            front,
        };
        *self.life.lock() = Some(life.clone());
        life
    }

    async fn open(&self, engine: &Arc<dyn Engine>, env: &Env) -> Result<Front, StartError> {
        if let Some(tokens) = &self.tokens {
            let node = Node::start(Arc::clone(engine), env.clone(), self.options()).await?;
            return Ok(Front::Router(node.router(), Arc::clone(tokens)));
        }
        let incarnation = Incarnation(env.random.bytes());
        open(Arc::clone(engine), &self.name, incarnation).await?;
        let identity = Identity {
            server_name: self.name.clone(),
            key: self.key(),
        };
        Ok(Front::Rooms(Rooms::new(
            Arc::clone(engine),
            env.clone(),
            identity,
        )))
    }

    /// No limit of rates: the clients are few and in a hurry.
    fn options(&self) -> NodeOptions {
        let mut rates = RateOptions::field_defaults();
        for limit in Limit::ALL {
            rates.set(*limit, None);
        }
        NodeOptions {
            signing_key: self.key(),
            rules: Rules::default(),
            users: UserOptions {
                presence: true,
                server_name: self.name.clone(),
                registration: Registration::Open,
                access_token_life: None,
                idle_device_life: None,
                password: PasswordOptions {
                    memory_kib: 64,
                    passes: 1,
                    lanes: 1,
                    running_max: 1,
                    waiting_max: 1,
                    chars_min: 8,
                },
                shared_secret: None,
            },
            blobs: Arc::new(MemoryBlobs::default()),
            media: MediaOptions {
                server_name: self.name.clone(),
                upload_bytes_max: 1 << 20,
                user_bytes_max: None,
                server_bytes_max: None,
                help: Help::default(),
                copies: CopyOptions {
                    file_bytes_max: 1 << 20,
                    bytes_max: 4 << 20,
                    unused_time_max: Duration::from_hours(24),
                },
                previews: None,
            },
            edge: EdgeOptions {
                trusted_proxies: TrustedProxies(Vec::new()),
                rates,
            },
            federation: None,
            push: None,
            web: None,
            about: About {
                default_room_version: RoomVersionId::V12,
                unauthenticated_media: false,
                well_known: WellKnown::NOTHING,
                turn: None,
            },
        }
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
