//! A whole server for tests of handlers: the real router, a memory engine, a simulated clock.
//!
//! Dropping it fails the test if a task is left, or if something was logged as a warning or an
//! error that the test did not expect.

use std::{
    borrow::Cow,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use belfry_blob::{Blobs, MemoryBlobs};
use belfry_env::{Env, LeakCheck, Shutdown, SimulatedWall, Tasks};
use belfry_event::SigningKey;
use belfry_flow::Flows;
use belfry_kv::{Engine, Memory};
use belfry_media::{CopyOptions, Help, Media, MediaOptions, Ports, PreviewOptions};
use belfry_policy::Rules;
use belfry_room::{Identity, Rooms};
use belfry_sync::Views;
use belfry_user::{
    NewAccount, NewDevice, PasswordOptions, Registration, SharedSecret, UserOptions, Users,
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use ruma_client_api::uiaa::{
    self, AuthData, MatrixUserIdentifier, UiaaInfo, UiaaResponse, UserIdentifier,
};
use ruma_common::{
    OwnedUserId, RoomVersionId,
    api::{
        IncomingResponseExt as _, OutgoingRequest, OutgoingRequestExt as _, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        error::{Error, FromHttpResponseError},
        path_builder::PathBuilder,
    },
    owned_server_name,
};
use serde_json::Value;
use tokio::runtime::Handle;
use tower::ServiceExt as _;
use tracing::{Event, Level, Metadata, Subscriber, field::Visit, span};

use crate::{
    About, Handles, Turn, WellKnown,
    edge::{Edge, EdgeOptions, Peer, TrustedProxies},
    federation::Federation,
    rate::RateOptions,
};

const CHEAP: PasswordOptions = PasswordOptions {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
    running_max: 1,
    waiting_max: 100,
    chars_min: 8,
};

/// The peer that requests come from unless a test says otherwise.
const PEER: &str = "192.0.2.1:9";

/// Where the pretended client believes the server to be.
const BASE_URL: &str = "https://hs1";

pub(crate) struct TestApp {
    pub(crate) users: Users,
    pub(crate) env: Env,
    pub(crate) engine: Arc<Memory>,
    router: Router,
    log: Log,
    _leaks: LeakCheck,
    _log: tracing::subscriber::DefaultGuard,
}

/// Where files are kept and fetched from.
pub(crate) struct Files {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) ports: Ports,
    pub(crate) previews: Option<PreviewOptions>,
    /// Whether old paths show files to anybody.
    pub(crate) without_token: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            blobs: Arc::new(MemoryBlobs::default()),
            ports: Ports::default(),
            previews: None,
            without_token: false,
        }
    }
}

/// Somebody with a password and a token.
pub(crate) struct Person {
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: String,
    pub(crate) token: String,
}

impl TestApp {
    /// With open registration and the field's rate limits.
    pub(crate) fn new() -> Self {
        Self::with(Registration::Open)
    }

    pub(crate) fn with(registration: Registration) -> Self {
        Self::made(registration, None, Self::alone())
    }

    /// With other servers that are answered.
    pub(crate) fn federated(federation: Federation) -> Self {
        Self::made(Registration::Open, None, federation)
    }

    /// With other files, and other ways to more of them.
    pub(crate) fn with_files(files: Files) -> Self {
        let about = (None, WellKnown::NOTHING);
        Self::complete(Registration::Open, None, Self::alone(), files, about)
    }

    /// With a TURN server, and with what is told at well-known URIs.
    pub(crate) fn telling(turn: Turn, well_known: WellKnown) -> Self {
        let (files, about) = (Files::default(), (Some(turn), well_known));
        Self::complete(Registration::Open, None, Self::alone(), files, about)
    }

    fn alone() -> Federation {
        Federation::off(owned_server_name!("hs1"))
    }

    /// With closed registration, but for whoever knows the secret.
    pub(crate) fn with_shared_secret(secret: Option<SharedSecret>) -> Self {
        Self::made(Registration::Closed, secret, Self::alone())
    }

