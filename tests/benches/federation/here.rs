//! The server that is measured: a whole node on `RocksDB`, asked by its router.
//!
//! Exists so that what is measured is what runs. Knows nothing of what others tell.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use belfry_api::{
    About, WellKnown,
    edge::{EdgeOptions, Peer, TrustedProxies},
    rate::{Limit, RateOptions},
};
use belfry_blob::MemoryBlobs;
use belfry_data::{Engine, RoomReader, keyspaces};
use belfry_env::Env;
use belfry_event::EventHash;
use belfry_kv_rocks::{Options, Rocks};
use belfry_media::{CopyOptions, Help, MediaOptions};
use belfry_node::{Node, NodeOptions};
use belfry_policy::Rules;
use belfry_remote::{Network, RemoteOptions, SenderOptions};
use belfry_user::{NewAccount, NewDevice, PasswordOptions, Registration, UserOptions};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use ruma_common::{OwnedUserId, RoomId, RoomVersionId, UserId};
use tower::ServiceExt as _;

use crate::away::{Away, SENDER, key_of, server};

/// The server's name.
pub(crate) const RECEIVER: &str = "here.example";

/// See the module.
pub(crate) struct Here {
    engine: Arc<dyn Engine>,
    node: Node,
    user: OwnedUserId,
    token: String,
}

impl Here {
    pub(crate) async fn start(folder: &Path, env: &Env, away: &Arc<Away>) -> Self {
        let started = Instant::now();
        let rocks = Options::new(Arc::new(move || started.elapsed()));
        let rocks = Rocks::open(folder.join("db"), keyspaces(), rocks).expect("a database");
        let engine: Arc<dyn Engine> = Arc::new(rocks);
        let node = Node::start(Arc::clone(&engine), env.clone(), options(away)).await;
        let node = node.expect("a node");
        let account = NewAccount {
            username: Some("late".to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let registered = node.users().register(account).await;
        let (user, session) = registered.expect("an account");
        let token = session.expect("a session").tokens.access;
        Self {
            engine,
            node,
            user,
            token: token.reveal().to_owned(),
        }
    }

    /// Who joins.
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// Joins by way of the other server.
    pub(crate) async fn join(&self, room: &RoomId) {
        let uri = format!("/_matrix/client/v3/join/{room}?via={SENDER}");
        let request = Request::post(uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Bytes::from_static(b"{}"));
        self.ask(request.expect("a request")).await;
    }

    /// A request that succeeds.
    pub(crate) async fn ask(&self, request: Request<Bytes>) {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Peer::Local);
        let answer = self.node.router().oneshot(request).await;
        let (parts, body) = answer.expect("an answer").into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.expect("an answer's body");
        let text = String::from_utf8_lossy(&body);
        assert_eq!(parts.status, StatusCode::OK, "{text}");
        assert!(!text.contains("error"), "{text}");
    }

    /// Whether the event is part of the room.
    pub(crate) async fn has(&self, room: &RoomId, event: EventHash) -> bool {
        let snapshot = self.engine.snapshot().await.expect("a snapshot");
        let reader = RoomReader::new(&*snapshot, room);
        let found = reader.event(event).await.expect("a read");
        found.is_some_and(|event| event.row.is_visible())
    }

    pub(crate) async fn stop(self) {
        let stopped = self.node.stop(Duration::from_secs(30)).await;
        assert!(stopped.is_clean(), "{stopped:?}");
    }
}

/// No limits of rates.
fn options(away: &Arc<Away>) -> NodeOptions {
    let mut rates = RateOptions::field_defaults();
    for limit in Limit::ALL {
        rates.set(*limit, None);
    }
    NodeOptions {
        signing_key: key_of(&server(RECEIVER)),
        rules: Rules::default(),
        users: UserOptions {
            presence: true,
            server_name: server(RECEIVER),
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
            server_name: server(RECEIVER),
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
        federation: Some(RemoteOptions {
            network: Arc::clone(away) as Arc<dyn Network>,
            old_keys: Vec::new(),
            notaries: Vec::new(),
            refused_keys: Vec::new(),
            senders: SenderOptions {
                retry_max: Duration::from_hours(1),
            },
        }),
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
