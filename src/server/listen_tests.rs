//! Hostile peers on in-memory streams and simulated time; accepting and stopping on real sockets.

use std::{net::Ipv4Addr, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    http::StatusCode,
    routing::{get, post},
};
use belfry_env::{Late, SimulatedWall};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};

use super::*;

const START_MS: u64 = 1_700_000_000_000;
/// What in-memory pipes hold.
const PIPE_BYTES: usize = 1024 * 1024;
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1234);

fn world() -> Env {
    Env::simulated(1, &SimulatedWall::at(START_MS))
}

fn router(env: &Env) -> Router {
    let clock = env.clock.clone();
    let wait = async move || {
        clock.sleep(Duration::from_mins(5)).await;
        "waited"
    };
    Router::new()
        .route(
            "/hello",
            get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }),
        )
        .route(
            "/length",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/wait", get(wait))
        .route("/large", get(|| async { vec![b'x'; 4 * PIPE_BYTES] }))
        .route(
            "/panic",
            get(async || -> StatusCode { panic!("on purpose") }),
        )
}

/// A connection to the tiny router, served as a task.
fn connect(env: &Env) -> DuplexStream {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (router, own) = (router(env), env.clone());
    env.tasks.spawn("connection", async move {
        connection((far, Spoken::Either), PEER, router, own).await;
    });
    near
}