    fn made(
        registration: Registration,
        shared_secret: Option<SharedSecret>,
        federation: Federation,
    ) -> Self {
        let (files, about) = (Files::default(), (None, WellKnown::NOTHING));
        Self::complete(registration, shared_secret, federation, files, about)
    }

    fn complete(
        registration: Registration,
        shared_secret: Option<SharedSecret>,
        federation: Federation,
        files: Files,
        (turn, well_known): (Option<Turn>, WellKnown),
    ) -> Self {
        let log = Log::default();
        let guard = tracing::subscriber::set_default(log.clone());
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let options = UserOptions {
            presence: true,
            server_name: owned_server_name!("hs1"),
            registration,
            access_token_life: Some(Duration::from_mins(5)),
            idle_device_life: None,
            password: CHEAP,
            shared_secret,
        };
        let engine = Arc::new(Memory::default());
        let rules = Arc::new(Rules::default());
        let identity = Identity {
            server_name: options.server_name.clone(),
            key: SigningKey::from_seed(&[7; 32], "test").unwrap(),
        };
        let rooms = Rooms::new(
            Arc::clone(&engine) as Arc<dyn Engine>,
            env.clone(),
            identity,
        );
        // The task that wakes syncs lives as long as the server: that it goes on is no leak.
        let lasting = Env {
            tasks: Tasks::in_place(Handle::current()),
            ..env.clone()
        };
        let shared = Arc::clone(&engine) as Arc<dyn Engine>;
        let views = Views::new(
            shared,
            lasting.clone(),
            options.server_name.clone(),
            [7; 16],
        );
        let users = Users::new(engine.clone(), env.clone(), Arc::clone(&rules), options).unwrap();
        let shared = Arc::clone(&engine) as Arc<dyn Engine>;
        let flows = Flows::new(shared, lasting, rooms.clone(), users.clone());
        flows.send_due(Arc::clone(&rules));
        let edge = EdgeOptions {
            trusted_proxies: TrustedProxies(Vec::new()),
            rates: RateOptions::field_defaults(),
        };
        let shared = Arc::clone(&engine) as Arc<dyn Engine>;
        let api = Handles {
            media: Media::with_ports(
                shared,
                files.blobs,
                &env,
                media(files.previews),
                files.ports,
            ),
            edge: Edge::new(edge, env.clock.clone(), Shutdown::default()),
            users: users.clone(),
            rooms,
            flows,
            views,
            rules,
            federation,
            about: About {
                default_room_version: RoomVersionId::V12,
                unauthenticated_media: files.without_token,
                well_known,
                turn,
            },
        };
        Self {
            users,
            router: crate::router(api.into()),
            _leaks: env.tasks.leak_check(),
            env,
            engine,
            log,
            _log: guard,
        }
    }

