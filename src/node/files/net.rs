//! The network: servers of ours by their routers, others by scripts, pages by the guarded connector.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use belfry_api::edge::Peer;
use belfry_remote::{Fetcher, Flow, Limits, Network, NetworkError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use ruma_common::ServerName;
use tower::ServiceExt as _;

/// What a stranger's server answers to a path.
type Script = Arc<dyn Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync>;

/// See the module.
#[derive(Default)]
pub(super) struct Net {
    routers: Mutex<BTreeMap<String, Router>>,
    scripts: Mutex<BTreeMap<String, Script>>,
    asked: Mutex<Vec<String>>,
    web: Mutex<Option<Fetcher>>,
}

impl Net {
    pub(super) fn router(&self, server: &str, router: Router) {
        let mut routers = self.routers.lock().unwrap();
        routers.insert(server.to_owned(), router);
    }

    pub(super) fn script(
        &self,
        server: &str,
        script: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        let mut scripts = self.scripts.lock().unwrap();
        scripts.insert(server.to_owned(), Arc::new(script));
    }

    pub(super) fn web(&self, fetcher: Fetcher) {
        *self.web.lock().unwrap() = Some(fetcher);
    }

    /// What was asked of others about files since the last call: servers and paths.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Network for Net {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        Box::pin(async move {
            let gone = || NetworkError::Unreachable(format!("{server} is away"));
            let path = request.uri().path();
            if path.contains("/media/") {
                let asked = format!("{server}{path}");
                self.asked.lock().unwrap().push(asked);
            }
            let script = self.scripts.lock().unwrap().get(server.as_str()).cloned();
            if let Some(script) = script {
                return Ok(script(&request));
            }
            let router = self.routers.lock().unwrap().get(server.as_str()).cloned();
            let mut request = request.map(Body::from);
            request.extensions_mut().insert(Peer::Local);
            let response = router.ok_or_else(gone)?.oneshot(request);
            let (head, body) = response.await.map_err(|_| gone())?.into_parts();
            let body = axum::body::to_bytes(body, limits.bytes_max).await;
            Ok(Response::from_parts(head, body.map_err(|_| gone())?))
        })
    }

    fn open_page<'a>(
        &'a self,
        url: &'a Uri,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Response<Flow>, NetworkError>> {
        Box::pin(async move {
            let web = self.web.lock().unwrap().clone().unwrap();
            Ok(web.open_page(url, time_max).await?)
        })
    }
}
