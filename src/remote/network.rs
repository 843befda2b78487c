//! How a request gets to another server: over the internet, or, in tests, by a call.
//!
//! Exists so that several servers in one process talk without sockets. Knows nothing of what is
//! asked.

use std::{sync::Arc, time::Duration};

use belfry_data::BoxFuture;
use bytes::Bytes;
use http::{Request, Response, Uri};
use ruma_common::ServerName;

use crate::{
    discovery::Discovery,
    fetch::{FetchError, Fetcher, Limits},
    flow::Flow,
};

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Nobody answered, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// More than the limit of bytes.
    #[error("{0}")]
    TooLarge(String),
}

impl From<FetchError> for NetworkError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::TooLarge(_) => Self::TooLarge(error.to_string()),
            error => Self::Unreachable(error.to_string()),
        }
    }
}

/// The way to other servers.
pub trait Network: Send + Sync {
    /// Sends a request, whose URI is a path and a query, to the server of this name.
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>>;

    /// The same with an answer that comes piece by piece; `time_max` is until its head is there.
    /// Networks that have whole answers only give one of at most [`WHOLE_BYTES_MAX`].
    fn open<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Response<Flow>, NetworkError>> {
        let limits = Limits {
            bytes_max: WHOLE_BYTES_MAX,
            time_max,
            redirects_max: 0,
        };
        Box::pin(async move { Ok(self.ask(server, request, limits).await?.map(Flow::whole)) })
    }

    /// Fetches from the web what another server says is there, piece by piece. It may be elsewhere
    /// again.
    fn open_page<'a>(
        &'a self,
        url: &'a Uri,
        _: Duration,
    ) -> BoxFuture<'a, Result<Response<Flow>, NetworkError>> {
        let text = format!("there is no way to {url}");
        Box::pin(async move { Err(NetworkError::Unreachable(text)) })
    }
}

/// Largest answer of a network that has whole answers only.
pub const WHOLE_BYTES_MAX: usize = 16 << 20;

/// The internet: discovery, TLS, HTTP.
pub struct Internet {
    discovery: Discovery,
    fetcher: Fetcher,
}

impl Internet {
    /// By these two.
    pub fn new(discovery: Discovery, fetcher: Fetcher) -> Arc<Self> {
        Arc::new(Self { discovery, fetcher })
    }

    /// The same request to where the server listens.
    async fn addressed(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
    ) -> Result<Request<Bytes>, NetworkError> {
        let authority = self.discovery.delegated(server).await;
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder()
            .scheme("https")
            .authority(authority.as_str())
            .path_and_query(path)
            .build();
        parts.uri = uri.map_err(|error| NetworkError::Unreachable(error.to_string()))?;
        Ok(Request::from_parts(parts, body))
    }
}

impl Network for Internet {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        Box::pin(async move {
            let request = self.addressed(server, request).await?;
            Ok(self.fetcher.federate(request, limits).await?)
        })
    }

    fn open<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Response<Flow>, NetworkError>> {
        Box::pin(async move {
            let request = self.addressed(server, request).await?;
            Ok(self.fetcher.open(request, time_max).await?)
        })
    }

    fn open_page<'a>(
        &'a self,
        url: &'a Uri,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Response<Flow>, NetworkError>> {
        Box::pin(async move { Ok(self.fetcher.open_page(url, time_max).await?) })
    }
}

/// No network at all: federation is off.
#[derive(Debug, Clone, Copy)]
pub struct Off;

impl Network for Off {
    fn ask<'a>(
        &'a self,
        _: &'a ServerName,
        _: Request<Bytes>,
        _: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        let text = "federation is off on this server";
        Box::pin(async move { Err(NetworkError::Unreachable(text.to_owned())) })
    }
}
