//! Files of other servers, asked of them with a signature.
//!
//! Servers of before v1.11 of the spec are asked without one, as they know it. Knows nothing of where
//! files are kept. (Server-Server API, "Content Repository".)

use std::{sync::Arc, time::Duration};

use belfry_data::BoxFuture;
use belfry_env::Clock;
use belfry_media::{Delivery, FromOrigin, Method as Shape, Origin, OriginError, Pieces, Size};
use belfry_policy::Purpose;
use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use ruma_common::{ServerName, http_headers::ContentDisposition};
use serde::Deserialize;

use crate::{
    client::{Client, Path},
    flow::Flow,
    multipart::{self, MultipartError, SecondPart},
    network::NetworkError,
};

/// How long a server may take to begin its answer, besides what it waits for the file.
pub const MEDIA_HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long one piece may take.
pub const MEDIA_PIECE_TIME_MAX: Duration = Duration::from_secs(30);
/// Redirects that are followed to a file.
pub const MEDIA_REDIRECTS_MAX: usize = 3;
/// Bytes of an error that are read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Other servers' files. Shared.
pub struct SignedOrigin {
    client: Arc<Client>,
    clock: Clock,
}

impl SignedOrigin {
    /// By this client.
    pub fn new(client: Arc<Client>, clock: Clock) -> Self {
        Self { client, clock }
    }

    async fn ask(&self, wanted: &FromOrigin) -> Result<Delivery, OriginError> {
        let server = &*wanted.server;
        let time_max = MEDIA_HEAD_TIME_MAX.saturating_add(wanted.wait);
        let request = self
            .client
            .signer
            .request(Method::GET, &signed(wanted).text, server, None);
        let request = request.map_err(|error| failed(&error))?;
        let mut answer = self.client.open(server, request, time_max).await?;
        if answer.status() == StatusCode::OK {
            return self.parts(answer).await;
        }
        let (start, _) = self
            .within(answer.body_mut().start(ERROR_BYTES_MAX))
            .await?;
        let error: ErrorBody = serde_json::from_slice(&start).unwrap_or_default();
        if !is_unknown(answer.status(), &error) {
            return Err(refused(answer.status(), &error));
        }
        let request = Request::get(unsigned(wanted).text).body(Bytes::new());
        let request = request.map_err(|error| failed(&error))?;
        let answer = self.client.open(server, request, time_max).await?;
        self.bare(answer).await
    }

    /// An answer of two parts.
    async fn parts(&self, answer: Response<Flow>) -> Result<Delivery, OriginError> {
        let (head, body) = answer.into_parts();
        let boundary = text(&head.headers, &CONTENT_TYPE).and_then(multipart::boundary);
        let Some(boundary) = boundary else {
            return Err(failed(&"its answer is not multipart/mixed"));
        };
        let opened = multipart::open(body, &boundary);
        let opened = self.clock.within(MEDIA_PIECE_TIME_MAX, opened).await;
        let (headers, part) = opened.map_err(|late| failed(&late))??;
        if let Some(location) = text(&headers, &LOCATION) {
            return self.elsewhere(location).await;
        }
        // Its length is told for both parts together, which is not less than that of one.
        let source = Source::Part(part);
        Ok(self.delivery(&headers, None, source))
    }

