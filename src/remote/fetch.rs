//! HTTP requests to the outside, with every limit set.
//!
//! Exists so that nobody who asks another server can forget a limit: on bytes, on time, on
//! redirects, on requests under way. Knows nothing of Matrix.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use belfry_env::{Clock, Tasks};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT},
    uri::Scheme,
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioIo, TokioTimer},
};

use crate::{
    dialer::{DialError, Dialer, Purpose},
    socket::Placed,
};

/// How long an idle connection is kept, and how many to one host.
const IDLE_TIME_MAX: Duration = Duration::from_mins(1);
const IDLE_PER_HOST_MAX: usize = 2;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 100;
/// What this server calls itself.
pub(crate) const AGENT: HeaderValue = HeaderValue::from_static("Belfry");

/// What one request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the answer's body.
    pub bytes_max: usize,
    /// From the first question to the last byte, redirects included.
    pub time_max: Duration,
    /// How many redirects are followed.
    pub redirects_max: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke, or what came is not HTTP.
    #[error("the answer broke off ({0}); try again later")]
    Broken(String),
    /// Not all within [`Limits::time_max`].
    #[error("the answer takes too long; try again later")]
    Late,
    /// More than [`Limits::bytes_max`].
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// More than [`Limits::redirects_max`], or one that leads nowhere.
    #[error("too many redirects, or one that leads nowhere")]
    Redirect,
    /// Not an `https` or `http` URL without a user.
    #[error("not a URL that may be fetched; use https, and name no user in it")]
    Url,
}

impl FetchError {
    /// Whether what was asked for is not to be reached on purpose: asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Url | Self::Dial(DialError::Private(_) | DialError::Port(_) | DialError::Url)
        )
    }
}

pub(crate) type Hyper = Client<Connector, Full<Bytes>>;

/// Asks. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    pub(crate) web: Hyper,
    pub(crate) federation: Hyper,
    gateways: Hyper,
    clock: Clock,
}

impl Fetcher {
    /// A fetcher that dials by this dialer.
    pub fn new(dialer: &Arc<Dialer>, tasks: &Tasks, clock: Clock) -> Self {
        let client = |purpose| {
            let mut builder = Client::builder(Spawner(tasks.clone()));
            builder
                .pool_idle_timeout(IDLE_TIME_MAX)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(HEAD_BYTES_MAX)
                .http1_max_headers(HEADERS_MAX)
                .set_host(false);
            builder.build(Connector {
                dialer: Arc::clone(dialer),
                purpose,
            })
        };
        Self {
            web: client(Purpose::Web),
            federation: client(Purpose::Federation),
            gateways: client(Purpose::Gateway),
            clock,
        }
    }

    /// Fetches a page of the web; redirects are followed, each judged like the first address.
    pub async fn get(&self, url: &Uri, limits: Limits) -> Result<Response<Bytes>, FetchError> {
        let whole = async {
            let mut url = url.clone();
            for _ in 0..=limits.redirects_max {
                let request = page(&url)?;
                let response = self
                    .web
                    .request(request)
                    .await
                    .map_err(|error| broken(&error))?;
                match target(&url, &response)? {
                    Some(next) => url = next,
                    None => return collect(response, limits.bytes_max).await,
                }
            }
            Err(FetchError::Redirect)
        };
        self.within(limits.time_max, whole).await
    }

    /// Sends a request to another homeserver, whose delegated name is the URI's authority.
    /// Redirects are not followed: no endpoint of federation has them.
    pub async fn federate(
        &self,
        mut request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, FetchError> {
        let host = host_header(request.uri())?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, AGENT);
        let asked = self.federation.request(request.map(Full::new));
        let whole = async {
            let response = asked.await.map_err(|error| broken(&error))?;
            collect(response, limits.bytes_max).await
        };
        self.within(limits.time_max, whole).await
    }