/// Sends bytes and returns all that comes until the server closes; the span that took.
async fn until_closed(env: &Env, stream: &mut DuplexStream, bytes: &[u8]) -> (String, Duration) {
    let start = env.clock.now();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let span = env.clock.now().since(start);
    (String::from_utf8_lossy(&answer).into_owned(), span)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_and_the_peer_is_known() {
    let env = world();
    let mut stream = connect(&env);
    let request = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (answer, span) = until_closed(&env, &mut stream, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("Address(127.0.0.1:1234)"),
        "{answer}"
    );
    assert!(span < LOOK_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_closed_when_idle() {
    let env = world();
    let (answer, span) = until_closed(&env, &mut connect(&env), b"").await;
    assert_eq!(answer, "");
    assert!(
        span >= activity::IDLE_MAX && span <= activity::IDLE_MAX + LOOK_INTERVAL,
        "{span:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_closed() {
    for start in ["G", "GET /hello HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP/2.0"] {
        let env = world();
        let (_, span) = until_closed(&env, &mut connect(&env), start.as_bytes()).await;
        assert!(
            span <= activity::HEAD_MAX + LOOK_INTERVAL,
            "{start}: {span:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_sent_a_byte_at_a_time_is_closed() {
    let env = world();
    let mut stream = connect(&env);
    let mut seconds = 0;
    while stream.write_all(b"x").await.is_ok() {
        env.clock.sleep(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds < 60, "still open");
    }
    assert!(seconds >= 14, "closed after {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_body_sent_a_byte_at_a_time_is_closed_within_a_minute() {
    let env = world();
    let mut stream = connect(&env);
    let head = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut seconds = 0;
    while stream.write_all(b"x").await.is_ok() {
        env.clock.sleep(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds < 60, "still open");
    }
    assert!(seconds >= 30, "closed after {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_large_body_over_a_slow_line_passes() {
    let env = world();
    let mut stream = connect(&env);
    let head =
        b"POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 409600\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for _ in 0..200 {
        env.clock.sleep(Duration::from_secs(1)).await;
        stream.write_all(&[b'x'; 2048]).await.unwrap();
    }
    let (answer, _) = until_closed(&env, &mut stream, b"").await;
    assert!(answer.ends_with("409600"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_not_idle() {
    let env = world();
    let mut stream = connect(&env);
    let request = b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (answer, span) = until_closed(&env, &mut stream, request).await;
    assert!(answer.ends_with("waited"), "{answer}");
    assert!(span >= Duration::from_mins(5));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answer_is_closed() {
    let env = world();
    let mut stream = connect(&env);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    env.clock
        .sleep(activity::IDLE_MAX + 2 * LOOK_INTERVAL)
        .await;
    let mut taken = Vec::new();
    stream.read_to_end(&mut taken).await.unwrap();
    assert!(taken.len() <= PIPE_BYTES, "{}", taken.len());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_its_answer_slowly_gets_all_of_it() {
    let env = world();
    let mut stream = connect(&env);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut taken, mut part) = (0, vec![0; 64 * 1024]);
    loop {
        env.clock.sleep(Duration::from_secs(10)).await;
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            bytes => taken += bytes,
        }
    }
    assert!(taken > 4 * PIPE_BYTES, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_size_that_overflows_is_refused_and_closed() {
    let env = world();
    let request = b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    ffffffffffffffff1\r\nabc\r\n0\r\n\r\n";
    let (answer, span) = until_closed(&env, &mut connect(&env), request).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(span < LOOK_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_the_limit_is_refused() {
    let env = world();
    let long = "x".repeat(usize::try_from(HEAD_BYTES_MAX).unwrap());
    let request = format!("GET /hello HTTP/1.1\r\nHost: a\r\nLong: {long}\r\n\r\n");
    let (answer, _) = until_closed(&env, &mut connect(&env), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_route_ends_its_connection_only() {
    let env = world();
    let (answer, _) = until_closed(
        &env,
        &mut connect(&env),
        b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert_eq!(answer, "");
    assert_eq!(env.tasks.panics(), 1);
    let request = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (answer, _) = until_closed(&env, &mut connect(&env), request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The opening of an HTTP/2 connection with one POST /length whose body is still to come.
fn http2_opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, b""));
    // Static table: POST, http; then literals for the path and the authority.
    let head = b"\x83\x86\x44\x07/length\x41\x01a";
    bytes.extend(frame(1, 4, 1, head));
    bytes
}

/// An HTTP/2 frame of at most 255 bytes.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    bytes.extend_from_slice(payload);
    bytes
}

/// Resident memory of this process in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken() {
    let env = world();
    let mut stream = connect(&env);
    let mut bytes = http2_opening();
    bytes.extend(frame(0, 1, 1, b"hello"));
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // A frame's head: length, kind, flags, stream; then the body.
    let is_body = |part: &[u8]| part[..4] == [0, 0, 1, 0] && part[5..] == [0, 0, 0, 1, b'5'];
    assert!(answer.windows(10).any(is_body), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn empty_data_frames_without_end_take_no_memory_and_are_ended() {
    let env = world();
    let mut stream = connect(&env);
    stream.write_all(&http2_opening()).await.unwrap();
    let burst: Vec<u8> = (0..1_000).flat_map(|_| frame(0, 0, 1, b"")).collect();
    let before_kib = resident_kib();
    let start = env.clock.now();
    let mut bursts = 0;
    while stream.write_all(&burst).await.is_ok() && bursts < 500 {
        tokio::task::yield_now().await;
        bursts += 1;
    }
    let grown_kib = resident_kib().saturating_sub(before_kib);
    assert!(
        grown_kib < 20 * 1024,
        "{grown_kib} KiB after {bursts} bursts"
    );
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let span = env.clock.now().since(start);
    assert!(span < Duration::from_mins(2), "open for {span:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_idle_connections_at_once_and_lets_requests_finish() {
    let env = world();
    let mut idle = connect(&env);
    let mut busy = connect(&env);
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    env.clock.sleep(Duration::from_secs(1)).await;
    env.shutdown.begin();
    let (_, span) = until_closed(&env, &mut idle, b"").await;
    assert_eq!(span, Duration::ZERO);
    let (answer, _) = until_closed(&env, &mut busy, b"").await;
    assert!(answer.ends_with("waited"), "{answer}");
    assert!(env.stop(Duration::from_secs(1)).await.is_clean());
}

/// A real listener with room for two connections.
async fn listen() -> (Env, SocketAddr, belfry_env::Task<()>) {
    let env = Env::system(tokio::runtime::Handle::current()).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serving = env.tasks.spawn(
        "listener",
        serve((socket, None), router(&env), env.clone(), 2),
    );
    (env, address, serving)
}

async fn get_hello(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 512];
    let bytes = stream.read(&mut answer).await.unwrap();
    answer.truncate(bytes);
    (stream, String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_for_their_turn() {
    let (env, address, serving) = listen().await;
    let (first, answer) = get_hello(address).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_second, _) = get_hello(address).await;
    let mut third = pin!(get_hello(address));
    let early = env
        .clock
        .within(Duration::from_millis(100), third.as_mut())
        .await;
    assert!(matches!(early, Err(Late)));
    drop(first);
    let (_third, answer) = third.await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(env.stop(Duration::from_secs(5)).await.is_clean());
    serving.await.unwrap();
}

#[tokio::test]
async fn the_first_bytes_of_a_connection_say_which_http_it_is() {
    let (env, address, serving) = listen().await;
    let mut bytes = http2_opening();
    bytes.extend(frame(0, 1, 1, b"hello"));
    // At once, and in two parts of which the first could be the begin of a POST.
    for parts in [bytes.split_at(0), bytes.split_at(1)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(parts.0).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(parts.1).await.unwrap();
        let mut answer = Vec::new();
        let is_body = |part: &[u8]| part[..4] == [0, 0, 1, 0] && part[5..] == [0, 0, 0, 1, b'5'];
        while !answer.windows(10).any(is_body) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
    }
    let (_stream, answer) = get_hello(address).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(env.stop(Duration::from_secs(5)).await.is_clean());
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stopped_listener_accepts_nothing() {
    let (env, address, serving) = listen().await;
    let (mut stream, _) = get_hello(address).await;
    assert!(env.stop(Duration::from_secs(5)).await.is_clean());
    serving.await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
