//! The network between servers in one process: who is there, who reaches whom, what is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use belfry_api::edge::Peer;
use belfry_env::{Clock, Random};
use belfry_remote::{Limits, Network, NetworkError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use ruma_common::{OwnedServerName, ServerName};
use serde_json::Value;
use tower::ServiceExt as _;

/// How long it takes to find out that nothing comes back.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What happens to requests on their way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    /// Of a thousand requests, and of a thousand answers, so many are lost.
    pub(super) lost_permille: u64,
    /// Longest way, in milliseconds; what is sent later may arrive earlier.
    pub(super) delay_ms: u64,
}

struct State {
    routers: BTreeMap<OwnedServerName, Router>,
    cuts: BTreeSet<(OwnedServerName, OwnedServerName)>,
    weather: Weather,
    asked: BTreeMap<String, usize>,
    /// Events in transactions.
    told: usize,
}

/// The network.
pub(super) struct Net {
    state: Mutex<State>,
    clock: Clock,
    random: Random,
}

impl Net {
    pub(super) fn new(clock: Clock, random: Random) -> Arc<Self> {
        let state = State {
            routers: BTreeMap::new(),
            cuts: BTreeSet::new(),
            weather: Weather::default(),
            asked: BTreeMap::new(),
            told: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            clock,
            random,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on a server is answered by this.
    pub(super) fn put(&self, server: &ServerName, router: Router) {
        self.lock().routers.insert(server.to_owned(), router);
    }

    /// The same with something before it.
    pub(super) fn change(&self, server: &ServerName, change: impl FnOnce(Router) -> Router) {
        let mut state = self.lock();
        let router = state.routers.remove(server).unwrap();
        state.routers.insert(server.to_owned(), change(router));
    }

    /// The server is not there any more.
    pub(super) fn remove(&self, server: &ServerName) {
        self.lock().routers.remove(server);
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Nothing goes from one to the other, in this direction.
    pub(super) fn cut(&self, from: &ServerName, to: &ServerName) {
        self.lock().cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// Everybody reaches everybody.
    pub(super) fn heal(&self) {
        self.lock().cuts.clear();
    }

    /// How many requests there were whose path holds this text.
    pub(super) fn asked(&self, text: &str) -> usize {
        let state = self.lock();
        let asked = state.asked.iter().filter(|(path, _)| path.contains(text));
        asked.map(|(_, count)| count).sum()
    }

    /// How many events there were in transactions.
    pub(super) fn told(&self) -> usize {
        self.lock().told
    }

    fn count(&self, request: &Request<Bytes>) {
        let mut state = self.lock();
        let path = request.uri().path();
        *state.asked.entry(path.to_owned()).or_default() += 1;
        if path.contains("/v1/send/") {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            state.told += body["pdus"].as_array().map_or(0, Vec::len);
        }
    }

    /// Whether something is lost, after a while on its way.
    async fn travel(&self) -> bool {
        let Weather {
            lost_permille,
            delay_ms,
        } = self.lock().weather;
        if delay_ms > 0 {
            let delay = Duration::from_millis(self.random.below(delay_ms));
            self.clock.sleep(delay).await;
        }
        self.random.below(1_000) < lost_permille
    }

    async fn carry(
        &self,
        (from, to): (&ServerName, &ServerName),
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, NetworkError> {
        let gone = || NetworkError::Unreachable(format!("{to} is away"));
        self.count(&request);
        if self.travel().await {
            self.clock.sleep(LOST_AFTER).await;
            return Err(gone());
        }
        let router = {
            let state = self.lock();
            let cut = state.cuts.contains(&(from.to_owned(), to.to_owned()));
            state.routers.get(to).filter(|_| !cut).cloned()
        };
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Peer::Local);
        let response = router.ok_or_else(gone)?.oneshot(request);
        let (parts, body) = response.await.map_err(|_| gone())?.into_parts();
        let body = axum::body::to_bytes(body, limits.bytes_max).await;
        if self.travel().await {
            self.clock.sleep(LOST_AFTER).await;
            return Err(gone());
        }
        Ok(Response::from_parts(parts, body.map_err(|_| gone())?))
    }
}

/// The network as one server sees it, in one of its lives.
pub(super) struct Line {
    pub(super) net: Arc<Net>,
    pub(super) own: OwnedServerName,
    alive: AtomicBool,
}

impl Line {
    pub(super) fn new(net: &Arc<Net>, own: &ServerName) -> Arc<Self> {
        Arc::new(Self {
            net: Arc::clone(net),
            own: own.to_owned(),
            alive: AtomicBool::new(true),
        })
    }

    /// Whoever goes on here reaches nobody.
    pub(super) fn die(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}

impl Network for Line {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        Box::pin(async move {
            if !self.alive.load(Ordering::SeqCst) {
                let text = "the server that asks is gone".to_owned();
                return Err(NetworkError::Unreachable(text));
            }
            let way = (&*self.own, server);
            self.net.carry(way, request, limits).await
        })
    }
}