    /// An account made without the API, which would count against its limits.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let account = NewAccount {
            username: Some(name.to_owned()),
            password: Some("wordpass".to_owned()),
            token: None,
            device: Some(NewDevice::default()),
        };
        let (user_id, session) = self.users.register(account).await.unwrap();
        let session = session.unwrap();
        Person {
            user_id,
            device_id: session.device_id.to_string(),
            token: session.tokens.access.reveal().to_owned(),
        }
    }

    /// Sends a request as ruma's clients do, and parses the answer as they do.
    pub(crate) async fn send<R>(
        &self,
        token: Option<&str>,
        request: R,
    ) -> Result<R::IncomingResponse, R::EndpointError>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
        R::EndpointError: std::fmt::Debug,
    {
        let token = token.map_or(SendAccessToken::None, SendAccessToken::Always);
        let versions = ["v1.1".to_owned(), "v1.16".to_owned()];
        let versions = SupportedVersions::from_parts(&versions, &[].into());
        let request =
            request.try_into_http_request::<Vec<u8>>(BASE_URL, token, Cow::Owned(versions));
        let response = self.ask(request.unwrap().map(Body::from), PEER).await;
        let (parts, body) = response.into_parts();
        let response = http::Response::from_parts(parts, &body[..]);
        R::IncomingResponse::try_from_http_response(response).map_err(|error| match error {
            FromHttpResponseError::Server(error) => error,
            error => panic!("an answer that ruma does not understand: {error:?}"),
        })
    }

    /// Ends the rooms' workers, for tests that used rooms.
    pub(crate) async fn stop(self) {
        assert!(self.env.stop(Duration::from_secs(10)).await.is_clean());
    }

    /// Sends bytes. `peer` is an address and a port.
    pub(crate) async fn raw_from(
        &self,
        peer: &str,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, Value, HeaderMap) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = self.ask(request.body(body.into()).unwrap(), peer).await;
        let (parts, body) = response.into_parts();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        (parts.status, json, parts.headers)
    }

    /// Sends bytes from the usual peer; gives status and `errcode`.
    pub(crate) async fn raw(
        &self,
        endpoint: (&str, &str),
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (u16, String) {
        let (status, json, _) = self.raw_from(PEER, endpoint, token, body).await;
        let errcode = json["errcode"].as_str().unwrap_or_default();
        (status.as_u16(), errcode.to_owned())
    }

    /// How many warnings and errors were logged; they are expected from now on.
    pub(crate) fn take_alarms(&self) -> usize {
        std::mem::take(&mut self.log.lock().alarms)
    }

    /// All that was logged so far, fields included.
    pub(crate) fn logged(&self) -> String {
        self.log.lock().text.clone()
    }

    /// Sends a request as it is.
    pub(crate) async fn ask(
        &self,
        mut request: Request<Body>,
        peer: &str,
    ) -> http::Response<Bytes> {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(Peer::Address(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        http::Response::from_parts(parts, body)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let state = self.log.lock();
        if !std::thread::panicking() {
            assert!(state.alarms == 0, "unexpected warnings:\n{}", state.text);
        }
    }
}

/// Status and `errcode` of an error.
pub(crate) fn code(error: &Error) -> (u16, String) {
    let errcode = error.error_kind().map(|kind| kind.errcode().to_string());
    (error.status_code.as_u16(), errcode.unwrap_or_default())
}

/// As [`code`] gives it.
pub(crate) fn expect(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

/// The challenge, if that is what the answer is.
pub(crate) fn challenge<T: std::fmt::Debug>(answer: Result<T, UiaaResponse>) -> UiaaInfo {
    match answer {
        Err(UiaaResponse::AuthResponse(info)) => info,
        other => panic!("no challenge: {other:?}"),
    }
}

/// The error, if the answer is one and no challenge.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, UiaaResponse>) -> (u16, String) {
    match answer {
        Err(UiaaResponse::MatrixError(error)) => code(&error),
        other => panic!("no error: {other:?}"),
    }
}

/// A password stage.
pub(crate) fn password(name: &str, password: &str, session: Option<String>) -> AuthData {
    let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(name.to_owned()));
    let mut data = uiaa::Password::new(identifier, password.to_owned());
    data.session = session;
    AuthData::Password(data)
}

/// A subscriber that keeps everything as text and counts what nobody should have to read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<LogState>>);

#[derive(Default)]
struct LogState {
    text: String,
    alarms: usize,
    spans: u64,
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, LogState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit for LogState {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.text, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut state = self.lock();
        state.text.push_str(attributes.metadata().name());
        attributes.record(&mut *state);
        state.text.push('\n');
        state.spans += 1;
        span::Id::from_u64(state.spans)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut *self.lock());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut state = self.lock();
        let level = *event.metadata().level();
        state.alarms += usize::from(level <= Level::WARN);
        write!(state.text, "{level}").unwrap();
        event.record(&mut *state);
        state.text.push('\n');
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What files may take in tests.
fn media(previews: Option<PreviewOptions>) -> MediaOptions {
    MediaOptions {
        server_name: owned_server_name!("hs1"),
        upload_bytes_max: 1 << 20,
        user_bytes_max: Some(4 << 20),
        server_bytes_max: Some(6 << 20),
        help: Help {
            info_uri: "https://hs1/help".to_owned(),
            admin_contact: "mailto:help@hs1".to_owned(),
        },
        copies: CopyOptions {
            file_bytes_max: 1 << 20,
            bytes_max: 1 << 30,
            unused_time_max: Duration::from_hours(24),
        },
        previews,
    }
}