    /// An answer that is the file.
    async fn bare(&self, mut answer: Response<Flow>) -> Result<Delivery, OriginError> {
        let status = answer.status();
        if status.is_redirection() {
            let location = text(answer.headers(), &LOCATION)
                .unwrap_or_default()
                .to_owned();
            return self.elsewhere(&location).await;
        }
        if status != StatusCode::OK {
            let (start, _) = self
                .within(answer.body_mut().start(ERROR_BYTES_MAX))
                .await?;
            let error: ErrorBody = serde_json::from_slice(&start).unwrap_or_default();
            return Err(refused(status, &error));
        }
        let (head, body) = answer.into_parts();
        let bytes = text(&head.headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
        Ok(self.delivery(&head.headers, bytes, Source::Whole(body)))
    }

    /// A file of the web, as another server says.
    async fn elsewhere(&self, location: &str) -> Result<Delivery, OriginError> {
        let mut location = location.to_owned();
        for _ in 0..=MEDIA_REDIRECTS_MAX {
            let url: Uri = location.parse().map_err(|error| failed(&error))?;
            let network = &self.client.network;
            let answer = network.open_page(&url, MEDIA_HEAD_TIME_MAX).await?;
            let (head, body) = answer.into_parts();
            let next = text(&head.headers, &LOCATION).filter(|_| head.status.is_redirection());
            if let Some(next) = next {
                next.clone_into(&mut location);
                continue;
            }
            if head.status != StatusCode::OK {
                return Err(failed(&format!("{url}: {}", head.status)));
            }
            let bytes = text(&head.headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
            return Ok(self.delivery(&head.headers, bytes, Source::Whole(body)));
        }
        Err(failed(&"too many redirects to a file"))
    }

    fn delivery(&self, headers: &HeaderMap, bytes: Option<u64>, source: Source) -> Delivery {
        let disposition = headers.get(CONTENT_DISPOSITION);
        let disposition =
            disposition.and_then(|value| ContentDisposition::try_from(value.as_bytes()).ok());
        Delivery {
            content_type: text(headers, &CONTENT_TYPE).map(str::to_owned),
            filename: disposition.and_then(|disposition| disposition.filename),
            bytes,
            pieces: Box::new(Coming {
                source,
                clock: self.clock.clone(),
            }),
        }
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, NetworkError>>,
    ) -> Result<T, OriginError> {
        let answered = self.clock.within(MEDIA_PIECE_TIME_MAX, answer).await;
        Ok(answered.map_err(|late| failed(&late))??)
    }
}

impl Origin for SignedOrigin {
    fn open<'a>(&'a self, wanted: &'a FromOrigin) -> BoxFuture<'a, Result<Delivery, OriginError>> {
        Box::pin(self.ask(wanted))
    }
}

impl Client {
    /// Sends a request for a file, whose answer comes piece by piece; whatever its status.
    pub(crate) async fn open(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        time_max: Duration,
    ) -> Result<Response<Flow>, OriginError> {
        if server == self.server() || self.is_left_alone(server) {
            return Err(failed(&format!("{server} does not answer")));
        }
        let permitted = self.permit(server, Purpose::Media);
        permitted.map_err(|denial| failed(&format!("{server}: {denial}")))?;
        let places = self.line(server).places;
        // Only until the answer begins: large files must not keep events waiting.
        let _place = places.acquire().await;
        let answered = self.network.open(server, request, time_max).await;
        self.note(server, answered.is_ok());
        Ok(answered?)
    }
}

/// How a server of v1.11 or later is asked.
fn signed(wanted: &FromOrigin) -> Path {
    let path = Path::new(Purpose::Media, "/_matrix/federation/v1/media");
    let path = path.segment(kind(wanted)).segment(&wanted.id);
    sized(path, wanted)
}

/// How a server of before is asked.
fn unsigned(wanted: &FromOrigin) -> Path {
    let path = Path::new(Purpose::Media, "/_matrix/media/v3").segment(kind(wanted));
    let path = path.segment(wanted.server.as_str()).segment(&wanted.id);
    let path = path.query("allow_remote", "false");
    sized(path.query("allow_redirect", "true"), wanted)
}

fn kind(wanted: &FromOrigin) -> &'static str {
    match wanted.small {
        Some(_) => "thumbnail",
        None => "download",
    }
}

fn sized(path: Path, wanted: &FromOrigin) -> Path {
    let path = path.query("timeout_ms", &wanted.wait.as_millis().to_string());
    let Some(Size {
        width,
        height,
        method,
    }) = wanted.small
    else {
        return path;
    };
    let method = match method {
        Shape::Scale => "scale",
        Shape::Crop => "crop",
    };
    path.query("width", &width.to_string())
        .query("height", &height.to_string())
        .query("method", method)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    errcode: Option<String>,
}

/// Whether the server does not know the endpoint.
fn is_unknown(status: StatusCode, error: &ErrorBody) -> bool {
    let unnamed = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    match error.errcode.as_deref() {
        Some(errcode) => errcode == "M_UNRECOGNIZED",
        None => unnamed,
    }
}

fn refused(status: StatusCode, error: &ErrorBody) -> OriginError {
    match error.errcode.as_deref() {
        Some("M_NOT_YET_UPLOADED") => OriginError::NotYetUploaded,
        Some("M_TOO_LARGE") => OriginError::TooLarge,
        _ if status == StatusCode::NOT_FOUND => OriginError::NotFound,
        errcode => failed(&format!("{status} {}", errcode.unwrap_or_default())),
    }
}

fn failed(cause: &dyn std::fmt::Display) -> OriginError {
    OriginError::Failed(cause.to_string())
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

impl From<NetworkError> for OriginError {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::TooLarge(_) => Self::TooLarge,
            NetworkError::Unreachable(cause) => Self::Failed(cause),
        }
    }
}

impl From<MultipartError> for OriginError {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Network(error) => error.into(),
            malformed @ MultipartError::Malformed(_) => failed(&malformed),
        }
    }
}

enum Source {
    Whole(Flow),
    Part(SecondPart),
}

/// A file under way, each piece in time.
struct Coming {
    source: Source,
    clock: Clock,
}

impl Pieces for Coming {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async {
            let piece = async {
                match &mut self.source {
                    Source::Whole(flow) => Ok(flow.next().await?),
                    Source::Part(part) => Ok::<_, OriginError>(part.next().await?),
                }
            };
            let came = self.clock.within(MEDIA_PIECE_TIME_MAX, piece).await;
            came.map_err(|late| failed(&late))?
        })
    }
}
