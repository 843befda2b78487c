//! Answers that come piece by piece, because they are too large to be held.
//!
//! Exists so that a file of another server is written while it comes. Knows nothing of files.

use std::time::Duration;

use bytes::Bytes;
use http::{
    Request, Response, Uri,
    header::{HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

use crate::{
    fetch::{AGENT, FetchError, Fetcher, broken, host_header, page},
    network::NetworkError,
};

/// A body that comes. Dropped before its end, the connection is given up.
#[derive(Debug)]
pub struct Flow(UnsyncBoxBody<Bytes, NetworkError>);

impl Flow {
    /// A body that is there already.
    pub fn whole(content: Bytes) -> Self {
        let body = Full::new(content).map_err(|never| match never {});
        Self(body.boxed_unsync())
    }

    fn coming(body: Incoming) -> Self {
        let lost = |error: hyper::Error| NetworkError::Unreachable(error.to_string());
        Self(body.map_err(lost).boxed_unsync())
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetworkError> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(piece) = frame?.into_data()
                && !piece.is_empty()
            {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// At most so many first bytes, and whether they are all.
    pub async fn start(&mut self, bytes_max: usize) -> Result<(Bytes, bool), NetworkError> {
        let mut start = Vec::new();
        while let Some(piece) = self.next().await? {
            let lacks = bytes_max - start.len();
            start.extend(piece.iter().take(lacks));
            if piece.len() > lacks {
                return Ok((start.into(), false));
            }
        }
        Ok((start.into(), true))
    }
}

impl Fetcher {
    /// Sends a request to another homeserver, whose delegated name is the URI's authority; the
    /// answer, once its head is there. Redirects are not followed.
    pub(crate) async fn open(
        &self,
        mut request: Request<Bytes>,
        time_max: Duration,
    ) -> Result<Response<Flow>, FetchError> {
        let host = host_header(request.uri())?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, AGENT);
        let asked = self.federation.request(request.map(Full::new));
        let head = async { asked.await.map_err(|error| broken(&error)) };
        let response = self.within(time_max, head).await?;
        Ok(response.map(Flow::coming))
    }

    /// Asks for something of the web; the answer, once its head is there. Redirects are answers
    /// like others: whoever follows one asks again, and it is judged like the first.
    pub async fn open_page(
        &self,
        url: &Uri,
        time_max: Duration,
    ) -> Result<Response<Flow>, FetchError> {
        let asked = self.web.request(page(url)?);
        let head = async { asked.await.map_err(|error| broken(&error)) };
        let response = self.within(time_max, head).await?;
        Ok(response.map(Flow::coming))
    }
}
