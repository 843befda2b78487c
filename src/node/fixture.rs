//! A node on the memory engine in a simulated world, for tests.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use belfry_api::{
    About, WellKnown,
    edge::{EdgeOptions, Peer, TrustedProxies},
    rate::RateOptions,
};
use belfry_blob::MemoryBlobs;
use belfry_data::Engine;
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::{Direction, Memory, Range};
use belfry_media::{CopyOptions, Help, MediaOptions};
use belfry_policy::Rules;
use belfry_user::{NewAccount, NewDevice, PasswordOptions, Registration, UserOptions};
use http::{Request, StatusCode, header};
use ruma_common::{OwnedServerName, RoomVersionId};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{Node, NodeOptions};

pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) fn options(server_name: &str) -> NodeOptions {
    NodeOptions {
        signing_key: SigningKey::from_seed(&[7; 32], "test").unwrap(),
        rules: Rules::default(),
        users: UserOptions {
            presence: true,
            server_name: OwnedServerName::try_from(server_name).unwrap(),
            registration: Registration::Open,
            access_token_life: Some(Duration::from_hours(60 * 24)),
            idle_device_life: None,
            password: PasswordOptions {
                memory_kib: 64,
                passes: 1,
                lanes: 1,
                running_max: 1,
                waiting_max: 100,
                chars_min: 8,
            },
            shared_secret: None,
        },
        blobs: Arc::new(MemoryBlobs::default()),
        media: MediaOptions {
            server_name: OwnedServerName::try_from(server_name).unwrap(),
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
            rates: RateOptions::field_defaults(),
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

/// A running server, and what it leaves behind.
pub(crate) struct Server {
    pub(crate) engine: Arc<Memory>,
    pub(crate) env: Env,
    pub(crate) node: Node,
}

impl Server {
    /// One on an empty database.
    pub(crate) async fn new(wall: &SimulatedWall) -> Self {
        Self::on(Arc::default(), wall).await
    }

    /// One on this database.
    pub(crate) async fn on(engine: Arc<Memory>, wall: &SimulatedWall) -> Self {
        let env = Env::simulated(1, wall);
        let own = Arc::clone(&engine) as Arc<dyn Engine>;
        let node = Node::start(own, env.clone(), options("hs1")).await.unwrap();
        Self { engine, env, node }
    }

    /// Stops it as a good end does.
    pub(crate) async fn stop(self) -> Arc<Memory> {
        let leaks = self.env.tasks.leak_check();
        let stopped = self.node.stop(Duration::from_secs(10)).await;
        assert!(stopped.is_clean(), "{stopped:?}");
        drop(leaks);
        self.engine
    }

    /// The access token of a new account on a device that can refresh it.
    pub(crate) async fn register(&self, name: &str) -> String {
        let account = NewAccount {
            username: Some(name.to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice {
                refresh: true,
                ..NewDevice::default()
            }),
        };
        let (_, session) = self.node.users().register(account).await.unwrap();
        session.unwrap().tokens.access.reveal().to_owned()
    }

    /// Sends a request; status and body of the answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_matrix/client/v3{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .extension(Peer::Local)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.node.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&bytes).unwrap())
    }

    /// The value under `key` of a request that succeeds.
    pub(crate) async fn get_text(
        &self,
        (method, path): (&str, &str),
        token: &str,
        body: &Value,
        key: &str,
    ) -> String {
        let (status, answer) = self.ask(method, path, token, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer[key].as_str().unwrap().to_owned()
    }

    /// How many rows the table has.
    pub(crate) async fn rows(&self, table: &str) -> usize {
        let mut spaces = belfry_data::keyspaces().iter();
        let space = spaces.find(|space| space.name == table).unwrap();
        let snapshot = self.node.database().snapshot().await.unwrap();
        let range = Range::table(space);
        let page = snapshot.scan(range, Direction::Forward, 10_000).await;
        page.unwrap().rows.len()
    }
}
