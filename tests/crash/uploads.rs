//! Killed while a file comes: of one that was not acknowledged nothing is to be seen, one that was
//! is there, whole.

use std::{fs, path::Path, time::Duration};

use belfry_env::Env;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
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
/// How often it is looked whether the server has got something.
const GLANCE: Duration = Duration::from_millis(5);

/// Bytes that are like no other file's.
fn content(number: u64) -> Vec<u8> {
    let start = number.to_le_bytes().into_iter();
    let rest = (0..FILE_BYTES).map(|at| u8::try_from(at % 251).unwrap());
    start.chain(rest).collect()
}

/// Status and body; `None` if the connection broke.
async fn ask(
    env: &Env,
    server: &Server,
    (method, path): (&str, &str),
    token: &str,
    body: Vec<u8>,
) -> Option<(StatusCode, Vec<u8>)> {
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
    let (head, body) = requests.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some((head.status, body.to_vec()))
}

/// Files below the folder, but for those of this name.
fn files(folder: &Path, but: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let counted = entries.map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            _ if path.ends_with(but) => 0,
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
        let (_, body) = ask(&self.env, server, create, &self.token, Vec::new())
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let uri = answer["content_uri"].as_str().unwrap();
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
        let (status, body) = got.await.unwrap();
        match status {
            StatusCode::OK => Some(body),
            StatusCode::GATEWAY_TIMEOUT => None,
            other => panic!("{other}: {}", String::from_utf8_lossy(&body)),
        }
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
        let unfinished = self.place.path("data/media/unfinished");
        while files(&unfinished, "") == 0 {
            self.env.clock.sleep(GLANCE).await;
        }
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
    assert_eq!(files(&media, "unfinished"), 0, "nothing is in its place");
    let server = uploader.place.start();
    assert_eq!(files(&media, ""), 0, "the start tidies up");
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
        let sleep = Duration::from_millis(uploader.env.random.below(8 * (round + 1)));
        let put = uploader.put(&server, &file, content(round));
        // Either comes first: the answer or the end.
        let answered = uploader.env.clock.within(sleep, put).await;
        server.kill();
        server = uploader.place.start();
        let found = uploader.get(&server, &file).await;
        if answered == Ok(Some(StatusCode::OK)) {
            assert!(found.is_some(), "round {round}");
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