    /// Posts JSON to a push gateway, over `https` only. Redirects are not followed.
    pub(crate) async fn post(
        &self,
        url: &Uri,
        body: Bytes,
        limits: Limits,
    ) -> Result<Response<Bytes>, FetchError> {
        let mut request = page(url)?.map(|_| Full::new(body));
        if url.scheme() != Some(&Scheme::HTTPS) {
            return Err(FetchError::Url);
        }
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let asked = self.gateways.request(request);
        let whole = async {
            let response = asked.await.map_err(|error| broken(&error))?;
            collect(response, limits.bytes_max).await
        };
        self.within(limits.time_max, whole).await
    }

    pub(crate) async fn within<T>(
        &self,
        span: Duration,
        whole: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let answered = self.clock.within(span, whole).await;
        answered.unwrap_or(Err(FetchError::Late))
    }
}

pub(crate) fn page(url: &Uri) -> Result<Request<Full<Bytes>>, FetchError> {
    let known =
        matches!(url.scheme(), Some(scheme) if *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP);
    let named_user = url
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'));
    if !known || named_user {
        return Err(FetchError::Url);
    }
    let request = Request::builder()
        .method(Method::GET)
        .uri(url.clone())
        .header(HOST, host_header(url)?)
        .header(USER_AGENT, AGENT)
        .body(Full::default());
    request.map_err(|_| FetchError::Url)
}

pub(crate) fn host_header(url: &Uri) -> Result<HeaderValue, FetchError> {
    let authority = url.authority().ok_or(FetchError::Url)?;
    HeaderValue::try_from(authority.as_str()).map_err(|_| FetchError::Url)
}

/// Where the answer sends us, if it does. Never from `https` back to `http`.
fn target(from: &Uri, response: &Response<Incoming>) -> Result<Option<Uri>, FetchError> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let next = location.and_then(|location| resolved(from, location));
    match next {
        Some(next) if from.scheme() == next.scheme() || from.scheme() == Some(&Scheme::HTTP) => {
            Ok(Some(next))
        }
        _ => Err(FetchError::Redirect),
    }
}

/// What a `Location` means where it was found: a whole URL, or a path on the same host.
fn resolved(from: &Uri, location: &str) -> Option<Uri> {
    let target: Uri = location.parse().ok()?;
    if target.scheme().is_some() && target.authority().is_some() {
        return Some(target);
    }
    if !location.starts_with('/') || location.starts_with("//") {
        return None;
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = Some(location.parse().ok()?);
    Uri::from_parts(parts).ok()
}

async fn collect(
    response: Response<Incoming>,
    bytes_max: usize,
) -> Result<Response<Bytes>, FetchError> {
    if announced(response.headers()).is_some_and(|bytes| bytes > bytes_max) {
        return Err(FetchError::TooLarge(bytes_max));
    }
    let (parts, body) = response.into_parts();
    let collected = Limited::new(body, bytes_max).collect().await;
    match collected {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(bytes_max)),
        Err(error) => Err(FetchError::Broken(error.to_string())),
    }
}

pub(crate) fn announced(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

/// The dialer's error if it was its, else what hyper says with its causes.
pub(crate) fn broken(error: &hyper_util::client::legacy::Error) -> FetchError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(shared) = cause.downcast_ref::<SharedDialError>()
            && let Some(dial) = shared.take()
        {
            return dial.into();
        }
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    FetchError::Broken(text)
}

/// A dialer's error on its way through hyper, which only lends it back.
#[derive(Debug)]
pub(crate) struct SharedDialError(std::sync::Mutex<Option<DialError>>);

impl SharedDialError {
    fn take(&self) -> Option<DialError> {
        let mut held = self.0.lock().ok()?;
        held.take()
    }
}

impl std::fmt::Display for SharedDialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for SharedDialError {}

/// The dialer, as hyper's pool wants it.
#[derive(Clone)]
pub(crate) struct Connector {
    dialer: Arc<Dialer>,
    purpose: Purpose,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Placed>;
    type Error = SharedDialError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Placed>, SharedDialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SharedDialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (dialer, purpose) = (Arc::clone(&self.dialer), self.purpose);
        Box::pin(async move {
            let dialled = dialer.dial(purpose, &uri).await;
            dialled.map_err(|error| SharedDialError(std::sync::Mutex::new(Some(error))))
        })
    }
}

/// Lets hyper drive its connections as tasks of the server.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("outbound connection", future);
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
