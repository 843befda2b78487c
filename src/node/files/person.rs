//! A server with somebody on it, for tests of files.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use belfry_api::{
    edge::Peer,
    rate::{Limit, RateOptions},
};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_remote::{RemoteOptions, SenderOptions};
use belfry_user::{NewAccount, NewDevice};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

use super::net::Net;
use crate::{Node, NodeOptions, fixture};

/// See the module.
pub(super) struct Person {
    pub(super) env: Env,
    node: Node,
    token: String,
}

impl Person {
    /// On a server of this name, `seed` and further options.
    pub(super) async fn start(
        (name, seed): (&str, u8),
        env: Env,
        change: impl FnOnce(&mut NodeOptions),
    ) -> Self {
        let mut options = fixture::options(name);
        options.signing_key = SigningKey::from_seed(&[seed; 32], "a").unwrap();
        let mut rates = RateOptions::field_defaults();
        for limit in Limit::ALL {
            rates.set(*limit, None);
        }
        options.edge.rates = rates;
        change(&mut options);
        let engine = Arc::new(Memory::default());
        let node = Node::start(engine, env.clone(), options).await.unwrap();
        let account = NewAccount {
            username: Some("user".to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let (_, session) = node.users().register(account).await.unwrap();
        let token = session.unwrap().tokens.access.reveal().to_owned();
        Self { env, node, token }
    }

    /// On a server that others reach by this network.
    pub(super) async fn federated((name, seed): (&str, u8), net: &Arc<Net>) -> Self {
        let env = Env::simulated(seed.into(), &SimulatedWall::at(fixture::START_MS));
        let network = Arc::clone(net);
        let person = Self::start((name, seed), env, |options| {
            options.federation = Some(RemoteOptions {
                network,
                old_keys: Vec::new(),
                notaries: Vec::new(),
                refused_keys: Vec::new(),
                senders: SenderOptions {
                    retry_max: Duration::from_mins(10),
                },
            });
        });
        let person = person.await;
        net.router(name, person.node.router());
        person
    }

    pub(super) async fn stop(self) {
        let stopped = self.node.stop(Duration::from_mins(1)).await;
        assert!(stopped.is_clean(), "{stopped:?}");
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "image/png")
            .extension(Peer::Local)
            .body(body.into())
            .unwrap();
        let response = self.node.router().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, body)
    }

    /// Status and JSON of an answer.
    pub(super) async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.ask(method, path, body.to_string()).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    /// Status and error code of a request that should fail.
    pub(super) async fn refused(&self, path: &str) -> (u16, String) {
        let (status, json) = self.json("GET", path, &Value::Null).await;
        (
            status,
            json["errcode"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// The URI without `mxc://` of a file that is uploaded.
    pub(super) async fn upload(&self, content: &'static [u8]) -> String {
        let path = "/_matrix/media/v3/upload?filename=a.png";
        let (_, _, body) = self.ask("POST", path, content).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let uri = answer["content_uri"].as_str().unwrap();
        uri.strip_prefix("mxc://").unwrap().to_owned()
    }
}
