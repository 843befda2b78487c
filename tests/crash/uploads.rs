//! Killed while a file comes: of one that was not acknowledged nothing is to be seen, one that was
//! is there, whole.

use std::{fs, path::Path, time::Duration};

use belfry_env::Env;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, runtime::Handle};

use crate::{
    client::{Client, Gone},
    place::{Place, Server},
};

/// Kills at different moments of an upload.
const ROUNDS: u64 = 8;
const FILE_BYTES: usize = 4 << 20;
/// A file that shows in memory if it is ever there as a whole, and by how much the server may grow
/// while it comes and is read.
const LARGE_BYTES: usize = 64 << 20;
const GROWTH_KIB_MAX: u64 = 24 << 10;
/// How often it is looked whether the server has got something.
const GLANCE: Duration = Duration::from_millis(5);
/// How long that may take; far more than it needs.
const ARRIVAL_MAX: Duration = Duration::from_mins(1);
/// The folder of files that are still coming in.
const UNFINISHED: &str = "unfinished";

/// Bytes that are like no other file's.
fn content(number: u64) -> Vec<u8> {
    let start = number.to_le_bytes().into_iter();
    let rest = (0..FILE_BYTES).map(|at| u8::try_from(at % 251).unwrap());
    start.chain(rest).collect()
}

/// The head of an answer, whose body is still to come; `None` if the connection broke.
async fn begin(
    env: &Env,
    server: &Server,
    (method, path): (&str, &str),
    token: &str,
    body: Vec<u8>,
) -> Option<Response<Incoming>> {
    let stream = TcpStream::connect(server.address).await.ok()?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    env.tasks.spawn("connection", async {
        connection.await.ok();
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, server.address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::<bytes::Bytes>::from(body))
        .unwrap();
    requests.send_request(request).await.ok()
}

/// Status and body; `None` if the connection broke.
async fn ask(
    env: &Env,
    server: &Server,
    endpoint: (&str, &str),
    token: &str,
    body: Vec<u8>,
) -> Option<(StatusCode, Vec<u8>)> {
    let answer = begin(env, server, endpoint, token, body).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some((head.status, body.to_vec()))
}

/// Files below the folder, but for those in the folder of this name.
fn files(folder: &Path, but: Option<&str>) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let counted = entries.map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if but.is_some_and(|but| path.ends_with(but)) => 0,
            true => files(&path, but),
            false => 1,
        }
    });
    counted.sum()
}

struct Uploader {
    env: Env,
    place: Place,
    token: String,
}

impl Uploader {
    /// A reserved ID.
    async fn reserve(&self, server: &Server) -> String {
        let create = ("POST", "/_matrix/media/v1/create");
        let made = ask(&self.env, server, create, &self.token, Vec::new()).await;
        let (_, body) = made.unwrap_or_else(|| panic!("it broke off: {}", server.log()));
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let uri = answer["content_uri"].as_str();
        let uri = uri.unwrap_or_else(|| panic!("no file may be put: {answer}"));
        uri.strip_prefix("mxc://").unwrap().to_owned()
    }

    async fn put(&self, server: &Server, file: &str, content: Vec<u8>) -> Option<StatusCode> {
        let path = format!("/_matrix/media/v3/upload/{file}");
        let put = ask(&self.env, server, ("PUT", &path), &self.token, content);
        Some(put.await?.0)
    }

