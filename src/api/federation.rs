//! The server-server API: what other servers ask of this one.
//!
//! Handlers translate, as those of clients do: each takes an authenticated [`ask::Ask`], asks a
//! domain crate, and answers in JSON. Events go through as text: rooms check every one. Knows
//! nothing of how other servers are reached; their keys come by a port.

mod ask;
mod key;
mod query;
mod x_matrix;

#[cfg(test)]
mod federation_tests;

use std::{sync::Arc, time::Duration};

use belfry_policy::Purpose;
use belfry_room::Keys;
use futures_util::future::BoxFuture;
use http::Method;
use ruma_common::{OwnedServerName, ServerName};

use self::ask::{Ask, Turns};
use crate::{
    edge::{JsonText, Routes, Rule},
    error::ApiError,
    state::Api,
};

/// A path of the server-server API.
macro_rules! v1 {
    ($path:literal) => {
        concat!("/_matrix/federation/v1/", $path)
    };
}
/// How long a request may take; a join of a large room takes longest.
pub const FEDERATION_TIME_MAX: Duration = Duration::from_mins(5);

/// This server's keys, and what it vouches for of others': a port.
pub trait KeyServer: Send + Sync {
    /// Our key document, signed, as JSON; `None` if it cannot be made.
    fn own(&self) -> Option<String>;

    /// The documents of these servers, each with when it must still be valid (milliseconds since
    /// the Unix epoch), signed by us as well; those that are to be had.
    fn notarise(&self, wanted: Vec<(OwnedServerName, u64)>) -> BoxFuture<'_, Vec<String>>;
}

/// What handlers need to answer other servers. Cheap to clone.
#[derive(Clone)]
pub struct Federation(Arc<Shared>);

struct Shared {
    server: OwnedServerName,
    ports: Option<Ports>,
    turns: Turns,
}

struct Ports {
    keys: Arc<dyn Keys>,
    key_server: Arc<dyn KeyServer>,
}

impl Federation {
    /// Other servers are answered.
    pub fn on(
        server: OwnedServerName,
        keys: Arc<dyn Keys>,
        key_server: Arc<dyn KeyServer>,
    ) -> Self {
        Self::with(server, Some(Ports { keys, key_server }))
    }

    /// Nobody is: the endpoints are not there.
    pub fn off(server: OwnedServerName) -> Self {
        Self::with(server, None)
    }

    fn with(server: OwnedServerName, ports: Option<Ports>) -> Self {
        Self(Arc::new(Shared {
            server,
            ports,
            turns: Turns::default(),
        }))
    }

    /// Whether other servers are answered.
    pub fn is_on(&self) -> bool {
        self.0.ports.is_some()
    }

    /// This server's name.
    pub(crate) fn server(&self) -> &ServerName {
        &self.0.server
    }

    pub(crate) fn keys(&self) -> Result<&dyn Keys, ApiError> {
        self.ports().map(|ports| &*ports.keys)
    }

    pub(crate) fn key_server(&self) -> Result<&dyn KeyServer, ApiError> {
        self.ports().map(|ports| &*ports.key_server)
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn ports(&self) -> Result<&Ports, ApiError> {
        let ports = self.0.ports.as_ref();
        ports.ok_or_else(|| ApiError::fault("federation is off"))
    }
}

/// Adds every endpoint that other servers use.
pub(crate) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let routes = keys_and_version(routes);
    queries(routes)
}

fn keys_and_version(routes: Routes<Api>) -> Routes<Api> {
    let time_max = FEDERATION_TIME_MAX;
    let (get, post) = (Method::GET, Method::POST);
    let version = "/_matrix/federation/v1/version";
    let one = "/_matrix/key/v2/query/{serverName}";
    routes
        .serve_by(&get, version, time_max, query::version)
        .serve_by(&get, "/_matrix/key/v2/server", time_max, key::own)
        .serve_by(&get, one, time_max, key::query_one)
        .serve_by(&post, "/_matrix/key/v2/query", time_max, key::query_many)
}

fn queries(routes: Routes<Api>) -> Routes<Api> {
    let profile = (Rule::NONE, Purpose::Profile);
    let directory = (Rule::NONE, Purpose::Directory);
    Signed(routes)
        .get(v1!("query/profile"), profile, query::profile)
        .get(v1!("query/directory"), directory, query::directory)
        .0
}

/// A route table to which endpoints are added that only signed requests reach.
pub(crate) struct Signed(pub(crate) Routes<Api>);

impl Signed {
    pub(crate) fn get<F, Fut>(self, path: &'static str, rule: (Rule, Purpose), handler: F) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        self.serve(&Method::GET, path, rule, handler)
    }

    fn serve<F, Fut>(
        self,
        method: &Method,
        path: &'static str,
        rule: (Rule, Purpose),
        handler: F,
    ) -> Self
    where
        F: Fn(Api, Ask) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        let answer = move |api: Api, ctx, request| {
            let handler = handler.clone();
            async move {
                let ask = ask::accept(&api, rule, ctx, request).await?;
                let _running = api.federation.turns().take(&ask.origin).await?;
                handler(api.clone(), ask).await
            }
        };
        Self(self.0.serve_by(method, path, FEDERATION_TIME_MAX, answer))
    }
}
