//! HTTP listeners: sockets in, an axum router's answers out, everything between the two bounded.
//!
//! It exists so that no route has to think of peers that send slowly, never end, open too much or
//! stay too long. It knows nothing of what the routes do. Limits on the size of a body are theirs;
//! limits on its pace are here.

mod activity;
mod host;
mod pace;
mod spoken;
pub(crate) mod tls;

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use belfry_api::edge::Peer;
use belfry_env::{Env, Tasks};
use hyper::{Request, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use self::{
    activity::{Activity, Metered},
    pace::Paced,
    spoken::Spoken,
};

/// What each connection's task is called.
pub(crate) const CONNECTION_TASK: &str = "http connection";
/// Bytes of a request's head, and of what is buffered per direction of an HTTP/1 connection.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Bytes that one HTTP/2 request may send ahead of its reader, and all requests together.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of an answer buffered per HTTP/2 request.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How often a quiet HTTP/2 peer is asked whether it is there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often each connection is held against the limits of [`Activity`].
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long accepting pauses when the system has no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections, at most `connections_max` at a time (more wait in the system's queue), and
/// answers their requests until the server stops; then no connection is accepted and each ends
/// after the requests that it has begun. Returns when accepting has ended; the connections are
/// tasks of `env`. The router finds the peer among each request's extensions, as a [`Peer`].
///
/// With an acceptor, TLS is spoken; a handshake has [`HANDSHAKE_TIME_MAX`].
pub(crate) async fn serve(
    (listener, tls): (TcpListener, Option<TlsAcceptor>),
    router: Router,
    env: Env,
    connections_max: usize,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (place, listener.accept().await)
    };
    while let Some((place, accepted)) = env.shutdown.unless(next()).await {
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection ended before it began");
                }
                let (router, own, tls) = (router.clone(), env.clone(), tls.clone());
                env.tasks.spawn(CONNECTION_TASK, async move {
                    // On the heap, so that a connection is not as large as the largest kind.
                    match tls {
                        None => Box::pin(plain(stream, peer, router, own)).await,
                        Some(tls) => Box::pin(secure(tls, stream, peer, router, own)).await,
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; is the limit of open files too low?");
                env.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection as it comes.
async fn plain(stream: TcpStream, peer: SocketAddr, router: Router, env: Env) {
    if let Some(spoken) = Spoken::first(&stream, &env).await {
        connection((stream, spoken), peer, router, env).await;
    }
}

/// Serves one connection behind a handshake.
async fn secure(tls: TlsAcceptor, stream: TcpStream, peer: SocketAddr, router: Router, env: Env) {
    let shaken = env.clock.within(HANDSHAKE_TIME_MAX, tls.accept(stream));
    match env.shutdown.unless(shaken).await {
        Some(Ok(Ok(stream))) => {
            let spoken = Spoken::agreed(stream.get_ref().1.alpn_protocol());
            // On the heap: the handshake leaves as much room behind.
            Box::pin(connection((stream, spoken), peer, router, env)).await;
        }
        Some(Ok(Err(error))) => tracing::debug!(%error, "no TLS with a peer"),
        Some(Err(_)) | None => tracing::debug!("a TLS handshake did not end in time"),
    }
}

/// Serves one connection to its end.
async fn connection<S>((stream, spoken): (S, Spoken), peer: SocketAddr, router: Router, env: Env)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new(env.clock.clone());
    let stream = TokioIo::new(Metered::new(stream, activity.clone()));
    let clock = env.clock.clone();
    let seen = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let multiplexed = request.version() == Version::HTTP_2;
        let running = seen.begin(multiplexed);
        let mut request = request.map(|body| Body::new(Paced::new(body, clock.clone())));
        request.extensions_mut().insert(Peer::Address(peer));
        let names_host = host::is_named(&request);
        let answer = router.clone().oneshot(request);
        async move {
            let answered = if names_host {
                answer.await
            } else {
                Ok(host::refusal())
            };
            drop(running);
            answered
        }
    });
    let builder = spoken.only(protocol(&env.tasks));
    let mut served = pin!(builder.serve_connection(stream, service));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended early");
                }
                return;
            }
            () = env.shutdown.wait(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            () = env.clock.sleep(LOOK_INTERVAL) => {
                if activity.is_overdue() {
                    tracing::debug!("a connection was idle or too slow");
                    return;
                }
            }
        }
    }
}

/// HTTP/1.1 and HTTP/2 with every limit set. Time limits are [`Activity`]'s, which also cover the
/// time before the version is known.
fn protocol(tasks: &Tasks) -> auto::Builder<Spawner> {
    let mut builder = auto::Builder::new(Spawner(tasks.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(HEAD_BYTES_MAX).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX);
    builder
}

/// Lets HTTP/2 run its requests as tasks of the server.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http request", future);
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