    /// The file; `None` if it has not come.
    async fn get(&self, server: &Server, file: &str) -> Option<Vec<u8>> {
        let path = format!("/_matrix/client/v1/media/download/{file}?timeout_ms=1");
        let got = ask(&self.env, server, ("GET", &path), &self.token, Vec::new());
        let got = got.await;
        let (status, body) = got.unwrap_or_else(|| panic!("it broke off: {}", server.log()));
        let text = || String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => Some(body),
            StatusCode::GATEWAY_TIMEOUT => None,
            other => panic!("{other}: {}: {}", text(), server.log()),
        }
    }

    /// Reads the file and keeps nothing; how many bytes.
    async fn drain(&self, server: &Server, file: &str) -> usize {
        let path = format!("/_matrix/client/v1/media/download/{file}");
        let got = begin(&self.env, server, ("GET", &path), &self.token, Vec::new());
        let (head, mut body) = got.await.unwrap().into_parts();
        assert_eq!(head.status, StatusCode::OK);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, bytes::Bytes::len);
        }
        bytes
    }

    /// Sends half of a file, and waits until the server has some of it.
    async fn half(&self, server: &Server, file: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "PUT /_matrix/media/v3/upload/{file} HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {}\r\nContent-Length: {FILE_BYTES}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let half = vec![b'x'; FILE_BYTES / 2];
        stream.write_all(&half).await.unwrap();
        let unfinished = self.place.path("data/media").join(UNFINISHED);
        let arrival = async {
            while files(&unfinished, None) == 0 {
                self.env.clock.sleep(GLANCE).await;
            }
        };
        let arrived = self.env.clock.within(ARRIVAL_MAX, arrival).await;
        assert!(arrived.is_ok(), "nothing of the file: {}", server.log());
        stream
    }
}

async fn uploader() -> (Uploader, Server) {
    let env = Env::system(Handle::current()).unwrap();
    let place = Place::new();
    let server = place.start();
    let mut client = Client::connect(&env, server.address).await.unwrap();
    let token: Result<_, Gone> = client.register("alice").await;
    let token = token.unwrap();
    (Uploader { env, place, token }, server)
}

#[tokio::test]
async fn an_upload_that_a_kill_cuts_off_leaves_nothing() {
    let (uploader, server) = uploader().await;
    let file = uploader.reserve(&server).await;
    let cut = uploader.half(&server, &file).await;
    server.kill();
    drop(cut);
    let media = uploader.place.path("data/media");
    assert_eq!(
        files(&media, Some(UNFINISHED)),
        0,
        "nothing is in its place"
    );
    let server = uploader.place.start();
    assert_eq!(files(&media, None), 0, "the start tidies up");
    assert_eq!(uploader.get(&server, &file).await, None);
    let put = uploader.put(&server, &file, content(0)).await;
    assert_eq!(put, Some(StatusCode::OK));
    // What was acknowledged survives at once.
    server.kill();
    let server = uploader.place.start();
    assert_eq!(uploader.get(&server, &file).await, Some(content(0)));
    server.stop();
}

#[tokio::test]
async fn whenever_it_is_killed_a_file_is_whole_or_not_there() {
    let (uploader, mut server) = uploader().await;
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let file = uploader.reserve(&server).await;
        let moment = Duration::from_millis(uploader.env.random.below(8 * (round + 1)));
        let put = uploader.put(&server, &file, content(round));
        // Either comes first: the answer or the end.
        let answered = uploader.env.clock.within(moment, put).await;
        server.kill();
        server = uploader.place.start();
        let found = uploader.get(&server, &file).await;
        if answered == Ok(Some(StatusCode::OK)) {
            assert!(found.is_some(), "round {round}: {}", server.log());
            acknowledged.push((round, file));
        }
        assert!(
            found.is_none_or(|found| found == content(round)),
            "round {round}"
        );
    }
    for (round, file) in acknowledged {
        let found = uploader.get(&server, &file).await;
        assert_eq!(found, Some(content(round)), "round {round}");
    }
    server.stop();
}

/// The most memory that the process has had, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[tokio::test]
async fn large_files_take_little_memory() {
    let (uploader, server) = uploader().await;
    let small = uploader.reserve(&server).await;
    uploader.put(&server, &small, content(0)).await;
    assert_eq!(uploader.drain(&server, &small).await, content(0).len());
    let before = peak_kib(&server);
    let large = uploader.reserve(&server).await;
    let put = uploader.put(&server, &large, vec![b'x'; LARGE_BYTES]).await;
    assert_eq!(put, Some(StatusCode::OK));
    let read = || uploader.drain(&server, &large);
    let read = tokio::join!(read(), read(), read(), read());
    let whole = LARGE_BYTES;
    assert_eq!(read, (whole, whole, whole, whole));
    let growth = peak_kib(&server) - before;
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB more");
    server.stop();
}
