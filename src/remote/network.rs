//! How a request gets to another server: over the internet, or, in tests, by a call.
//!
//! Exists so that several servers in one process talk without sockets. Knows nothing of what is
//! asked.

use std::sync::Arc;

use belfry_data::BoxFuture;
use bytes::Bytes;
use http::{Request, Response, Uri};
use ruma_common::ServerName;

use crate::{
    discovery::Discovery,
    fetch::{FetchError, Fetcher, Limits},
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
}

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
}

impl Network for Internet {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        Box::pin(async move {
            let authority = self.discovery.delegated(server).await;
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let uri = Uri::builder()
                .scheme("https")
                .authority(authority.as_str())
                .path_and_query(path)
                .build();
            parts.uri = uri.map_err(|error| NetworkError::Unreachable(error.to_string()))?;
            let request = Request::from_parts(parts, body);
            Ok(self.fetcher.federate(request, limits).await?)
        })
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
